// Merge the newest classification of each object by one classifier and version, as columns; see graph.alert_store.
// Result: none. An edge stands for (object, class, classifier, version) and holds the newest value for that class;
// the classification at each detection stays on the detection.
// Indexes: unique keys of Object and Class.
UNWIND range(0, size($object_key) - 1) AS i
MATCH (o:Object {object_key: $object_key[i]})
MERGE (k:Class {name: $top_class[i]})
MERGE (o)-[c:CLASSIFIED_AS {classifier: $classifier, version: $version}]->(k)
WITH i, c
WHERE c.midpoint_mjd_tai IS NULL OR c.midpoint_mjd_tai <= $midpoint_mjd_tai[i]
SET
  c.probability = $class_probability[i],
  c.std = $std[i],
  c.n_points = $n_points[i],
  c.midpoint_mjd_tai = $midpoint_mjd_tai[i]
