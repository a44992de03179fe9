"""The objects that stand highest with each event: kept in memory, so that a list reads again only what has changed.

A wide map has tens of thousands of pairs and a list has fifty places. An object among the strongest of a case is among
the strongest of the event that it is there for, so the strongest pairs of each event are all that is needed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from coordinator.priority import Steps
    from graph.event_store import StrongestPairs
    from graph.model import ScienceCase

EVENTS_AT_A_TIME: Final = 10
"""Events read in one slice: 50 ms for one with 28,000 pairs, and hardly any has as many."""


class PairStore(Protocol):
    """What the graph is asked for; `graph.event_store.EventStore` is one."""

    def strongest_pairs(
        self, event_keys: Sequence[str], limit: int
    ) -> Mapping[str, tuple[ScienceCase, StrongestPairs]]:
        """Return the case of each of some events and its strongest open pairs; events without any are left out."""


class Standings:
    """Follows the strongest pairs of all events."""

    def __init__(self, store: PairStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._strongest: dict[str, tuple[ScienceCase, StrongestPairs]] = {}
        self._changed: dict[str, None] = {}

    def note(self, event_keys: Iterable[str]) -> None:
        """Note that pairs of some events change, or are not known yet."""
        self._changed |= dict.fromkeys(event_keys)

    def refresh(self) -> Steps:
        """Read the events that have changed, some in each slice."""
        while self._changed:
            event_keys = list(islice(self._changed, EVENTS_AT_A_TIME))
            found = self._store.strongest_pairs(event_keys, self._limit)
            for event_key in event_keys:
                self._strongest.pop(event_key, None)
                del self._changed[event_key]
            self._strongest |= found
            yield

    def best(self, case: ScienceCase) -> list[str]:
        """Return the keys of the objects with the strongest pairs with events of a case, the strongest first."""
        strongest: dict[str, float] = {}
        for of_case, pairs in self._strongest.values():
            if of_case is case:
                for object_key, evidence in pairs:
                    strongest[object_key] = max(evidence, strongest.get(object_key, evidence))
        return sorted(strongest, key=lambda object_key: (-strongest[object_key], object_key))[: self._limit]
