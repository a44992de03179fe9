"""A reader without a graph, for tests of the API and of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from graph.errors import NotFoundError, QueryRefusedError
from graph.model import CoincidenceState, EventPair, EventState, Messenger, Notice, ScienceCase, Survey
from graph.views import (
    CandidateView,
    ClassificationView,
    CoincidenceCounts,
    CoincidenceView,
    DetectionView,
    EventDetailView,
    EventView,
    JointEventView,
    LedgerNight,
    ListSummaryView,
    ListView,
    MatchView,
    NoticeView,
    ObjectEventView,
    ObjectView,
    Page,
    QueryRows,
    SameObjectView,
)

FoundT = TypeVar("FoundT")

NO_PAIRS = CoincidenceCounts(0, 0, 0)
"""Counts of a graph without coincidences."""

NO_ROWS = QueryRows((), (), truncated=False)
"""Answer to a query that finds nothing."""


@dataclass(frozen=True, slots=True)
class FakeGraph:
    """What a `FakeReader` answers from; mappings are by ``object_key`` or ``event_key``."""

    objects: Sequence[ObjectView] = ()
    events: Sequence[EventView] = ()
    """Newest trigger first."""
    coincidences: Sequence[CoincidenceView] = ()
    """Strongest case first."""
    lists: Sequence[ListView] = ()
    notices: Mapping[str, Sequence[NoticeView]] = field(default_factory=dict)
    whole_notices: Mapping[str, Sequence[Notice]] = field(default_factory=dict)
    pairs: Mapping[str, Sequence[EventPair]] = field(default_factory=dict)
    joint_events: Sequence[JointEventView] = ()
    """Newest trigger first."""
    detections: Mapping[str, Sequence[DetectionView]] = field(default_factory=dict)
    same: Mapping[str, Sequence[SameObjectView]] = field(default_factory=dict)
    classifications: Mapping[str, Sequence[ClassificationView]] = field(default_factory=dict)
    matches: Mapping[str, Sequence[MatchView]] = field(default_factory=dict)
    coincidence_counts: CoincidenceCounts = NO_PAIRS
    ledger: Sequence[LedgerNight] = ()
    query_rows: QueryRows = NO_ROWS
    next_cursor: str | None = None
    """Cursor given with every page of events; this reader does not page."""


class FakeReader:
    """A `graph.reading.GraphReading` of values held in memory; records its calls and can be told to fail."""

    def __init__(self, graph: FakeGraph) -> None:
        self.graph = graph
        self.failure: Exception | None = None
        self.calls: list[tuple[object, ...]] = []

    def retract(self, event_key: str) -> None:
        """Let an event be retracted, as its lists see it too."""
        state = EventState.RETRACTED
        self.graph = replace(
            self.graph,
            events=[replace(one, state=state) if one.event_key == event_key else one for one in self.graph.events],
            lists=[
                replace(
                    found,
                    targets=tuple(
                        replace(target, event_state=state) if target.event_key == event_key else target
                        for target in found.targets
                    ),
                )
                for found in self.graph.lists
            ],
        )

    def _called(self, *call: object) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure

    def ping(self) -> None:
        """Answer, unless told to fail."""
        self._called("ping")

    def object(self, survey: Survey, object_id: str) -> ObjectView:
        """Return one object."""
        self._called("object", survey, object_id)
        missing = f"There is no object {object_id} of {survey} in the graph."
        return _first(
            (one for one in self.graph.objects if (one.survey, one.object_id) == (survey, object_id)), missing
        )

    def detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        """Return the newest detections of an object."""
        key = self.object(survey, object_id).object_key
        self._called("detections", limit)
        return tuple(self.graph.detections.get(key, ()))[-limit:]

    def joint_detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        """Return the newest detections of an object and of those that are the same."""
        own = self.object(survey, object_id)
        self._called("joint_detections", limit)
        keys = [own.object_key, *(f"{one.survey}:{one.object_id}" for one in self.graph.same.get(own.object_key, ()))]
        found = [one for key in keys for one in self.graph.detections.get(key, ())]
        return tuple(sorted(found, key=lambda one: one.midpoint_mjd_tai))[-limit:]

    def same_objects(self, survey: Survey, object_id: str) -> tuple[SameObjectView, ...]:
        """Return the objects of other surveys that are the same."""
        self._called("same_objects", survey, object_id)
        return tuple(self.graph.same.get(self.object(survey, object_id).object_key, ()))

    def classifications(self, survey: Survey, object_id: str) -> tuple[ClassificationView, ...]:
        """Return what each classifier says of an object."""
        self._called("classifications", survey, object_id)
        return tuple(self.graph.classifications.get(self.object(survey, object_id).object_key, ()))

    def matches(self, survey: Survey, object_id: str) -> tuple[MatchView, ...]:
        """Return the catalogue entries at an object's place."""
        self._called("matches", survey, object_id)
        return tuple(self.graph.matches.get(self.object(survey, object_id).object_key, ()))

    def matches_of_objects(self, survey: Survey, object_ids: Sequence[str]) -> Mapping[str, tuple[MatchView, ...]]:
        """Return the catalogue entries at the places of some objects."""
        self._called("matches_of_objects", survey, tuple(object_ids))
        known = {
            one.object_id: tuple(self.graph.matches.get(one.object_key, ()))
            for one in self.graph.objects
            if one.survey is survey
        }
        return {name: known[name] for name in object_ids if known.get(name)}

    def events_of_object(self, survey: Survey, object_id: str) -> tuple[ObjectEventView, ...]:
        """Return the events that an object coincides with."""
        key = self.object(survey, object_id).object_key
        pairs = [pair for pair in self.graph.coincidences if pair.object_key == key]
        return tuple(ObjectEventView(pair, self._event(pair.event_key)) for pair in pairs)

    def events(
        self, limit: int, cursor: str | None = None, messenger: Messenger | None = None, state: EventState | None = None
    ) -> Page[EventView]:
        """Return the newest events of that messenger and state."""
        self._called("events", limit, cursor, messenger, state)
        chosen = [one for one in self.graph.events if messenger in {None, one.messenger} and state in {None, one.state}]
        return Page(tuple(chosen[:limit]), self.graph.next_cursor)

    def event(self, name: str) -> EventDetailView:
        """Return an event with its notices."""
        self._called("event", name)
        event = self._event(name)
        notices, pairs = self.graph.notices.get(event.event_key, ()), self.graph.pairs.get(event.event_key, ())
        return EventDetailView(event, tuple(notices), tuple(pairs))

    def notices(self, name: str) -> tuple[Notice, ...]:
        """Return all notices of an event as they were."""
        self._called("notices", name)
        return tuple(self.graph.whole_notices.get(self._event(name).event_key, ()))

    def joint_events(
        self, limit: int, cursor: str | None = None, state: CoincidenceState | None = None
    ) -> Page[JointEventView]:
        """Return the newest joint events of that state."""
        self._called("joint_events", limit, cursor, state)
        chosen = [one for one in self.graph.joint_events if state in {None, one.state}]
        return Page(tuple(chosen[:limit]), self.graph.next_cursor)

    def joint_event(self, joint_event_id: str) -> JointEventView:
        """Return one joint event."""
        self._called("joint_event", joint_event_id)
        missing = f"There is no joint event {joint_event_id} in the graph."
        return _first((one for one in self.graph.joint_events if one.joint_event_id == joint_event_id), missing)

    def candidates(self, name: str, limit: int, state: CoincidenceState | None = None) -> tuple[CandidateView, ...]:
        """Return the objects that coincide with an event."""
        key = self.event(name).event.event_key
        self._called("candidates", name, limit, state)
        by_key = {one.object_key: one for one in self.graph.objects}
        pairs = [one for one in self.graph.coincidences if one.event_key == key and state in {None, one.state}]
        return tuple(CandidateView(pair, by_key[pair.object_key]) for pair in pairs[:limit])

    def lists(self) -> tuple[ListSummaryView, ...]:
        """Return the current version of each list."""
        self._called("lists")
        return tuple(one.summary for one in self.graph.lists if one.summary.is_current)

    def list(self, case: ScienceCase, version: int | None, limit: int, after_rank: int = 0) -> ListView:
        """Return targets of one version of a list."""
        self._called("list", case, version, limit, after_rank)
        fitting = (
            one
            for one in self.graph.lists
            if one.summary.case == case
            and (one.summary.is_current if version is None else one.summary.version == version)
        )
        found = _first(fitting, f"The {case} list has no such version in the graph.")
        following = [target for target in found.targets if target.rank > after_rank]
        return replace(found, targets=tuple(following[:limit]))

    def coincidence_counts(self) -> CoincidenceCounts:
        """Return the numbers of pairs."""
        self._called("coincidence_counts")
        return self.graph.coincidence_counts

    def counts(self) -> Mapping[str, int]:
        """Return the numbers of objects and events."""
        self._called("counts")
        return {"Object": len(self.graph.objects), "Event": len(self.graph.events)}

    def ledger(self, nights: int) -> tuple[LedgerNight, ...]:
        """Return the newest nights."""
        self._called("ledger", nights)
        return tuple(self.graph.ledger[:nights])

    def read_query(self, text: str, params: Mapping[str, Any], timeout_s: float, max_rows: int) -> QueryRows:
        """Return always the same rows; refuse what creates."""
        self._called("read_query", text, dict(params), timeout_s, max_rows)
        if "CREATE" in text:
            raise QueryRefusedError("Only queries that read the graph are allowed here.")
        return self.graph.query_rows

    def _event(self, name: str) -> EventView:
        missing = f"There is no event {name} in the graph."
        return _first((one for one in self.graph.events if name in {one.event_key, one.event_id}), missing)


def _first(found: Iterable[FoundT], missing: str) -> FoundT:
    """Return the first of what was found, or say what is missing."""
    for one in found:
        return one
    raise NotFoundError(missing)
