// Version and identity of the current list of a case. Parameter: case. Result: version, list_id, published_id.
// Index: list_current.
MATCH (l:FollowUpList {is_current: true, case: $case})
RETURN l.version AS version, l.list_id AS list_id, coalesce(l.published_id, '') AS published_id
ORDER BY l.version DESC
LIMIT 1
