// Set the ledger entries of one micro-batch. Parameters: rows (list of maps, one for each topic, partition and night),
// spans (list of maps {topic, partition, offset_from, offset_until}).
// Result: none. Index: ledger_until. What was written for any of these offsets before is replaced, so neither a
// replayed batch nor a stream begun anew counts a message twice.
CALL () {
  UNWIND $spans AS span
  MATCH (old:LedgerEntry {topic: span.topic, partition: span.partition})
  WHERE old.offset_from < span.offset_until AND old.offset_until > span.offset_from
  DETACH DELETE old
}
UNWIND $rows AS row
MERGE (n:Night {night: row.night})
CREATE (l:LedgerEntry {entry_id: row.entry_id})
SET l += row
CREATE (l)-[:OF_NIGHT]->(n)
