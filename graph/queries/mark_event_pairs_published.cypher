// Remember which message about each pair of events has been handed to Kafka. Parameter rows: {first_key, second_key,
// digest}. Result: none. Index: unique key of Event.
UNWIND $rows AS row
MATCH (:Event {event_key: row.first_key})-[j:JOINT_WITH]->(:Event {event_key: row.second_key})
SET j.published_digest = row.digest
