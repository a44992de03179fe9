"""The alert stream on a real standalone cluster of two workers, one of which is killed in mid-batch."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyspark
import pytest

from compose.audit import audit
from compose.stack.processes import LOOPBACK, free_port
from compose.testing import Installation
from compose.testing_stream import MixedNight, start_ingest
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.screening import screen

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PER_BATCH = 1500
ROWS_AT_ONCE = 30
START_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 200.0
SPARK_HOME = Path(pyspark.__file__).parent


@dataclass(frozen=True)
class Cluster:
    """A master and two workers of one core each, on the loopback address."""

    url: str
    workers: tuple[subprocess.Popen[bytes], ...]

    def executor_of(self, number: int) -> psutil.Process | None:
        """Return the JVM in which a worker's tasks run."""
        for process in psutil.Process(self.workers[number].pid).children(recursive=True):
            try:
                if any("CoarseGrainedExecutorBackend" in word for word in process.cmdline()):
                    return process
            except psutil.NoSuchProcess:
                continue
        return None


def wait_for(what: Callable[[], bool], timeout_s: float, why: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a master or a worker; it logs to ``<name>.log``."""
    environment = {**os.environ, "SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": LOOPBACK}
    with (folder / f"{name}.log").open("wb") as sink:
        return subprocess.Popen(
            [str(SPARK_HOME / "bin" / "spark-class"), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    url = f"spark://{LOOPBACK}:{port}"
    place = ("--host", LOOPBACK, "--webui-port", "0")
    deploy = "org.apache.spark.deploy"
    with ExitStack() as at_end:
        started: list[subprocess.Popen[bytes]] = []
        at_end.callback(lambda: [end_family(one) for one in reversed(started)])
        started.append(start(folder, "master", f"{deploy}.master.Master", "--port", str(port), *place))
        own = ("--cores", "1", "--memory", "1g")
        for number in range(2):
            work = ("--work-dir", str(folder / f"work{number}"))
            started.append(start(folder, f"worker{number}", f"{deploy}.worker.Worker", *place, *own, *work, url))
        for number in range(2):
            log = folder / f"worker{number}.log"
            wait_for(
                lambda log=log: b"Successfully registered with master" in log.read_bytes(),
                START_TIMEOUT_S,
                f"a worker did not find its master: {log}",
            )
        yield Cluster(url, (started[1], started[2]))


def end_family(process: subprocess.Popen[bytes]) -> None:
    """Kill a server of ours with all that it has started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    process.wait()
    for child in family:
        if child.is_running():
            child.kill()


def expected_outcomes(night: MixedNight) -> tuple[set[tuple[str, int]], dict[str, int]]:
    """Return the detections that the graph must hold, and the sums of the ledger, from one look at the whole night."""
    wanted: set[tuple[str, int]] = set()
    sums = {"loaded": 0, "duplicates": 0, "filtered": 0}
    for survey in Survey:
        packets = [one.packet for one in night.messages if one.survey is survey and not one.damaged]
        columns, rejects = AlertDecoder(survey).decode(pa.array(packets, pa.large_binary()))
        assert not rejects
        reasons = screen(columns, 0.3, keep_private=False)
        assert "satellite_glint" not in reasons, "which are glints depends on the batch"
        found = columns.detection_id[reasons == ""].tolist()
        wanted |= {(survey.value, number) for number in found}
        sums["duplicates"] += len(found) - len(set(found))
        sums["loaded"] += len(set(found))
        sums["filtered"] += int((reasons != "").sum())
    return wanted, sums


def test_a_lost_worker_loses_and_doubles_nothing(installation: Installation, cluster: Cluster) -> None:
    """First the JVM of one executor dies, then, some batches on, a worker with all that belongs to it."""
    settings = installation.settings
    night = MixedNight.simulate(settings, n_ztf=2000, n_lsst=1200, seed=22)
    night.feed(settings)

    def count(text: str) -> int:
        return int(installation.query(text)[0]["n"])

    def detections() -> int:
        return count("MATCH (d:Detection) RETURN count(d) AS n")

    def in_ledger() -> int:
        return count("MATCH (l:LedgerEntry) RETURN sum(l.received) AS n")

    job = start_ingest(
        settings,
        "--once",
        "--master",
        cluster.url,
        HELIOGRAPH_INGEST__MAX_OFFSETS_PER_BATCH=str(PER_BATCH),
        HELIOGRAPH_INGEST__MAX_ROWS_AT_ONCE=str(ROWS_AT_ONCE),
    )
    try:
        wait_for(lambda: detections() > 0 or job.poll() is not None, START_TIMEOUT_S * 2, "nothing came to the graph")
        executor = cluster.executor_of(0)
        assert executor is not None, (settings.home / "ingest.log").read_text()[-3000:]
        executor.send_signal(signal.SIGKILL)
        assert in_ledger() == 0, "the first batch was over before the kill"
        before = detections()
        wait_for(lambda: in_ledger() > 0 and detections() > before, START_TIMEOUT_S * 2, "it did not go on")
        end_family(cluster.workers[1])
        assert in_ledger() < len(night.messages), "all was over before the second kill"
        assert job.wait(RUN_TIMEOUT_S) == 0, (settings.home / "ingest.log").read_text()[-3000:]
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
    wanted, sums = expected_outcomes(night)
    found = night.evidence(installation, settings.home / "archive")
    rows = installation.query("MATCH (d:Detection) RETURN d.survey AS survey, d.detection_id AS id")
    assert {(row["survey"], row["id"]) for row in rows} == wanted
    assert len(rows) == len(wanted)
    assert found.archive == night.readable
    assert found.archived_rows == len(night.readable)
    assert found.dead_letters == night.damaged
    assert sum(total["received"] for total in found.ledger.values()) == len(night.messages)
    assert sum(total["loaded"] for total in found.ledger.values()) == sums["loaded"]
    assert sum(total["duplicates"] for total in found.ledger.values()) == sums["duplicates"]
    assert audit(settings, ()).ledger_balanced
