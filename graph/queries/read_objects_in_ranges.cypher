// Objects first detected in a time window inside HEALPix ranges. Parameters: from_mjd_tai, until_mjd_tai, ranges (list
// of [first, last] order-29 pixels, both included). Result: objects, see read_objects_in_window.
// Index: object_healpix29.
UNWIND $ranges AS pixels
MATCH (o:Object)
USING INDEX SEEK o:Object(healpix29)
WHERE o.healpix29 >= pixels[0] AND o.healpix29 <= pixels[1]
  AND o.first_midpoint_mjd_tai >= $from_mjd_tai AND o.first_midpoint_mjd_tai <= $until_mjd_tai
RETURN collect([
  o.survey, o.object_id, o.ra_deg, o.dec_deg, o.first_midpoint_mjd_tai, o.last_limit_mjd_tai, o.latest_mag, o.top_class,
  o.class_probability, o.n_detections, o.host_distance_mpc, o.host_distance_err_mpc, o.last_limit_mag,
  o.first_mag
]) AS objects
