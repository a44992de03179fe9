// Objects first detected in a time window, by survey, class, half magnitude and sky cell. Parameters: from_mjd_tai
// (included), until_mjd_tai (not included), cell_pixels (order-29 pixels in a cell). Result: survey, found (list of
// [top_class, half_magnitudes, cell, n]; half_magnitudes is whole half magnitudes below the newest one, null without a
// magnitude): as records of their own thousands of cells take several times as long.
// Index: object_first_midpoint.
MATCH (o:Object)
WHERE o.first_midpoint_mjd_tai >= $from_mjd_tai AND o.first_midpoint_mjd_tai < $until_mjd_tai
WITH o.survey AS survey, o.top_class AS top_class, toInteger(floor(2.0 * o.latest_mag)) AS half_magnitudes,
  o.healpix29 / $cell_pixels AS cell, count(*) AS n
RETURN survey, collect([top_class, half_magnitudes, cell, n]) AS found
