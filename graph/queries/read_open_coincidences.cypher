// Open coincidences with events of one science case, with their objects. Parameter: case.
// Result: object_key, event_key, properties, object (map, see graph.objects). Index: event_case.
MATCH (e:Event {case: $case})<-[c:COINCIDES_WITH {state: 'open'}]-(o:Object)
RETURN o.object_key AS object_key, e.event_key AS event_key, properties(c) AS properties,
  o {.survey, .object_id, .ra_deg, .dec_deg, .first_midpoint_mjd_tai, .last_limit_mjd_tai, .latest_mag, .top_class,
     .class_probability, .n_detections, .host_distance_mpc, .host_distance_err_mpc} AS object
ORDER BY object_key, event_key
