"""What the API needs from the graph, in words of the domain; `graph.reader` answers from Neo4j."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from graph.model import CoincidenceState, EventState, Messenger, Notice, ScienceCase, Survey
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

Value = object
"""Any value; the protocol below has a method called ``object``."""


class GraphReading(Protocol):
    """Read-only questions to the graph.

    Every method raises `graph.errors.StoreError` when the graph cannot be reached, and those that name one thing
    raise `graph.errors.NotFoundError` when it is not there.
    """

    def ping(self) -> None:
        """Return when the graph answers."""

    def object(self, survey: Survey, object_id: str) -> ObjectView:
        """Return one object."""

    def detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        """Return the newest detections of an object, in order of time."""

    def joint_detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        """Return the newest detections of an object and of those that are the same in other surveys, by time."""

    def same_objects(self, survey: Survey, object_id: str) -> tuple[SameObjectView, ...]:
        """Return the objects of other surveys that are the same, most probable first."""

    def classifications(self, survey: Survey, object_id: str) -> tuple[ClassificationView, ...]:
        """Return what each classifier says of an object, most probable class first."""

    def matches(self, survey: Survey, object_id: str) -> tuple[MatchView, ...]:
        """Return the catalogue entries at an object's place, nearest first."""

    def events_of_object(self, survey: Survey, object_id: str) -> tuple[ObjectEventView, ...]:
        """Return the events that an object coincides with, the strongest case first."""

    def events(
        self,
        limit: int,
        cursor: str | None = None,
        messenger: Messenger | None = None,
        state: EventState | None = None,
    ) -> Page[EventView]:
        """Return events, newest trigger first; those without a trigger time come last."""

    def event(self, name: str) -> EventDetailView:
        """Return the event of that key, or of that bare identifier if only one mission uses it."""

    def notices(self, name: str) -> tuple[Notice, ...]:
        """Return all notices of an event as they were, with their localizations."""

    def joint_events(
        self, limit: int, cursor: str | None = None, state: CoincidenceState | None = None
    ) -> Page[JointEventView]:
        """Return joint events and withdrawn pairs, newest trigger first."""

    def joint_event(self, joint_event_id: str) -> JointEventView:
        """Return one joint event, or the withdrawn pair of that identity."""

    def candidates(self, name: str, limit: int, state: CoincidenceState | None = None) -> tuple[CandidateView, ...]:
        """Return the objects that coincide with an event, the strongest case first."""

    def lists(self) -> tuple[ListSummaryView, ...]:
        """Return the current version of each follow-up list."""

    def list(self, case: ScienceCase, version: int | None, limit: int, after_rank: int = 0) -> ListView:
        """Return targets of one version of a list, the current one if ``version`` is None."""

    def coincidence_counts(self) -> CoincidenceCounts:
        """Return the numbers of pairs by state."""

    def counts(self) -> Mapping[str, int]:
        """Return the number of nodes of each label."""

    def ledger(self, nights: int) -> tuple[LedgerNight, ...]:
        """Return what became of the alerts of the newest nights and of undatable ones (night 0), newest first."""

    def read_query(self, text: str, params: Mapping[str, Value], timeout_s: float, max_rows: int) -> QueryRows:
        """Run a query that cannot write, bounded in time and rows."""
