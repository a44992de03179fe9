// Say that the graph answers.
// Parameters: none.
// Result: answer, 1.
// Index used: none.
RETURN 1 AS answer
