// Read the notices of one event.
// Parameters: event_key.
// Result: notice, a map with its localization, in the order that forms the event.
// Index used: unique Event.event_key.
MATCH (:Event {event_key: $event_key})-[:ANNOUNCED_BY]->(n:Notice)
OPTIONAL MATCH (n)-[:LOCATES]->(l:Localization)
RETURN n {
  .notice_id, .mission, .instrument, .messenger, .notice_type, .alert_type, .alert_tense, .event_id, .record_number,
  .trigger_time, .alert_time, localization: l {
    .localization_id, .kind, .ra_deg, .dec_deg, .error_radius_deg, .containment_probability, .area_90_deg2
  }
} AS notice
ORDER BY coalesce(n.alert_time, ''), coalesce(n.record_number, -1), n.notice_id
