// Read what objects are tied to as far as it holds, in the order of their keys, from a place onwards.
// Parameters: after, the last key of the page before; limit, number of objects; min_same and min_match, the
//   probabilities from which SAME_AS and MATCHES count.
// Result: object_key; same_as and matches, lists of [key, probability]; coincidences, list of [key, log_bayes_factor].
// Index: unique key of Object, which also gives the order.
MATCH (o:Object)
WHERE o.object_key > $after
WITH o ORDER BY o.object_key LIMIT $limit
RETURN o.object_key AS object_key,
  [(o)-[s:SAME_AS]->(p:Object) WHERE s.probability >= $min_same | [p.object_key, s.probability]] AS same_as,
  [(o)-[m:MATCHES]->(c:CatalogSource) WHERE m.probability >= $min_match | [c.source_key, m.probability]] AS matches,
  [(o)-[t:COINCIDES_WITH {state: 'open'}]->(e:Event) | [e.event_key, t.log_bayes_factor]] AS coincidences
ORDER BY object_key
