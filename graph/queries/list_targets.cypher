// Read targets of one version of a follow-up list.
// Parameters: list_key; after_rank, the last rank of the page before or 0; limit, number of rows.
// Result: target, a map, best first.
// Index used: unique FollowUpList.list_key, then unique Event.event_key for the state of each target's event.
MATCH (:FollowUpList {list_key: $list_key})-[r:RANKS]->(t:Target)-[:OF]->(o:Object)
WHERE r.rank > $after_rank
WITH r, t, o ORDER BY r.rank, t.target_key LIMIT $limit
OPTIONAL MATCH (e:Event {event_key: t.event_key})
RETURN r {
  .rank, .score, .terms, .p_chance, .joint_far_hz, .top_class, .class_probability, .latest_mag,
  target_key: t.target_key, event_key: t.event_key, event_state: e.state,
  survey: o.survey, object_id: o.object_id, ra_deg: o.ra_deg, dec_deg: o.dec_deg
} AS target
ORDER BY r.rank, t.target_key
