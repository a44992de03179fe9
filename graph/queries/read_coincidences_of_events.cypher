// All coincidences of the given events, withdrawn ones too. Parameter: event_keys (list).
// Result: object_key, event_key, properties. Index: unique key of Event.
UNWIND $event_keys AS event_key
MATCH (o:Object)-[c:COINCIDES_WITH]->(e:Event {event_key: event_key})
USING INDEX SEEK e:Event(event_key)
RETURN o.object_key AS object_key, event_key, properties(c) AS properties
