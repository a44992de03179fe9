// Read the newest detections of one object and of those that are the same in other surveys.
// Parameters: object_key; min_probability, of being the same; limit, number of rows.
// Result: detection, newest first.
// Index used: unique Object.object_key.
MATCH (own:Object {object_key: $object_key})
WITH [own] + [(own)-[s:SAME_AS]-(other:Object) WHERE s.probability >= $min_probability | other] AS objects
UNWIND objects AS o
MATCH (o)-[:HAS_DETECTION]->(d:Detection)
WITH d ORDER BY d.midpoint_mjd_tai DESC, d.detection_key DESC LIMIT $limit
RETURN d {
  .detection_key, .survey, .detection_id, .midpoint_mjd_tai, .band, .psf_flux_njy, .psf_flux_err_njy, .mag_ab,
  .ra_deg, .dec_deg, .reliability
} AS detection
