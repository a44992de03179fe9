"""The long-running parts, each as one function: what the CLI starts and the demo chains."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import uvicorn
from confluent_kafka import Consumer

from api.app import create_app
from compose.archive import ArchiveCutouts, archive_root
from compose.background import NightlyBackground
from compose.config import Settings
from compose.lag import StreamLagReader
from compose.stack.jars import jar_paths
from coordinator.service import Coordinator, CoordinatorReport
from graph.alert_store import AlertStore
from graph.bus import CONSUMER_OPTIONS, consume_batches, ensure_topics
from graph.connection import Connection
from graph.errors import HeliographError
from graph.event_store import EventStore
from graph.reader import GraphReader
from graph.sender import KafkaSender
from graph.sky_counts import SkyCounts
from graph.topics import AVRO_TWINS, NOTICES, OBJECTS, PUBLISHED
from ingest.listen import NoticeListener, gcn_consumer, listen_files, listen_kafka
from ingest.notices.registry import TOPICS
from ingest.replay import iter_notice_messages
from ingest.stream import BatchSummary, WorkerPlan, await_stream, open_session, start_stream

logger = logging.getLogger(__name__)

UNRECOGNISED_TOPIC = "heliograph.unrecognised-notices"
"""Topic to which notices from files go when no GCN topic can be told from their content."""

NOTICE_TOPICS = (r"^gcn\.(classic|notices)\..*", r"^igwn\.gwalert$", f"^{re.escape(UNRECOGNISED_TOPIC)}$")
"""Patterns of the topics on our own bus that notices come in on; a topic made later is found by its name."""

COORDINATOR_GROUP = "heliograph-coordinator"
"""Consumer group of the coordinator."""

FIRST_PAUSE_S = 1.0
"""Wait after the first failure of the alert stream [s]; each further one in a row doubles it."""

LONGEST_PAUSE_S = 60.0
"""Longest wait between two attempts [s]: a server that is back is noticed within a minute."""

FAILURES_IN_A_ROW = 5
"""Failures without a finished batch after which a run that is to end gives up: half a minute of pauses."""

Stop = Callable[[], bool]


def never() -> bool:
    """Return False: do not stop."""
    return False


def prepare(settings: Settings) -> Connection:
    """Make the schema of the graph and the topics; return a connection to the graph."""
    connection = Connection.open(settings.graph)
    connection.create_schema()
    alert_topics = (settings.ingest.topic_ztf, settings.ingest.topic_lsst)
    twins = AVRO_TWINS if settings.coordinator.publish_avro else ()
    ensure_topics(settings.kafka, (*PUBLISHED, *twins, *alert_topics, UNRECOGNISED_TOPIC))
    return connection


def run_ingest(settings: Settings, on_batch: Callable[[BatchSummary], None], *, once: bool, stop: Stop = never) -> None:
    """Run the Spark job until stopped, or until all that lies on the alert topics is done.

    While the graph or Kafka cannot be reached, the alerts stay where they are and the job tries again.

    Raises
    ------
    HeliographError : what failed cannot be mended by trying again, or with ``once`` it failed too often in a row.
    """
    work = settings.home / "spark"
    session = open_session(settings.ingest, jar_paths("spark"), settings.stack.spark_driver_memory_mb, work)
    plan = WorkerPlan(settings.graph, settings.kafka, settings.ingest, archive_root(settings))
    checkpoint = settings.home / "checkpoints" / "alerts"
    failures = 0

    def note(batch: BatchSummary) -> None:
        nonlocal failures
        failures = 0
        on_batch(batch)

    try:
        while not stop():
            try:
                with prepare(settings) as connection:
                    query = start_stream(session, plan, AlertStore(connection), checkpoint, note, once=once)
                    await_stream(query, stop)
            except HeliographError as error:
                failures += 1
                if not error.retryable or (once and failures >= FAILURES_IN_A_ROW):
                    raise
                pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
                logger.warning("%s The alerts wait on their topics; next attempt in %g s.", error, pause_s)
                _pause(pause_s, stop)
            else:
                return
    finally:
        session.stop()


def _pause(seconds: float, stop: Stop) -> None:
    """Wait, unless asked to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop():
        time.sleep(min(0.2, seconds))


def run_listen(
    settings: Settings,
    source: str,
    paths: Iterable[Path],
    on_batch: Callable[[Counter[str]], None],
    *,
    once: bool,
    stop: Stop = never,
) -> Counter[str]:
    """Take notices from ``gcn``, from our own ``kafka`` or from files (``dir``) into the graph."""
    with prepare(settings) as connection:
        listener = NoticeListener(EventStore(connection), KafkaSender(settings.kafka))
        if source == "dir":
            for path in paths:
                listen_files(listener, iter_notice_messages(path))
        else:
            topics = tuple(TOPICS) if source == "gcn" else NOTICE_TOPICS
            consumer = gcn_consumer(settings.ingest, settings.kafka, source)
            listen_kafka(listener, consumer, topics, once=once, on_batch=on_batch, stop=stop)
        return listener.outcomes


def run_coordinate(
    settings: Settings, on_batch: Callable[[CoordinatorReport], None], *, once: bool, stop: Stop = never
) -> CoordinatorReport:
    """Correlate what comes on the internal topics, both ways, and keep the follow-up lists."""
    with prepare(settings) as connection:
        coordinator = Coordinator(EventStore(connection), KafkaSender(settings.kafka), settings.coordinator)
        nightly = NightlyBackground(settings, EventStore(connection), SkyCounts(connection))
        coordinator.use_background(nightly.current())
        coordinator.load_events()
        consumer = Consumer({**settings.kafka.client_config(), **CONSUMER_OPTIONS, "group.id": COORDINATOR_GROUP})
        per_poll = settings.coordinator.poll_messages
        for batch in consume_batches(consumer, (NOTICES, OBJECTS), per_poll, once=once, stop=stop):
            for message in batch:
                coordinator.take(message.topic(), message.key(), message.value())
            coordinator.work()
            if (background := nightly.refresh()) is not None:
                coordinator.use_background(background)
            if batch:
                on_batch(coordinator.report)
        coordinator.publish_lists()
        return coordinator.report


def run_serve(settings: Settings, on_ready: Callable[[str], None], stop: Stop = never) -> None:
    """Serve the API and the page until stopped."""
    with GraphReader.open(settings.graph) as reader:
        watch = StreamLagReader.of(settings, reader)
        app = create_app(settings.api, reader, watch=watch, cutouts=ArchiveCutouts.of(settings))
        config = uvicorn.Config(app, host=settings.api.host, port=settings.api.port, log_level="warning")
        _Server(config, on_ready, stop).run()


class _Server(uvicorn.Server):
    """A uvicorn server that says where it listens, whatever port it was given."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[str], None], stop: Stop) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stop = stop

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_ready(f"http://{host}:{port}/")

    async def on_tick(self, counter: int) -> bool:
        """Look once in a while whether we are asked to stop."""
        return self._stop() or await super().on_tick(counter)
