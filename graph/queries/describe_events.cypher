// Read events with their newest notice, the localization that stands and the numbers of what hangs on them.
// Parameters: event_keys, a list.
// Result: event, a map; in no particular order. Sky maps' bytes are not read.
// Index used: unique Event.event_key.
UNWIND $event_keys AS event_key
MATCH (e:Event {event_key: event_key})
WITH e,
  COUNT { (e)-[:ANNOUNCED_BY]->(:Notice) } AS n_notices,
  COUNT { (e)<-[c:COINCIDES_WITH]-(:Object) WHERE c.state = 'open' } AS n_open_coincidences,
  COLLECT {
    MATCH (e)-[:ANNOUNCED_BY]->(n:Notice)
    RETURN n {.instrument, .notice_type} AS told
    ORDER BY coalesce(n.alert_time, '') DESC, coalesce(n.record_number, -1) DESC, n.notice_id DESC
    LIMIT 1
  } AS newest,
  COLLECT {
    MATCH (e)-[:ANNOUNCED_BY]->(n:Notice)-[:LOCATES]->(l:Localization)
    RETURN l {
      .localization_id, .kind, .ra_deg, .dec_deg, .error_radius_deg, .containment_probability, .area_90_deg2
    } AS place
    ORDER BY EXISTS { (:Localization)-[:SUPERSEDES]->(l) },
      coalesce(n.alert_time, '') DESC, coalesce(n.record_number, -1) DESC, n.notice_id DESC
    LIMIT 1
  } AS localizations
RETURN e {
  .event_key, .mission, .event_id, .event_names, .messenger, .trigger_time, .state, .alert_tense, .revision, .far_hz,
  .p_astro, .classification, .is_astrophysical_burst, .no_counterpart_probability,
  n_notices: n_notices, n_open_coincidences: n_open_coincidences, instrument: head(newest).instrument,
  notice_type: head(newest).notice_type, localization: head(localizations)
} AS event
