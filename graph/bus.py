"""Reading from Kafka: topics made where they are missing, batches committed only once they are done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from graph.config import KafkaSettings
from graph.errors import ConfigurationError, PublishError, StoreError
from graph.topics import DEAD_LETTER_MARGIN, DEAD_LETTERS

logger = logging.getLogger(__name__)

ADMIN_TIMEOUT_S = 30.0
"""Time allowed for an administrative request [s]."""

ABSENT_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})
"""Errors about one topic only: a broker need not have every topic that we can read, nor let us read each."""

CONSUMER_OPTIONS: dict[str, str | int | bool] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "session.timeout.ms": 30_000,
    "max.poll.interval.ms": 600_000,
    "fetch.message.max.bytes": 16_777_216,
}
"""At-least-once reading from the beginning; offsets are committed by us after the work is done."""


def admin_client(settings: KafkaSettings) -> AdminClient:
    """Return an administrative client.

    Raises
    ------
    ConfigurationError : no address is known.
    """
    if not settings.bootstrap_servers:
        raise ConfigurationError(
            "HELIOGRAPH_KAFKA__BOOTSTRAP_SERVERS is empty and no embedded Kafka is running: try 'heliograph up'."
        )
    return AdminClient({**settings.client_config(), "log_level": 0})


def ensure_topics(settings: KafkaSettings, names: Iterable[str]) -> None:
    """Create the topics that are missing.

    Raises
    ------
    PublishError : the broker does not answer or refuses.
    """
    admin = admin_client(settings)
    try:
        present = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        wanted = [
            NewTopic(name, settings.partitions, 1, config={"max.message.bytes": str(_largest(settings, name))})
            for name in dict.fromkeys(names)
            if name not in present
        ]
        for future in admin.create_topics(wanted, request_timeout=ADMIN_TIMEOUT_S).values() if wanted else ():
            future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise PublishError(f"Kafka at {settings.bootstrap_servers} did not make the topics: {error}.") from error


def _largest(settings: KafkaSettings, topic: str) -> int:
    """Return the largest message of a topic [bytes]; a dead letter is a message and the reason why it was refused."""
    return settings.max_message_bytes + (DEAD_LETTER_MARGIN if topic == DEAD_LETTERS else 0)


def message_counts(settings: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """Return how many messages lie on each topic; 0 for one that is not there."""
    probe = Consumer({**settings.client_config(), "group.id": "heliograph-count", "log_level": 0})
    try:
        present = probe.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        counts: dict[str, int] = {}
        for topic in topics:
            partitions = present[topic].partitions if topic in present else {}
            marks = [probe.get_watermark_offsets(TopicPartition(topic, p), timeout=ADMIN_TIMEOUT_S) for p in partitions]
            counts[topic] = sum(high - low for low, high in marks)
        return counts
    finally:
        probe.close()


def read_all(settings: KafkaSettings, topic: str) -> Iterator[Message]:
    """Yield every message that lies on a topic now, without a consumer group."""
    reader = Consumer({**settings.client_config(), **CONSUMER_OPTIONS, "group.id": "heliograph-read"})
    try:
        partitions = reader.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic].partitions
        places = [TopicPartition(topic, number, 0) for number in partitions]
        reader.assign(places)
        waiting = {place.partition for place in places}
        while waiting:
            for message in reader.consume(1000, timeout=1.0):
                if message.error() is None:
                    yield message
                elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code
                    waiting.discard(message.partition())
    finally:
        reader.close()


def consume_batches(
    consumer: Any,  # noqa: ANN401 - confluent_kafka's Consumer or gcn_kafka's, untyped both
    topics: Iterable[str],
    max_messages: int,
    *,
    once: bool,
    stop: Callable[[], bool] = lambda: False,
    idle_s: float = 1.0,
) -> Iterator[list[Message]]:
    """Yield batches of messages; a batch is committed when the caller asks for the next one.

    An empty batch is yielded after ``idle_s`` without messages, so that the caller can do its periodic work.

    Parameters
    ----------
    once : True ends at the end of every partition.

    Raises
    ------
    StoreError : the broker reports an error that librdkafka does not mend by itself.
    """
    at_end: set[tuple[str, int]] = set()
    consumer.subscribe(list(topics))
    try:
        while not stop():
            batch: list[Message] = []
            for message in _collect(consumer, max_messages, idle_s):
                error = message.error()
                if error is None:
                    at_end.discard((message.topic(), message.partition()))
                    batch.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code
                    at_end.add((message.topic(), message.partition()))
                elif error.code() in ABSENT_TOPIC:
                    logger.warning("topic %s is passed over: %s", message.topic(), error.str())
                elif error.fatal() or not error.retriable():
                    raise StoreError(f"Kafka reports an error: {error.str()}.")
            yield batch
            if batch:
                consumer.commit(asynchronous=False)
            assigned = {(place.topic, place.partition) for place in consumer.assignment()}
            if once and assigned and assigned <= at_end:
                return
    finally:
        consumer.close()


def _collect(consumer: Any, max_messages: int, idle_s: float) -> list[Message]:  # noqa: ANN401 - see consume_batches
    """Return what is there within ``idle_s``, without waiting for more once something has come."""
    deadline = time.monotonic() + idle_s
    while True:
        found: list[Message] = consumer.consume(max_messages, timeout=0.05)
        if found or time.monotonic() > deadline:
            return found
