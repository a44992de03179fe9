// Publish a version of a follow-up list. Parameters: list (map with list_key, case, version, list_id, n_targets),
// targets (list of maps {target_key, object_key, event_key, ranks: map}).
// Result: none. Indexes: unique keys of FollowUpList, Target, Object. Earlier versions stay, no longer current.
MERGE (l:FollowUpList {list_key: $list.list_key})
SET l += $list, l.is_current = true
WITH l
CALL (l) {
  MATCH (older:FollowUpList {is_current: true, case: l.case})
  WHERE older.version < l.version
  SET older.is_current = false
}
WITH l
UNWIND $targets AS row
MATCH (o:Object {object_key: row.object_key})
MERGE (t:Target {target_key: row.target_key})
  ON CREATE SET t.case = l.case, t.event_key = row.event_key
MERGE (t)-[:OF]->(o)
MERGE (l)-[r:RANKS]->(t)
SET r = row.ranks
