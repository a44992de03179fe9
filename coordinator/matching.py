"""What coincides with an event, or with objects: the graph is asked for candidates of every kind, slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from coordinator.coincidence import OpenEvent, find_coincidences, match_batch
from coordinator.flares import find_flares, flare_span_mjd_tai
from coordinator.flaring import may_have_flares
from coordinator.search import ObjectStore, objects_near

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coordinator.background import Background
    from coordinator.config import CoordinatorSettings
    from graph.model import Coincidence
    from graph.objects import Flares, ObjectColumns


class CandidateStore(ObjectStore, Protocol):
    """What the graph is asked for; `graph.event_store.EventStore` is one."""

    def objects_by_key(self, keys: Sequence[str]) -> ObjectColumns:
        """Return the objects of these keys."""

    def flares_in_window(self, from_mjd_tai: float, until_mjd_tai: float) -> Flares:
        """Return the detections of known blazars in a flare, in a closed time window [d, TAI]."""

    def flares_of(self, object_keys: Sequence[str], from_mjd_tai: float, until_mjd_tai: float) -> Flares:
        """Return those of some objects."""


class Matcher:
    """Finds coincidences both ways."""

    def __init__(self, store: CandidateStore, settings: CoordinatorSettings) -> None:
        self._store = store
        self._max_credible_level = settings.max_credible_level
        self._include_tests = settings.include_tests

    def of_event(self, entry: OpenEvent, background: Background) -> Iterator[tuple[Coincidence, ...]]:
        """Yield the coincidences of an event, slice by slice: known blazars in a flare first, for they are few."""
        if may_have_flares(entry.event):
            flares = self._store.flares_in_window(*flare_span_mjd_tai(entry.event))
            yield self._flares(entry, flares, background)
        for objects in objects_near(self._store, entry.event, entry.region, self._max_credible_level):
            yield find_coincidences(
                entry.event,
                entry.region,
                objects,
                background,
                max_credible_level=self._max_credible_level,
                include_tests=self._include_tests,
            )

    def of_objects(
        self, object_keys: Sequence[str], events: Sequence[OpenEvent], background: Background
    ) -> tuple[Coincidence, ...]:
        """Return the coincidences of some objects, as the graph has them, with some events."""
        found = match_batch(
            events,
            self._store.objects_by_key(object_keys),
            background,
            max_credible_level=self._max_credible_level,
            include_tests=self._include_tests,
        )
        may_flare = [entry for entry in events if may_have_flares(entry.event)]
        if not may_flare:
            return found
        spans = [flare_span_mjd_tai(entry.event) for entry in may_flare]
        flares = self._store.flares_of(object_keys, min(a for a, _ in spans), max(b for _, b in spans))
        if len(flares) == 0:
            return found
        return (*found, *(pair for entry in may_flare for pair in self._flares(entry, flares, background)))

    def _flares(self, entry: OpenEvent, flares: Flares, background: Background) -> tuple[Coincidence, ...]:
        return find_flares(
            entry,
            flares,
            background,
            max_credible_level=self._max_credible_level,
            include_tests=self._include_tests,
        )
