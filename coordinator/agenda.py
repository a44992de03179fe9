"""What the coordinator has to do: messages in, slices of work in the order of their urgency, finished messages out.

A notice that was settled before costs a look into a table. Notices of one event that come before its turn are one piece
of work, in which the event is formed from all of them. A message is finished when all work behind it is done, so that
its offset may be committed then and not before.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from coordinator.config import CoordinatorSettings
from coordinator.limits import MOST_PACED, Flow, Pace, SourceLimits
from coordinator.priority import Headline, Lane, Place, Steps, WorkQueue, lane_of
from graph.model import AlertType, ScienceCase

MOST_PLACES: Final = 100_000
"""Messages that wait for their work at most [1]; beyond it no more are read: some 50 MB."""

FRESH_STATES: Final = 5
"""States of a fresh event after the first that go before routine [1]: Fermi's chain has four positions, LVK's five."""

PREPARED_AT_A_TIME: Final = 20
"""Events read and written together where nobody is in a hurry: a round trip costs as much as the rest."""

_EVENT: Final = "event:"
_LIST: Final = "list:"
_LISTS: Final = "lists"
_OBJECTS: Final = "objects"


class Works(Protocol):
    """What can be done; every piece of work may be begun again."""

    def form(self, event_key: str) -> Steps:
        """Form an event from its notices and settle its coincidences."""

    def match(self) -> Steps:
        """Match the objects that were noted."""

    def rank(self, cases: Iterable[ScienceCase]) -> Steps:
        """Publish the lists of some cases."""


class Agenda:
    """Orders the work; reads no message and touches no graph itself."""

    def __init__(
        self, works: Works, settings: CoordinatorSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._works = works
        self._queue = WorkQueue(clock)
        self._limits = SourceLimits(settings.notices_per_s, settings.notices_burst, clock)
        self._pace = Pace(settings.coalesce_s, clock)
        self._settled: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._states: OrderedDict[str, int] = OrderedDict()
        self._pending: dict[str, set[str]] = defaultdict(set)
        self._finished: list[Place] = []
        self.repeated = 0
        """Notices that had been settled, or were waiting, when they came again."""

    @property
    def delayed(self) -> dict[str, int]:
        """Notices beyond the rate of their mission, by mission."""
        return dict(self._limits.delayed)

    @property
    def is_full(self) -> bool:
        """Whether no more messages should be read for now."""
        return self._queue.places >= MOST_PLACES

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done, not even later."""
        return len(self._queue) == 0

    def note_notice(
        self, event_key: str, notice: Headline | None, place: Place | None = None, received: datetime | None = None
    ) -> None:
        """Note that there is a notice on an event.

        Parameters
        ----------
        notice : None where the message could not be read; the event is formed all the same.
        place : of the message; None where nobody wants to know when it is done.
        received : when it came, UTC.
        """
        key = _EVENT + event_key
        if notice is not None and notice.notice_id in self._settled.get(event_key, ()):
            self.repeated += 1
            self.note_nothing(place)
            return
        if notice is not None and notice.notice_id in self._pending.get(event_key, ()):
            self.repeated += 1
            if place is not None:
                self._queue.attach(key, place)
            return
        lane = lane_of(notice, received)
        if notice is not None:
            is_new = event_key not in self._settled and not self._queue.is_known(key)
            flow = Flow.NEW if is_new else Flow.REVISION
            if notice.alert_type is AlertType.RETRACTION:
                flow = Flow.RETRACTION
            if not self._limits.admit(notice.mission, flow):
                lane = Lane.DELAYED
            self._pending[event_key].add(notice.notice_id)
        ends = lane is Lane.URGENT and notice is not None and notice.alert_type is AlertType.RETRACTION
        if lane is Lane.URGENT and not ends and event_key in self._states:
            lane = Lane.FRESH if self._states[event_key] < FRESH_STATES else Lane.ROUTINE
        self._queue.add(
            key,
            lane,
            partial(self._works.form, event_key),
            places=() if place is None else (place,),
            ready_at_s=-math.inf if ends else self._pace.ready_at_s(key),
            anew=ends,
        )

    def note_objects(self, place: Place | None = None) -> None:
        """Note that there are objects to match."""
        self._queue.add(_OBJECTS, Lane.OBJECTS, self._works.match, places=() if place is None else (place,))

    def note_nothing(self, place: Place | None) -> None:
        """Note that nothing is to be done about a message."""
        if place is not None:
            self._finished.append(place)

    def note_lists(self) -> None:
        """Note that all lists are to be looked at."""
        self._queue.add(_LISTS, Lane.LISTS, partial(self._works.rank, tuple(ScienceCase)))

    def note_withdrawal(self, case: ScienceCase) -> None:
        """Note that a list names what was withdrawn: it is to be told at once."""
        key = _LIST + case.value
        begin = partial(self._works.rank, (case,))
        self._queue.add(key, Lane.URGENT, begin, ready_at_s=self._pace.ready_at_s(key))

    def note_settled(self, event_key: str, notice_ids: frozenset[str]) -> None:
        """Note that an event is settled as far as some notices go."""
        self._settled.pop(event_key, None)
        self._settled[event_key] = notice_ids
        self._states[event_key] = self._states.pop(event_key, 0) + 1
        if len(self._settled) > MOST_PACED:
            self._settled.popitem(last=False)
            self._states.popitem(last=False)
        if self._queue.is_waiting(_EVENT + event_key):
            self._pending[event_key] -= notice_ids
        else:
            self._pending.pop(event_key, None)

    def together_with(self, event_key: str) -> list[str]:
        """Return an event and those that may be read with it: the next of its lane, alone where it is urgent."""
        lane = self._queue.lane_of(_EVENT + event_key)
        if lane is None or lane is Lane.URGENT:
            return [event_key]
        keys = self._queue.next_keys(lane, PREPARED_AT_A_TIME)
        return [event_key, *(key.removeprefix(_EVENT) for key in keys if key.startswith(_EVENT))]

    def wait_s(self) -> float:
        """Return the time until there is something to do [s]; infinite where nothing waits."""
        return self._queue.wait_s()

    def step(self, *, rest: bool = True) -> None:
        """Do one slice of what is most urgent.

        Parameters
        ----------
        rest : False does also what should rest first.
        """
        task = self._queue.step(rest=rest)
        if task is not None:
            self._finished += task.places
            if task.key not in (_OBJECTS, _LISTS):
                self._pace.note(task.key, task.spent_s)

    def finished(self) -> list[Place]:
        """Return the messages that were finished since the last call."""
        places, self._finished = self._finished, []
        return places
