"""When to ask again: clocks, pauses and chance in one place, so that a test can give its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_PAUSE_S = 0.5
"""Mean of the first pause is half of this [s]; an overloaded service needs that long to end what it is doing."""

MAX_PAUSE_S = 30.0
"""Longest pause before another attempt [s]. A service that asks for a longer one is not waited for: the breaker opens,
and the caller comes back."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """Clocks, pauses and chance."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never go back."""
    unix_s: Callable[[], float] = time.time
    """The calendar [s since 1970 UTC]: an answer on disk has an age that outlives the process."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
    """A random number between two, for pauses that do not come at once from all clients."""


def pause_s(attempt: int, retry_after_s: float, pacing: Pacing) -> float:
    """Return how long to wait before an attempt [s].

    Parameters
    ----------
    attempt : 1 for the first repetition.
    retry_after_s : what the service asked for [s]; it is waited for, and the jitter on top of it.

    Notes
    -----
    Exponential back-off with full jitter: anything from nothing to a bound that doubles each time.
    """
    bound = min(FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 16), MAX_PAUSE_S)
    return max(retry_after_s, 0.0) + pacing.uniform(0.0, bound)


def read_retry_after(text: str, pacing: Pacing) -> float:
    """Return the seconds that a ``Retry-After`` header asks for, 0 when it says nothing that can be read.

    References
    ----------
    RFC 9110, section 10.2.3: seconds, or a date.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(moment.timestamp() - pacing.unix_s(), 0.0)
