// Read the pairs of events that joint events consist of.
// Parameters: joint_event_ids, a list.
// Result: joint_event_id, trigger_time (of the first event), first_key, second_key, properties.
// Index used: the look-up of relationships by type; there are a few thousand pairs at most.
MATCH (a:Event)-[j:JOINT_WITH]->(b:Event)
WITH a, j, b, coalesce(j.joint_event_id, j.pair_id) AS joint_event_id
WHERE joint_event_id IN $joint_event_ids
RETURN joint_event_id, a.trigger_time AS trigger_time, a.event_key AS first_key, b.event_key AS second_key,
  properties(j) AS properties
ORDER BY first_key, second_key
