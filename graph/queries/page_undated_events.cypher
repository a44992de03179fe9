// Find the keys of events that have no trigger time, from a place onwards.
// Parameters: before_key, the last event of the page before; messenger and state, or null for any; limit, number of
//   rows.
// Result: event_key, trigger_time (null).
// Index used: unique Event.event_key.
MATCH (e:Event)
WHERE e.event_key < $before_key
  AND e.trigger_time IS NULL
  AND ($messenger IS NULL OR e.messenger = $messenger)
  AND ($state IS NULL OR e.state = $state)
RETURN e.event_key AS event_key, e.trigger_time AS trigger_time
ORDER BY e.event_key DESC
LIMIT $limit
