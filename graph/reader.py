"""Read-only questions to Neo4j, answered with the values of `graph.views`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Any, NoReturn, Self, TypeVar

from neo4j import READ_ACCESS, Driver, NotificationMinimumSeverity, Query, Session
from neo4j.exceptions import ClientError, DriverError, Neo4jError

from graph import codec, rows
from graph.association import SAME_FROM
from graph.config import GraphSettings
from graph.connection import open_driver
from graph.cursors import AFTER_EVERY_KEY, EventCursor
from graph.errors import NotFoundError, QueryRefusedError, StoreError
from graph.event_pair_rows import stored_event_pair
from graph.model import CoincidenceState, EventPair, EventState, Messenger, Notice, ScienceCase, Survey
from graph.readonly import refuse_dangerous_text, refuse_unless_reading
from graph.rows import Row
from graph.statements import statement
from graph.times import parse_utc
from graph.views import (
    CandidateView,
    ClassificationView,
    CoincidenceCounts,
    DetectionView,
    EventDetailView,
    EventView,
    JointEventView,
    LedgerNight,
    ListSummaryView,
    ListView,
    MatchView,
    ObjectEventView,
    ObjectView,
    Page,
    QueryRows,
    SameObjectView,
)

STATEMENT_TIMEOUT_S = 10.0
"""Time allowed for one of our own statements [s]: all are bounded look-ups, so more means an index is missing."""

MAX_EVENTS_OF_OBJECT = 1000
"""Most events returned for one object; a variable star of many years may fall into many large localizations."""

MIN_COINCIDENCES = 2
"""Members of a joint event that an object must coincide with to be shown with it."""

MAX_COUNTERPARTS = 20
"""Objects shown with a joint event at most, as many as its messages name."""

FETCH_ROWS = 1000
"""Rows pulled at a time; the driver's default, named because `read_query` must not pull more than it may return."""

ViewT = TypeVar("ViewT")

Value = object
"""Any value; the class below has a method called ``object``."""


