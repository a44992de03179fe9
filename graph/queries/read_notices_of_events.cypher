// Bodies of all notices of some events. Parameter: event_keys (list). Result: event_key, bodies (list).
// Index: notice_event.
UNWIND $event_keys AS event_key
MATCH (n:Notice {event_key: event_key})
WITH event_key, n ORDER BY n.notice_id
RETURN event_key, collect(n.body) AS bodies
