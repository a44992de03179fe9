"""What is worked on next: lanes of work by urgency, each with a share: the urgent is prompt and nothing starves.

Work is done in slices. Between two slices the lane that has used least of its share goes on, the more urgent one first
where two are equal, so that a fresh burst waits for the slice under way and not for the whole sky map behind it. Within
a lane each has a turn; what is not done by then waits for the next. Work on one thing that comes again before it has
begun is the same work: it is done once.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Final

import orjson

from coordinator.coincidence import REAL_TENSES
from graph.model import AlertTense, AlertType, Messenger
from graph.times import parse_utc

EARLY_S: Final = 3600.0
"""Age of a trigger [s] up to which its notices are urgent: an afterglow has lost four fifths of its first light after
an hour, and Fermi's last position and LVK's first map have come by then."""

OLD_S: Final = 86_400.0
"""Time between the making of a notice and its reception [s] beyond which it is of an archive and can wait."""

SIGNIFICANT_FAR_HZ: Final = 1.0 / (30.4375 * 86_400.0)
"""False-alarm rate of a wave [Hz] below which it is urgent: once a month, LVK's bound for significant alerts of compact
binaries (LVK public alerts user guide, section on alert thresholds)."""


class Lane(IntEnum):
    """Kinds of work, the most urgent first."""

    URGENT = 0
    """Retractions, and the first notice of a fresh wave or burst."""
    FRESH = 1
    """The next notices of fresh waves and bursts."""
    NEUTRINO = 2
    """Neutrinos while they are fresh."""
    ROUTINE = 3
    """Later notices of events."""
    OBJECTS = 4
    """Objects that were seen."""
    LISTS = 5
    """Follow-up lists."""
    ARCHIVAL = 6
    """Notices of long ago, tests and drills."""
    DELAYED = 7
    """Notices beyond the rate of their mission."""


SHARES: Final = {
    Lane.URGENT: 32.0,
    Lane.FRESH: 12.0,
    Lane.NEUTRINO: 8.0,
    Lane.ROUTINE: 4.0,
    Lane.OBJECTS: 8.0,
    Lane.LISTS: 4.0,
    Lane.ARCHIVAL: 1.0,
    Lane.DELAYED: 1.0,
}
"""Share of the time of each lane while all have work; a choice: half for the urgent, a ninth for the objects, and the
last two get on by a minute in an hour."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What decides on the urgency of a notice, without its localization."""

    notice_id: str
    mission: str
    messenger: Messenger
    alert_type: AlertType
    alert_tense: AlertTense
    trigger_time: datetime | None
    alert_time: datetime | None
    far_hz: float | None
    is_astrophysical_burst: bool


