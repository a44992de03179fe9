// Sky cells in which a survey had a detection or an upper limit in a time window. Parameters: from_mjd_tai (included),
// until_mjd_tai (not included), cell_pixels (order-29 pixels in a cell).
// Result: survey, cells (list). Index: object_last_midpoint. Objects seen again later show their detections of that time.
MATCH (o:Object)
WHERE o.last_midpoint_mjd_tai >= $from_mjd_tai
  AND coalesce(o.last_limit_mjd_tai, o.first_midpoint_mjd_tai) < $until_mjd_tai
  AND (
    o.last_midpoint_mjd_tai < $until_mjd_tai
    OR (o.first_midpoint_mjd_tai >= $from_mjd_tai AND o.first_midpoint_mjd_tai < $until_mjd_tai)
    OR (o.last_limit_mjd_tai >= $from_mjd_tai AND o.last_limit_mjd_tai < $until_mjd_tai)
    OR EXISTS {
      MATCH (o)-[:HAS_DETECTION]->(d:Detection)
      WHERE d.midpoint_mjd_tai >= $from_mjd_tai AND d.midpoint_mjd_tai < $until_mjd_tai
    }
  )
RETURN o.survey AS survey, collect(DISTINCT o.healpix29 / $cell_pixels) AS cells
