// How many notices are stored. Result: n.
MATCH (n:Notice)
RETURN count(n) AS n
