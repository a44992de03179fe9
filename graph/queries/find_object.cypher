// Read one object.
// Parameters: object_key, "survey:object_id".
// Result: object, a map of its properties; no row if there is none.
// Index used: unique Object.object_key.
MATCH (o:Object {object_key: $object_key})
RETURN o {
  .object_key, .survey, .object_id, .ra_deg, .dec_deg, .healpix29, .first_midpoint_mjd_tai, .last_midpoint_mjd_tai,
  .first_mag, .first_band, .last_limit_mjd_tai, .last_limit_mag, .last_limit_band, .latest_mag, .latest_band,
  .top_class, .class_probability
} AS object
