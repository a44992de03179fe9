// Count the nodes of each label.
// Parameters: none.
// Result: label, n.
// Index used: none; each count comes from the count store.
MATCH (n:Object) WITH count(n) AS n RETURN 'Object' AS label, n
UNION ALL MATCH (n:Detection) WITH count(n) AS n RETURN 'Detection' AS label, n
UNION ALL MATCH (n:CatalogSource) WITH count(n) AS n RETURN 'CatalogSource' AS label, n
UNION ALL MATCH (n:Class) WITH count(n) AS n RETURN 'Class' AS label, n
UNION ALL MATCH (n:Event) WITH count(n) AS n RETURN 'Event' AS label, n
UNION ALL MATCH (n:Notice) WITH count(n) AS n RETURN 'Notice' AS label, n
UNION ALL MATCH (n:Localization) WITH count(n) AS n RETURN 'Localization' AS label, n
UNION ALL MATCH (n:FollowUpList) WITH count(n) AS n RETURN 'FollowUpList' AS label, n
UNION ALL MATCH (n:Target) WITH count(n) AS n RETURN 'Target' AS label, n
UNION ALL MATCH (n:Night) WITH count(n) AS n RETURN 'Night' AS label, n
UNION ALL MATCH (n:LedgerEntry) WITH count(n) AS n RETURN 'LedgerEntry' AS label, n
