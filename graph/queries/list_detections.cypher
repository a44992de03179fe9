// Read the newest detections of one object.
// Parameters: object_key; limit, number of rows.
// Result: detection, newest first.
// Index used: unique Object.object_key.
MATCH (:Object {object_key: $object_key})-[:HAS_DETECTION]->(d:Detection)
WITH d ORDER BY d.midpoint_mjd_tai DESC, d.detection_key DESC LIMIT $limit
RETURN d {
  .detection_key, .survey, .detection_id, .midpoint_mjd_tai, .band, .psf_flux_njy, .psf_flux_err_njy, .mag_ab,
  .ra_deg, .dec_deg, .reliability
} AS detection
