// Objects whose coincidence with one event is open, or is not published as it stands. Parameter: event_key.
// Result: object_key. Index: unique key of Event.
MATCH (o:Object)-[c:COINCIDES_WITH]->(:Event {event_key: $event_key})
WHERE c.state = 'open' OR c.published_digest IS NULL OR c.published_digest <> c.digest
RETURN o.object_key AS object_key
