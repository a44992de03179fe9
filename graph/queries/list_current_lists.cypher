// Read the current version of each follow-up list.
// Parameters: none.
// Result: list, a map, by science case.
// Index used: range FollowUpList(is_current, case).
MATCH (f:FollowUpList {is_current: true})
WHERE f.case IS NOT NULL
RETURN f {.list_key, .case, .version, .list_id, .n_targets, .is_current} AS list
ORDER BY f.case, f.version
