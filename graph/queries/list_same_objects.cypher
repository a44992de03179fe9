// Read the objects of other surveys that are the same as one object.
// Parameters: object_key; min_probability.
// Result: same, a map, most probable first.
// Index used: unique Object.object_key.
MATCH (:Object {object_key: $object_key})-[s:SAME_AS]-(o:Object)
WHERE s.probability >= $min_probability
RETURN o {.survey, .object_id, separation_arcsec: s.separation_arcsec, probability: s.probability} AS same
ORDER BY s.probability DESC, o.object_key
