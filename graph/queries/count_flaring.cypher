// Known blazars that were seen in a flare in a time window, by survey. Parameters: from_mjd_tai (included),
// until_mjd_tai (not included). Result: survey, n. Index: object_last_flare.
MATCH (o:Object)
WHERE o.last_flare_mjd_tai >= $from_mjd_tai
MATCH (o)-[:HAS_DETECTION]->(d:Detection)
WHERE d.flare_flux_ratio IS NOT NULL AND d.midpoint_mjd_tai >= $from_mjd_tai AND d.midpoint_mjd_tai < $until_mjd_tai
RETURN o.survey AS survey, count(DISTINCT o) AS n
