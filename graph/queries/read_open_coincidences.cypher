// Open coincidences of the objects with the strongest ones with events of one science case. Parameters: case; limit
// (objects). Result: object_key, event_key, properties, object (map, see graph.objects). Index: event_case.
MATCH (:Event {case: $case})<-[c:COINCIDES_WITH {state: 'open'}]-(o:Object)
WITH o, max(c.log_bayes_factor) AS best
ORDER BY best DESC, o.object_key LIMIT $limit
MATCH (o)-[c:COINCIDES_WITH {state: 'open'}]->(e:Event {case: $case})
RETURN o.object_key AS object_key, e.event_key AS event_key, properties(c) AS properties,
  o {.survey, .object_id, .ra_deg, .dec_deg, .first_midpoint_mjd_tai, .last_limit_mjd_tai, .latest_mag, .top_class,
     .class_probability, .n_detections, .host_distance_mpc, .host_distance_err_mpc, .last_limit_mag,
     .first_mag} AS object
ORDER BY object_key, event_key
