// Count notices, events and pairs. Result: notices, events, coincidences (open ones).
CALL () { MATCH (n:Notice) RETURN count(n) AS notices }
CALL () { MATCH (e:Event) RETURN count(e) AS events }
CALL () { MATCH (:Object)-[c:COINCIDES_WITH {state: 'open'}]->(:Event) RETURN count(c) AS coincidences }
RETURN notices, events, coincidences
