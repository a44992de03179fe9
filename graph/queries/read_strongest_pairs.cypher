// The strongest open coincidences of each of some events. Parameters: event_keys (list), limit (pairs of each event).
// Result: event_key, case, pairs (list of [object_key, log_bayes_factor], strongest first); no row for an event without.
// Index: unique key of Event.
UNWIND $event_keys AS event_key
MATCH (e:Event {event_key: event_key})
CALL (e) {
  MATCH (o:Object)-[c:COINCIDES_WITH {state: 'open'}]->(e)
  WITH o.object_key AS object_key, c.log_bayes_factor AS log_bayes_factor
  ORDER BY log_bayes_factor DESC, object_key LIMIT $limit
  RETURN collect([object_key, log_bayes_factor]) AS pairs
}
WITH event_key, e, pairs
WHERE size(pairs) > 0
RETURN event_key, e.case AS case, pairs
