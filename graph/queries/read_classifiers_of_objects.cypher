// Which classifiers spoke on the given objects. Parameter: object_keys (list).
// Result: object_key, classifiers (list of [classifier, version], sorted). Index: unique key of Object.
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})-[c:CLASSIFIED_AS]->(:Class)
USING INDEX SEEK o:Object(object_key)
WITH DISTINCT object_key, c.classifier AS classifier, c.version AS version ORDER BY object_key, classifier, version
RETURN object_key, collect([classifier, version]) AS classifiers
