"""The notice listener: notices from Kafka or from files into the graph and onto the internal topic."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gcn_kafka

from graph import codec
from graph.bus import CONSUMER_OPTIONS, consume_batches
from graph.config import KafkaSettings
from graph.connection import Row
from graph.errors import ConfigurationError, MalformedPacketError, SkyMapError, WireError
from graph.event_store import EventStore, notice_row
from graph.sender import Sender
from graph.topics import DEAD_LETTERS, NOTICES
from ingest.config import IngestSettings
from ingest.notices.registry import TOPICS, parse_notice

logger = logging.getLogger(__name__)

GROUP = "heliograph-listen"
"""Consumer group of the listener: its offsets survive a restart."""

TOPICS_REFRESHED_MS = 5_000
"""How often our own bus is asked for topics that are new [ms]: the first notice of a family should not wait long."""

MESSAGES_AT_A_TIME = 200
"""Notices handled before their offsets are committed; a night brings some hundreds."""


class NoticeListener:
    """Takes notices as received to the graph and to ``heliograph.notices``; refused ones to the dead letters."""

    def __init__(self, store: EventStore, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._read: list[tuple[str, bytes, Row]] = []
        self.outcomes: Counter[str] = Counter()
        """How many notices were ``parsed``, ``repeated`` (the same bytes again) or ``dead:<reason>``."""

    def handle(self, payload: bytes, topic: str | None, source: str) -> None:
        """Read one notice; `flush` stores it. Doing so again changes nothing but a repeated message.

        Parameters
        ----------
        topic : where it came from, None for a file.
        source : ``topic/partition/offset`` or a file name, for the dead letter.
        """
        try:
            notice = parse_notice(payload, topic)
            body = codec.to_bytes(notice)
            self._read.append((notice.event_key, body, notice_row(notice, body)))
        except (WireError, SkyMapError, ValueError) as error:
            # A ValueError is the codec's: a number that is not finite, which JSON and the graph cannot hold.
            reason = error.reason if isinstance(error, WireError) else MalformedPacketError.reason
            headers = {"stage": "notice", "reason": reason, "message": str(error), "source": source}
            self._sender.send(DEAD_LETTERS, source, payload, headers)
            self.outcomes[f"dead:{reason}"] += 1

    def flush(self) -> None:
        """Store what was read, then tell the others; return when Kafka has taken everything."""
        new = self._store.write_notices([row for _, _, row in self._read])
        for event_key, body, _ in self._read:
            self._sender.send(NOTICES, event_key, body)
        self._sender.flush()
        fresh = len(new)
        self.outcomes += Counter(parsed=fresh, repeated=len(self._read) - fresh)
        self._read = []


def gcn_consumer(ingest: IngestSettings, kafka: KafkaSettings, source: str) -> Any:  # noqa: ANN401 - gcn_kafka is untyped
    """Return a ``gcn_kafka`` consumer for GCN itself or for the bus of this installation.

    Parameters
    ----------
    source : ``gcn`` or ``kafka``.

    Raises
    ------
    ConfigurationError : GCN wants a client id and there is none.
    """
    if source == "kafka":
        refresh = {"topic.metadata.refresh.interval.ms": TOPICS_REFRESHED_MS}
        return gcn_kafka.Consumer(config={**kafka.client_config(), **CONSUMER_OPTIONS, **refresh, "group.id": GROUP})
    if not ingest.gcn_client_id:
        raise ConfigurationError("HELIOGRAPH_INGEST__GCN_CLIENT_ID is empty; GCN gives one at its quick start page.")
    return gcn_kafka.Consumer(
        config={**CONSUMER_OPTIONS, "group.id": f"{GROUP}-{ingest.gcn_client_id}"},
        client_id=ingest.gcn_client_id,
        client_secret=ingest.gcn_client_secret.get_secret_value(),
        domain=ingest.gcn_domain,
    )


def listen_kafka(
    listener: NoticeListener,
    consumer: Any,  # noqa: ANN401 - see gcn_consumer
    topics: Iterable[str],
    *,
    once: bool,
    on_batch: Callable[[Counter[str]], None],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Handle notices from Kafka until stopped, or until all that lies there is done."""
    for batch in consume_batches(consumer, topics, MESSAGES_AT_A_TIME, once=once, stop=stop):
        for message in batch:
            source = f"{message.topic()}/{message.partition()}/{message.offset()}"
            topic = message.topic() if message.topic() in TOPICS else None
            listener.handle(message.value() or b"", topic, source)
        if batch:
            listener.flush()
            on_batch(listener.outcomes)


def listen_files(listener: NoticeListener, files: Iterable[tuple[str | None, Path, bytes]]) -> None:
    """Handle notices from files."""
    for place, (topic, path, payload) in enumerate(files, start=1):
        listener.handle(payload, topic, path.name)
        if place % MESSAGES_AT_A_TIME == 0:
            listener.flush()
    listener.flush()
