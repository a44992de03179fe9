// Set pairs of events. Parameter rows: list of maps {first_key, second_key, properties}; a null removes its property.
// Result: none. Index: unique key of Event.
UNWIND $rows AS row
MATCH (a:Event {event_key: row.first_key})
MATCH (b:Event {event_key: row.second_key})
MERGE (a)-[j:JOINT_WITH]->(b)
SET j += row.properties
