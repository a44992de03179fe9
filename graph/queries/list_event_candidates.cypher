// Read the objects that coincide with one event.
// Parameters: event_key; state, "open", "withdrawn" or null for both; limit, number of rows.
// Result: coincidence and object; open ones first ("open" sorts before "withdrawn"), then by evidence.
// Index used: unique Event.event_key.
MATCH (e:Event {event_key: $event_key})<-[c:COINCIDES_WITH]-(o:Object)
WHERE $state IS NULL OR c.state = $state
WITH e, c, o ORDER BY c.state, c.log_bayes_factor DESC, o.object_key LIMIT $limit
RETURN c {
  .delta_t_s, .credible_level, .separation_deg, .p_chance, .joint_far_hz, .log_bayes_factor, .terms, .state, .revision,
  object_key: o.object_key, event_key: e.event_key,
  association_probability: CASE c.state
    WHEN 'open' THEN exp(c.log_bayes_factor) * e['association_scale_' + o.survey]
  END
} AS coincidence, o {
  .object_key, .survey, .object_id, .ra_deg, .dec_deg, .healpix29, .first_midpoint_mjd_tai, .last_midpoint_mjd_tai,
  .first_mag, .first_band, .last_limit_mjd_tai, .last_limit_mag, .last_limit_band, .latest_mag, .latest_band,
  .top_class, .class_probability
} AS object
