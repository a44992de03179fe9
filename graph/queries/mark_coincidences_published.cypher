// Remember which state of each coincidence has been handed to Kafka. Parameter rows: {object_key, event_key, digest}.
// Result: none. Indexes: unique keys of Object and Event.
UNWIND $rows AS row
MATCH (:Object {object_key: row.object_key})-[c:COINCIDES_WITH]->(:Event {event_key: row.event_key})
SET c.published_digest = row.digest
