"""The reader against a driver that answers from memory: paging, names, errors and bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neo4j.exceptions import ClientError, ServiceUnavailable

from graph.errors import NotFoundError, QueryRefusedError, StoreError
from graph.model import Messenger, Survey
from graph.reader import GraphReader
from graph.reading import GraphReading
from graph.rows import sum_ledger, to_json_value, to_terms
from graph.statements import statement
from graph.views import EventView


def gone() -> Exception:
    error: Exception = ServiceUnavailable("gone")  # type: ignore[no-untyped-call]
    return error


class FakeResult:
    def __init__(self, rows: list[Mapping[str, Any]], plan: Any = None) -> None:
        self._rows = rows
        self.query_type = "r"
        self.plan = plan
        self.fetched = 0

    def __iter__(self) -> Iterator[Any]:
        return iter([FakeRecord(row) for row in self._rows])

    def keys(self) -> list[str]:
        return list(self._rows[0]) if self._rows else []

    def fetch(self, n: int) -> list[Any]:
        self.fetched = n
        return [FakeRecord(row) for row in self._rows[:n]]

    def consume(self) -> Self:
        return self


class FakeRecord:
    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def data(self) -> dict[str, Any]:
        return dict(self._row)

    def values(self) -> list[Any]:
        return list(self._row.values())


class FakeDriver:
    """Gives each statement to a function; remembers how sessions were opened."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self.sessions: list[dict[str, Any]] = []
        self.queries: list[Any] = []

    def session(self, **config: Any) -> Self:
        self.sessions.append(config)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, query: Any, params: dict[str, Any]) -> FakeResult:
        self.queries.append(query)
        found = self._answers(query.text, params)
        return found if isinstance(found, FakeResult) else FakeResult(found)


def reader_of(answers: Any) -> tuple[GraphReader, FakeDriver]:
    driver = FakeDriver(answers)
    reader = GraphReader(driver)  # type: ignore[arg-type]
    known: GraphReading = reader  # the protocol holds
    assert known is reader
    return reader, driver


def event_row(key: str, trigger_time: str | None) -> dict[str, Any]:
    return {
        "event_key": key, "mission": key.partition(":")[0], "event_id": key.partition(":")[2], "event_names": ["x"],
        "messenger": "EM", "trigger_time": trigger_time, "state": "active", "alert_tense": "current", "revision": 1,
        "far_hz": None, "p_astro": None, "classification": '{"GRB": 1.0}', "is_astrophysical_burst": True,
        "instrument": None, "notice_type": None, "n_notices": 1, "n_open_coincidences": 0, "localization": None,
    }  # fmt: skip


