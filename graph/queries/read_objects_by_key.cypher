// Objects by key, for the reverse match. Parameter: object_keys (list). Result: see graph.objects.
// Index: unique key of Object.
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})
RETURN o.survey AS survey, o.object_id AS object_id, o.ra_deg AS ra_deg, o.dec_deg AS dec_deg,
  o.first_midpoint_mjd_tai AS first_midpoint_mjd_tai, o.last_limit_mjd_tai AS last_limit_mjd_tai,
  o.latest_mag AS latest_mag, o.top_class AS top_class, o.class_probability AS class_probability,
  o.n_detections AS n_detections, o.host_distance_mpc AS host_distance_mpc,
  o.host_distance_err_mpc AS host_distance_err_mpc, o.last_limit_mag AS last_limit_mag, o.first_mag AS first_mag
