// Remember which message about each pair of events has been handed to Kafka, and how many have been so far; marking the
// same message twice counts once. Parameter rows: {first_key, second_key, digest}.
// Result: none. Index: unique key of Event.
UNWIND $rows AS row
MATCH (:Event {event_key: row.first_key})-[j:JOINT_WITH]->(:Event {event_key: row.second_key})
WITH j, row.digest AS digest, CASE WHEN j.published_digest = row.digest THEN 0 ELSE 1 END AS step,
  coalesce(j.published_number, CASE WHEN j.published_digest IS NULL THEN 0 ELSE 1 END) AS number
SET j.published_number = number + step, j.published_digest = digest
