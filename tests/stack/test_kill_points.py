"""The alert stream dies by SIGKILL at each boundary between two stages: afterwards it is as if nothing had happened.

The stream itself knows nothing of this. Its processes import a module of the test's at their start, which wraps some
functions and kills the process just before or just after a call of one of them, each time in another batch of the same
night. Batches have no message in common, so none can mend what a kill in another one has spoilt.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from compose.audit import audit
from compose.config import Settings
from compose.testing import Installation, clean_installation
from compose.testing_stream import Evidence, MixedNight, start_ingest
from ingest.offsets import OffsetRange, planned_ranges

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PER_BATCH = 150
"""Messages in a batch: ten batches in the night, one for each point and one before and after them."""

ROWS_AT_ONCE = 25
"""Messages that a worker handles at once: each of the two has four blocks of a batch."""

MASTER = "local[2]"
"""Two workers on any machine: how many there are says how many calls each makes."""

RUN_TIMEOUT_S = 200.0

KILLER = dedent(
    """
    import importlib.util
    import json
    import os
    import signal
    import sys
    from importlib.abc import Loader, MetaPathFinder

    PLANS, FLAGS = os.environ["KILL_PLANS"], os.environ["KILL_FLAGS"]
    ROLE = "worker" if "pyspark.daemon" in sys.orig_argv else "driver"
    POINTS = [point for point in json.loads(os.environ["KILL_AT"]) if point["role"] == ROLE]


    def newest_batch():
        return max(int(name) for name in os.listdir(PLANS) if name.isdigit())


    def kill_once(point):
        try:
            os.close(os.open(os.path.join(FLAGS, str(point["batch"])), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


    def wrap(module, point):
        owner, _, name = point["function"].rpartition(".")
        holder = getattr(module, owner) if owner else module
        function = getattr(holder, name)
        calls = 0

        def wrapped(*given, **named):
            nonlocal calls
            in_batch = newest_batch() == point["batch"]
            calls += in_batch
            due = in_batch and calls == point["call"]
            if due and point["when"] == "before":
                kill_once(point)
            answer = function(*given, **named)
            if due and point["when"] == "after":
                kill_once(point)
            return answer

        setattr(holder, name, wrapped)


    class Wrapping(Loader):
        def __init__(self, loader, points):
            self.loader, self.points = loader, points

        def create_module(self, spec):
            return self.loader.create_module(spec)

        def exec_module(self, module):
            self.loader.exec_module(module)
            for point in self.points:
                wrap(module, point)


    class Finder(MetaPathFinder):
        def __init__(self):
            self.awaited = {point["module"] for point in POINTS}

        def find_spec(self, name, path, target=None):
            if name not in self.awaited:
                return None
            self.awaited.remove(name)
            spec = importlib.util.find_spec(name)
            spec.loader = Wrapping(spec.loader, [point for point in POINTS if point["module"] == name])
            return spec


    sys.meta_path.insert(0, Finder())
    if ROLE == "worker":
        # Before Spark's daemon forks the workers: the one that takes the place of a dead one has its modules at once.
        import ingest.stream
    """
)


@dataclass(frozen=True)
class KillPoint:
    """Where a process dies."""

    module: str
    function: str
    when: str
    batch: int
    """In which batch; each point has its own, and none has the first."""
    call: int = 1
    """Which call in that batch and process; for a worker not the first, so that something is done already."""
    role: str = "worker"


POINTS = {
    "an archive file is written and has no name yet": KillPoint(
        "ingest.archive.storage", "Storage._rename", "before", 1, 3
    ),
    "an archive file has its name": KillPoint("ingest.archive.storage", "Storage._rename", "after", 2, 3),
    "the graph has the rows and no commit": KillPoint(
        "neo4j._sync.work.transaction", "TransactionBase._commit", "before", 3, 3
    ),
    "the graph has committed": KillPoint("neo4j._sync.work.transaction", "TransactionBase._commit", "after", 4, 3),
    "dead letters and objects are published": KillPoint("graph.sender", "KafkaSender.flush", "after", 5, 3),
    "the ledger is to be written": KillPoint(
        "graph.alert_store", "AlertStore.write_ledger", "before", 6, role="driver"
    ),
    "the ledger is written, Spark has not committed": KillPoint(
        "graph.alert_store", "AlertStore.write_ledger", "after", 7, role="driver"
    ),
    "Spark has committed and planned the next batch": KillPoint(
        "ingest.stream", "planned_ranges", "before", 8, role="driver"
    ),
}


def run_once(settings: Settings, **environment: str) -> int:
    """Run the stream until all is done or it ends otherwise; return its status."""
    with start_ingest(settings, "--once", "--master", MASTER, **environment) as job:
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
def stage(stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    home = tmp_path_factory.mktemp("undisturbed")
    clean = clean_installation(stack_settings, home)
    night = MixedNight.simulate(stack_settings, n_ztf=900, n_lsst=500, seed=5)
    environment = {
        "HELIOGRAPH_INGEST__CATALOGUE_DIR": str(night.write_catalogue(home)),
        "HELIOGRAPH_INGEST__MAX_OFFSETS_PER_BATCH": str(PER_BATCH),
        "HELIOGRAPH_INGEST__MAX_ROWS_AT_ONCE": str(ROWS_AT_ONCE),
    }
    with clean.connection:
        night.feed(clean.settings)
        assert run_once(clean.settings, **environment) == 0
        return Stage(night, environment, night.evidence(clean, home / "archive"))


@dataclass(frozen=True)
class Disturbed:
    """The same night, once it has come through all kills."""

    installation: Installation
    flags: Path
    """Folder with a file for each batch in which a process was killed."""
    statuses: Sequence[int]
    """Of each start of the stream."""
    evidence: Evidence

    def batch(self, number: int) -> list[OffsetRange]:
        """Return what Spark had planned for a batch."""
        return planned_ranges(self.installation.settings.home / "checkpoints" / "alerts", number)


@pytest.fixture(scope="module")
def disturbed(stage: Stage, stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    """Start the stream again as often as a kill has ended it: a lost worker it must replace by itself."""
    home = tmp_path_factory.mktemp("disturbed")
    clean = clean_installation(stack_settings, home)
    flags, killer = home / "killed", home / "killer"
    flags.mkdir()
    killer.mkdir()
    (killer / "sitecustomize.py").write_text(KILLER)
    environment = {
        **stage.environment,
        "KILL_AT": json.dumps([asdict(point) for point in POINTS.values()]),
        "KILL_PLANS": str(home / "checkpoints" / "alerts" / "offsets"),
        "KILL_FLAGS": str(flags),
        "PYTHONPATH": os.pathsep.join([str(killer), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    stage.night.feed(clean.settings)
    # At once: what the dead driver has started may still be at work.
    statuses = [run_once(clean.settings, **environment)]
    while statuses[-1] == -signal.SIGKILL and len(statuses) <= len(POINTS):
        statuses.append(run_once(clean.settings, **environment))
    assert statuses[-1] == 0, (home / "ingest.log").read_text()[-3000:]
    yield Disturbed(clean, flags, statuses, stage.night.evidence(clean, home / "archive"))
    clean.connection.close()


def of_batch(found: Evidence, ranges: Sequence[OffsetRange]) -> dict[str, object]:
    """Return what is left of the messages of one batch."""
    sources = {
        f"{one.topic}/{one.partition}/{offset}" for one in ranges for offset in range(one.offset_from, one.offset_until)
    }
    places = {(one.topic, one.partition): (one.offset_from, one.offset_until) for one in ranges}
    return {
        "counted": all(span in found.spans[place] for place, span in places.items()),
        "detections": {line for line in found.graph if json.loads(line).get("properties", {}).get("source") in sources},
        "archive": {source: packet for source, packet in found.archive.items() if source in sources},
        "dead letters": {source: packet for source, packet in found.dead_letters.items() if source in sources},
    }


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
def test_a_kill_leaves_no_trace(stage: Stage, disturbed: Disturbed, point: KillPoint) -> None:
    """In the batch in which it struck; what a kill does to others is seen by the comparison of the whole."""
    assert (disturbed.flags / str(point.batch)).exists(), "nothing was killed"
    ranges = disturbed.batch(point.batch)
    found = of_batch(disturbed.evidence, ranges)
    assert found == of_batch(stage.undisturbed, ranges)
    assert all(found.values())


def test_all_kills_leave_no_trace_together(stage: Stage, disturbed: Disturbed) -> None:
    """The stream outlives its workers by itself; each kill of the driver is one start more."""
    drivers = [point for point in POINTS.values() if point.role == "driver"]
    assert list(disturbed.statuses) == [-signal.SIGKILL] * len(drivers) + [0]
    found, wanted = disturbed.evidence, stage.undisturbed
    assert found.ledger == wanted.ledger
    assert found.spans == wanted.spans
    assert found.graph == wanted.graph
    assert found.archive == wanted.archive
    assert found.archived_rows == wanted.archived_rows
    assert found.dead_letters == wanted.dead_letters
    assert audit(disturbed.installation.settings, ()).ledger_balanced
