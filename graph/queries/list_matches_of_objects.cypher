// Read the catalogue entries at the places of some objects.
// Parameters: object_keys (list).
// Result: object_key, sources (list, nearest first); no row for an object without entries.
// Index used: unique Object.object_key.
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})-[r:MATCHES]->(s:CatalogSource)
USING INDEX SEEK o:Object(object_key)
WITH object_key, s, r ORDER BY object_key, r.separation_arcsec, s.source_key
RETURN object_key, collect(s {
  .source_key, .catalog, .name, .ra_deg, .dec_deg, .object_type,
  separation_arcsec: r.separation_arcsec, probability: r.probability
}) AS sources
