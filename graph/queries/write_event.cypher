// Set the state of one event and tie it to its notices. Parameters: event (map), notice_ids (list), localization_ids
// (list, oldest first: each newer one supersedes the one before it).
// Result: none. Indexes: unique keys of Event, Notice, Localization.
MERGE (e:Event {event_key: $event.event_key})
SET e += $event
WITH e
UNWIND $notice_ids AS notice_id
MATCH (n:Notice {notice_id: notice_id})
MERGE (e)-[:ANNOUNCED_BY]->(n)
WITH DISTINCT e
UNWIND range(1, size($localization_ids) - 1) AS i
MATCH (newer:Localization {localization_id: $localization_ids[i]})
MATCH (older:Localization {localization_id: $localization_ids[i - 1]})
MERGE (newer)-[:SUPERSEDES]->(older)
