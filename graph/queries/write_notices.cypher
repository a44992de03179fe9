// Merge notices and their localizations. Parameter rows: list of maps {notice, localization (map or null)}.
// Result: the keys of those that were new. Indexes: unique keys of Notice and Localization.
UNWIND $rows AS row
OPTIONAL MATCH (known:Notice {notice_id: row.notice.notice_id})
WITH row, known IS NULL AS is_new
MERGE (n:Notice {notice_id: row.notice.notice_id})
  ON CREATE SET n += row.notice
FOREACH (l IN CASE WHEN row.localization IS NULL THEN [] ELSE [row.localization] END |
  MERGE (z:Localization {localization_id: l.localization_id})
  SET z += l
  MERGE (n)-[:LOCATES]->(z)
)
WITH n, is_new
WHERE is_new
RETURN collect(n.notice_id) AS new_ids