class GraphReader:
    """Read-only questions to Neo4j; see `graph.reading.GraphReading` for what each method promises.

    The driver is shared and stays the caller's to close. Safe for use from several threads.
    """

    def __init__(self, driver: Driver, database: str = "neo4j") -> None:
        self._driver = driver
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, settings: GraphSettings) -> Iterator[Self]:
        """Yield a reader with a driver of its own, closed at the end of the block."""
        with open_driver(settings) as driver:
            yield cls(driver, settings.database)

    def ping(self) -> None:
        """Return when the graph answers."""
        self._rows("ping")

    def object(self, survey: Survey, object_id: str) -> ObjectView:
        """Return one object."""
        found = self._rows("find_object", object_key=f"{survey}:{object_id}")
        if not found:
            raise NotFoundError(f"There is no object {object_id} of {survey} in the graph.")
        return _read(rows.to_object, found[0]["object"])

    def detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        """Return the newest detections of an object, in order of time."""
        found = self._of_object("list_detections", survey, object_id, limit=limit)
        return tuple(_read(rows.to_detection, row["detection"]) for row in reversed(found))

    def joint_detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        """Return the newest detections of an object and of those that are the same in other surveys, by time."""
        found = self._of_object("list_joint_detections", survey, object_id, limit=limit, min_probability=SAME_FROM)
        return tuple(_read(rows.to_detection, row["detection"]) for row in reversed(found))

    def same_objects(self, survey: Survey, object_id: str) -> tuple[SameObjectView, ...]:
        """Return the objects of other surveys that are the same, most probable first."""
        found = self._of_object("list_same_objects", survey, object_id, min_probability=SAME_FROM)
        return tuple(_read(rows.to_same_object, row["same"]) for row in found)

    def classifications(self, survey: Survey, object_id: str) -> tuple[ClassificationView, ...]:
        """Return what each classifier says of an object, most probable class first."""
        found = self._of_object("list_classifications", survey, object_id)
        return tuple(_read(rows.to_classification, row["classification"]) for row in found)

    def matches(self, survey: Survey, object_id: str) -> tuple[MatchView, ...]:
        """Return the catalogue entries at an object's place, nearest first."""
        found = self._of_object("list_matches", survey, object_id)
        return tuple(_read(rows.to_match, row["source"]) for row in found)

    def matches_of_objects(self, survey: Survey, object_ids: Sequence[str]) -> Mapping[str, tuple[MatchView, ...]]:
        """Return object id -> the catalogue entries at its place, nearest first; absent where there are none."""
        keys = [f"{survey}:{object_id}" for object_id in object_ids]
        found = self._rows("list_matches_of_objects", object_keys=keys) if keys else []
        return {
            str(row["object_key"]).removeprefix(f"{survey}:"): tuple(
                _read(rows.to_match, one) for one in row["sources"]
            )
            for row in found
        }

    def events_of_object(self, survey: Survey, object_id: str) -> tuple[ObjectEventView, ...]:
        """Return the events that an object coincides with, open ones first, then by evidence."""
        found = self._of_object("list_object_events", survey, object_id, limit=MAX_EVENTS_OF_OBJECT)
        pairs = [_read(rows.to_coincidence, row["coincidence"]) for row in found]
        events = self._described([pair.event_key for pair in pairs])
        return tuple(ObjectEventView(pair, events[pair.event_key]) for pair in pairs if pair.event_key in events)

    def events(
        self,
        limit: int,
        cursor: str | None = None,
        messenger: Messenger | None = None,
        state: EventState | None = None,
    ) -> Page[EventView]:
        """Return events, newest trigger first; those without a trigger time come last."""
        place = EventCursor.decode(cursor)
        bounds: dict[str, Value] = {"messenger": _text(messenger), "state": _text(state), "limit": limit + 1}
        found: list[Row] = []
        if place.trigger_time is not None:
            found = self._rows("page_events", before_time=place.trigger_time, before_key=place.event_key, **bounds)
            place = EventCursor(None, AFTER_EVERY_KEY)
        if len(found) <= limit:
            bounds["limit"] = limit + 1 - len(found)
            found += self._rows("page_undated_events", before_key=place.event_key, **bounds)
        keys = [row["event_key"] for row in found[:limit]]
        events = self._described(keys)
        last = found[limit - 1] if len(found) > limit else None
        next_cursor = None if last is None else EventCursor(last["trigger_time"], last["event_key"]).encode()
        return Page(tuple(events[key] for key in keys if key in events), next_cursor)

    def event(self, name: str) -> EventDetailView:
        """Return the event of that key, or of that bare identifier if only one mission uses it."""
        key = self._event_key(name)
        events = self._described([key])
        if key not in events:
            raise NotFoundError(f"There is no event {name} in the graph.")
        notices = self._rows("list_event_notices", event_key=key)
        pairs = tuple(_read(_to_pair, row) for row in self._rows("list_pairs_of_event", event_key=key))
        return EventDetailView(events[key], tuple(_read(rows.to_notice, row["notice"]) for row in notices), pairs)

    def notices(self, name: str) -> tuple[Notice, ...]:
        """Return all notices of an event as they were, with their localizations."""
        found = self._rows("read_notices_of_events", event_keys=[self._event_key(name)])
        return tuple(_read(_to_whole_notice, body) for row in found for body in row["bodies"])

    def joint_events(
        self, limit: int, cursor: str | None = None, state: CoincidenceState | None = None
    ) -> Page[JointEventView]:
        """Return joint events and withdrawn pairs, newest trigger first."""
        place = EventCursor.decode(cursor)
        bounds = {"before_time": place.trigger_time or "", "before_key": place.event_key}
        found = self._rows("page_joint_events", state=_text(state), limit=limit + 1, **bounds)
        wanted = [row["joint_event_id"] for row in found[:limit]]
        known = self._joint_events(wanted)
        last = found[limit - 1] if len(found) > limit else None
        next_cursor = None if last is None else EventCursor(last["trigger_time"], last["joint_event_id"]).encode()
        return Page(tuple(known[one] for one in wanted if one in known), next_cursor)

    def joint_event(self, joint_event_id: str) -> JointEventView:
        """Return one joint event with the objects that coincide with several of its events."""
        known = self._joint_events([joint_event_id])
        if joint_event_id not in known:
            raise NotFoundError(f"There is no joint event {joint_event_id} in the graph.")
        found = known[joint_event_id]
        keys = sorted({key for pair in found.pairs for key in (pair.first_key, pair.second_key)})
        is_open = found.state is CoincidenceState.OPEN
        bounds: dict[str, Value] = {"least": MIN_COINCIDENCES, "limit": MAX_COUNTERPARTS}
        told = self._rows("list_counterparts", event_keys=keys, **bounds) if is_open else []
        names = ("object_key", "event_key", "log_bayes_factor")
        return replace(found, coincidences=tuple(tuple(row[name] for name in names) for row in told))

    def candidates(self, name: str, limit: int, state: CoincidenceState | None = None) -> tuple[CandidateView, ...]:
        """Return the objects that coincide with an event, open ones first, then by evidence."""
        found = self._rows("list_event_candidates", event_key=self._event_key(name), state=_text(state), limit=limit)
        return tuple(
            CandidateView(_read(rows.to_coincidence, row["coincidence"]), _read(rows.to_object, row["object"]))
            for row in found
        )

    def lists(self) -> tuple[ListSummaryView, ...]:
        """Return the current version of each follow-up list."""
        return tuple(_read(rows.to_list_summary, row["list"]) for row in self._rows("list_current_lists"))

    def list(self, case: ScienceCase, version: int | None, limit: int, after_rank: int = 0) -> ListView:
        """Return targets of one version of a list, the current one if ``version`` is None."""
        if version is None:
            known = [summary for summary in self.lists() if summary.case == case]
        else:
            found = self._rows("find_list", list_key=f"{case}:{version}")
            known = [_read(rows.to_list_summary, row["list"]) for row in found]
        if not known:
            wanted = "current version" if version is None else f"version {version}"
            raise NotFoundError(f"The {case} list has no {wanted} in the graph.")
        summary = known[-1]
        targets = self._rows("list_targets", list_key=summary.list_key, after_rank=after_rank, limit=limit)
        return ListView(summary, tuple(_read(rows.to_target, row["target"]) for row in targets))

    def coincidence_counts(self) -> CoincidenceCounts:
        """Return the numbers of pairs by state."""
        numbers = {row["state"]: row["n"] for row in self._rows("count_coincidences")}
        return CoincidenceCounts(numbers.get("open", 0), numbers.get("withdrawn", 0), numbers.get("joint", 0))

    def counts(self) -> Mapping[str, int]:
        """Return the number of nodes of each label."""
        return {row["label"]: row["n"] for row in self._rows("count_nodes")}

    def ledger(self, nights: int) -> tuple[LedgerNight, ...]:
        """Return what became of the alerts of the newest nights and of undatable ones, newest first."""
        return _read(rows.sum_ledger, [row["entry"] for row in self._rows("list_ledger", nights=nights)])

    def ledger_positions(self, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """Return for each (topic, partition) the first offset that no ledger entry covers; absent where none is."""
        asked = [{"topic": topic, "partition": partition} for topic, partition in places]
        found = self._rows("list_ledger_positions", places=asked) if asked else []
        return {(row["topic"], row["partition"]): row["offset_until"] for row in found}

    def read_query(self, text: str, params: Mapping[str, Value], timeout_s: float, max_rows: int) -> QueryRows:
        """Run a query that cannot write, bounded in time and rows.

        Raises
        ------
        QueryRefusedError : it does more than read, is not Cypher, lacks a parameter or takes too long.
        """
        refuse_dangerous_text(text)
        with self._session(min(FETCH_ROWS, max_rows + 1)) as session, _own_words(timeout_s):
            # An explained query is not run; the newline keeps a leading comment of the text a comment.
            summary = session.run(_query("EXPLAIN\n" + text, timeout_s), dict(params)).consume()
            refuse_unless_reading(summary.query_type, summary.plan)
            result = session.run(_query(text, timeout_s), dict(params))
            columns = tuple(result.keys())
            found = result.fetch(max_rows + 1)
            values = tuple(tuple(rows.to_json_value(value) for value in record.values()) for record in found[:max_rows])
            result.consume()
        return QueryRows(columns, values, truncated=len(found) > max_rows)

    def _joint_events(self, joint_event_ids: Sequence[str]) -> dict[str, JointEventView]:
        """Return the joint events and withdrawn pairs of those identities, without their objects."""
        found: dict[str, Any] = {}
        told = self._rows("list_pairs_of_joint_events", joint_event_ids=joint_event_ids) if joint_event_ids else []
        for row in told:
            found.setdefault(row["joint_event_id"], []).append(row)
        return {key: _read(_to_joint_event, of_key) for key, of_key in found.items()}

    def _described(self, event_keys: Sequence[str]) -> dict[str, EventView]:
        """Return the events of those keys."""
        found = self._rows("describe_events", event_keys=sorted(set(event_keys))) if event_keys else []
        return {row["event"]["event_key"]: _read(rows.to_event, row["event"]) for row in found}

    def _event_key(self, name: str) -> str:
        """Return the key of the one event that is meant."""
        keys = [str(row["event_key"]) for row in self._rows("find_events", name=name)]
        if not keys:
            raise NotFoundError(f"There is no event {name} in the graph.")
        if keys[0] != name and len(keys) > 1:
            raise NotFoundError(f"The name {name} is shared by several events: {', '.join(keys)}.")
        return keys[0]

    def _of_object(self, file: str, survey: Survey, object_id: str, **params: Value) -> Sequence[Row]:
        """Return the rows of a statement about one object, and raise if there is no such object."""
        found = self._rows(file, object_key=f"{survey}:{object_id}", **params)
        if not found:
            self.object(survey, object_id)
        return found

    def _rows(self, file: str, **params: Value) -> Any:  # noqa: ANN401 - a list of rows; `list` is a method here
        """Run one of our own statements and return all its rows.

        Tried twice where the driver says that this helps, e.g. after the server closed an idle connection; no longer,
        because a page waits for the answer.
        """
        query = Query(statement(file), timeout=STATEMENT_TIMEOUT_S)
        try:
            return self._run(query, params)
        except (Neo4jError, DriverError) as error:
            if not error.is_retryable():
                _raise_store_error(error)
        try:
            return self._run(query, params)
        except (Neo4jError, DriverError) as error:
            _raise_store_error(error)

    def _run(self, query: Query, params: dict[str, Value]) -> Any:  # noqa: ANN401 - likewise
        """Run a statement once and return all its rows."""
        with self._session(FETCH_ROWS) as session:
            return [record.data() for record in session.run(query, params)]

    def _session(self, fetch_size: int) -> Session:
        """Open a READ session; hints of the server about absent labels are not wanted in the log."""
        return self._driver.session(
            database=self._database,
            default_access_mode=READ_ACCESS,
            fetch_size=fetch_size,
            notifications_min_severity=NotificationMinimumSeverity.OFF,
        )


def _to_pair(row: Row) -> EventPair:
    """Read a pair of events."""
    return stored_event_pair((row["first_key"], row["second_key"]), row["properties"])


def _to_whole_notice(body: str) -> Notice:
    """Read a notice from its canonical JSON."""
    return codec.from_bytes(Notice, body.encode())


def _to_joint_event(found: Sequence[Row]) -> JointEventView:
    """Read the rows of one joint event; a withdrawn pair is alone."""
    pairs = tuple(map(_to_pair, found))
    newest = max((row["trigger_time"] for row in found if row["trigger_time"]), default=None)
    return JointEventView(
        found[0]["joint_event_id"], pairs[0].state, None if newest is None else parse_utc(newest), pairs
    )


def _text(value: StrEnum | None) -> str | None:
    """Return the plain text of a value of the model."""
    return None if value is None else value.value


def _query(text: str, timeout_s: float) -> Query:
    """Return a query with its time limit."""
    return Query(text, timeout=timeout_s)


def _read(reader: Callable[[Any], ViewT], row: Any) -> ViewT:  # noqa: ANN401 - whatever the graph holds
    """Turn a row into a view; a graph that breaks its contract is a failed store, not a crash."""
    try:
        return reader(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError("The graph holds a value that does not follow its schema.") from error


def _raise_store_error(error: Exception) -> NoReturn:
    if isinstance(error, Neo4jError):
        raise StoreError("The graph refused a statement.") from error
    raise StoreError("The graph cannot be reached.") from error


@contextmanager
def _own_words(timeout_s: float) -> Iterator[None]:
    """Turn the driver's errors about a typed query into ours; what the writer can mend is said."""
    try:
        yield
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise QueryRefusedError("The query or a parameter holds a value that the graph cannot take.") from error
    except (Neo4jError, DriverError) as error:
        code = getattr(error, "code", None) or ""
        if "TransactionTimedOut" in code or "Terminated" in code:
            raise QueryRefusedError(f"The query took longer than {timeout_s:g} s.") from error
        if isinstance(error, ClientError) and ".Security." not in code:
            sentence = (error.message or "The query was refused.").splitlines()[0]
            raise QueryRefusedError(sentence) from error
        _raise_store_error(error)