def headline_of(body: bytes) -> Headline | None:
    """Return the headline of a notice in JSON, None where it has none: the graph knows the notice all the same."""
    try:
        fields = orjson.loads(body)
        times = [None if fields[name] is None else parse_utc(fields[name]) for name in ("trigger_time", "alert_time")]
        far_hz = fields["far_hz"]
        return Headline(
            notice_id=str(fields["notice_id"]),
            mission=str(fields["mission"]),
            messenger=Messenger(fields["messenger"]),
            alert_type=AlertType(fields["alert_type"]),
            alert_tense=AlertTense(fields["alert_tense"]),
            trigger_time=times[0],
            alert_time=times[1],
            far_hz=None if far_hz is None else float(far_hz),
            is_astrophysical_burst=bool(fields["is_astrophysical_burst"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def lane_of(notice: Headline | None, received: datetime | None = None) -> Lane:
    """Return how urgent a notice is.

    Parameters
    ----------
    received : when it came, UTC; None where that is not known, and then none is of an archive by its age.
    """
    if notice is None or notice.alert_tense not in REAL_TENSES or notice.alert_tense is AlertTense.ARCHIVAL:
        return Lane.ARCHIVAL
    made = notice.alert_time or received
    if received is not None and made is not None and (received - made).total_seconds() > OLD_S:
        return Lane.ARCHIVAL
    if notice.alert_type is AlertType.RETRACTION:
        return Lane.URGENT
    if not _is_early(notice, made):
        return Lane.ROUTINE
    return Lane.NEUTRINO if notice.messenger is Messenger.NEUTRINO else Lane.URGENT


def _is_early(notice: Headline, made: datetime | None) -> bool:
    """Return whether a notice tells of something that has just happened and is likely to be real."""
    if made is None or notice.trigger_time is None or not notice.is_astrophysical_burst:
        return False
    is_noise = notice.messenger is Messenger.GW and not (notice.far_hz or 0.0) <= SIGNIFICANT_FAR_HZ
    return not is_noise and abs((made - notice.trigger_time).total_seconds()) <= EARLY_S


TURN_S: Final = 0.5
"""Time of a turn [s]: an event of ordinary size is done in one, and many of them are not all late together."""

Place = tuple[str, int, int]
"""Topic, partition and offset of a message."""

Steps = Generator[None, None, None]
"""Work in slices: each step does one."""


@dataclass(slots=True)
class Task:
    """Work on one thing."""

    key: str
    lane: Lane
    begin: Callable[[], Steps]
    """Begins the work; called again after a failure."""
    places: list[Place] = field(default_factory=list)
    """Messages that are done with it."""
    ready_at_s: float = -math.inf
    """Time before which it is not begun [s], on the clock of the queue."""
    steps: Steps | None = None
    spent_s: float = 0.0
    """Time that its slices took so far [s]."""
    turn_s: float = 0.0
    """Time that they took since it is its turn [s]."""
    failures: int = 0
    """Failures in a row."""


class WorkQueue:
    """Everything that is to be done, by lane."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: dict[Lane, deque[Task]] = {lane: deque() for lane in Lane}
        self._used: dict[Lane, float] = dict.fromkeys(Lane, 0.0)
        self._resting: list[tuple[float, int, Task]] = []
        self._count = 0
        self._waiting: dict[str, Task] = {}
        self._begun: dict[str, Task] = {}
        self._places = 0

    def __len__(self) -> int:
        """Return on how many things work waits or is under way."""
        return len(self._waiting) + len(self._begun)

    @property
    def places(self) -> int:
        """Messages whose work is not done."""
        return self._places

    def is_waiting(self, key: str) -> bool:
        """Return whether work on a thing waits to be begun, perhaps once more."""
        return key in self._waiting

    def is_known(self, key: str) -> bool:
        """Return whether work on a thing waits or is under way."""
        return key in self._begun or key in self._waiting

    def add(
        self,
        key: str,
        lane: Lane,
        begin: Callable[[], Steps],
        *,
        places: Iterable[Place] = (),
        ready_at_s: float = -math.inf,
        anew: bool = False,
    ) -> None:
        """Add work on a thing, or make what waits on it as urgent; what is under way is done once more afterwards.

        Parameters
        ----------
        places : messages that are done with it.
        ready_at_s : time before which it is not begun [s].
        anew : what is under way is dropped and begun again at once.
        """
        added = list(places)
        self._places += len(added)
        begun = self._begun.get(key)
        if begun is not None and anew:
            if begun.steps is not None:
                begun.steps.close()
                begun.steps = None
            del self._begun[key]
            waiting = self._waiting.get(key)
            if waiting is not None:
                begun.places += waiting.places
            self._waiting[key] = begun
            begun.ready_at_s = -math.inf
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = Task(key, lane, begin, added, ready_at_s)
            if begun is None:
                self._enter(task)
            return
        task.places += added
        if task.failures and not anew:
            # More of what fails does not make it succeed sooner.
            ready_at_s = max(ready_at_s, task.ready_at_s)
        if lane < task.lane or ready_at_s < task.ready_at_s:
            if key in self._begun:
                task.lane, task.ready_at_s = min(lane, task.lane), min(ready_at_s, task.ready_at_s)
                return
            # The old one stays where it stands, empty, and is passed over when its turn comes.
            moved = Task(
                key, min(lane, task.lane), begin, task.places, min(ready_at_s, task.ready_at_s), failures=task.failures
            )
            self._waiting[key] = moved
            self._enter(moved)

    def attach(self, key: str, place: Place) -> None:
        """Let a message be done with the work on a thing that is known."""
        task = self._waiting.get(key) or self._begun[key]
        task.places.append(place)
        self._places += 1

    def lane_of(self, key: str) -> Lane | None:
        """Return the lane of the work that is under way on a thing, None where none is."""
        task = self._begun.get(key)
        return None if task is None else task.lane

    def next_keys(self, lane: Lane, most: int) -> list[str]:
        """Return things of a lane whose work begins next."""
        keys = (task.key for task in self._lanes[lane] if self._waiting.get(task.key) is task)
        return [key for _, key in zip(range(most), keys, strict=False)]

    def wait_s(self) -> float:
        """Return the time until there is something to do [s]; infinite where nothing waits."""
        self._wake()
        if any(self._head(lane) is not None for lane in Lane):
            return 0.0
        return max(self._resting[0][0] - self._clock(), 0.0) if self._resting else math.inf

    def step(self, *, rest: bool = True) -> Task | None:
        """Do one slice; return the task that it finished, None where it finished none.

        What fails goes back to be begun anew, after `retry_s` and after the others of its lane.

        Parameters
        ----------
        rest : False begins also what is to rest.
        """
        if not rest:
            self._wake(at_s=math.inf)
        self._wake()
        lanes = [lane for lane in Lane if self._head(lane) is not None]
        if not lanes:
            return None
        # A lane that had nothing to do does not save up its share.
        least = min(self._used[lane] for lane in lanes)
        lane = min(lanes, key=lambda one: (self._used[one], one))
        for idle in set(Lane).difference(lanes):
            self._used[idle] = max(self._used[idle], least)
        return self._run(self._lanes[lane].popleft(), lane)

    def _run(self, task: Task, lane: Lane) -> Task | None:
        """Do one slice of a task that was taken from its lane."""
        if task.steps is None:
            del self._waiting[task.key]
            self._begun[task.key] = task
        started_s = self._clock()
        try:
            if task.steps is None:
                task.steps = task.begin()
            next(task.steps)
        except StopIteration:
            pass
        except Exception:
            self._begin_again(task)
            raise
        else:
            self._take_turns(task, lane, self._clock() - started_s)
            return None
        finally:
            spent_s = self._clock() - started_s
            task.spent_s += spent_s
            self._used[lane] += spent_s / SHARES[lane]
        del self._begun[task.key]
        self._places -= len(task.places)
        if task.key in self._waiting:
            self._enter(self._waiting[task.key])
        return task

    def _take_turns(self, task: Task, lane: Lane, spent_s: float) -> None:
        """Put a task back: to the front until its turn is over, so that small work is done one after the other."""
        task.turn_s += spent_s
        if task.turn_s < TURN_S:
            self._lanes[lane].appendleft(task)
        else:
            task.turn_s = 0.0
            self._lanes[lane].append(task)

    def _begin_again(self, task: Task) -> None:
        task.steps = None
        task.failures += 1
        self._begun.pop(task.key, None)
        successor = self._waiting.pop(task.key, None)
        if successor is not None:
            task.places += successor.places
            task.lane = min(task.lane, successor.lane)
        self._waiting[task.key] = task
        task.ready_at_s = self._clock() + retry_s(task.failures)
        self._enter(task)

    def _enter(self, task: Task) -> None:
        """Put a task into its lane, or to rest."""
        if task.ready_at_s > self._clock():
            self._count += 1
            heapq.heappush(self._resting, (task.ready_at_s, self._count, task))
        else:
            self._lanes[task.lane].append(task)

    def _wake(self, at_s: float | None = None) -> None:
        """Put what has rested into its lane."""
        now_s = self._clock() if at_s is None else at_s
        while self._resting and self._resting[0][0] <= now_s:
            task = heapq.heappop(self._resting)[2]
            if self._waiting.get(task.key) is task:
                self._lanes[task.lane].append(task)

    def _head(self, lane: Lane) -> Task | None:
        """Return the next task of a lane; those that moved to another lane are dropped on the way."""
        waiting = self._lanes[lane]
        while waiting:
            task = waiting[0]
            if self._begun.get(task.key) is task or self._waiting.get(task.key) is task:
                return task
            waiting.popleft()
        return None


FIRST_RETRY_S: Final = 0.5
"""Wait before what failed is begun again [s]; each further failure in a row doubles it."""

LONGEST_RETRY_S: Final = 30.0
"""Longest such wait [s]: a graph that is back is noticed within half a minute."""


def retry_s(failures: int) -> float:
    """Return how long to wait after some failures in a row [s]."""
    return float(min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 30), LONGEST_RETRY_S))
