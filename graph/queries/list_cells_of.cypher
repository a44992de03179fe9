// Read the sky cells in which a survey has objects. Parameters: prefix, the survey's name and a colon; cell_pixels
// (order-29 pixels in a cell). Result: cell, ascending. Index: unique key of Object.
MATCH (o:Object)
WHERE o.object_key STARTS WITH $prefix
RETURN DISTINCT o.healpix29 / $cell_pixels AS cell ORDER BY cell
