// Count what the alert stream left in the graph. Result: objects, detections. Both come from the count store.
CALL () { MATCH (o:Object) RETURN count(o) AS objects }
CALL () { MATCH (d:Detection) RETURN count(d) AS detections }
RETURN objects, detections
