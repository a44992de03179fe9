// Bodies of all notices of one event. Parameter: event_key. Result: body. Index: notice_event.
MATCH (n:Notice {event_key: $event_key})
RETURN n.body AS body
ORDER BY n.notice_id
