"""The coordinator at work: what is new is matched with what is open, both ways, and the lists follow.

The story of a notice: its event is formed anew from all its notices, its region built, the objects of its window
fetched from the graph and matched, slice by slice; what no longer holds is withdrawn. The story of a detection: its
object, as the graph now has it, is matched with every open event. Either way a pair is written first, then published,
then marked as published; a restart in between repeats a step and changes nothing. Which slice of which work comes next
is up to `coordinator.agenda`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

import orjson

from coordinator.agenda import Agenda
from coordinator.background import Background
from coordinator.candidates import Associations
from coordinator.coincidence import OpenEvent, is_real, withdraw
from coordinator.config import CoordinatorSettings
from coordinator.forming import CoordinatorReport, Due, Forming
from coordinator.joint_events import JointEvents
from coordinator.lifecycle import event_from_notices, notice_order
from coordinator.lists import ListKeeper
from coordinator.matching import Matcher
from coordinator.posterior import Association
from coordinator.priority import Place, Steps, headline_of
from coordinator.publish import Publisher
from coordinator.windows import science_case_of
from graph.errors import HeliographError, MalformedPacketError
from graph.event_store import EventStore, StoredPairs, pair_properties, stored_coincidence
from graph.model import Coincidence, CoincidenceState, Event, EventState, Notice, ScienceCase
from graph.regions import Region, region_of
from graph.sender import Sender
from graph.topics import DEAD_LETTERS, NOTICES, OBJECTS

logger = logging.getLogger(__name__)

EVENTS_AT_A_TIME = 200
"""Events read in one round of statements; bounds its memory where each has a sky map of a megabyte."""

OBJECTS_AT_A_TIME = 500
"""New objects matched with all open events in one slice: a tenth of a second where each is in some wide maps."""

OBJECTS_WAITING = 100_000
"""New objects that wait at most before no more messages about any are read: some 20 MB."""

PAIRS_AT_A_TIME = 200
"""Pairs withdrawn or published in one slice: a quarter of a second with their VOEvents."""

MOST_HELD = 50_000
"""Pairs of an event that are held until all of them are known, so that each is told with its association probability;
beyond it, where no single one is likely, they are told before: some 100 MB."""


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
        self._joint_events = JointEvents(store, sender, self._publisher.teller(), include_tests=settings.include_tests)
        self._associations = Associations(store, settings)
        self._matcher = Matcher(store, settings)
        self._settings = settings
        self._background = settings.background()
        self._open: dict[str, OpenEvent] = {}
        self._agenda = Agenda(self, settings, clock)
        self._prepared: dict[str, tuple[Event, tuple[Notice, ...]]] = {}
        self._forming: dict[str, Forming] = {}
        self._new_objects: dict[str, None] = {}
        self._lists = ListKeeper(store, sender, self._publisher, settings, clock)
        self._report = CoordinatorReport()

    @property
    def report(self) -> CoordinatorReport:
        """What was done so far."""
        self._report.notices_repeated, self._report.notices_delayed = self._agenda.repeated, self._agenda.delayed
        self._report.lists_published = self._lists.published
        return self._report

    def use_background(self, background: Background) -> None:
        """Work out chance from this background from now on."""
        self._background = background

    def load_events(self) -> None:
        """Read the open events and their pairs from the graph; to be called once, before the first message."""
        self._joint_events.load()
        for event_keys in batched(self._store.event_keys(), EVENTS_AT_A_TIME):
            self._lists.note_pairs(event_keys)
            told = [(event_from_notices(notices), notices) for notices in self._store.notices_of(event_keys).values()]
            # A notice may have been stored and its event not yet formed: objects may match it all the same.
            self._store.write_events([(event, science_case_of(event), _located(notices)) for event, notices in told])
            for event, notices in told:
                self._publisher.remember(event, notices)
                region = self._region(event)
                self._keep_open(event, region)
                self._joint_events.remember(event, region)

    def take(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        place: Place | None = None,
        received: datetime | None = None,
    ) -> None:
        """Note what a message from the internal topics is about; the work is done by `step`.

        Parameters
        ----------
        place : of the message, to be told by `finished` once all that it asks for is done.
        received : when it was sent, UTC.
        """
        if topic == NOTICES and key is not None:
            event_key = key.decode(errors="replace")
            self._prepared.pop(event_key, None)
            self._agenda.note_notice(event_key, headline_of(value), place, received)
            return
        if topic == OBJECTS:
            try:
                body = orjson.loads(value)
                self._new_objects |= dict.fromkeys(f"{body['survey']}:{name}" for name in body["object_id"])
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                reason = {"stage": "coordinate", "reason": MalformedPacketError.reason, "message": str(error)}
                self._sender.send(DEAD_LETTERS, None, value, reason)
                self._sender.flush()
            else:
                self._agenda.note_objects(place)
                return
        self._agenda.note_nothing(place)

    def step(self, *, rest: bool = True) -> None:
        """Do one slice of what is most urgent.

        Parameters
        ----------
        rest : False does also what should rest first.

        Raises
        ------
        HeliographError : the slice failed; its work will be begun again.
        """
        if self._lists.is_due():
            self._agenda.note_lists()
        try:
            self._agenda.step(rest=rest)
        except HeliographError:
            self._report.failures += 1
            raise

    def work(self) -> None:
        """Do all that was noted so far."""
        while not self._agenda.is_empty:
            self.step(rest=False)

    def wait_s(self) -> float:
        """Return the time until there is something to do [s]; infinite where nothing waits."""
        return self._agenda.wait_s()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done, not even later."""
        return self._agenda.is_empty

    def full_topics(self) -> frozenset[str]:
        """Return the topics of which no more messages should be read for now."""
        objects = {OBJECTS} if len(self._new_objects) >= OBJECTS_WAITING else set()
        return frozenset({NOTICES, OBJECTS} if self._agenda.is_full else objects)

    def finished(self) -> list[Place]:
        """Return the places of messages behind which all work was finished since the last call."""
        return self._agenda.finished()

    def form_events(self, event_keys: Sequence[str]) -> None:
        """Form events from their notices and match each with the objects of its window, at once."""
        for event_key in event_keys:
            for _ in self.form(event_key):
                pass

    def form(self, event_key: str) -> Steps:
        """Form an event from its notices and match it with the objects of its window, slice by slice."""
        event, notices = self._prepare(event_key)
        if event is None:
            return
        self._publisher.remember(event, notices)
        region = self._region(event)
        self._keep_open(event, region)
        forming = self._forming[event_key] = Forming(event)
        try:
            if event_key in self._open and region is not None:
                yield from self._search(forming, region)
            yield from self._withdraw_others(forming)
            if event_key not in self._open:
                # What ends an event is told of its pairs with other events before its objects, which may be many.
                self._joint_events.form([(event, region)])
            yield from self._publish_held(forming)
            self._joint_events.form([(event, region)])
        finally:
            del self._forming[event_key]
        self._report.events_formed += 1
        self._agenda.note_settled(event_key, frozenset(notice.notice_id for notice in notices))

    def _prepare(self, event_key: str) -> tuple[Event | None, tuple[Notice, ...]]:
        """Return an event as its notices now tell it, once the graph has it; others are prepared with it."""
        if event_key not in self._prepared:
            told = self._store.notices_of(self._agenda.together_with(event_key))
            self._prepared |= {key: (event_from_notices(notices), notices) for key, notices in told.items()}
            self._store.write_events(
                [
                    (event, science_case_of(event), _located(notices))
                    for event, notices in (self._prepared[key] for key in told)
                ]
            )
        return self._prepared.pop(event_key, (None, ()))

    def _search(self, forming: Forming, region: Region) -> Steps:
        """Find the coincidences of an event and write them."""
        event = forming.event
        for number, found in enumerate(self._matcher.of_event(OpenEvent(event, region), self._background)):
            if number == 1:
                # A wide map takes its time: a burst that belongs to it is told before its objects.
                self._joint_events.form([(event, region)])
            if found:
                keys = [_key(pair)[0] for pair in found]
                self._hold(forming, found, self._store.coincidences_with(event.event_key, keys))
            yield
            if len(forming.due) > MOST_HELD:
                yield from self._publish_held(forming)

    def _withdraw_others(self, forming: Forming) -> Steps:
        """Withdraw the pairs of an event that are stored and were not found again."""
        event = forming.event
        for keys in batched(self._store.unsettled_objects_of(event.event_key), PAIRS_AT_A_TIME):
            lapsing = [key for key in keys if key not in forming.handled]
            stored = self._store.coincidences_with(event.event_key, lapsing)
            if stored:
                lapsed = withdraw([stored_coincidence(key, pair) for key, pair in stored.items()], event.revision)
                self._hold(forming, lapsed, stored)
                yield
        if any(pair.state is CoincidenceState.WITHDRAWN for pair, _ in forming.due.values()):
            self._agenda.note_withdrawal(science_case_of(event))

    def _hold(self, forming: Forming, pairs: Sequence[Coincidence], stored: StoredPairs) -> None:
        """Write pairs of an event that is being formed and keep those that are to be published."""
        due, _ = self._write(pairs, stored, {forming.event.event_key: forming.event})
        forming.handled |= {_key(pair)[0] for pair in pairs}
        forming.due |= due
        forming.stored |= {key: stored[key] for key in due if key in stored}

    def _publish_held(self, forming: Forming) -> Steps:
        """Publish the pairs of an event that are held."""
        event_key = forming.event.event_key
        forming.due = self._associations.worth_telling(forming.due, forming.stored)
        while forming.due:
            due = dict(islice(forming.due.items(), PAIRS_AT_A_TIME))
            open_pairs = [pair for pair, _ in due.values()]
            associations = self._associations.settle(open_pairs, self._open, self._background)
            self._publish(due, forming.stored, {event_key: forming.event}, associations)
            for key in due:
                del forming.due[key]
                forming.stored.pop(key, None)
            yield

    def match(self) -> Steps:
        """Match the objects that were noted with every open event, slice by slice."""
        keys, self._new_objects = list(self._new_objects), {}
        for start in range(0, len(keys), OBJECTS_AT_A_TIME):
            try:
                self.match_objects(keys[start : start + OBJECTS_AT_A_TIME])
            except HeliographError:
                self._new_objects = dict.fromkeys(keys[start:]) | self._new_objects
                raise
            yield

    def match_objects(self, object_keys: list[str]) -> None:
        """Match objects, as the graph has them, with every open event."""
        stored = self._store.coincidences_of_objects(object_keys)
        found = self._matcher.of_objects(object_keys, tuple(self._open.values()), self._background)
        standing = {_key(pair) for pair in found}
        lapsed = [
            replace(stored_coincidence(key, pair), state=CoincidenceState.WITHDRAWN)
            for key, pair in stored.items()
            if key not in standing and key[1] in self._open and pair["state"] == CoincidenceState.OPEN.value
        ]
        self._settle((*found, *lapsed), stored, {key: entry.event for key, entry in self._open.items()})
        for pair in (*found, *lapsed):
            if (forming := self._forming.get(pair.event_key)) is not None:
                # This is newer than what its event found a slice ago.
                forming.handled.add(_key(pair)[0])
                forming.due.pop(_key(pair), None)
        self._joint_events.match((*found, *lapsed))
        self._report.objects_matched += len(object_keys)
        self._lists.is_stale = True

    def publish_lists(self) -> None:
        """Rank the targets of every science case and publish the lists whose content has changed."""
        for _ in self.rank(tuple(ScienceCase)):
            pass

    def rank(self, cases: Iterable[ScienceCase]) -> Steps:
        """Rank the targets of some science cases, slice by slice, and publish lists whose content has changed."""
        return self._lists.rank(cases)

    def _settle(self, pairs: Sequence[Coincidence], stored: StoredPairs, events: dict[str, Event]) -> None:
        """Write pairs that differ from what is stored, publish those that differ from what was published."""
        due, associations = self._write(pairs, stored, events)
        self._publish(self._associations.worth_telling(due, stored), stored, events, associations)

    def _write(
        self, pairs: Sequence[Coincidence], stored: StoredPairs, events: dict[str, Event]
    ) -> tuple[Due, dict[str, Association]]:
        """Write pairs that differ from what is stored.

        Returns
        -------
        Those that differ from what was published, with their digests; what the candidates of each event are worth.
        """
        digests = {_key(pair): str(pair_properties(pair)["digest"]) for pair in pairs}
        known = [pair for pair in pairs if pair.state is CoincidenceState.OPEN or _key(pair) in stored]
        changed = [pair for pair in known if stored.get(_key(pair), {}).get("digest") != digests[_key(pair)]]
        if changed:
            self._lists.note_pairs({pair.event_key for pair in changed})
        self._store.write_coincidences(changed)
        associations = self._associations.settle(known, self._open, self._background)
        self._report.pairs_written += len(changed)
        due = {
            _key(pair): (pair, digests[_key(pair)])
            for pair in known
            if stored.get(_key(pair), {}).get("published_digest") != digests[_key(pair)]
            and is_real(events[pair.event_key])
        }
        return due, associations

    def _publish(
        self,
        due: Due,
        stored: StoredPairs,
        events: dict[str, Event],
        associations: dict[str, Association],
    ) -> None:
        """Publish pairs, then mark them as published."""
        if due:
            self._publisher.send_pairs(due, stored, events, associations)
            self._sender.flush()
            self._store.mark_published({key: digest for key, (_, digest) in due.items()})
        self._report.pairs_published += len(due)

    def _region(self, event: Event) -> Region | None:
        return None if event.localization is None else region_of(event.localization)

    def _keep_open(self, event: Event, region: Region | None) -> None:
        """Remember an event for the reverse match, or forget it when it can match nothing any more."""
        is_open = event.state is EventState.ACTIVE and event.is_astrophysical_burst and event.trigger_time is not None
        if is_open and region is not None and (is_real(event) or self._settings.include_tests):
            self._open[event.event_key] = OpenEvent(event, region)
        else:
            self._open.pop(event.event_key, None)


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
