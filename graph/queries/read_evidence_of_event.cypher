// The evidence of every open coincidence with one event. Parameter: event_key.
// Result: object_key, log_bayes_factor. Index: unique key of Event.
MATCH (o:Object)-[c:COINCIDES_WITH {state: 'open'}]->(:Event {event_key: $event_key})
RETURN o.object_key AS object_key, c.log_bayes_factor AS log_bayes_factor
