// Create detections of one survey and merge their objects and classifications, all as columns of equal length; see
// graph.alert_store.AlertRows. Fails where a detection is in the graph already: write_alerts is for those batches.
// Result: none. Indexes: unique keys of Object, Detection and Class.
// $answers holds for each detection a list of [place in $speakers, class, probability, std, n_points,
// out_of_distribution, extras], $speakers pairs of classifier and version.
// Half the cost of write_alerts and write_classifications; what it leaves is the same.
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
CREATE (o)-[:HAS_DETECTION]->(:Detection {
  detection_key: $detection_key[i],
  survey: $survey,
  detection_id: $detection_id[i],
  midpoint_mjd_tai: $midpoint_mjd_tai[i],
  band: $band[i],
  psf_flux_njy: $psf_flux_njy[i],
  psf_flux_err_njy: $psf_flux_err_njy[i],
  mag_ab: $mag_ab[i],
  ra_deg: $ra_deg[i],
  dec_deg: $dec_deg[i],
  reliability: $reliability[i],
  top_class: $top_class[i],
  class_probability: $class_probability[i],
  flare_flux_ratio: $flare_flux_ratio[i],
  source: $source[i]
})
FOREACH (a IN $answers[i] |
  MERGE (k:Class {name: a[1]})
  MERGE (o)-[c:CLASSIFIED_AS {classifier: $speakers[a[0]][0], version: $speakers[a[0]][1]}]->(k)
  FOREACH (_ IN CASE WHEN c.midpoint_mjd_tai > $midpoint_mjd_tai[i] THEN [] ELSE [1] END |
    SET
      c += a[6],
      c.probability = a[2],
      c.std = a[3],
      c.n_points = a[4],
      c.out_of_distribution = a[5],
      c.midpoint_mjd_tai = $midpoint_mjd_tai[i]
  )
)
