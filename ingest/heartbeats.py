"""Whether the link to a source of notices lives: gaps between its heartbeats, by their own times and by our clock.

A quiet night and a broken link look the same on topics of notices. GCN therefore sends one heartbeat a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

import orjson

from graph.heartbeats import SourceState, to_bytes
from graph.sender import Sender
from graph.times import parse_utc
from graph.topics import HEARTBEAT

logger = logging.getLogger(__name__)

HEARTBEAT_TOPICS: Mapping[str, str] = MappingProxyType({"gcn.heartbeat": "gcn"})
"""Topic of heartbeats -> the source that sends them. LVK's hourly mock events are none: they pause with LVK's own test
stream, not with the link."""

STATE_INTERVAL_S = 10.0
"""Time between two messages on a state that stays the same [s]: a tenth of the heartbeats, and still often enough that
a reader sees within a minute, the default limit of a gap, that the listener itself has ended."""

MAX_HEARTBEAT_BYTES = 65_536
"""Largest heartbeat that is read [bytes]; GCN's have some 150. Of a larger one only the arrival counts."""


@dataclass(slots=True)
class _Pulse:
    """What is known of one source."""

    last_received: datetime
    last_heartbeat: datetime | None = None
    own_gap_s: float = 0.0
    """Between the last two heartbeats, by their own times [s]."""
    ok: bool = True
    told: datetime | None = None
    """When the last message on it was sent [UTC]."""


class HeartbeatWatch:
    """Takes heartbeats, says when they stop and when they go on, and publishes both on ``heliograph.heartbeat``."""

    def __init__(
        self, sender: Sender, now: Callable[[], datetime], max_gap_s: float, expected: Iterable[str] = ()
    ) -> None:
        """Begin to wait.

        Parameters
        ----------
        now : the clock [UTC].
        max_gap_s : longest gap that is none to speak of [s].
        expected : sources that must send heartbeats; of others, a gap counts from their first one.
        """
        self._sender = sender
        self._now = now
        self._max_gap_s = max_gap_s
        self._pulses = {source: _Pulse(now()) for source in expected}

    def take(self, topic: str, payload: bytes) -> bool:
        """Take a message if it is a heartbeat; return whether it was.

        Notes
        -----
        Bytes that state no time are a heartbeat all the same: something came over the link.
        """
        source = HEARTBEAT_TOPICS.get(topic)
        if source is None:
            return False
        now = self._now()
        pulse = self._pulses.setdefault(source, _Pulse(now))
        stated = _stated_time(payload)
        if stated is not None:
            known = pulse.last_heartbeat
            # Partitions may be read in another order than the heartbeats were sent in.
            pulse.own_gap_s = 0.0 if known is None else max(0.0, (stated - known) / timedelta(seconds=1))
            pulse.last_heartbeat = stated
        # A silence that ends before anybody looked is one all the same.
        self._judge(source, pulse, now)
        pulse.last_received = max(now, pulse.last_received)
        return True

    def look(self) -> None:
        """Judge all sources now and publish what is new, or old enough to be said again."""
        now = self._now()
        for source, pulse in self._pulses.items():
            self._judge(source, pulse, now)
            if pulse.told is None or (now - pulse.told) / timedelta(seconds=1) >= STATE_INTERVAL_S:
                self._tell(source, pulse, now)

    def states(self) -> tuple[SourceState, ...]:
        """Return how each source does now."""
        now = self._now()
        return tuple(self._state(source, pulse, now) for source, pulse in sorted(self._pulses.items()))

    def _state(self, source: str, pulse: _Pulse, now: datetime) -> SourceState:
        waited_s = max(0.0, (now - pulse.last_received) / timedelta(seconds=1))
        gap_s = max(waited_s, pulse.own_gap_s)
        return SourceState(source, pulse.last_heartbeat, pulse.last_received, gap_s, gap_s <= self._max_gap_s)

    def _judge(self, source: str, pulse: _Pulse, now: datetime) -> None:
        """Say it once when a gap begins to count, and once when it is over."""
        state = self._state(source, pulse, now)
        if state.ok == pulse.ok:
            return
        pulse.ok = state.ok
        if state.ok:
            logger.info("heartbeats of %s come again", source)
        else:
            logger.warning("no heartbeat of %s for %.0f s; notices may be late or lost", source, state.gap_s)
        self._tell(source, pulse, now)

    def _tell(self, source: str, pulse: _Pulse, now: datetime) -> None:
        pulse.told = now
        self._sender.send(HEARTBEAT, source, to_bytes(self._state(source, pulse, now)))


def _stated_time(payload: bytes) -> datetime | None:
    """Return the time that a heartbeat states [UTC], None where it states none."""
    if len(payload) > MAX_HEARTBEAT_BYTES:
        return None
    try:
        body = orjson.loads(payload)
        stated = body.get("alert_datetime") if isinstance(body, dict) else None
        return parse_utc(stated) if isinstance(stated, str) else None
    except (ValueError, OverflowError):
        return None
