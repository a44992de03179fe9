// Merge objects and detections of one survey, given as columns of equal length; see graph.alert_store.AlertRows.
// Result: the places in the columns whose detection was in the graph already from another message.
// Indexes: unique keys of Object and Detection. What is newest is decided by (time, detection_id), so any order of
// the same rows leaves the same graph.
UNWIND range(0, size($detection_key) - 1) AS i
MERGE (o:Object {object_key: $object_key[i]})
  ON CREATE SET
    o.survey = $survey,
    o.object_id = $object_id[i],
    o.first_midpoint_mjd_tai = $first_midpoint_mjd_tai[i],
    o.last_midpoint_mjd_tai = -1.0,
    o.latest_detection_id = -1
SET o += CASE
  WHEN $first_midpoint_mjd_tai[i] < o.first_midpoint_mjd_tai OR (
    $first_midpoint_mjd_tai[i] = o.first_midpoint_mjd_tai AND (
      o.last_limit_mjd_tai IS NULL OR $last_limit_mjd_tai[i] > o.last_limit_mjd_tai
      OR ($last_limit_mjd_tai[i] = o.last_limit_mjd_tai AND $last_limit_mag[i] > o.last_limit_mag)
    )
  ) THEN {
    last_limit_mjd_tai: $last_limit_mjd_tai[i],
    last_limit_mag: $last_limit_mag[i],
    last_limit_band: $last_limit_band[i]
  }
  ELSE {} END
SET o += CASE
  WHEN $first_midpoint_mjd_tai[i] < o.first_midpoint_mjd_tai OR (
    $first_midpoint_mjd_tai[i] = o.first_midpoint_mjd_tai AND (o.first_mag IS NULL OR $first_mag[i] < o.first_mag)
  ) THEN {
    first_midpoint_mjd_tai: $first_midpoint_mjd_tai[i],
    first_mag: $first_mag[i],
    first_band: $first_band[i]
  }
  ELSE {} END
FOREACH (_ IN CASE
  WHEN $midpoint_mjd_tai[i] > o.last_midpoint_mjd_tai THEN [1]
  WHEN $midpoint_mjd_tai[i] = o.last_midpoint_mjd_tai AND $detection_id[i] >= o.latest_detection_id THEN [1]
  ELSE [] END |
  SET
    o.last_midpoint_mjd_tai = $midpoint_mjd_tai[i],
    o.latest_detection_id = $detection_id[i],
    o.ra_deg = $ra_deg[i],
    o.dec_deg = $dec_deg[i],
    o.healpix29 = $healpix29[i],
    o.latest_mag = $mag_ab[i],
    o.latest_band = $band[i],
    o.n_detections = $n_detections[i],
    o.top_class = $top_class[i],
    o.class_probability = $class_probability[i],
    o.host_distance_mpc = $host_distance_mpc[i],
    o.host_distance_err_mpc = $host_distance_err_mpc[i]
)
FOREACH (_ IN CASE
  WHEN $flare_flux_ratio[i] IS NULL OR o.last_flare_mjd_tai >= $midpoint_mjd_tai[i] THEN []
  ELSE [1] END |
  SET o.last_flare_mjd_tai = $midpoint_mjd_tai[i]
)
MERGE (d:Detection {detection_key: $detection_key[i]})
  ON CREATE SET
    d.survey = $survey,
    d.detection_id = $detection_id[i],
    d.midpoint_mjd_tai = $midpoint_mjd_tai[i],
    d.band = $band[i],
    d.psf_flux_njy = $psf_flux_njy[i],
    d.psf_flux_err_njy = $psf_flux_err_njy[i],
    d.mag_ab = $mag_ab[i],
    d.ra_deg = $ra_deg[i],
    d.dec_deg = $dec_deg[i],
    d.reliability = $reliability[i],
    d.top_class = $top_class[i],
    d.class_probability = $class_probability[i],
    d.flare_flux_ratio = $flare_flux_ratio[i],
    d.source = $source[i]
MERGE (o)-[:HAS_DETECTION]->(d)
WITH i, d
WHERE d.source <> $source[i]
RETURN collect(i) AS duplicates
