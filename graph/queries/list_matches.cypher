// Read the catalogue entries at one object's place.
// Parameters: object_key.
// Result: source, nearest first.
// Index used: unique Object.object_key.
MATCH (:Object {object_key: $object_key})-[r:MATCHES]->(s:CatalogSource)
RETURN s {
  .source_key, .catalog, .name, .ra_deg, .dec_deg, .object_type,
  separation_arcsec: r.separation_arcsec, probability: r.probability
} AS source
ORDER BY r.separation_arcsec, s.source_key
