// Merge the newest answer of each classifier on each object, as columns; see graph.alert_store.ClassificationRows.
// Result: none. An edge stands for (object, class, classifier, version) and holds the newest value for that class; a
// newer version of a classifier has edges of its own. The class that stood for the object at each detection stays on
// the detection.
// Indexes: unique keys of Object and Class.
UNWIND range(0, size($object_key) - 1) AS i
MATCH (o:Object {object_key: $object_key[i]})
MERGE (k:Class {name: $top_class[i]})
MERGE (o)-[c:CLASSIFIED_AS {classifier: $classifier[i], version: $version[i]}]->(k)
FOREACH (_ IN CASE WHEN c.midpoint_mjd_tai > $midpoint_mjd_tai[i] THEN [] ELSE [1] END |
  SET
    c += $extras[i],
    c.probability = $class_probability[i],
    c.std = $std[i],
    c.n_points = $n_points[i],
    c.out_of_distribution = $out_of_distribution[i],
    c.midpoint_mjd_tai = $midpoint_mjd_tai[i]
)
