// Read the coincidences of one object.
// Parameters: object_key; limit, number of rows.
// Result: coincidence, a map with the event's key in it; open ones first, then by evidence.
// Index used: unique Object.object_key.
MATCH (o:Object {object_key: $object_key})-[c:COINCIDES_WITH]->(e:Event)
RETURN c {
  .delta_t_s, .credible_level, .separation_deg, .p_chance, .joint_far_hz, .log_bayes_factor, .terms, .state, .revision,
  object_key: o.object_key, event_key: e.event_key,
  association_probability: CASE c.state
    WHEN 'open' THEN exp(c.log_bayes_factor) * e['association_scale_' + o.survey]
  END
} AS coincidence
ORDER BY c.state, c.log_bayes_factor DESC, e.event_key
LIMIT $limit
