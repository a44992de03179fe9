// Objects whose coincidence with one event is open, or was told in another state. Parameter: event_key.
// Result: object_keys, one list. Index: unique key of Event.
MATCH (o:Object)-[c:COINCIDES_WITH]->(:Event {event_key: $event_key})
WHERE c.state = 'open' OR c.published_digest <> c.digest
RETURN collect(o.object_key) AS object_keys
