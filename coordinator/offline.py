"""Coincidences of recorded notices and objects without a graph and without a bus, by the service's own steps.

All notices of an event are there at once, so an event is formed in its final state; what an earlier revision would
have shown and a later one withdrew is not repeated, but the pairs of a retracted event are told as withdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from coordinator.coincidence import OpenEvent, match_batch
from coordinator.flares import find_flares
from coordinator.lifecycle import event_from_notices
from coordinator.ranking import EVENT_CASES, rank_targets
from coordinator.windows import science_case_of
from graph.model import Coincidence, CoincidenceState, Event, Notice, ScienceCase
from graph.regions import region_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from coordinator.background import Background
    from graph.objects import Flares, ObjectColumns

EVENTS_AT_A_TIME: Final = 200
"""Events whose regions are held at a time; bounds memory where each has a sky map of a megabyte."""


@dataclass(frozen=True, slots=True)
class RankedPair:
    """A coincidence with its place on the follow-up list of its science case."""

    event: Event
    pair: Coincidence
    rank: int | None
    """1 is first; None where the pair is withdrawn, another event explains the object better, or there is no list."""


def form_all(notices: Iterable[Notice]) -> tuple[Event, ...]:
    """Return the events that notices describe, by key; the order of the notices does not matter."""
    by_event: dict[str, list[Notice]] = {}
    for notice in notices:
        by_event.setdefault(notice.event_key, []).append(notice)
    return tuple(event_from_notices(by_event[key]) for key in sorted(by_event))


def correlate(
    events: Sequence[Event],
    objects: ObjectColumns,
    background: Background,
    *,
    max_credible_level: float,
    flares: Flares | None = None,
    include_tests: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[RankedPair, ...]:
    """Return every coincidence of some objects with some events, each with its rank.

    Parameters
    ----------
    events : each in the state that is to be matched.
    objects : the newest state of each.
    flares : of the known blazars among them.
    background, max_credible_level, include_tests : see `coordinator.coincidence.find_coincidences`.
    progress : called with the number of events done.

    Returns
    -------
    By science case, then by rank, then what has none by event, survey and object.

    Raises
    ------
    SkyMapError : a localization is no distribution on the sky.
    """
    pairs: list[Coincidence] = []
    done = 0
    for some in _batched(events, EVENTS_AT_A_TIME):
        located = [OpenEvent(event, region_of(event.localization)) for event in some if event.localization is not None]
        pairs += match_batch(
            located, objects, background, max_credible_level=max_credible_level, include_tests=include_tests
        )
        if flares is not None:
            for entry in located:
                pairs += find_flares(
                    entry, flares, background, max_credible_level=max_credible_level, include_tests=include_tests
                )
        done += len(some)
        progress(done)
    by_key = {event.event_key: event for event in events}
    ranks = _ranks(by_key, objects, pairs)
    ranked = [RankedPair(by_key[pair.event_key], pair, ranks.get(_identity(pair))) for pair in pairs]
    return tuple(sorted(ranked, key=_order))


def _ranks(
    events: Mapping[str, Event], objects: ObjectColumns, pairs: Sequence[Coincidence]
) -> dict[tuple[str, str, str], int]:
    """Return the place of each listed pair on the list of its case, as long as the list may be."""
    named = {(pair.survey.value, pair.object_id) for pair in pairs}
    keys = zip(objects.survey.tolist(), objects.object_id.tolist(), strict=True)
    few = objects.take(np.array([key in named for key in keys], dtype=np.bool_))
    now_mjd_tai = float(np.max(objects.first_midpoint_mjd_tai, initial=0.0))
    by_case: dict[ScienceCase, list[Coincidence]] = {case: [] for case in ScienceCase if case in EVENT_CASES}
    for pair in pairs:
        case = science_case_of(events[pair.event_key])
        if case in by_case and pair.state is CoincidenceState.OPEN:
            by_case[case].append(pair)
    return {
        (target.survey.value, target.object_id, target.event_key or ""): target.rank
        for case, members in by_case.items()
        for target in rank_targets(case, few, members, now_mjd_tai=now_mjd_tai, limit=max(len(members), 1))
    }


def _identity(pair: Coincidence) -> tuple[str, str, str]:
    return pair.survey.value, pair.object_id, pair.event_key


def _order(entry: RankedPair) -> tuple[str, bool, int, str, str, str]:
    pair, rank = entry.pair, entry.rank
    case = science_case_of(entry.event).value
    return case, rank is None, rank or 0, pair.event_key, pair.survey.value, pair.object_id


def _batched(events: Sequence[Event], size: int) -> Iterator[list[Event]]:
    rest = iter(events)
    while some := list(islice(rest, size)):
        yield some
