"""The coordinator's loop: messages in between two slices of work, offsets out once all work behind them is done.

What fails because the graph or Kafka is away is begun again after a pause, while messages are still read; nothing loses
its place. What fails alone waits by itself and does not hold up the others.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from compose.inbox import Inbox
from coordinator.forming import CoordinatorReport
from coordinator.priority import retry_s
from coordinator.service import Coordinator
from graph.errors import HeliographError

logger = logging.getLogger(__name__)

READING_S = 0.1
"""Time between two slices in which messages are read at most [s]: what is urgent among thousands is soon seen."""

MESSAGES_BETWEEN_SLICES = 2000
"""Messages read between two slices at most: some 50 ms until the coordinator knows what they are about."""

IDLE_S = 1.0
"""Longest wait for a message [s]; then the periodic work is looked at."""

REPORT_EVERY_S = 1.0
"""Least time between two reports while there is work [s]."""

FAILURES_IN_A_ROW = 5
"""Failures without a slice done after which a run that is to end gives up: a quarter of a minute of pauses."""


class Coordination:
    """Runs a coordinator on an inbox."""

    def __init__(
        self,
        coordinator: Coordinator,
        inbox: Inbox,
        beside: Callable[[], None],
        *,
        max_messages: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Parameters
        ----------
        beside : short periodic work that decides itself whether it is time.
        max_messages : read at a time.
        """
        self._coordinator = coordinator
        self._inbox = inbox
        self._beside = beside
        self._max_messages = max_messages
        self._clock = clock
        self._untaken: deque[Message] = deque()
        self._failures = 0
        self._resume_at_s = -float("inf")

    def run(self, on_batch: Callable[[CoordinatorReport], None], *, once: bool, stop: Callable[[], bool]) -> None:
        """Work until stopped, or until all that lies on the topics is done.

        Raises
        ------
        HeliographError : what failed cannot be mended by trying again, or with ``once`` it failed too often in a row.
        """
        has_worked, reported_at_s = False, -float("inf")
        while not stop():
            has_read = self._read()
            has_worked |= has_read
            try:
                self._hand_over()
                if self._clock() >= self._resume_at_s:
                    self._coordinator.step(rest=not once)
                    self._beside()
                    self._failures = 0
            except HeliographError as error:
                self._failed(error, once=once)
            self._inbox.done(self._coordinator.finished())
            self._inbox.commit()
            is_idle = self._coordinator.is_idle
            if has_worked and (is_idle or self._clock() >= reported_at_s + REPORT_EVERY_S):
                on_batch(self._coordinator.report)
                has_worked, reported_at_s = not is_idle, self._clock()
            if once and is_idle and not has_read and not self._untaken and self._inbox.is_at_end:
                return

    def _read(self) -> bool:
        """Read the messages that are there; wait for one where nothing is to be done. Return whether any came."""
        self._inbox.hold(self._coordinator.full_topics())
        until_s = self._clock() + READING_S
        paused_s = self._resume_at_s - self._clock()
        wait_s = min(max(self._coordinator.wait_s(), paused_s, 0.0), IDLE_S)
        has_read = False
        while messages := self._inbox.poll(self._max_messages, wait_s):
            has_read = True
            self._untaken += messages
            if self._clock() >= until_s or len(self._untaken) >= MESSAGES_BETWEEN_SLICES:
                break
            wait_s = 0.0
        return has_read

    def _hand_over(self) -> None:
        """Let the coordinator take what was read; what it cannot take now stays."""
        while self._untaken:
            message = self._untaken[0]
            place = (message.topic(), message.partition(), message.offset())
            self._coordinator.take(message.topic(), message.key(), message.value() or b"", place, _sent_at(message))
            self._untaken.popleft()

    def _failed(self, error: HeliographError, *, once: bool) -> None:
        """Pause after a failure, longer after each in a row."""
        self._failures += 1
        if not error.retryable or (once and self._failures >= FAILURES_IN_A_ROW):
            raise error
        pause_s = retry_s(self._failures)
        self._resume_at_s = self._clock() + pause_s
        logger.warning("%s The work waits, and its messages keep their places; next attempt in %g s.", error, pause_s)


def _sent_at(message: Message) -> datetime | None:
    """Return when a message was sent, by Kafka's timestamp, UTC."""
    kind, sent_ms = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(sent_ms / 1000.0, tz=UTC)
