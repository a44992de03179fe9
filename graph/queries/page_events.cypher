// Find the keys of events with a trigger time, newest first, from a place onwards.
// Parameters: before_time and before_key, the last event of the page before; messenger and state, or null for any;
//   limit, number of rows.
// Result: event_key, trigger_time.
// Index used: range Event(trigger_time, event_key), which also gives the order; it needs both properties named, and
//   CASE keeps the planner from splitting the bound into a union of two scans.
MATCH (e:Event)
WHERE e.trigger_time <= $before_time AND e.event_key IS NOT NULL
  AND CASE WHEN e.trigger_time = $before_time THEN e.event_key < $before_key ELSE true END
  AND ($messenger IS NULL OR e.messenger = $messenger)
  AND ($state IS NULL OR e.state = $state)
RETURN e.event_key AS event_key, e.trigger_time AS trigger_time
ORDER BY e.trigger_time DESC, e.event_key DESC
LIMIT $limit
