// Objects first detected since a date, newest first. Parameters: since_mjd_tai, classes (list or null for any),
// max_probability, limit. Result: see graph.objects. Index: object_first_midpoint.
MATCH (o:Object)
WHERE o.first_midpoint_mjd_tai >= $since_mjd_tai
  AND ($classes IS NULL OR o.top_class IN $classes)
  AND coalesce(o.class_probability, 0.0) <= $max_probability
RETURN o.survey AS survey, o.object_id AS object_id, o.ra_deg AS ra_deg, o.dec_deg AS dec_deg,
  o.first_midpoint_mjd_tai AS first_midpoint_mjd_tai, o.last_limit_mjd_tai AS last_limit_mjd_tai,
  o.latest_mag AS latest_mag, o.top_class AS top_class, o.class_probability AS class_probability,
  o.n_detections AS n_detections, o.host_distance_mpc AS host_distance_mpc,
  o.host_distance_err_mpc AS host_distance_err_mpc
ORDER BY o.first_midpoint_mjd_tai DESC, o.object_key
LIMIT $limit
