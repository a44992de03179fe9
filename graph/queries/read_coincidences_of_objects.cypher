// All coincidences of the given objects, withdrawn ones too. Parameter: object_keys (list).
// Result: object_key, event_key, properties. Index: unique key of Object.
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})-[c:COINCIDES_WITH]->(e:Event)
USING INDEX SEEK o:Object(object_key)
RETURN object_key, e.event_key AS event_key, properties(c) AS properties
