// The same of some objects. Parameters: object_keys (list), from_mjd_tai, until_mjd_tai.
// Result: flares, one list of lists, see graph.object_rows.listed_flares. Index: unique key of Object.
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})
USING INDEX SEEK o:Object(object_key)
WHERE o.last_flare_mjd_tai >= $from_mjd_tai
MATCH (o)-[:HAS_DETECTION]->(d:Detection)
WHERE d.flare_flux_ratio IS NOT NULL AND d.midpoint_mjd_tai >= $from_mjd_tai AND d.midpoint_mjd_tai <= $until_mjd_tai
RETURN collect([
  o.survey, o.object_id, o.ra_deg, o.dec_deg, o.first_midpoint_mjd_tai, o.last_limit_mjd_tai, o.latest_mag, o.top_class,
  o.class_probability, o.n_detections, o.host_distance_mpc, o.host_distance_err_mpc, o.last_limit_mag,
  o.first_mag, d.midpoint_mjd_tai, d.flare_flux_ratio
]) AS flares
