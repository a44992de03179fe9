"""How much may come how fast: notices of a mission by a token bucket, new states of one thing by a pace.

Nothing is refused here. What comes too fast waits: a notice in the slowest lane, an event until it has rested.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

logger = logging.getLogger(__name__)

MOST_SOURCES: Final = 1000
"""Missions whose rate is followed at a time; beyond it, as for made-up names, the one that was quiet longest is
forgotten."""

MOST_PACED: Final = 20_000
"""Events whose pace is followed at a time: more than speak within a day."""

REST_PER_WORK: Final = 4.0
"""Time for which an event rests, in units of the time that its last state took: one event gets a fifth of the time at
most, however often it is revised and however large its map is."""


@dataclass(slots=True)
class TokenBucket:
    """Lets a burst pass and then a steady rate."""

    rate_per_s: float
    """Tokens that come in [1/s]."""
    burst: float
    """Tokens that it holds."""
    tokens: float
    at_s: float
    """When ``tokens`` was right [s], on the caller's clock."""

    def take(self, now_s: float) -> bool:
        """Take one token; return False where there is none."""
        self.tokens = min(self.burst, self.tokens + max(now_s - self.at_s, 0.0) * self.rate_per_s)
        self.at_s = now_s
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Flow(StrEnum):
    """What a notice says of its event."""

    NEW = "new"
    REVISION = "revision"
    RETRACTION = "retraction"


class SourceLimits:
    """Buckets for each mission: a flood of revisions holds up neither its new events nor its retractions."""

    def __init__(self, rate_per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, Flow], TokenBucket] = OrderedDict()
        self.delayed: Counter[str] = Counter()
        """Notices beyond the rate, by mission."""

    def admit(self, mission: str, flow: Flow) -> bool:
        """Count a notice; return False where it is to wait."""
        now_s = self._clock()
        key = (mission, flow)
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            bucket = TokenBucket(self._rate_per_s, self._burst, self._burst, now_s)
        self._buckets[key] = bucket
        if len(self._buckets) > len(Flow) * MOST_SOURCES:
            self._buckets.popitem(last=False)
        if bucket.take(now_s):
            return True
        if mission not in self.delayed:
            logger.warning("%.80s sends more than %g notices/s: what is beyond waits.", mission, self._rate_per_s)
        self.delayed[mission if mission in self.delayed or len(self.delayed) < MOST_SOURCES else "others"] += 1
        return False


class Pace:
    """Says when a thing that was just worked on may be worked on again."""

    def __init__(self, least_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Parameters
        ----------
        least_s : shortest rest [s].
        """
        self._least_s = least_s
        self._clock = clock
        self._ready_at_s: OrderedDict[str, float] = OrderedDict()

    def note(self, key: str, spent_s: float) -> None:
        """Let a thing rest after work that took so long [s]."""
        self._ready_at_s.pop(key, None)
        self._ready_at_s[key] = self._clock() + max(self._least_s, REST_PER_WORK * spent_s)
        if len(self._ready_at_s) > MOST_PACED:
            self._ready_at_s.popitem(last=False)

    def ready_at_s(self, key: str) -> float:
        """Return when work on a thing may begin [s]; minus infinity for one that was not worked on lately."""
        return self._ready_at_s.get(key, -math.inf)
