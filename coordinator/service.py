"""The coordinator at work: what is new is matched with what is open, both ways, and the lists follow.

The story of a notice: its event is formed anew from all its notices, its region built, the objects of its window
fetched from the graph and matched; what no longer holds is withdrawn. The story of a detection: its object, as the
graph now has it, is matched with every open event. Either way a pair is written first, then published, then marked as
published; a restart in between repeats a step and changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import orjson

from coordinator.background import Background
from coordinator.coincidence import OpenEvent, find_coincidences, is_real, level_searched, match_batch, supersede
from coordinator.config import CoordinatorSettings
from coordinator.joint_events import JointEvents
from coordinator.lifecycle import event_from_notices, notice_order
from coordinator.publish import Publisher
from coordinator.ranking import EVENT_CASES, SUPERNOVA_CLASSES, UNKNOWN_MAX_PROBABILITY, make_list, rank_targets
from coordinator.windows import science_case_of, window_of
from graph.errors import MalformedPacketError
from graph.event_store import EventStore, StoredPairs, pair_properties, stored_coincidence
from graph.model import Coincidence, CoincidenceState, Event, EventState, Notice, ScienceCase, Target
from graph.objects import ObjectColumns
from graph.regions import Region, region_of
from graph.sender import Sender
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai
from graph.topics import DEAD_LETTERS, NOTICES, OBJECTS

logger = logging.getLogger(__name__)

MAX_INDEX_RANGES = 256
"""HEALPix ranges asked of the graph for one region: more make the index look-ups cost more than they spare."""

FEW_OBJECTS = 2000
"""Objects in a time window below which all of them are taken: matching them is faster than making pixel ranges."""

MAX_OBJECTS = 5_000_000
"""Objects that one event is matched with at most: what fits into 2 GB of columns."""

EVENTS_AT_A_TIME = 200
"""Events formed in one round of statements; bounds its memory where each has a sky map of a megabyte."""

SMALL_SKY_DEG2 = 500.0
"""Regions larger than this are searched by time alone: the pixel index would return a good part of the sky [deg2]."""


@dataclass(slots=True)
class CoordinatorReport:
    """What the coordinator did since it started."""

    events_formed: int = 0
    objects_matched: int = 0
    pairs_written: int = 0
    pairs_published: int = 0
    lists_published: int = 0


class Coordinator:
    """Correlates notices with alerts; every method may be repeated without changing the outcome."""

    def __init__(
        self,
        store: EventStore,
        sender: Sender,
        settings: CoordinatorSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sender = sender
        self._publisher = Publisher(store, sender, settings)
        self._joint_events = JointEvents(store, sender, include_tests=settings.include_tests)
        self._settings = settings
        self._background = settings.background()
        self._clock = clock
        self._open: dict[str, OpenEvent] = {}
        self._new_notices: dict[str, None] = {}
        self._new_objects: dict[str, None] = {}
        self._lists_stale = True
        self._lists_looked_at = -float("inf")
        self.report = CoordinatorReport()

    def use_background(self, background: Background) -> None:
        """Work out chance from this background from now on."""
        self._background = background

    def load_events(self) -> None:
        """Read the open events and their pairs from the graph; to be called once, before the first message."""
        self._joint_events.load()
        for event_keys in batched(self._store.event_keys(), EVENTS_AT_A_TIME):
            for notices in self._store.notices_of(event_keys).values():
                event = event_from_notices(notices)
                self._publisher.remember(event, notices)
                region = self._region(event)
                self._keep_open(event, region)
                self._joint_events.remember(event, region)

    def take(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Note what a message from the internal topics is about; the work is done by `work`."""
        if topic == NOTICES and key is not None:
            self._new_notices[key.decode()] = None
        elif topic == OBJECTS:
            try:
                body = orjson.loads(value)
                self._new_objects |= dict.fromkeys(f"{body['survey']}:{name}" for name in body["object_id"])
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                reason = {"stage": "coordinate", "reason": MalformedPacketError.reason, "message": str(error)}
                self._sender.send(DEAD_LETTERS, None, value, reason)
                self._sender.flush()

    def work(self) -> None:
        """Match everything noted so far; look at the lists when it is time."""
        events, self._new_notices = self._new_notices, {}
        for event_keys in batched(events, EVENTS_AT_A_TIME):
            self.form_events(event_keys)
        objects, self._new_objects = self._new_objects, {}
        if objects:
            self.match_objects(list(objects))
        if self._lists_stale and self._clock() - self._lists_looked_at >= self._settings.list_interval_s:
            self.publish_lists()

    def form_events(self, event_keys: Sequence[str]) -> None:
        """Form events from their notices and match each with the objects of its window."""
        told = self._store.notices_of(event_keys)
        events = {key: event_from_notices(notices) for key, notices in told.items()}
        self._store.write_events(
            [(event, science_case_of(event), _located(told[key])) for key, event in events.items()]
        )
        stored = self._store.coincidences_of(list(events))
        previous: dict[str, list[Coincidence]] = {key: [] for key in events}
        for pair_key, state in stored.items():
            previous[pair_key[1]].append(stored_coincidence(pair_key, state))
        pairs: list[Coincidence] = []
        regions: dict[str, Region | None] = {}
        for key, event in events.items():
            self._publisher.remember(event, told[key])
            region = regions[key] = self._region(event)
            self._keep_open(event, region)
            pairs += supersede(previous[key], self._match_event(event, region), event.revision)
        self._settle(pairs, stored, events)
        self._joint_events.form([(event, regions[key]) for key, event in events.items()])
        self.report.events_formed += len(events)

    def _match_event(self, event: Event, region: Region | None) -> tuple[Coincidence, ...]:
        """Return the coincidences of an event with the objects of its window."""
        if region is None or event.trigger_time is None:
            return ()
        return find_coincidences(
            event,
            region,
            self._objects_near(event, region, event.trigger_time),
            self._background,
            max_credible_level=self._settings.max_credible_level,
            include_tests=self._settings.include_tests,
        )

    def match_objects(self, object_keys: list[str]) -> None:
        """Match objects, as the graph has them, with every open event."""
        objects = self._store.objects_by_key(object_keys)
        stored = self._store.coincidences_of_objects(object_keys)
        found = match_batch(
            tuple(self._open.values()),
            objects,
            self._background,
            max_credible_level=self._settings.max_credible_level,
            include_tests=self._settings.include_tests,
        )
        standing = {_key(pair) for pair in found}
        lapsed = [
            replace(stored_coincidence(key, pair), state=CoincidenceState.WITHDRAWN)
            for key, pair in stored.items()
            if key not in standing and key[1] in self._open and pair["state"] == CoincidenceState.OPEN.value
        ]
        self._settle((*found, *lapsed), stored, {key: entry.event for key, entry in self._open.items()})
        self._joint_events.match((*found, *lapsed))
        self.report.objects_matched += len(objects)
        self._lists_stale = True

    def publish_lists(self) -> None:
        """Rank the targets of every science case and publish the lists whose content has changed."""
        now_mjd_tai = self._store.newest_midpoint_mjd_tai()
        for case in ScienceCase:
            targets = self._targets(case, now_mjd_tai)
            version, list_id, published_id = self._store.current_list(case)
            follow_up = make_list(case, version, targets)
            if version == 0 and not targets:
                continue
            if follow_up.list_id != list_id:
                follow_up = replace(follow_up, version=version + 1)
                self._store.write_list(follow_up)
            elif published_id == list_id:
                continue
            self._publisher.send_list(follow_up)
            self._sender.flush()
            self._store.mark_list_published(follow_up)
            self.report.lists_published += 1
        self._lists_stale = False
        self._lists_looked_at = self._clock()

    def _targets(self, case: ScienceCase, now_mjd_tai: float) -> tuple[Target, ...]:
        pairs: Iterable[Coincidence] = ()
        since = now_mjd_tai - self._settings.list_window_d
        if case in EVENT_CASES:
            pairs, objects = self._store.open_coincidences(case)
        elif case is ScienceCase.SUPERNOVA:
            objects = self._store.young_objects(since, sorted(SUPERNOVA_CLASSES), 1.0)
        else:
            objects = self._store.young_objects(since, None, UNKNOWN_MAX_PROBABILITY)
        return rank_targets(case, objects, pairs, now_mjd_tai=now_mjd_tai, limit=self._settings.list_length)

    def _settle(self, pairs: Iterable[Coincidence], stored: StoredPairs, events: dict[str, Event]) -> None:
        """Write pairs that differ from what is stored, publish those that differ from what was published."""
        digests = {_key(pair): str(pair_properties(pair)["digest"]) for pair in pairs}
        known = [pair for pair in pairs if pair.state is CoincidenceState.OPEN or _key(pair) in stored]
        changed = [pair for pair in known if stored.get(_key(pair), {}).get("digest") != digests[_key(pair)]]
        self._store.write_coincidences(changed)
        due = [
            pair
            for pair in known
            if stored.get(_key(pair), {}).get("published_digest") != digests[_key(pair)]
            and is_real(events[pair.event_key])
        ]
        if due:
            self._publisher.send_pairs({_key(pair): (pair, digests[_key(pair)]) for pair in due}, stored, events)
            self._sender.flush()
            self._store.mark_published({_key(pair): digests[_key(pair)] for pair in due})
        self._lists_stale |= bool(changed)
        self.report.pairs_written += len(changed)
        self.report.pairs_published += len(due)

    def _region(self, event: Event) -> Region | None:
        return None if event.localization is None else region_of(event.localization)

    def _keep_open(self, event: Event, region: Region | None) -> None:
        """Remember an event for the reverse match, or forget it when it can match nothing any more."""
        is_open = event.state is EventState.ACTIVE and event.is_astrophysical_burst and event.trigger_time is not None
        if is_open and region is not None and (is_real(event) or self._settings.include_tests):
            self._open[event.event_key] = OpenEvent(event, region)
        else:
            self._open.pop(event.event_key, None)

    def _objects_near(self, event: Event, region: Region, trigger_time: datetime) -> ObjectColumns:
        """Return the objects of the event's window, from the pixel index where that spares more than it costs."""
        window, trigger = window_of(event), datetime_to_mjd_tai(trigger_time)
        first = trigger + window.start_s / SECONDS_PER_DAY
        last = trigger + window.stop_s / SECONDS_PER_DAY
        few = self._store.objects_in_window(first, last, FEW_OBJECTS + 1)
        if len(few) <= FEW_OBJECTS:
            return few
        level = level_searched(region, self._settings.max_credible_level)
        if region.area_deg2(level) > SMALL_SKY_DEG2:
            found = self._store.objects_in_window(first, last, MAX_OBJECTS)
            if len(found) == MAX_OBJECTS:
                logger.error("%s: only %d objects of its window were matched", event.event_key, MAX_OBJECTS)
            return found
        # Ranges are half open in `graph.regions` and closed in the index look-up.
        ranges = [(int(start), int(stop) - 1) for start, stop in region.cover(level, MAX_INDEX_RANGES)]
        return self._store.objects_in_ranges(first, last, ranges)


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield the items in lists of a size; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _located(notices: Iterable[Notice]) -> list[str]:
    """Return the identifiers of the notices that give a place, oldest first."""
    return [n.notice_id for n in sorted(notices, key=notice_order) if n.localization is not None]


def _key(pair: Coincidence) -> tuple[str, str]:
    return f"{pair.survey.value}:{pair.object_id}", pair.event_key
