// Read the pairs that one event is part of.
// Parameters: event_key.
// Result: first_key, second_key, properties; open ones first ("open" sorts before "withdrawn"), then by evidence.
// Index used: unique Event.event_key.
MATCH (:Event {event_key: $event_key})-[j:JOINT_WITH]-(:Event)
WITH j, startNode(j).event_key AS first_key, endNode(j).event_key AS second_key
RETURN first_key, second_key, properties(j) AS properties
ORDER BY j.state, j.log_bayes_factor DESC, first_key, second_key
