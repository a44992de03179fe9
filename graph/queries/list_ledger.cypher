// Read the ledger of the newest nights.
// Parameters: nights, number of nights.
// Result: entry, a map, one for each batch.
// Index used: unique Night.night, which also gives the order. Night 0 holds what was unreadable.
MATCH (n:Night)
WHERE n.night >= 0
WITH n ORDER BY n.night DESC LIMIT $nights
MATCH (l:LedgerEntry)-[:OF_NIGHT]->(n)
RETURN l {.survey, .night, .received, .loaded, .duplicates, .dead, .filtered, .dead_reasons} AS entry
