"""News for the API from Kafka: the end of the published topics, followed without a consumer group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.news import KINDS, News, Place
from graph.bus import admin_client
from graph.config import KafkaSettings
from graph.errors import StoreError

TIMEOUT_S = 5.0
"""Time allowed for one question to Kafka [s]."""

TAIL_MESSAGES = 100
"""Messages before the end of each partition that are read first, for readers who come back: minutes of a busy night."""

MESSAGES_PER_POLL = 200
"""Messages taken from librdkafka at a time: 10 MB of lists at most."""


class KafkaNews:
    """The messages of the published topics, from a little before their end; an `api.news.NewsSource`."""

    def __init__(self, consumer: Consumer, behind: dict[Place, int]) -> None:
        self._consumer = consumer
        self._behind = behind

    @classmethod
    def open(cls, settings: KafkaSettings) -> Self:
        """Return a source that reads all partitions.

        Raises
        ------
        StoreError : Kafka does not answer, or the topics are not there yet.
        ConfigurationError : no address of Kafka is known.
        """
        # Says in one sentence when no address is known.
        admin_client(settings)
        options = {"group.id": "heliograph-news", "enable.auto.commit": False, "log_level": 0}
        consumer = Consumer({**settings.client_config(), **options, "auto.offset.reset": "earliest"})
        try:
            ends = _ends(consumer)
            starts = [TopicPartition(*place, max(low, high - TAIL_MESSAGES)) for place, (low, high) in ends.items()]
            consumer.assign(starts)
        except KafkaException as error:
            consumer.close()
            raise StoreError("Kafka cannot be reached.") from error
        except StoreError:
            consumer.close()
            raise
        return cls(consumer, {place: high for place, (low, high) in ends.items() if low < high})

    @property
    def is_caught_up(self) -> bool:
        """Whether all that lay on the topics when the source was opened has been returned."""
        return not self._behind

    def poll(self, timeout_s: float) -> Sequence[News]:
        """Return messages that have come, of each partition in order.

        Raises
        ------
        StoreError : Kafka reports an error that librdkafka does not mend by itself.
        """
        found: list[News] = []
        for message in self._consumer.consume(MESSAGES_PER_POLL, timeout=timeout_s):
            error = message.error()
            if error is None:
                news = News(message.topic(), message.partition(), message.offset(), message.value() or b"")
                found.append(news)
                place = (news.topic, news.partition)
                if news.offset + 1 >= self._behind.get(place, news.offset + 2):
                    del self._behind[place]
            elif error.code() != KafkaError._PARTITION_EOF and (error.fatal() or not error.retriable()):  # noqa: SLF001 - librdkafka's public code
                raise StoreError(f"Kafka reports an error: {error.str()}.")
        return found

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _ends(consumer: Consumer) -> dict[Place, tuple[int, int]]:
    """Return the first offset that is there and the next that will be, of each partition of the published topics."""
    known = consumer.list_topics(timeout=TIMEOUT_S).topics
    if any(topic not in known for topic in KINDS):
        raise StoreError("The published topics are not there yet.")
    ends: dict[Place, tuple[int, int]] = {}
    for place in ((topic, number) for topic in sorted(KINDS) for number in sorted(known[topic].partitions)):
        marks = consumer.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT_S)
        if marks is None:
            raise StoreError("Kafka cannot be reached.")
        ends[place] = marks
    return ends
