"""The candidates of every open event, and what they are worth together: kept in memory, written to the events.

Of each open pair only its evidence is kept, in columns of 17 bytes. They are read from the graph when an event is first
touched and follow its pairs from then on, so an object that comes or goes costs no look at the other candidates in the
graph. Sums run in the order of the keys and so do not depend on the order of arrival; every step may be repeated.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from coordinator.posterior import SURVEYS, Association, associate, share_seen
from coordinator.windows import science_case_of
from graph.model import CoincidenceState, Survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coordinator.background import Background
    from coordinator.coincidence import OpenEvent
    from coordinator.config import CoordinatorSettings
    from coordinator.forming import Due
    from coordinator.posterior import FloatArray, IntArray
    from graph.event_store import StoredPairs
    from graph.model import Coincidence


PROPERTIES: Final = (
    "counterpart_prior",
    "no_counterpart_probability",
    *(f"association_scale_{survey.value}" for survey in SURVEYS),
)
"""Properties of an event that say what its candidates are worth together."""


class EvidenceStore(Protocol):
    """What the graph is asked for; `graph.event_store.EventStore` is one."""

    def evidence_of(self, event_key: str) -> Iterable[tuple[str, float]]:
        """Return (object_key, log Bayes factor) of the open coincidences of an event."""

    def write_associations(self, associations: Mapping[str, Mapping[str, float | None]]) -> frozenset[str]:
        """Set properties of events, by key; return the keys of those that are stored."""


class Candidates:
    """The evidence of all open pairs of one event."""

    __slots__ = ("_evidence", "_keys", "_survey")

    def __init__(self, stored: Iterable[tuple[str, float]] = ()) -> None:
        self._keys = np.empty(0, dtype=np.uint64)
        self._evidence = np.empty(0)
        self._survey = np.empty(0, dtype=np.int8)
        self._merge({key: (Survey(key.partition(":")[0]), evidence) for key, evidence in stored})

    @property
    def evidence(self) -> FloatArray:
        """Log Bayes factor of each pair (n,), in the order of the hashed keys."""
        return self._evidence

    @property
    def survey(self) -> IntArray:
        """Number of each object's survey (n,) in `coordinator.posterior.SURVEYS`."""
        return self._survey.astype(np.int64)

    def update(self, pairs: Iterable[Coincidence]) -> None:
        """Take the newest state of some pairs of the event: open ones count, withdrawn ones no longer do."""
        self._merge(
            {
                f"{pair.survey.value}:{pair.object_id}": (pair.survey, pair.log_bayes_factor)
                if pair.state is CoincidenceState.OPEN
                else None
                for pair in pairs
            }
        )

    def _merge(self, states: Mapping[str, tuple[Survey, float] | None]) -> None:
        """Replace what is kept of some objects, None to forget them."""
        if not states:
            return
        hashed = sorted((_hash(key), state) for key, state in states.items() if state is not None)
        told = np.sort(np.array([_hash(key) for key in states], dtype=np.uint64))
        place = np.minimum(np.searchsorted(self._keys, told), max(len(self._keys) - 1, 0))
        kept = np.ones(len(self._keys), dtype=np.bool_)
        if len(self._keys):
            kept[place[self._keys[place] == told]] = False
        keys = np.array([key for key, _ in hashed], dtype=np.uint64)
        # Columns stay sorted by key, so that their sums are the same whatever came first.
        at = np.searchsorted(self._keys[kept], keys)
        self._keys = np.insert(self._keys[kept], at, keys)
        self._evidence = np.insert(self._evidence[kept], at, [state[1] for _, state in hashed])
        self._survey = np.insert(self._survey[kept], at, [SURVEYS.index(state[0]) for _, state in hashed])


class Associations:
    """Keeps the probabilities of all open events up to date."""

    def __init__(self, store: EvidenceStore, settings: CoordinatorSettings) -> None:
        self._store = store
        self._settings = settings
        self._candidates: dict[str, Candidates] = {}
        self._written: dict[str, Association | None] = {}

    def settle(
        self, pairs: Iterable[Coincidence], open_events: Mapping[str, OpenEvent], background: Background
    ) -> dict[str, Association]:
        """Take the newest states of pairs, which the graph may hold already, and write what that makes of their events.

        Parameters
        ----------
        pairs : of any events; all that changed, and others as wanted.
        open_events : those that can have candidates; nothing is said of the others any more.

        Returns
        -------
        What the candidates of each open event with one of the pairs are worth, by its key.
        """
        by_event: dict[str, list[Coincidence]] = defaultdict(list)
        for pair in pairs:
            by_event[pair.event_key].append(pair)
        found = {key: self._association(key, told, open_events.get(key), background) for key, told in by_event.items()}
        changed = {key: one for key, one in found.items() if key not in self._written or self._written[key] != one}
        if changed:
            # An event that its notices told of may not be stored yet; its state is then written the next time.
            stored = self._store.write_associations({key: _properties(one) for key, one in changed.items()})
            self._written |= {key: one for key, one in changed.items() if key in stored}
        return {key: one for key, one in found.items() if one is not None}

    def worth_telling(self, due: Due, stored: StoredPairs) -> Due:
        """Return the pairs that were told before, and those among the strongest of their events."""
        least = {event_key: self._least_evidence(event_key) for event_key in {event_key for _, event_key in due}}
        return {
            key: (pair, digest)
            for key, (pair, digest) in due.items()
            if stored.get(key, {}).get("published_number")
            or (pair.state is CoincidenceState.OPEN and pair.log_bayes_factor >= least[pair.event_key])
        }

    def _least_evidence(self, event_key: str) -> float:
        """Return the log Bayes factor that a pair of an event needs to be told."""
        evidence = self._candidates[event_key].evidence if event_key in self._candidates else np.empty(0)
        places = self._settings.told_pairs_max
        return float(np.partition(evidence, -places)[-places]) if len(evidence) > places else -np.inf

    def _association(
        self, event_key: str, pairs: Iterable[Coincidence], entry: OpenEvent | None, background: Background
    ) -> Association | None:
        """Return what the candidates of one event are worth, with some of its pairs told anew."""
        if entry is None:
            self._candidates.pop(event_key, None)
            return None
        if event_key not in self._candidates:
            self._candidates[event_key] = Candidates(self._store.evidence_of(event_key))
        candidates = self._candidates[event_key]
        candidates.update(pairs)
        prior = self._settings.counterpart_prior(science_case_of(entry.event))
        seen = share_seen(entry.event, entry.region, background, self._settings.max_credible_level)
        return associate(entry.event, candidates.evidence, candidates.survey, background=background, prior=prior * seen)


def _properties(association: Association | None) -> dict[str, float | None]:
    """Return the properties of an event's node; None for one that can have no counterpart."""
    if association is None:
        return dict.fromkeys(PROPERTIES)
    return {
        "counterpart_prior": association.counterpart_prior,
        "no_counterpart_probability": association.no_counterpart_probability,
        **{f"association_scale_{survey.value}": association.scale.get(survey.value) for survey in SURVEYS},
    }


def _hash(object_key: str) -> int:
    """Return 64 bits that stand for an object: among a million candidates two agree once in ten million events."""
    return int.from_bytes(hashlib.blake2b(object_key.encode(), digest_size=8).digest(), "big")
