// Remember which message about each pair of events has been handed to Kafka, and how many have been so far; marking the
// same message twice counts once. Parameter rows: {first_key, second_key, digest}.
// Result: none. Index: unique key of Event; the subquery has both ends, see read_coincidences_of_event.
UNWIND $rows AS row
MATCH (a:Event {event_key: row.first_key})
MATCH (b:Event {event_key: row.second_key})
CALL (a, b) {
  MATCH (a)-[j:JOINT_WITH]->(b)
  RETURN j
}
WITH j, row.digest AS digest, CASE WHEN j.published_digest = row.digest THEN 0 ELSE 1 END AS step,
  coalesce(j.published_number, CASE WHEN j.published_digest IS NULL THEN 0 ELSE 1 END) AS number
SET j.published_number = number + step, j.published_digest = digest
