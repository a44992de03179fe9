"""How far the alert stream is behind: what lies on the topics, held against what the ledger counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from compose.config import Settings
from graph.bus import admin_client
from graph.errors import StoreError
from graph.reader import GraphReader
from graph.views import PartitionLag, StreamLag

TIMEOUT_S = 5.0
"""Time allowed for all questions to Kafka together [s]: half of what Prometheus allows for a scrape by default."""

FETCH_BYTES = 65_536
"""Bytes asked for at a time [bytes]: one alert is wanted of each partition, and a larger one comes whole anyway."""

MESSAGES_PER_POLL = 100
"""Messages taken from librdkafka at a time while the first of each partition is waited for."""

Place = tuple[str, int]
"""Topic and partition."""


class LagConsumer(Protocol):
    """What is needed of a Kafka consumer."""

    def list_topics(self, timeout: float) -> object:
        """Return the cluster's topics."""

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int] | None:
        """Return the first offset that is there and the next that will be."""

    def assign(self, places: list[TopicPartition]) -> None:
        """Begin to read at given offsets."""

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        """Return messages that have come."""

    def close(self) -> None:
        """Leave."""


def lag_of(place: Place, low: int, high: int, processed: int | None) -> PartitionLag:
    """Return the lag of one partition, without its age.

    Parameters
    ----------
    place : topic and partition.
    low : first offset that is still on the topic.
    high : offset that the next message will get.
    processed : first offset that the ledger does not count, None without any entry. What lies before ``low`` cannot
        be processed any more, and what lies behind ``high`` belonged to a topic of that name that was deleted.
    """
    until = min(max(processed or 0, low), high)
    return PartitionLag(*place, high, until, high - until, None)


class StreamLagReader:
    """Answers how far the alert stream is behind; each answer asks Kafka and the ledger anew."""

    def __init__(
        self,
        topics: Sequence[str],
        positions: Callable[[Sequence[Place]], Mapping[Place, int]],
        open_consumer: Callable[[], LagConsumer],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._topics = tuple(topics)
        self._positions = positions
        self._open_consumer = open_consumer
        self._now_s = now_s
        self._processed: Mapping[Place, int] | None = None

    @classmethod
    def of(cls, settings: Settings, reader: GraphReader) -> StreamLagReader:
        """Return the reader of the alert topics of an installation."""

        def open_consumer() -> LagConsumer:
            # Says in one sentence when no address is known.
            admin_client(settings.kafka)
            options = {"group.id": "heliograph-lag", "enable.auto.commit": False, "log_level": 0}
            bounds = {"fetch.message.max.bytes": FETCH_BYTES, "queued.min.messages": 1}
            return Consumer({**settings.kafka.client_config(), **options, **bounds})

        topics = (settings.ingest.topic_ztf, settings.ingest.topic_lsst)
        return cls(topics, reader.ledger_positions, open_consumer)

    def lag(self) -> StreamLag:
        """Return how far the stream is behind on each partition of the alert topics.

        While the graph does not answer, the positions that it last told still hold: nothing can be written to it.

        Raises
        ------
        StoreError : Kafka does not answer, or the graph never has.
        ConfigurationError : no address of Kafka is known.
        """
        deadline = time.monotonic() + TIMEOUT_S
        consumer = self._open_consumer()
        try:
            marks = self._marks(consumer, deadline)
            processed = self._known_positions(list(marks))
            lags = [lag_of(place, low, high, processed.get(place)) for place, (low, high) in marks.items()]
            # A graph that is away has taken its own time to say so.
            put_s = self._put_times(consumer, [one for one in lags if one.lag_alerts], time.monotonic() + TIMEOUT_S)
        except KafkaException as error:
            raise StoreError("Kafka cannot be reached.") from error
        finally:
            consumer.close()
        return StreamLag(tuple(self._aged(one, put_s.get((one.topic, one.partition))) for one in lags))

    def _known_positions(self, places: list[Place]) -> Mapping[Place, int]:
        """Return the positions in the ledger, those that were last seen while it cannot be asked."""
        try:
            self._processed = self._positions(places)
        except StoreError:
            if self._processed is None:
                raise
        return self._processed

    def ping(self) -> None:
        """Return when Kafka answers.

        Raises
        ------
        StoreError : it does not.
        ConfigurationError : no address of Kafka is known.
        """
        consumer = self._open_consumer()
        try:
            consumer.list_topics(timeout=TIMEOUT_S)
        except KafkaException as error:
            raise StoreError("Kafka cannot be reached.") from error
        finally:
            consumer.close()

    def _marks(self, consumer: LagConsumer, deadline: float) -> dict[Place, tuple[int, int]]:
        """Return the first and the next offset of each partition; nothing for a topic that is not there yet."""
        known = getattr(consumer.list_topics(timeout=_left(deadline)), "topics", {})
        places = [(topic, p) for topic in self._topics if topic in known for p in sorted(known[topic].partitions)]
        marks: dict[Place, tuple[int, int]] = {}
        for place in places:
            found = consumer.get_watermark_offsets(TopicPartition(*place), timeout=_left(deadline))
            if found is None:
                raise StoreError("Kafka cannot be reached.")
            marks[place] = found
        return marks

    def _put_times(self, consumer: LagConsumer, behind: list[PartitionLag], deadline: float) -> dict[Place, float]:
        """Return when the oldest unprocessed message of each partition was put there [s since 1970]."""
        found: dict[Place, float] = {}
        if behind:
            consumer.assign([TopicPartition(one.topic, one.partition, one.processed_until) for one in behind])
        while len(found) < len(behind) and time.monotonic() < deadline:
            for message in consumer.consume(MESSAGES_PER_POLL, timeout=min(0.5, _left(deadline))):
                place = (message.topic(), message.partition())
                if message.error() is None and place not in found:
                    found[place] = message.timestamp()[1] / 1000.0
        return found

    def _aged(self, one: PartitionLag, put_s: float | None) -> PartitionLag:
        age_s = None if put_s is None else max(self._now_s() - put_s, 0.0)
        return PartitionLag(one.topic, one.partition, one.end_offset, one.processed_until, one.lag_alerts, age_s)


def _left(deadline: float) -> float:
    """Return the time until a deadline [s], never so little that librdkafka would wait for ever."""
    return max(deadline - time.monotonic(), 0.01)
