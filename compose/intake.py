"""Notices that come in over HTTP, put onto Kafka for the listener."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from api.notices import NoticeReceipt
from compose.config import Settings
from compose.notice_topics import UNRECOGNISED_TOPIC
from graph.bus import admin_client, ensure_topics
from graph.errors import PublishError, UnsupportedNoticeError
from ingest.notices.registry import TOPICS
from ingest.notices.wire import notice_id

TIMEOUT_S = 5.0
"""Time allowed for Kafka to take a notice [s]; who sends it waits for the answer, and comes again without one."""

POLL_S = 0.05
"""Longest wait for a delivery report at a time [s]: the report of one request may be served by another's poll."""


class NoticeProducer(Protocol):
    """What is needed of a Kafka producer."""

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ANN401 - confluent_kafka is untyped
        """Return what the cluster knows of a topic."""

    def produce(self, topic: str, value: bytes, *, on_delivery: Any) -> None:  # noqa: ANN401 - likewise
        """Queue one message."""

    def poll(self, timeout: float) -> int:
        """Serve delivery reports."""


class KafkaNoticeIntake:
    """Puts notices onto their topics; one for all requests, which may come at once."""

    def __init__(self, settings: Settings, producer: NoticeProducer | None = None) -> None:
        """Prepare; Kafka is asked when a notice comes.

        Parameters
        ----------
        producer : made at the first notice when None, for the address may not be known before.
        """
        self._settings = settings
        self._producer = producer
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def put(self, payload: bytes, topic: str | None) -> NoticeReceipt:
        """Return when Kafka has the notice.

        A notice that is not reported in time may come nevertheless; sent again, it is told by its bytes.

        Raises
        ------
        UnsupportedNoticeError : no parser is registered for the topic.
        PublishError : Kafka did not take it.
        """
        if topic is not None and topic not in TOPICS and topic != UNRECOGNISED_TOPIC:
            raise UnsupportedNoticeError(f"No parser is registered for the topic {topic}.")
        place = topic or UNRECOGNISED_TOPIC
        delivered: list[tuple[KafkaError | None, Message]] = []
        try:
            producer = self._prepared(place)
            producer.produce(place, payload, on_delivery=lambda error, message: delivered.append((error, message)))
        except (KafkaException, BufferError) as error:
            raise PublishError("Kafka cannot be reached, so the notice was not taken.") from error
        deadline = time.monotonic() + TIMEOUT_S
        while not delivered and time.monotonic() < deadline:
            producer.poll(POLL_S)
        refusal, message = delivered[0] if delivered else (None, None)
        if message is None or refusal is not None:
            raise PublishError(f"Kafka did not take the notice: {refusal.str() if refusal else 'no answer'}.")
        return NoticeReceipt(notice_id(payload), f"{message.topic()}/{message.partition()}/{message.offset()}")

    def _prepared(self, topic: str) -> NoticeProducer:
        """Return the producer when the topic is there."""
        with self._lock:
            if self._producer is None:
                self._producer = self._open()
            if topic not in self._known:
                if not _has_topic(self._producer, topic):
                    ensure_topics(self._settings.kafka, (topic,))
                    deadline = time.monotonic() + TIMEOUT_S
                    # The producer remembers that the topic was missing, and refuses messages for it, until it looks.
                    while not _has_topic(self._producer, topic) and time.monotonic() < deadline:
                        time.sleep(POLL_S)
                self._known.add(topic)
            return self._producer

    def _open(self) -> NoticeProducer:
        kafka = self._settings.kafka
        # Says in one sentence when no address is known.
        admin_client(kafka)
        options = {
            "acks": "all",
            "log_level": 3,
            "compression.type": "lz4",
            "message.timeout.ms": int(TIMEOUT_S * 1000),
            "message.max.bytes": kafka.max_message_bytes,
        }
        opened: NoticeProducer = Producer({**kafka.client_config(), **options})
        return opened


def _has_topic(producer: NoticeProducer, topic: str) -> bool:
    """Return whether the cluster has a topic; one that it lacks is listed too, with an error."""
    found = producer.list_topics(topic, timeout=TIMEOUT_S).topics.get(topic)
    return found is not None and found.error is None
