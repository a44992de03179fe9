// Coincidences of some objects with one event, withdrawn ones too. Parameters: event_key, object_keys (list).
// Result: object_key, event_key, properties. Indexes: unique keys of Object and Event.
// The subquery has both ends: where pairs are few on average, the planner would walk all those of the event anew for
// each object, 4 s for a wide map.
MATCH (e:Event {event_key: $event_key})
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})
CALL (o, e) {
  MATCH (o)-[c:COINCIDES_WITH]->(e)
  RETURN c
}
RETURN object_key, $event_key AS event_key, properties(c) AS properties
