// Find the objects that coincide with several of some events.
// Parameters: event_keys, a list; least, how many of them; limit, number of rows.
// Result: object_key, event_key, log_bayes_factor of every open coincidence of these objects, strongest object first.
// Index used: unique Event.event_key.
UNWIND $event_keys AS event_key
MATCH (o:Object)-[c:COINCIDES_WITH {state: 'open'}]->(e:Event {event_key: event_key})
USING INDEX SEEK e:Event(event_key)
WITH o, collect({event_key: event_key, log_bayes_factor: c.log_bayes_factor}) AS found, sum(c.log_bayes_factor) AS total
WHERE size(found) >= $least
WITH o, found, total ORDER BY total DESC, o.object_key LIMIT $limit
UNWIND found AS one
RETURN o.object_key AS object_key, one.event_key AS event_key, one.log_bayes_factor AS log_bayes_factor
