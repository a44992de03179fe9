// Coincidences of some objects with one event, withdrawn ones too. Parameters: event_key, object_keys (list).
// Result: object_key, event_key, properties. Indexes: unique keys of Object and Event.
MATCH (e:Event {event_key: $event_key})
UNWIND $object_keys AS object_key
MATCH (:Object {object_key: object_key})-[c:COINCIDES_WITH]->(e)
RETURN object_key, $event_key AS event_key, properties(c) AS properties
