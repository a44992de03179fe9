// Objects first detected in a time window that a list without events may name. Parameters: from_mjd_tai, until_mjd_tai,
// limit (objects that are looked at, the oldest), classes (list or null for any), max_probability, min_detections.
// Result: n_looked_at; last_mjd_tai, first detection of the youngest of them, from_mjd_tai where there are none; objects,
// those that qualify, one list of lists, see read_objects_in_window.
// Index: object_first_midpoint.
MATCH (o:Object)
WHERE o.first_midpoint_mjd_tai >= $from_mjd_tai AND o.first_midpoint_mjd_tai <= $until_mjd_tai
WITH o ORDER BY o.first_midpoint_mjd_tai LIMIT $limit
RETURN count(*) AS n_looked_at, coalesce(max(o.first_midpoint_mjd_tai), $from_mjd_tai) AS last_mjd_tai,
  collect(CASE
    WHEN o.n_detections >= $min_detections
      AND ($classes IS NULL OR o.top_class IN $classes)
      AND coalesce(o.class_probability, 0.0) <= $max_probability
    THEN [
      o.survey, o.object_id, o.ra_deg, o.dec_deg, o.first_midpoint_mjd_tai, o.last_limit_mjd_tai, o.latest_mag,
      o.top_class, o.class_probability, o.n_detections, o.host_distance_mpc, o.host_distance_err_mpc, o.last_limit_mag,
      o.first_mag
    ]
  END) AS objects
