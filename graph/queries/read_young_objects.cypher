// Objects first detected since a date, newest first. Parameters: since_mjd_tai, classes (list or null for any),
// max_probability, min_detections, limit. Result: objects, one list of lists, see read_objects_in_window.
// Index: object_first_midpoint.
MATCH (o:Object)
WHERE o.first_midpoint_mjd_tai >= $since_mjd_tai
  AND o.n_detections >= $min_detections
  AND ($classes IS NULL OR o.top_class IN $classes)
  AND coalesce(o.class_probability, 0.0) <= $max_probability
WITH o ORDER BY o.first_midpoint_mjd_tai DESC, o.object_key LIMIT $limit
RETURN collect([
  o.survey, o.object_id, o.ra_deg, o.dec_deg, o.first_midpoint_mjd_tai, o.last_limit_mjd_tai, o.latest_mag, o.top_class,
  o.class_probability, o.n_detections, o.host_distance_mpc, o.host_distance_err_mpc, o.last_limit_mag,
  o.first_mag
]) AS objects
