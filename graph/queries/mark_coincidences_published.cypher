// Remember which state of each coincidence has been handed to Kafka, and how many states have been so far; marking the
// same state twice counts once. Parameter rows: {object_key, event_key, digest}.
// Result: none. Indexes: unique keys of Object and Event; the subquery has both ends, see read_coincidences_of_event.
UNWIND $rows AS row
MATCH (o:Object {object_key: row.object_key})
MATCH (e:Event {event_key: row.event_key})
CALL (o, e) {
  MATCH (o)-[c:COINCIDES_WITH]->(e)
  RETURN c
}
WITH c, row.digest AS digest, CASE WHEN c.published_digest = row.digest THEN 0 ELSE 1 END AS step
SET c.published_number = coalesce(c.published_number, 0) + step, c.published_digest = digest
