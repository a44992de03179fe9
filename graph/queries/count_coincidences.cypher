// Count the object-event pairs by state, and the event-event pairs.
// Parameters: none.
// Result: state ("open", "withdrawn" or "joint"), n.
// Index used: none for pairs, all are read once; the count store for joint events.
MATCH (:Object)-[c:COINCIDES_WITH]->(:Event) RETURN c.state AS state, count(c) AS n
UNION ALL MATCH ()-[j:JOINT_WITH]->() WITH count(j) AS n RETURN 'joint' AS state, n
