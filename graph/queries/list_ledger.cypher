// Read the ledger of the newest nights, and of night 0, which holds what was unreadable.
// Parameters: nights, number of nights.
// Result: entry, a map, one for each batch; archived, classified and left_out are null in entries
// that did not count them.
// Index used: unique Night.night, which also gives the order.
CALL () {
  MATCH (n:Night)
  WHERE n.night > 0
  RETURN n ORDER BY n.night DESC LIMIT $nights
UNION
  MATCH (n:Night {night: 0})
  RETURN n
}
MATCH (l:LedgerEntry)-[:OF_NIGHT]->(n)
RETURN l {
  .survey, .night, .received, .archived, .classified, .loaded, .duplicates, .dead, .filtered, .dead_reasons, .left_out
} AS entry
