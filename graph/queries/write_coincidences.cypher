// Set coincidences of objects with events. Parameter rows: list of maps {object_key, event_key, properties}.
// Result: none. Indexes: unique keys of Object and Event.
UNWIND $rows AS row
MATCH (o:Object {object_key: row.object_key})
MATCH (e:Event {event_key: row.event_key})
MERGE (o)-[c:COINCIDES_WITH]->(e)
SET c += row.properties
