// Keys of every event that notices tell of. Result: event_key. Index: notice_event.
MATCH (n:Notice)
RETURN DISTINCT n.event_key AS event_key
ORDER BY event_key
