"""What a query that somebody typed may do: read nodes and relationships, and nothing else.

A READ session of Neo4j stops writes only. It still lets a query fetch files and URLs (``LOAD CSV``), list settings
and transactions, and call procedures. Two fences stand before such a query:

- its tokens, because ``EXPLAIN`` does not show the plans of some subquery expressions
  (``[x IN xs | COLLECT { LOAD CSV ... }]``);
- its plan, where every operator must be one that is known to read, so that what a newer server adds is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from graph.errors import QueryRefusedError

ALLOWED_PROCEDURES = frozenset(
    {
        "db.labels",
        "db.relationshipTypes",
        "db.propertyKeys",
        "db.schema.visualization",
        "db.schema.nodeTypeProperties",
        "db.schema.relTypeProperties",
    }
)
"""Procedures that only say which names are in use; all others are refused."""

MAX_QUERY_CHARACTERS = 20_000
"""Longest query [characters]: planning time grows with it and is not bounded by the transaction's timeout alone."""

LONGEST_NAME_SHOWN = 100
"""Characters of a refused name that are repeated to whoever sent it."""

_READING_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
    AllNodesScan Anti AntiConditionalApply AntiSemiApply Apply Argument ArgumentTracker AssertSameNode
    AssertSameRelationship CacheProperties CartesianProduct ConditionalApply DirectedAllRelationshipsScan
    DirectedRelationshipByElementIdSeek DirectedRelationshipByIdSeek DirectedRelationshipTypeScan
    DirectedUnionRelationshipTypesScan Distinct Eager EagerAggregation EmptyResult EmptyRow ExhaustiveLimit Filter
    IntersectionNodeByLabelsScan LetAntiSemiApply LetSelectOrAntiSemiApply LetSelectOrSemiApply LetSemiApply Limit
    MultiNodeIndexSeek NodeByElementIdSeek NodeByIdSeek NodeByLabelScan NodeCountFromCountStore NodeHashJoin
    NodeLeftOuterHashJoin NodeRightOuterHashJoin NonFuseable NullifyMetadata Optional OrderedAggregation
    OrderedDistinct OrderedUnion PartialSort PartialTop PathPropagatingBFS PreserveOrder ProduceResults
    ProjectEndpoints Projection RelationshipCountFromCountStore RollUpApply SelectOrAntiSemiApply SelectOrSemiApply
    SemiApply ShortestPath Skip Sort SubtractionNodeByLabelsScan Top Top1WithTies TriadicBuild TriadicFilter
    TriadicSelection UndirectedAllRelationshipsScan UndirectedRelationshipByElementIdSeek
    UndirectedRelationshipByIdSeek UndirectedRelationshipTypeScan UndirectedUnionRelationshipTypesScan Union
    UnionNodeByLabelsScan Unwind ValueHashJoin
    """,
    )
)
"""Plan operators of Neo4j 5.26 that read, whatever their arguments."""

_READING_FAMILIES = re.compile(
    r"(Optional|VarLength)?Expand\([\w,]+\)|(Bidirectional)?Repeat\(\w+\)|StatefulShortestPath\(\w+\)"
    r"|NodeIndex(Contains|EndsWith)?Scan|Node(Unique)?IndexSeek(ByRange)?"
    r"|(Directed|Undirected)Relationship(Unique)?Index((Contains|EndsWith)?Scan|Seek(ByRange)?)"
)
"""Operators that come in variants; ``(Locking)`` seeks belong to writes and do not match."""

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n\r]* | /\*.*?(?:\*/|\Z) )
  | (?P<text> '(?:\\.|[^'\\])*(?:'|\Z) | "(?:\\.|[^"\\])*(?:"|\Z) )
  | `(?P<quoted> (?:``|[^`])* )(?:`|\Z)
  | (?P<word> [^\W\d]\w* )
  | (?P<mark> \S )
    """,
    re.VERBOSE | re.DOTALL,
)


def refuse_dangerous_text(text: str) -> None:
    """Raise if a query fetches files or URLs, or calls a procedure that is not allowed, anywhere in its text.

    Strings, comments and the names of properties are not mistaken for statements.

    Raises
    ------
    QueryRefusedError : with one sentence that says what is not allowed.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryRefusedError(f"A query may have at most {MAX_QUERY_CHARACTERS} characters.")
    # Cypher 5 turns \u0041 into A before it looks for tokens, so quotes and keywords could be spelt that way.
    if "\\u" in text:
        raise QueryRefusedError("Unicode escapes are not allowed here: write the character itself or use a parameter.")
    _refuse_dangerous_tokens(list(_tokens(text)))


def _refuse_dangerous_tokens(tokens: list[str]) -> None:
    """Raise if the tokens hold ``LOAD CSV`` or a call of a procedure that is not allowed."""
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if token.upper() == "LOAD" and following.upper() == "CSV":
            raise QueryRefusedError("LOAD CSV is not allowed here.")
        if token.upper() != "CALL" or not (following[:1].isalpha() or following[:1] == "_"):
            continue
        name = _procedure_name(tokens, place + 1)
        if name not in ALLOWED_PROCEDURES:
            raise QueryRefusedError(f"The procedure {name[:LONGEST_NAME_SHOWN]} is not allowed here.")


def _tokens(text: str) -> Iterator[str]:
    """Yield words, backticked names without their ticks, and single marks; strings become an empty mark."""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "text":
            yield "''"
        elif kind != "comment":
            yield match["quoted"] or match["word"] or match["mark"] or "``"


def _procedure_name(tokens: list[str], place: int) -> str:
    """Return the dotted name that begins at a place."""
    parts = [tokens[place]]
    while place + 2 < len(tokens) and tokens[place + 1] == ".":
        place += 2
        parts.append(tokens[place])
    return ".".join(parts)


def refuse_unless_reading(query_type: str | None, plan: Mapping[str, object] | None) -> None:
    """Raise unless a plan does nothing but read the graph.

    Parameters
    ----------
    query_type : type that the server gives the query: "r" for reading.
    plan : the server's answer to ``EXPLAIN``: operatorType, args, children.

    Raises
    ------
    QueryRefusedError : with one sentence that says what is not allowed.
    """
    if query_type != "r" or not plan:
        raise QueryRefusedError("Only queries that read the graph are allowed here.")
    waiting: list[object] = [plan]
    while waiting:
        step = waiting.pop()
        if not isinstance(step, Mapping):
            raise QueryRefusedError("The plan of this query cannot be understood.")
        operator = str(step.get("operatorType", "")).partition("@")[0].removeprefix("Partitioned")
        if operator == "ProcedureCall":
            _refuse_procedure(step)
        elif operator not in _READING_OPERATORS and not _READING_FAMILIES.fullmatch(operator):
            raise QueryRefusedError(f"The operation {operator or 'without a name'} is not allowed here.")
        children = step.get("children")
        waiting.extend(children if isinstance(children, list) else [])


def _refuse_procedure(step: Mapping[str, object]) -> None:
    """Raise unless a call's plan names an allowed procedure: ``name(arguments) :: (columns)``."""
    args = step.get("args")
    details = str(args.get("Details", "")) if isinstance(args, Mapping) else ""
    name = details.partition("(")[0].strip()
    if name not in ALLOWED_PROCEDURES:
        raise QueryRefusedError(f"The procedure {name or 'without a name'} is not allowed here.")
