// Read what each classifier says of one object.
// Parameters: object_key.
// Result: classification, most probable first.
// Index used: unique Object.object_key.
MATCH (:Object {object_key: $object_key})-[r:CLASSIFIED_AS]->(c:Class)
RETURN r {
  .classifier, .version, .probability, .std, .n_points, .out_of_distribution, .midpoint_mjd_tai, class_name: c.name
} AS classification
ORDER BY r.probability DESC, r.classifier, c.name
