// Read one object of a survey, if there is any. Parameter: prefix, the survey's name and a colon.
// Result: object_key; no row if there is none. Index: unique key of Object.
MATCH (o:Object)
WHERE o.object_key STARTS WITH $prefix
RETURN o.object_key AS object_key LIMIT 1
