"""Sending to Kafka: a producer that says so when a message was not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from graph.config import KafkaSettings
from graph.errors import PublishError
from graph.topics import DEAD_LETTER_MARGIN

FLUSH_TIMEOUT_S = 60.0
"""Time allowed for the broker to acknowledge what is queued [s]; librdkafka itself retries within it."""


class Sender(Protocol):
    """Hands messages to Kafka."""

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Queue one message."""

    def flush(self) -> None:
        """Return when every queued message is acknowledged; raise `PublishError` otherwise."""


class KafkaSender:
    """Sends messages at least once, in order for each partition."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._failures: list[str] = []
        self._producer = Producer(
            {
                **settings.client_config(),
                "enable.idempotence": True,
                "linger.ms": 5,
                # librdkafka writes warnings to stderr for what it mends by itself, e.g. a coordinator that still loads.
                "log_level": 3,
                "compression.type": "lz4",
                "message.max.bytes": settings.max_message_bytes + DEAD_LETTER_MARGIN,
                "queue.buffering.max.kbytes": 262_144,
            }
        )

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Queue one message, waiting for room where the queue is full."""
        fields = [(name, text.encode()) for name, text in (headers or {}).items()]
        while True:
            try:
                self._producer.produce(
                    topic, value, key.encode() if key else None, headers=fields, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(1.0)
                continue
            except KafkaException as error:
                raise PublishError(f"A message for {topic} was refused: {error}.") from error
            self._producer.poll(0)
            return

    def flush(self) -> None:
        """Return when everything queued is acknowledged.

        Raises
        ------
        PublishError : the broker refused a message or did not answer in time.
        """
        waiting = self._producer.flush(FLUSH_TIMEOUT_S)
        failures, self._failures = self._failures, []
        if waiting or failures:
            raise PublishError(
                f"{waiting + len(failures)} messages were not taken by Kafka: {(failures or ['no answer'])[0]}."
            )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}: {error.str()}")