class EventGraph:
    """Answers the event statements as their comments promise."""

    def __init__(self, events: dict[str, str | None]) -> None:
        self.events = events

    def __call__(self, text: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        if text == statement("describe_events"):
            return [{"event": event_row(key, self.events[key])} for key in params["event_keys"]]
        if text == statement("page_events"):
            bound = (params["before_time"], params["before_key"])
            dated = [(time, key) for key, time in self.events.items() if time is not None and (time, key) < bound]
            dated.sort(reverse=True)
            return [{"event_key": key, "trigger_time": time} for time, key in dated[: params["limit"]]]
        assert text == statement("page_undated_events")
        undated = sorted(key for key, time in self.events.items() if time is None and key < params["before_key"])
        return [{"event_key": key, "trigger_time": None} for key in undated[::-1][: params["limit"]]]


times = st.one_of(
    st.none(), st.sampled_from(["2020-05-24T05:03:35Z", "2020-05-24T05:03:35.700Z", "2026-01-01T00:00:00Z"])
)


@given(st.dictionaries(st.text("ab:é~1", min_size=1, max_size=4), times, max_size=12), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_pages_give_every_event_once_and_in_order(events: dict[str, str | None], limit: int) -> None:
    reader, _ = reader_of(EventGraph(events))
    seen: list[EventView] = []
    cursor: str | None = None
    for _ in range(len(events) + 1):
        page = reader.events(limit, cursor)
        assert len(page.items) <= limit
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert cursor is None
    wanted = sorted(events, key=lambda key: (events[key] or "", key), reverse=True)
    assert [event.event_key for event in seen] == wanted


def test_events_that_arrive_while_paging_do_not_shift_pages() -> None:
    graph = EventGraph({f"a:{k}": f"2020-01-0{k}T00:00:00Z" for k in range(1, 6)})
    reader, _ = reader_of(graph)
    first = reader.events(2)
    graph.events["a:9"] = "2020-01-09T00:00:00Z"
    second = reader.events(2, first.next_cursor)
    assert [event.event_id for event in (*first.items, *second.items)] == ["5", "4", "3", "2"]


@given(st.text(max_size=60))
def test_foreign_cursors_are_refused(text: str) -> None:
    reader, _ = reader_of(EventGraph({}))
    with pytest.raises(QueryRefusedError):
        reader.events(1, text)


@pytest.mark.parametrize(
    "body", ["[]", "[1, 2]", '["a"]', '["a", "b", "c"]', '{"a": 1, "b": 2}', "[" * 900, "[null, 3]", '["a", "\\ud800"]']
)
def test_cursors_of_another_shape_are_refused(body: str) -> None:
    import base64

    reader, _ = reader_of(EventGraph({}))
    with pytest.raises(QueryRefusedError):
        reader.events(1, base64.urlsafe_b64encode(body.encode()).decode().rstrip("="))


def named(keys: list[str]) -> Any:
    def answers(text: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        if text == statement("find_events"):
            return [{"event_key": key} for key in keys]
        if text == statement("describe_events"):
            return [{"event": event_row(key, None)} for key in params["event_keys"]]
        return []

    return answers


def test_bare_names_must_be_unambiguous() -> None:
    assert reader_of(named(["Fermi:1"]))[0].event("1").event.event_key == "Fermi:1"
    assert reader_of(named(["Fermi:1", "X:Fermi:1"]))[0].event("Fermi:1").event.event_key == "Fermi:1"
    with pytest.raises(NotFoundError, match="Fermi:1, Swift:1"):
        reader_of(named(["Fermi:1", "Swift:1"]))[0].event("1")
    with pytest.raises(NotFoundError):
        reader_of(named([]))[0].event("1")


def test_things_that_are_not_there() -> None:
    reader, _ = reader_of(lambda _text, _params: [])
    for call in (reader.object, reader.classifications, reader.matches, reader.events_of_object):
        with pytest.raises(NotFoundError):
            call(Survey.ZTF, "nope")
    with pytest.raises(NotFoundError):
        reader.detections(Survey.LSST, "1", 10)
    from graph.model import ScienceCase

    for version in (None, 3):
        with pytest.raises(NotFoundError, match="grb"):
            reader.list(ScienceCase.GRB, version, 10)
    assert reader.lists() == ()
    assert reader.counts() == {}
    assert reader.coincidence_counts().open == 0


def test_sessions_read_only_and_statements_have_a_time_limit() -> None:
    reader, driver = reader_of(lambda _text, _params: [{"answer": 1}])
    reader.ping()
    assert driver.sessions[0]["default_access_mode"] == "READ"
    assert driver.queries[0].timeout == 10.0


def test_a_broken_graph_is_a_store_error() -> None:
    broken = event_row("a:1", "not a time") | {"messenger": "pigeon"}
    reader, _ = reader_of(
        lambda text, _params: [{"event": broken}] if text == statement("describe_events") else [{"event_key": "a:1"}]
    )
    with pytest.raises(StoreError):
        reader.event("a:1")


def test_a_lost_connection_is_tried_again_once() -> None:
    failures = [gone()]

    def answers(_text: str, _params: dict[str, Any]) -> list[dict[str, Any]]:
        if failures:
            raise failures.pop()
        return [{"label": "Object", "n": 3}]

    reader, driver = reader_of(answers)
    assert reader.counts() == {"Object": 3}
    failures += [gone(), gone()]
    with pytest.raises(StoreError, match="cannot be reached"):
        reader.counts()
    assert len(driver.queries) == 4


def typed(rows: list[Mapping[str, Any]], operator: str = "AllNodesScan") -> tuple[GraphReader, FakeDriver, FakeResult]:
    result = FakeResult(rows)
    explained = FakeResult([], {"operatorType": f"{operator}@neo4j", "args": {}, "children": []})
    reader, driver = reader_of(lambda text, _params: explained if text.startswith("EXPLAIN\n") else result)
    return reader, driver, result


def test_typed_queries_are_explained_first_and_bounded() -> None:
    reader, driver, result = typed([{"n": k, "big": 2**53 + k} for k in range(10)])
    found = reader.read_query("MATCH (n) RETURN n, big", {}, 2.5, 3)
    assert found.columns == ("n", "big")
    assert found.rows == ((0, str(2**53)), (1, str(2**53 + 1)), (2, str(2**53 + 2)))
    assert found.truncated is True
    assert result.fetched == 4, "one more than asked for, to know whether there is more"
    assert [query.timeout for query in driver.queries] == [2.5, 2.5]
    assert driver.sessions[0] | {"fetch_size": 4, "default_access_mode": "READ"} == driver.sessions[0]
    assert reader.read_query("MATCH (n) RETURN n, big", {}, 2.5, 10).truncated is False


def test_a_refused_query_is_not_run() -> None:
    reader, driver, _ = typed([], operator="Create")
    with pytest.raises(QueryRefusedError):
        reader.read_query("CREATE (n)", {}, 1.0, 1)
    assert len(driver.queries) == 1
    reader, driver, _ = typed([])
    with pytest.raises(QueryRefusedError):
        reader.read_query("LOAD CSV FROM 'x' AS l RETURN l", {}, 1.0, 1)
    assert driver.queries == []


def server_error(code: str, message: str) -> Exception:
    from neo4j.exceptions import Neo4jError

    hydrate = getattr(Neo4jError, "_hydrate_neo4j", None) or Neo4jError.hydrate
    error = hydrate(code=code, message=message)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            server_error("Neo.ClientError.Statement.SyntaxError", "Invalid input 'x'\nmore"),
            QueryRefusedError,
            "Invalid",
        ),
        (server_error("Neo.ClientError.Statement.ParameterMissing", "Expected p"), QueryRefusedError, "Expected p"),
        (server_error("Neo.ClientError.Transaction.TransactionTimedOut", "late"), QueryRefusedError, "longer than 1 s"),
        (server_error("Neo.ClientError.Security.Unauthorized", "secret"), StoreError, "graph refused"),
        (server_error("Neo.TransientError.General.OutOfMemoryError", "heap"), StoreError, "graph refused"),
        (gone(), StoreError, "cannot be reached"),
        (OverflowError("too big"), QueryRefusedError, "cannot take"),
    ],
)
def test_errors_of_typed_queries(error: Exception, kind: type[StoreError], says: str) -> None:
    def answers(_text: str, _params: dict[str, Any]) -> list[dict[str, Any]]:
        raise error

    reader, _ = reader_of(answers)
    with pytest.raises(kind, match=says) as caught:
        reader.read_query("RETURN 1", {}, 1.0, 1)
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)
    assert isinstance(error, ClientError) or kind is not QueryRefusedError or isinstance(error, OverflowError)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_like)
