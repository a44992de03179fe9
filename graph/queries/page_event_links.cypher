// Read events and the open pairs that they are the first of, in the order of their keys, from a place onwards.
// Parameters: after, the last key of the page before; limit, number of events.
// Result: event_key, messenger; pairs, list of [second_key, log_bayes_factor, joint_event_id].
// Index: unique key of Event, which also gives the order.
MATCH (a:Event)
WHERE a.event_key > $after
WITH a ORDER BY a.event_key LIMIT $limit
RETURN a.event_key AS event_key, a.messenger AS messenger,
  [(a)-[j:JOINT_WITH {state: 'open'}]->(b:Event) | [b.event_key, j.log_bayes_factor, j.joint_event_id]] AS pairs
ORDER BY event_key
