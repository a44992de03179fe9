"""The alert stream dies by SIGKILL at each boundary between two stages: afterwards it is as if nothing had happened.

The stream itself knows nothing of this. Its processes import a module of the test's at their start, which wraps one
function and kills the process once, just before or just after a call of it.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from compose.audit import audit
from compose.config import Settings
from compose.testing import Installation, clean_installation
from compose.testing_stream import Evidence, MixedNight, start_ingest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PER_BATCH = 600
ROWS_AT_ONCE = 50
RUN_TIMEOUT_S = 120.0

KILLER = dedent(
    """
    import importlib.util
    import os
    import signal
    import sys
    from importlib.abc import Loader, MetaPathFinder

    MODULE, NAME, WHEN, CALL, ROLE, FLAG = os.environ["KILL_AT"].split(",")


    def kill_once():
        try:
            os.close(os.open(FLAG, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


    def wrap(module):
        owner, _, name = NAME.rpartition(".")
        holder = getattr(module, owner) if owner else module
        function = getattr(holder, name)
        calls = 0

        def wrapped(*given, **named):
            nonlocal calls
            calls += 1
            due = calls == int(CALL)
            if due and WHEN == "before":
                kill_once()
            answer = function(*given, **named)
            if due and WHEN == "after":
                kill_once()
            return answer

        setattr(holder, name, wrapped)


    class Wrapping(Loader):
        def __init__(self, loader):
            self.loader = loader

        def create_module(self, spec):
            return self.loader.create_module(spec)

        def exec_module(self, module):
            self.loader.exec_module(module)
            wrap(module)


    class Finder(MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != MODULE:
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            spec.loader = Wrapping(spec.loader)
            return spec


    is_worker = "pyspark.daemon" in sys.orig_argv
    if is_worker == (ROLE == "worker"):
        sys.meta_path.insert(0, Finder())
    """
)


@dataclass(frozen=True)
class KillPoint:
    """Where a process dies."""

    module: str
    function: str
    when: str
    call: int
    """Which call in that process; not the first where something should be done already."""
    role: str = "worker"


POINTS = {
    "an archive file is written and has no name yet": KillPoint(
        "ingest.archive.storage", "Storage._rename", "before", 3
    ),
    "an archive file has its name": KillPoint("ingest.archive.storage", "Storage._rename", "after", 3),
    "the graph has the rows and no commit": KillPoint(
        "neo4j._sync.work.transaction", "TransactionBase._commit", "before", 3
    ),
    "the graph has committed": KillPoint("neo4j._sync.work.transaction", "TransactionBase._commit", "after", 3),
    "dead letters and objects are published": KillPoint("graph.sender", "KafkaSender.flush", "after", 3),
    "the ledger is to be written": KillPoint("graph.alert_store", "AlertStore.write_ledger", "before", 2, "driver"),
    "the ledger is written, Spark has not committed": KillPoint(
        "graph.alert_store", "AlertStore.write_ledger", "after", 2, "driver"
    ),
    "Spark has committed and planned the next batch": KillPoint(
        "ingest.stream", "planned_ranges", "before", 2, "driver"
    ),
}


def run_once(settings: Settings, **environment: str) -> int:
    """Run the stream until all is done or it ends otherwise; return its status."""
    with start_ingest(settings, "--once", **environment) as job:
        try:
            return job.wait(RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            job.kill()
            raise


@dataclass(frozen=True)
class Stage:
    """A night, and what an undisturbed run leaves of it."""

    night: MixedNight
    environment: dict[str, str]
    undisturbed: Evidence


@pytest.fixture(scope="module")
def stage(stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("undisturbed")
    clean = clean_installation(stack_settings, home)
    night = MixedNight.simulate(stack_settings, n_ztf=900, n_lsst=500, seed=5)
    environment = {
        "HELIOGRAPH_INGEST__CATALOGUE_DIR": str(night.write_catalogue(home)),
        "HELIOGRAPH_INGEST__MAX_OFFSETS_PER_BATCH": str(PER_BATCH),
        "HELIOGRAPH_INGEST__MAX_ROWS_AT_ONCE": str(ROWS_AT_ONCE),
    }
    night.feed(clean.settings)
    assert run_once(clean.settings, **environment) == 0
    yield Stage(night, environment, night.evidence(clean, home / "archive"))
    clean.connection.close()


def test_an_undisturbed_run_is_as_expected(stage: Stage) -> None:
    """What the killed runs are held against adds up itself."""
    night, found = stage.night, stage.undisturbed
    assert found.archive == night.readable
    assert found.archived_rows == len(night.readable)
    assert found.dead_letters == night.damaged
    assert sum(sums["received"] for sums in found.ledger.values()) == len(night.messages)
    assert sum(sums["dead"] for sums in found.ledger.values()) == len(night.damaged) > 20
    assert 10 < sum(sums["duplicates"] for sums in found.ledger.values()) <= night.repeated
    assert any("MATCHES" in line for line in found.graph)
    assert any("CLASSIFIED_AS" in line for line in found.graph)


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_a_kill_leaves_no_trace(stage: Stage, installation: Installation, tmp_path: Path, point: KillPoint) -> None:
    flag = tmp_path / "killed"
    (tmp_path / "killer").mkdir()
    (tmp_path / "killer" / "sitecustomize.py").write_text(KILLER)
    kill_at = ",".join((point.module, point.function, point.when, str(point.call), point.role, str(flag)))
    settings = installation.settings
    stage.night.feed(settings)
    status = run_once(settings, **stage.environment, KILL_AT=kill_at, PYTHONPATH=str(tmp_path / "killer"))
    assert flag.exists(), "nothing was killed"
    if point.role == "driver":
        assert status == -signal.SIGKILL
        # At once: what the dead driver has started may still be at work.
        status = run_once(settings, **stage.environment)
    assert status == 0, (settings.home / "ingest.log").read_text()[-3000:]
    found = stage.night.evidence(installation, settings.home / "archive")
    wanted = stage.undisturbed
    assert found.ledger == wanted.ledger
    assert found.spans == wanted.spans
    assert found.graph == wanted.graph
    assert found.archive == wanted.archive
    assert found.archived_rows == wanted.archived_rows
    assert found.dead_letters == wanted.dead_letters
    assert audit(settings, ()).ledger_balanced
