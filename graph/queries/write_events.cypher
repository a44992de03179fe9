// Set the states of events and tie them to their notices. Parameter rows: list of maps {event (map), notice_ids (list),
// localization_ids (list, oldest first: each newer one supersedes the one before it)}.
// Result: none. Indexes: unique keys of Event, Notice, Localization.
UNWIND $rows AS row
MERGE (e:Event {event_key: row.event.event_key})
SET e += row.event
WITH e, row
CALL (e, row) {
  UNWIND row.notice_ids AS notice_id
  MATCH (n:Notice {notice_id: notice_id})
  MERGE (e)-[:ANNOUNCED_BY]->(n)
}
CALL (row) {
  UNWIND range(1, size(row.localization_ids) - 1) AS i
  MATCH (newer:Localization {localization_id: row.localization_ids[i]})
  MATCH (older:Localization {localization_id: row.localization_ids[i - 1]})
  MERGE (newer)-[:SUPERSEDES]->(older)
}
