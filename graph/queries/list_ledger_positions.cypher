// Find up to where the messages of some partitions are in the ledger.
// Parameters: places (list of maps {topic, partition}).
// Result: topic, partition, offset_until (not included); no row for a partition without entries.
// Index used: ledger_until, which also gives the order, so that only one entry of each partition is read.
UNWIND $places AS place
CALL (place) {
  MATCH (l:LedgerEntry {topic: place.topic, partition: place.partition})
  WHERE l.offset_until >= 0
  RETURN l.offset_until AS offset_until ORDER BY offset_until DESC LIMIT 1
}
RETURN place.topic AS topic, place.partition AS partition, offset_until
