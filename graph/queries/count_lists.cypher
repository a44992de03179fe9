// Count the targets on the current list of each case. Result: case, n_targets. Index: list_current.
MATCH (l:FollowUpList {is_current: true})-[:RANKS]->(t:Target)
RETURN l.case AS case, count(t) AS n_targets
ORDER BY case
