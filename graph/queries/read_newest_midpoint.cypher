// Time of the newest detection. Result: newest. Index: object_last_midpoint.
MATCH (o:Object)
WHERE o.last_midpoint_mjd_tai IS NOT NULL
RETURN o.last_midpoint_mjd_tai AS newest
ORDER BY newest DESC
LIMIT 1
