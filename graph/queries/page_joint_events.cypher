// Find the joint events, the open ones and the pairs that were withdrawn, newest trigger first, from a place onwards.
// Parameters: before_time and before_key, the last one of the page before; state, "open", "withdrawn" or null for both;
//   limit, number of rows.
// Result: joint_event_id (of a withdrawn pair that of its two events alone), trigger_time (newest first event), state.
// Index used: the look-up of relationships by type; there are a few thousand pairs at most.
MATCH (a:Event)-[j:JOINT_WITH]->(:Event)
WHERE $state IS NULL OR j.state = $state
WITH coalesce(j.joint_event_id, j.pair_id) AS joint_event_id, j.state AS state,
  max(coalesce(a.trigger_time, '')) AS trigger_time
WHERE joint_event_id IS NOT NULL
  AND (trigger_time < $before_time OR (trigger_time = $before_time AND joint_event_id < $before_key))
RETURN joint_event_id, trigger_time, state
ORDER BY trigger_time DESC, joint_event_id DESC
LIMIT $limit
