// Find events by key or by the mission's bare identifier.
// Parameters: name.
// Result: event_key; at most three rows, for one is an answer and two are an ambiguity.
// Index used: unique Event.event_key and range Event.event_id.
MATCH (e:Event)
WHERE e.event_key = $name OR e.event_id = $name
RETURN e.event_key AS event_key
ORDER BY e.event_key = $name DESC, e.event_key
LIMIT 3
