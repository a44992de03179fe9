"""A circuit breaker: leaves a service alone that keeps failing, and asks now and then whether it is back.

Closed lets every request pass and counts failures in a row. Open lets none pass. When its time is over, half-open lets
one pass: if that succeeds the breaker closes, else it opens for twice as long. A request carries a ticket from
`CircuitBreaker.admit`; what a request says that was admitted before the last change of state no longer counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum

FAILURES_TO_OPEN = 5
"""Failures in a row that open the breaker: more than the retries of one request, so that one bad request alone does
not stop the others, and few enough that an outage costs seconds."""

OPEN_S = 30.0
"""How long it stays open at first [s]; CDS's outages last minutes to hours."""

MAX_OPEN_S = 900.0
"""How long it stays open at most [s]: an outage of a night costs a request each quarter of an hour."""

_log = logging.getLogger(__name__)


class BreakerState(StrEnum):
    """What a breaker lets pass: all, nothing, one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """The breaker of one service and catalogue; may be used from several threads."""

    def __init__(
        self,
        name: str = "service",
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        open_s: float = OPEN_S,
        max_open_s: float = MAX_OPEN_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._failures_to_open = failures_to_open
        self._first_open_s = open_s
        self._max_open_s = max_open_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._ticket = 0
        self._failures = 0
        self._next_open_s = open_s
        self._until = 0.0

    @property
    def state(self) -> BreakerState:
        """The state at this moment; open until a request asks after its time is over."""
        return self._state

    def admit(self) -> int | None:
        """Return a ticket for one request, None when it must not be sent."""
        with self._lock:
            if self._state is BreakerState.CLOSED:
                return self._ticket
            if self._state is BreakerState.OPEN and self._monotonic() >= self._until:
                self._change(BreakerState.HALF_OPEN)
                return self._ticket
            return None

    def succeed(self, ticket: int) -> None:
        """Record that an admitted request was answered."""
        with self._lock:
            if ticket != self._ticket or self._state is BreakerState.OPEN:
                return
            self._failures = 0
            if self._state is BreakerState.HALF_OPEN:
                self._next_open_s = self._first_open_s
                self._change(BreakerState.CLOSED)

    def fail(self, ticket: int, hold_s: float = 0.0) -> None:
        """Record that an admitted request was not answered.

        Parameters
        ----------
        hold_s : how long the service asks to be left alone [s]; opens the breaker at once for that time, or for
            `MAX_OPEN_S` if that is shorter.
        """
        with self._lock:
            if ticket != self._ticket or self._state is BreakerState.OPEN:
                return
            self._failures += 1
            if hold_s > 0.0:
                self._open(min(hold_s, self._max_open_s))
            elif self._state is BreakerState.HALF_OPEN or self._failures >= self._failures_to_open:
                self._open(self._next_open_s)
                self._next_open_s = min(2.0 * self._next_open_s, self._max_open_s)

    def abandon(self, ticket: int) -> None:
        """Record that an admitted request was given up here, which says nothing about the service."""
        with self._lock:
            if ticket == self._ticket and self._state is BreakerState.HALF_OPEN:
                self._open(0.0)

    def _open(self, for_s: float) -> None:
        self._until = self._monotonic() + for_s
        self._failures = 0
        self._change(BreakerState.OPEN)
        if for_s > 0.0:
            _log.warning("%s keeps failing and is left alone for %.0f s", self._name, for_s)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._ticket += 1
