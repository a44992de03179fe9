"""Neo4j stands still, or is not there at all: the flow stops, the data wait on their topics, and all goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from compose.audit import audit
from compose.config import Settings
from compose.lag import StreamLagReader
from compose.stack import embedded
from compose.testing import Installation
from compose.testing_stream import MixedNight, start_ingest
from graph.reader import GraphReader
from graph.views import StreamLag

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

PER_BATCH = 300
STANDS_STILL_S = 20.0
AWAY_S = 40.0
"""Longer than the driver repeats a transaction by itself: the stream's own perseverance is wanted."""
GROWTH_MB = 250
"""Memory that the stream may gain while nothing moves; what waits is 20 MB, and the JVM's heap breathes."""


def own_neo4j(settings: Settings) -> Settings:
    """Return the settings by which the embedded Neo4j is stopped and started again at the same address."""
    port = urlsplit(settings.graph.uri).port
    assert port is not None
    return settings.model_copy(
        update={
            "graph": settings.graph.model_copy(update={"uri": ""}),
            "stack": settings.stack.model_copy(update={"neo4j_port": port}),
        }
    )


@contextmanager
def neo4j_stands_still(settings: Settings) -> Iterator[None]:
    process = psutil.Process(int(embedded.status(settings)["neo4j"]["pid"]))
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def neo4j_is_away(settings: Settings) -> Iterator[None]:
    assert embedded.down(settings, only=("neo4j",)) == ("neo4j",)
    try:
        yield
    finally:
        embedded.up(settings, detached=False)


def memory_mb(job: subprocess.Popen[bytes]) -> float:
    """Return the memory of a process and all that it started [MB]; pages that they share are counted once."""
    family = [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family if one.is_running()) / 1e6


def lag(installation: Installation) -> StreamLag:
    with GraphReader.open(installation.settings.graph) as reader:
        return StreamLagReader.of(installation.settings, reader).lag()


def in_ledger(installation: Installation) -> int:
    return int(installation.query("MATCH (l:LedgerEntry) RETURN sum(l.received) AS n")[0]["n"])


def wait_for(what: Callable[[], bool], job: subprocess.Popen[bytes], timeout_s: float, why: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert job.poll() is None, f"the stream ended with {job.returncode}"
        assert time.monotonic() < deadline, why
        time.sleep(0.2)


def test_a_graph_that_stops_answering_stops_the_flow_and_nothing_else(
    installation: Installation, stack_settings: Settings
) -> None:
    settings, servers = installation.settings, own_neo4j(stack_settings)
    night = MixedNight.simulate(settings, n_ztf=1500, n_lsst=600, seed=31)
    third = len(night.messages) // 3
    parts = [night.messages[:third], night.messages[third : 2 * third], night.messages[2 * third :]]
    night.feed(settings, parts[0])
    exits = ExitStack()
    watch = StreamLagReader.of(settings, exits.enter_context(GraphReader.open(settings.graph)))
    job = start_ingest(
        settings,
        HELIOGRAPH_INGEST__MAX_OFFSETS_PER_BATCH=str(PER_BATCH),
        HELIOGRAPH_INGEST__TRIGGER_INTERVAL_S="0.2",
    )
    try:
        wait_for(lambda: in_ledger(installation) == third, job, 150.0, "the first third did not arrive")
        assert lag(installation).lag_alerts == 0
        before_mb = memory_mb(job)

        with neo4j_stands_still(servers):
            night.feed(settings, parts[1])
            time.sleep(STANDS_STILL_S)
            assert job.poll() is None
            assert memory_mb(job) < before_mb + GROWTH_MB
        behind = lag(installation)
        assert behind.lag_alerts > 0
        assert behind.oldest_unprocessed_s is not None
        assert behind.oldest_unprocessed_s > STANDS_STILL_S / 2
        wait_for(lambda: in_ledger(installation) == 2 * third, job, 60.0, "it did not go on")
        assert watch.lag().lag_alerts == 0

        with neo4j_is_away(servers):
            night.feed(settings, parts[2])
            waiting = watch.lag()
            assert waiting.lag_alerts == len(parts[2])
            assert waiting.oldest_unprocessed_s is not None
            time.sleep(AWAY_S)
            assert job.poll() is None
            assert memory_mb(job) < before_mb + GROWTH_MB
        wait_for(lambda: in_ledger(installation) == len(night.messages), job, 120.0, "it did not begin again")
        assert lag(installation).lag_alerts == 0
        job.send_signal(signal.SIGTERM)
        assert job.wait(60.0) == 0
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        exits.close()
    found = night.evidence(installation, settings.home / "archive")
    assert found.archive == night.readable
    assert found.archived_rows == len(night.readable)
    assert found.dead_letters == night.damaged
    figures = audit(settings, ())
    assert figures.ledger_balanced
    assert figures.alerts_received == len(night.messages)