def test_any_value_becomes_json_that_readers_keep(value: Any) -> None:
    text = json.dumps(to_json_value(value), allow_nan=False)

    def check(found: int) -> int:
        assert abs(found) < 2**53
        return found

    json.loads(text, parse_int=lambda digits: check(int(digits)))


def test_graph_values_become_maps() -> None:
    from neo4j.graph import Graph, Node
    from neo4j.time import DateTime

    node = Node(Graph(), "4:x:1", 1, ["Object"], {"healpix29": 2**60, "skymap": b"\x00\xff"})
    assert to_json_value([node, DateTime(2020, 5, 24, 5, 3, 35)]) == [
        {"labels": ["Object"], "properties": {"healpix29": str(2**60), "skymap": "AP8="}},
        "2020-05-24T05:03:35.000000000",
    ]


def test_terms_and_ledger_are_read_from_json() -> None:
    (term,) = to_terms('[{"name": "position", "value": 2, "inputs": {"credible_level": 0.1}}]')
    assert (term.name, term.value, dict(term.inputs)) == ("position", 2.0, {"credible_level": 0.1})
    assert to_terms(None) == ()
    row = {
        "survey": "ztf", "night": 20200524, "received": 5, "loaded": 3, "duplicates": 0, "dead": 1,
        "filtered": '{"bogus": 1}', "dead_reasons": '{"malformed": 1}',
    }  # fmt: skip
    nights = sum_ledger([row, row | {"night": 20200525}, row, row | {"survey": "lsst", "loaded": 4}])
    assert [(n.night, n.survey, n.received) for n in nights] == [
        (20200525, Survey.ZTF, 5), (20200524, Survey.LSST, 5), (20200524, Survey.ZTF, 10),
    ]  # fmt: skip
    assert nights[2].filtered == {"bogus": 2}
    assert [n.balanced for n in nights] == [True, False, True]


def test_filters_are_handed_on_as_text() -> None:
    asked: list[dict[str, Any]] = []

    def answers(_text: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(params)
        return []

    reader_of(answers)[0].events(5, messenger=Messenger.GW)
    assert asked[0]["messenger"] == "GW"
    assert asked[0]["state"] is None
    assert asked[0]["limit"] == 6
