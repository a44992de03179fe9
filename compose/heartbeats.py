"""How the sources of notices do: the newest states on ``heliograph.heartbeat``, held against the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from confluent_kafka import Consumer, KafkaException, TopicPartition

from compose.clock import utc_now
from compose.config import Settings
from compose.lag import FETCH_BYTES, LagConsumer
from graph.bus import admin_client
from graph.errors import StoreError, WireError
from graph.heartbeats import SourceState, from_bytes
from graph.topics import HEARTBEAT

TIMEOUT_S = 3.0
"""Time allowed for all questions to Kafka together [s]: with those of the lag below what Prometheus allows."""

NEWEST_MESSAGES = 50
"""Messages read of each partition: enough to meet every source among the repeats of the others."""


class HeartbeatReader:
    """Answers how each source of notices does; each answer asks Kafka anew."""

    def __init__(
        self, open_consumer: Callable[[], LagConsumer], max_gap_s: float, now: Callable[[], datetime] = utc_now
    ) -> None:
        """Prepare.

        Parameters
        ----------
        max_gap_s : longest gap that is none to speak of [s].
        now : the clock [UTC].
        """
        self._open_consumer = open_consumer
        self._max_gap_s = max_gap_s
        self._now = now

    @classmethod
    def of(cls, settings: Settings) -> HeartbeatReader:
        """Return the reader of an installation."""

        def open_consumer() -> LagConsumer:
            # Says in one sentence when no address is known.
            admin_client(settings.kafka)
            options = {"group.id": "heliograph-heartbeat", "enable.auto.commit": False, "log_level": 0}
            return Consumer({**settings.kafka.client_config(), **options, "fetch.message.max.bytes": FETCH_BYTES})

        return cls(open_consumer, settings.ingest.heartbeat_gap_s)

    def sources(self) -> tuple[SourceState, ...]:
        """Return how each source does now, by name.

        A listener that has ended says nothing any more; the gap then grows all the same.

        Raises
        ------
        StoreError : Kafka does not answer.
        ConfigurationError : no address of Kafka is known.
        """
        consumer = self._open_consumer()
        try:
            newest = self._newest(consumer, time.monotonic() + TIMEOUT_S)
        except KafkaException as error:
            raise StoreError("Kafka cannot be reached.") from error
        finally:
            consumer.close()
        now = self._now()
        return tuple(self._aged(state, now) for _, state in sorted(newest.items()))

    def _newest(self, consumer: LagConsumer, deadline: float) -> dict[str, SourceState]:
        """Return the newest state of each source."""
        ends = self._begin(consumer, deadline)
        found: dict[str, SourceState] = {}
        while ends and time.monotonic() < deadline:
            for message in consumer.consume(NEWEST_MESSAGES, timeout=min(0.5, _left(deadline))):
                state = None if message.error() is not None else _state(message.value())
                if state is not None:
                    known = found.setdefault(state.source, state)
                    found[state.source] = max(known, state, key=lambda one: one.last_received)
                if message.error() is None and message.offset() + 1 >= ends.get(message.partition(), 0):
                    ends.pop(message.partition(), None)
        return found

    @staticmethod
    def _begin(consumer: LagConsumer, deadline: float) -> dict[int, int]:
        """Begin to read before the end of each partition that holds something; return these ends."""
        topics = getattr(consumer.list_topics(timeout=_left(deadline)), "topics", {})
        ends: dict[int, int] = {}
        places: list[TopicPartition] = []
        for partition in sorted(topics[HEARTBEAT].partitions) if HEARTBEAT in topics else ():
            marks = consumer.get_watermark_offsets(TopicPartition(HEARTBEAT, partition), timeout=_left(deadline))
            if marks is None:
                raise StoreError("Kafka cannot be reached.")
            low, high = marks
            if low < high:
                ends[partition] = high
                places.append(TopicPartition(HEARTBEAT, partition, max(low, high - NEWEST_MESSAGES)))
        if places:
            consumer.assign(places)
        return ends

    def _aged(self, state: SourceState, now: datetime) -> SourceState:
        """Return a state as it is by now."""
        gap_s = max(state.gap_s, (now - state.last_received) / timedelta(seconds=1))
        return replace(state, gap_s=gap_s, ok=state.ok and gap_s <= self._max_gap_s)


def _state(value: bytes | None) -> SourceState | None:
    """Read a message; None for one of another version, since a newer one is behind it."""
    try:
        return from_bytes(value or b"")
    except WireError:
        return None


def _left(deadline: float) -> float:
    """Return the time until a deadline [s], never so little that librdkafka would wait for ever."""
    return max(deadline - time.monotonic(), 0.01)
