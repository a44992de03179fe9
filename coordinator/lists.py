"""The follow-up lists kept up to date: ranked anew when it is time, and published if their content has changed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from coordinator.config import CoordinatorSettings
from coordinator.priority import Steps
from coordinator.publish import Publisher
from coordinator.ranking import (
    EVENT_CASES,
    MIN_DETECTIONS,
    SUPERNOVA,
    UNKNOWN_MAX_PROBABILITY,
    best_targets,
    make_list,
    rank_targets,
)
from coordinator.search import slices_of_time
from coordinator.standings import Standings
from graph.event_store import EventStore
from graph.model import ScienceCase, Target
from graph.sender import Sender
from graph.taxonomy import kinds_of

YOUNG_AT_A_TIME: Final = 20_000
"""Young objects looked at in one slice: some 20 ms, and most are of no use to a list."""


class ListKeeper:
    """Ranks and publishes the lists of all science cases."""

    def __init__(
        self,
        store: EventStore,
        sender: Sender,
        publisher: Publisher,
        settings: CoordinatorSettings,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._sender = sender
        self._publisher = publisher
        self._settings = settings
        self._clock = clock
        self._looked_at_s = clock()
        self._standings = Standings(store, settings.list_length)
        self.is_stale = True
        """Whether something has changed since all lists were looked at."""
        self.published = 0
        """Lists published so far."""

    def note_pairs(self, event_keys: Iterable[str]) -> None:
        """Note that pairs of some events change, or are not known yet."""
        self._standings.note(event_keys)
        self.is_stale = True

    def is_due(self) -> bool:
        """Return whether it is time to look at all lists; once told, not again for `list_interval_s`."""
        if not self.is_stale or self._clock() - self._looked_at_s < self._settings.list_interval_s:
            return False
        self._looked_at_s = self._clock()
        return True

    def rank(self, cases: Iterable[ScienceCase]) -> Steps:
        """Rank the targets of some science cases, slice by slice, and publish lists whose content has changed."""
        chosen = tuple(cases)
        if len(chosen) == len(ScienceCase):
            # Set before they are read: what changes meanwhile is looked at the next time.
            self.is_stale, self._looked_at_s = False, self._clock()
        yield from self._standings.refresh()
        now_mjd_tai = self._store.newest_midpoint_mjd_tai()
        for case in chosen:
            if case in EVENT_CASES:
                targets = self._of_events(case, now_mjd_tai)
            else:
                targets = yield from self._of_young_objects(case, now_mjd_tai)
            self._publish(case, targets)
            yield

    def _publish(self, case: ScienceCase, targets: Sequence[Target]) -> None:
        version, list_id, published_id = self._store.current_list(case)
        follow_up = make_list(case, version, targets)
        if version == 0 and not targets:
            return
        if follow_up.list_id != list_id:
            follow_up = replace(follow_up, version=version + 1)
            self._store.write_list(follow_up)
        elif published_id == list_id:
            return
        self._publisher.send_list(follow_up)
        self._sender.flush()
        self._store.mark_list_published(follow_up)
        self.published += 1

    def _of_events(self, case: ScienceCase, now_mjd_tai: float) -> tuple[Target, ...]:
        """Return the targets of a case of events."""
        pairs, objects = self._store.open_coincidences(case, self._standings.best(case))
        return rank_targets(case, objects, pairs, now_mjd_tai=now_mjd_tai, limit=self._settings.list_length)

    def _of_young_objects(self, case: ScienceCase, now_mjd_tai: float) -> Generator[None, None, tuple[Target, ...]]:
        """Return the targets of a case of objects alone; they are read and ranked in slices of time, oldest first."""
        is_supernova = case is ScienceCase.SUPERNOVA
        look = partial(
            self._store.young_objects,
            classes=kinds_of(SUPERNOVA) if is_supernova else None,
            max_probability=1.0 if is_supernova else UNKNOWN_MAX_PROBABILITY,
            min_detections=MIN_DETECTIONS,
        )
        limit = self._settings.list_length
        best: tuple[Target, ...] = ()
        since = now_mjd_tai - self._settings.list_window_d
        for objects in slices_of_time(look, since, now_mjd_tai, YOUNG_AT_A_TIME):
            found = rank_targets(case, objects, now_mjd_tai=now_mjd_tai, limit=limit)
            best = best_targets((best, found), limit)
            yield
        return best
