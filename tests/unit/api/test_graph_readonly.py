"""What a typed query may do; plans are those that Neo4j 5.26.30 gives for the queries beside them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import QueryRefusedError
from graph.readonly import MAX_QUERY_CHARACTERS, refuse_dangerous_text, refuse_unless_reading


def plan(*steps: str | tuple[str, str]) -> dict[str, Any]:
    """Build a chain of operators, the last one deepest."""
    child: list[dict[str, Any]] = []
    for step in reversed(steps):
        name, details = step if isinstance(step, tuple) else (step, "")
        child = [{"operatorType": f"{name}@neo4j", "args": {"Details": details}, "identifiers": [], "children": child}]
    return child[0]


READING = {
    "MATCH (n) RETURN n": plan("ProduceResults", "AllNodesScan"),
    "MATCH (o:Object {object_key: $k}) RETURN o": plan("ProduceResults", "NodeUniqueIndexSeek"),
    "MATCH p=SHORTEST 1 (a)--+(b) RETURN p": plan(
        "ProduceResults", "Projection", "StatefulShortestPath(All)", "Argument"
    ),
    "MATCH (a)-[*1..3]-(b) RETURN b": plan(
        "ProduceResults", "VarLengthExpand(Pruning,BFS,All)", "NodeIndexSeekByRange"
    ),
    "MATCH (a)-[r]-(b) RETURN count(*)": plan("ProduceResults", "RelationshipCountFromCountStore"),
    "OPTIONAL MATCH (a)-->(b) RETURN b": plan("ProduceResults", "OptionalExpand(Into)", "PartitionedNodeByLabelScan"),
    "CALL db.labels()": plan("ProduceResults", ("ProcedureCall", "db.labels() :: (label :: STRING)")),
}

REFUSED = {
    "SHOW TRANSACTIONS": plan("ProduceResults", ("ShowTransactions", "defaultColumns, allTransactions")),
    "SHOW SETTINGS": plan("ProduceResults", ("ShowSettings", "allSettings, defaultColumns")),
    "LOAD CSV FROM $u AS l RETURN l": plan("ProduceResults", ("LoadCSV", "l")),
    "CALL dbms.listConfig()": plan("ProduceResults", ("ProcedureCall", "dbms.listConfig() :: (name :: STRING)")),
    "CALL db.index.fulltext.queryNodes('a','b')": plan(
        ("ProcedureCall", "db.index.fulltext.queryNodes($autostring_0, $autostring_1) :: (node :: NODE)")
    ),
    "CALL db.labelsX()": plan(("ProcedureCall", "db.labelsX() :: (a :: STRING)")),
    "CALL without details": plan("ProcedureCall"),
    "CREATE (n)": plan("ProduceResults", "Create"),
    "MERGE (n:A {x: 1})": plan("ProduceResults", "LockingMerge", "NodeUniqueIndexSeek(Locking)"),
    "locking seek": plan("ProduceResults", "NodeUniqueIndexSeek(Locking)"),
    "CALL {} IN TRANSACTIONS": plan("ProduceResults", "TransactionApply", "NodeByLabelScan"),
    "administration": plan("AdministrationCommand"),
    "something of a newer server": plan("ProduceResults", "QuantumLeap"),
    "no name": plan(""),
}


@pytest.mark.parametrize("query", READING)
def test_reading_plans_pass(query: str) -> None:
    refuse_unless_reading("r", READING[query])
    refuse_dangerous_text(query)


@pytest.mark.parametrize("query", REFUSED)
def test_other_plans_are_refused_wherever_the_operator_stands(query: str) -> None:
    with pytest.raises(QueryRefusedError):
        refuse_unless_reading("r", REFUSED[query])
    branch = plan("ProduceResults", "Apply")
    branch["children"][0]["children"] = [plan("Argument"), REFUSED[query]]
    with pytest.raises(QueryRefusedError):
        refuse_unless_reading("r", branch)


@pytest.mark.parametrize("query_type", ["w", "rw", "s", "", None])
def test_only_reading_types_pass(query_type: str | None) -> None:
    with pytest.raises(QueryRefusedError):
        refuse_unless_reading(query_type, plan("ProduceResults", "AllNodesScan"))


@pytest.mark.parametrize("broken", [None, {}, {"operatorType": "Apply@neo4j", "children": [7]}, {"children": []}])
def test_plans_that_make_no_sense_are_refused(broken: Any) -> None:
    with pytest.raises(QueryRefusedError):
        refuse_unless_reading("r", broken)


@pytest.mark.parametrize(
    "text",
    [
        # EXPLAIN shows none of these as operators: the subquery is hidden in an expression.
        "RETURN [x IN [1] | COLLECT { LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l }] AS y",
        "MATCH (o) WHERE any(x IN [1] WHERE EXISTS { LOAD CSV FROM 'http://a' AS l RETURN l }) RETURN o",
        "RETURN [x IN [1] | COLLECT { CALL dbms.listConfig() YIELD name RETURN name }] AS y",
        "load\n/* a comment */ cSv FROM 'x' AS l RETURN l",
        "RETURN '\\u0041' AS a",
        "LO\\u0041D CSV FROM 'x' AS l RETURN l",
        "RETURN 'a\\u0027 AS x LOAD CSV FROM \"b\" AS l RETURN l //'",
        "RETURN 1 AS `a` // x\nLOAD CSV FROM 'x' AS l RETURN l",
        "RETURN 1 AS `a``b` LOAD CSV FROM 'x' AS l RETURN l",
        "RETURN 'it\\'s' AS a LOAD CSV FROM 'x' AS l RETURN l",
        "CALL `dbms`.listConfig()",
        "CALL dbms . /* x */ components()",
        "CALL apoc.load.json('x')",
        "CALL `db.labels.x`()",
        "UNWIND [1] AS x CALL db.ping() YIELD success RETURN x",
    ],
)
def test_files_and_procedures_are_found_wherever_they_hide(text: str) -> None:
    with pytest.raises(QueryRefusedError):
        refuse_dangerous_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n {name: 'LOAD CSV'}) RETURN n // LOAD CSV",
        'RETURN "CALL dbms.listConfig()" AS x /* CALL dbms.x() */',
        "MATCH (n) WHERE n.load = n.csv RETURN n.load, n.csv",
        "MATCH (n) CALL { WITH n RETURN 1 AS x } RETURN x",
        "MATCH (n) CALL (n) { RETURN 1 AS x } RETURN x",
        "CALL db.labels() YIELD label RETURN label",
        "CALL `db`.`schema`.visualization()",
        "MATCH (n:`LOAD CSV`) RETURN n",
    ],
)
def test_words_in_strings_names_and_comments_are_not_statements(text: str) -> None:
    refuse_dangerous_text(text)


def test_long_queries_are_refused() -> None:
    with pytest.raises(QueryRefusedError, match="characters"):
        refuse_dangerous_text("RETURN 1 //" + "x" * MAX_QUERY_CHARACTERS)


@given(st.text(max_size=200))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    with contextlib.suppress(QueryRefusedError):
        refuse_dangerous_text(text)


@given(st.text(alphabet="abc'\"`\\/*\n ", max_size=40))
def test_a_closed_prefix_never_hides_a_load(prefix: str) -> None:
    closed = prefix.count("'") + prefix.count('"') + prefix.count("`") + prefix.count("\\") == 0 and "/" not in prefix
    text = prefix + " LOAD CSV FROM 'x' AS l RETURN l"
    if closed:
        with pytest.raises(QueryRefusedError):
            refuse_dangerous_text(text)
