// Set what the candidates of events are worth together. Parameter rows: list of maps {event_key, properties}; a null
// removes its property.
// Result: event_key of each event that is stored. Index: unique key of Event.
UNWIND $rows AS row
MATCH (e:Event {event_key: row.event_key})
SET e += row.properties
RETURN e.event_key AS event_key
