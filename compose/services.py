"""The long-running parts, each as one function: what the CLI starts and the demo chains."""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import uvicorn
from confluent_kafka import Consumer

from api.app import create_app
from api.news import NewsHub
from compose.archive import ArchiveAnswers, archive_root, notice_recorder
from compose.association import AssociationQueue
from compose.background import NightlyBackground
from compose.clock import utc_now
from compose.config import Settings
from compose.coordination import Coordination
from compose.heartbeats import HeartbeatReader
from compose.inbox import Inbox
from compose.intake import KafkaNoticeIntake
from compose.lag import StreamLagReader
from compose.news import KafkaNews
from compose.notice_topics import UNRECOGNISED_TOPIC, listened_topics
from compose.stack.jars import jar_paths
from coordinator.forming import CoordinatorReport
from coordinator.service import Coordinator
from graph.alert_store import AlertStore
from graph.bus import CONSUMER_OPTIONS, ensure_topics
from graph.connection import Connection
from graph.errors import HeliographError
from graph.event_store import EventStore
from graph.reader import GraphReader
from graph.sender import KafkaSender
from graph.sky_counts import SkyCounts
from graph.topics import AVRO_TWINS, NOTICES, OBJECTS, PUBLISHED
from ingest.heartbeats import HEARTBEAT_TOPICS, HeartbeatWatch
from ingest.listen import NoticeListener, gcn_consumer, listen_files, listen_kafka
from ingest.replay import iter_notice_messages
from ingest.stream import BatchSummary, WorkerPlan, await_stream, open_session, start_stream

logger = logging.getLogger(__name__)

COORDINATOR_GROUP = "heliograph-coordinator"
"""Consumer group of the coordinator."""

ASSOCIATION_GROUP = "heliograph-association"
"""Consumer group of the coordinator's search for objects that both surveys saw."""

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
    """Take notices from ``gcn``, from our own ``kafka`` or from files (``dir``) into the archive and the graph.

    While the graph, Kafka or the archive cannot be reached, the notices stay where they are and it tries again; files
    are given up.

    Raises
    ------
    HeliographError : what failed cannot be mended by trying again, or with ``once`` it failed too often in a row.
    """
    outcomes: Counter[str] = Counter()
    heartbeats = _heartbeat_watch(settings, source, once=once)
    failures = 0

    def note(so_far: Counter[str]) -> None:
        nonlocal failures
        failures = 0
        on_batch(so_far)

    while not stop():
        try:
            with prepare(settings) as connection:
                store, sender = EventStore(connection), KafkaSender(settings.kafka)
                listener = NoticeListener(store, sender, notice_recorder(settings), outcomes)
                if source == "dir":
                    for path in paths:
                        listen_files(listener, iter_notice_messages(path))
                    break
                topics = listened_topics(source, heartbeats=heartbeats is not None)
                consumer = gcn_consumer(settings.ingest, settings.kafka, source)
                listen_kafka(listener, consumer, topics, once=once, on_batch=note, stop=stop, heartbeats=heartbeats)
                break
        except HeliographError as error:
            failures += 1
            if source == "dir" or not error.retryable or (once and failures >= FAILURES_IN_A_ROW):
                raise
            pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
            logger.warning("%s The notices wait on their topics; next attempt in %g s.", error, pause_s)
            _pause(pause_s, stop)
    return outcomes


def _heartbeat_watch(settings: Settings, source: str, *, once: bool) -> HeartbeatWatch | None:
    """Return what watches the heartbeats of a source; they never end, so a run that is to end leaves them out."""
    if once or source == "dir":
        return None
    expected = HEARTBEAT_TOPICS.values() if source == "gcn" else ()
    return HeartbeatWatch(KafkaSender(settings.kafka), utc_now, settings.ingest.heartbeat_gap_s, expected)


def run_coordinate(
    settings: Settings, on_batch: Callable[[CoordinatorReport], None], *, once: bool, stop: Stop = never
) -> CoordinatorReport:
    """Correlate what comes on the internal topics, both ways, and keep the follow-up lists.

    While the graph or Kafka cannot be reached, the messages keep their places and it tries again.

    Raises
    ------
    HeliographError : what failed cannot be mended by trying again, or with ``once`` it failed too often in a row.
    """
    failures = 0

    def note(report: CoordinatorReport) -> None:
        nonlocal failures
        failures = 0
        on_batch(report)

    while not stop():
        try:
            return _coordinate(settings, note, once=once, stop=stop)
        except HeliographError as error:
            failures += 1
            if once or not error.retryable:
                raise
            pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
            logger.warning("%s The messages wait on their topics; next attempt in %g s.", error, pause_s)
            _pause(pause_s, stop)
    return CoordinatorReport()


def _coordinate(
    settings: Settings, on_batch: Callable[[CoordinatorReport], None], *, once: bool, stop: Stop
) -> CoordinatorReport:
    """Coordinate until stopped, or until all that lies on the topics is done."""
    with prepare(settings) as connection:
        coordinator = Coordinator(EventStore(connection), KafkaSender(settings.kafka), settings.coordinator)
        nightly = NightlyBackground(settings, EventStore(connection), SkyCounts(connection))
        coordinator.use_background(nightly.current())
        coordinator.load_events()
        # What is loaded by now stays: to walk through it again and again would cost an answer 0.2 s each time.
        gc.collect()
        gc.freeze()
        association = AssociationQueue(connection, _inbox(settings, ASSOCIATION_GROUP, OBJECTS))

        def beside() -> None:
            association.work()
            if (background := nightly.refresh(busy=not coordinator.is_idle)) is not None:
                coordinator.use_background(background)

        inbox = _inbox(settings, COORDINATOR_GROUP, NOTICES, OBJECTS)
        try:
            loop = Coordination(coordinator, inbox, beside, max_messages=settings.coordinator.poll_messages)
            loop.run(on_batch, once=once, stop=stop)
            coordinator.publish_lists()
            if once:
                association.drain(stop)
        finally:
            inbox.close()
            association.close()
        return coordinator.report


def _inbox(settings: Settings, group: str, *topics: str) -> Inbox:
    """Return an inbox on some topics."""
    return Inbox(Consumer({**settings.kafka.client_config(), **CONSUMER_OPTIONS, "group.id": group}), topics)


def run_serve(settings: Settings, on_ready: Callable[[str], None], stop: Stop = never) -> None:
    """Serve the API and the page until stopped."""
    with GraphReader.open(settings.graph) as reader:
        watch = StreamLagReader.of(settings, reader)
        archive = ArchiveAnswers.of(settings)
        news = NewsHub(lambda: KafkaNews.open(settings.kafka), settings.api.stream_readers_max)
        app = create_app(
            settings.api,
            reader,
            watch=watch,
            cutouts=archive,
            visits=archive,
            intake=KafkaNoticeIntake(settings),
            sources=HeartbeatReader.of(settings),
            news=news,
        )
        config = uvicorn.Config(app, host=settings.api.host, port=settings.api.port, log_level="warning")
        news.start()
        try:
            _Server(config, on_ready, stop, on_stop=news.stop).run()
        finally:
            news.stop()


class _Server(uvicorn.Server):
    """A uvicorn server that says where it listens, whatever port it was given."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[str], None], stop: Stop, on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stop = stop
        self._on_stop = on_stop

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """End the streams first: the server waits for every answer to be finished."""
        self._on_stop()
        await super().shutdown(sockets)  # type: ignore[arg-type]

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_ready(f"http://{host}:{port}/")

    async def on_tick(self, counter: int) -> bool:
        """Look once in a while whether we are asked to stop."""
        return self._stop() or await super().on_tick(counter)
