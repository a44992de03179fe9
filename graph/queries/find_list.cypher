// Read one version of a follow-up list.
// Parameters: list_key, "case:version".
// Result: list, a map; no row if there is none.
// Index used: unique FollowUpList.list_key.
MATCH (f:FollowUpList {list_key: $list_key})
RETURN f {.list_key, .case, .version, .list_id, .n_targets, .is_current} AS list
