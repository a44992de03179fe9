// Objects first detected in a time window, the oldest so many. Parameters: from_mjd_tai, until_mjd_tai, limit.
// Result: objects, one list of lists: as records of their own thousands of objects take several times as long.
// For their order see graph.object_rows.OBJECT_FIELDS. Index: object_first_midpoint.
MATCH (o:Object)
WHERE o.first_midpoint_mjd_tai >= $from_mjd_tai AND o.first_midpoint_mjd_tai <= $until_mjd_tai
WITH o ORDER BY o.first_midpoint_mjd_tai LIMIT $limit
RETURN collect([
  o.survey, o.object_id, o.ra_deg, o.dec_deg, o.first_midpoint_mjd_tai, o.last_limit_mjd_tai, o.latest_mag, o.top_class,
  o.class_probability, o.n_detections, o.host_distance_mpc, o.host_distance_err_mpc, o.last_limit_mag,
  o.first_mag
]) AS objects
