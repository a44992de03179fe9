"""The notice listener: notices from Kafka or from files into the archive, the graph and onto the internal topic.

What has come is in the archive before anything else is done with it, and offsets are committed when all is done: after
a kill a notice comes again, is archived as one more reception of the same message, and changes nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
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
from ingest.archive.notices import NoticeArchive, Reception
from ingest.config import IngestSettings
from ingest.heartbeats import HeartbeatWatch
from ingest.notices.registry import TOPICS, parse_notice
from ingest.notices.wire import notice_id

logger = logging.getLogger(__name__)

GROUP = "heliograph-listen"
"""Consumer group of the listener: its offsets survive a restart."""

TOPICS_REFRESHED_MS = 5_000
"""How often our own bus is asked for topics that are new [ms]: the first notice of a family should not wait long."""

MESSAGES_AT_A_TIME = 200
"""Notices handled before their offsets are committed; a night brings some hundreds."""


KNOWN_NOTICES = 20_000
"""Notices that are remembered as stored and told [1]: those of some days; 3 MB."""


class NoticeRecorder:
    """Notes notices as they come, each at a time of its own, and stores them in the archive."""

    def __init__(self, archive: NoticeArchive, now: Callable[[], datetime]) -> None:
        """Prepare to note.

        Parameters
        ----------
        now : the clock [UTC].
        """
        self._archive = archive
        self._now = now
        self._last: datetime | None = None
        self._noted: list[Reception] = []

    def note(self, payload: bytes, topic: str | None, source: str) -> None:
        """Note what has come, before it is read."""
        moment = self._now()
        if self._last is not None:
            # Order of reception is order of time, also where the clock is coarse or set back.
            moment = max(moment, self._last + timedelta(microseconds=1))
        self._last = moment
        self._noted.append(Reception(payload, moment, topic, source))

    def add(self, *, event_key: str | None = None, refusal: str | None = None) -> None:
        """Add to the last one noted what became of it."""
        self._noted[-1] = replace(self._noted[-1], event_key=event_key, refusal=refusal)

    def store(self) -> None:
        """Return when the archive has everything that was noted.

        Raises
        ------
        ArchiveError : it could not be written; nothing is forgotten.
        """
        if self._noted:
            self._archive.append(self._noted)
            self._noted = []


class NoticeListener:
    """Takes notices as received to the archive, the graph and ``heliograph.notices``; refused ones to dead letters."""

    def __init__(
        self,
        store: EventStore,
        sender: Sender,
        recorder: NoticeRecorder | None = None,
        outcomes: Counter[str] | None = None,
    ) -> None:
        """Prepare to listen.

        Parameters
        ----------
        recorder : keeps all that comes; None where there is no archive.
        outcomes : counts that are continued; None to begin at 0.
        """
        self._store = store
        self._sender = sender
        self._recorder = recorder
        self._read: list[tuple[str, bytes, Row]] = []
        self._refused: list[tuple[str, bytes, dict[str, str]]] = []
        self._known: OrderedDict[str, str] = OrderedDict()
        self._repeated = 0
        self.outcomes: Counter[str] = Counter() if outcomes is None else outcomes
        """How many notices were ``parsed``, ``repeated`` (the same bytes again) or ``dead:<reason>``."""

    def handle(self, payload: bytes, topic: str | None, source: str) -> None:
        """Read one notice; `flush` stores it. Doing so again changes nothing but a repeated message.

        Parameters
        ----------
        topic : where it came from; on one that no parser is registered for, as in a file (None), the content decides.
        source : ``topic/partition/offset`` or a file name, for the archive and the dead letter.
        """
        if self._recorder is not None:
            self._recorder.note(payload, topic, source)
        event_key = self._known.get(notice_id(payload))
        if event_key is not None:
            # The graph has it and the others were told: a storm of repeats costs a hash each.
            self._repeated += 1
            if self._recorder is not None:
                self._recorder.add(event_key=event_key)
            return
        try:
            notice = parse_notice(payload, topic if topic in TOPICS else None)
            body = codec.to_bytes(notice)
            self._read.append((notice.event_key, body, notice_row(notice, body)))
            if self._recorder is not None:
                self._recorder.add(event_key=notice.event_key)
        except (WireError, SkyMapError, ValueError) as error:
            # A ValueError is the codec's: a number that is not finite, which JSON and the graph cannot hold.
            reason = error.reason if isinstance(error, WireError) else MalformedPacketError.reason
            headers = {"stage": "notice", "reason": reason, "message": str(error), "source": source}
            self._refused.append((source, payload, headers))
            if self._recorder is not None:
                self._recorder.add(refusal=reason)

    def keep(self) -> None:
        """Return when the archive has all that was handled.

        Raises
        ------
        ArchiveError : it could not be written.
        """
        if self._recorder is not None:
            self._recorder.store()

    def flush(self) -> None:
        """Keep and store what was read, then tell the others; return when Kafka has taken everything."""
        self.keep()
        for source, payload, headers in self._refused:
            self._sender.send(DEAD_LETTERS, source, payload, headers)
        new = self._store.write_notices([row for _, _, row in self._read])
        for event_key, body, _ in self._read:
            self._sender.send(NOTICES, event_key, body)
        self._sender.flush()
        fresh = len(new)
        self.outcomes += Counter(parsed=fresh, repeated=self._repeated + len(self._read) - fresh)
        self.outcomes += Counter(f"dead:{headers['reason']}" for _, _, headers in self._refused)
        self._known |= {row["notice"]["notice_id"]: event_key for event_key, _, row in self._read}
        while len(self._known) > KNOWN_NOTICES:
            self._known.popitem(last=False)
        self._read, self._refused, self._repeated = [], [], 0


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
    heartbeats: HeartbeatWatch | None = None,
) -> None:
    """Handle notices from Kafka until stopped, or until all that lies there is done.

    Parameters
    ----------
    heartbeats : takes the heartbeats that are among the messages; None where none are read.
    """
    for batch in consume_batches(consumer, topics, MESSAGES_AT_A_TIME, once=once, stop=stop):
        notices = [one for one in batch if heartbeats is None or not heartbeats.take(one.topic(), one.value() or b"")]
        try:
            for message in notices:
                source = f"{message.topic()}/{message.partition()}/{message.offset()}"
                listener.handle(message.value() or b"", message.topic(), source)
        finally:
            # Whatever a parser does with it, what has come is kept.
            listener.keep()
        if heartbeats is not None:
            heartbeats.look()
        if notices:
            listener.flush()
            on_batch(listener.outcomes)


def listen_files(listener: NoticeListener, files: Iterable[tuple[str | None, Path, bytes]]) -> None:
    """Handle notices from files."""
    for place, (topic, path, payload) in enumerate(files, start=1):
        listener.handle(payload, topic, path.name)
        if place % MESSAGES_AT_A_TIME == 0:
            listener.flush()
    listener.flush()
