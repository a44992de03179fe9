// All pairs of events, withdrawn ones too; read once, when the coordinator starts.
// Result: first_key, second_key, properties. Index: the look-up of relationships by type.
MATCH (a:Event)-[j:JOINT_WITH]->(b:Event)
RETURN a.event_key AS first_key, b.event_key AS second_key, properties(j) AS properties
