// Open coincidences of some objects with events of one science case. Parameters: case, object_keys (list).
// Result: object_key, event_key, properties, object (map, see graph.objects). Index: unique key of Object.
UNWIND $object_keys AS object_key
MATCH (o:Object {object_key: object_key})-[c:COINCIDES_WITH {state: 'open'}]->(e:Event {case: $case})
USING INDEX SEEK o:Object(object_key)
RETURN object_key, e.event_key AS event_key, properties(c) AS properties,
  o {.survey, .object_id, .ra_deg, .dec_deg, .first_midpoint_mjd_tai, .last_limit_mjd_tai, .latest_mag, .top_class,
     .class_probability, .n_detections, .host_distance_mpc, .host_distance_err_mpc, .last_limit_mag,
     .first_mag} AS object
ORDER BY object_key, event_key
