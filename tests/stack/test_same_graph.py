"""Any order, any cut into batches, any second delivery of the same packets: the same graph, archive and sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compose.config import Settings
from compose.testing import clean_installation
from compose.testing_stream import MixedNight, graph_content
from graph.alert_store import AlertStore
from graph.model import Survey
from graph.topics import DEAD_LETTERS
from ingest.archive.writer import ArchiveWriter
from ingest.crossmatch import Catalogue, open_catalogues
from ingest.fetch import Fetched
from ingest.pipeline import Pipeline

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

OF_THE_MESSAGE = {"topic", "partition", "offset", "kafka_timestamp"}
"""Columns of the archive that tell of a message's place; everything else tells of its packet."""


@dataclass(frozen=True)
class Delivery:
    """How packets come: in an order of its own, on so many partitions, in batches of at most so many."""

    seed: int
    partitions: int
    max_rows: int
    again: float = 0.0
    """Share of the packets that are delivered twice."""
    replayed: float = 0.0
    """Share of each partition that runs again in the end, as one batch."""


@dataclass
class Letters:
    """A Kafka of which only the dead letters are looked at."""

    buried: list[bytes] = field(default_factory=list)

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        if topic == DEAD_LETTERS:
            assert key is not None
            assert headers is not None
            self.buried.append(value)

    def flush(self) -> None:
        """Everything is there already."""


@dataclass(frozen=True)
class Outcome:
    graph: frozenset[str]
    archive: Counter[str]
    """Row without its place -> how often."""
    counts: Counter[str]
    buried: Counter[bytes]


@dataclass(frozen=True)
class Packets:
    by_survey: Mapping[Survey, Sequence[bytes]]
    catalogues: Sequence[Catalogue]


@pytest.fixture(scope="module")
def packets(stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Packets:
    """Return a small night: many objects have several detections, some packets are damaged, none is there twice."""
    night = MixedNight.simulate(stack_settings, n_ztf=160, n_lsst=90, seed=8)
    found: dict[Survey, dict[bytes, None]] = defaultdict(dict)
    for one in night.messages:
        found[one.survey][one.packet] = None
    folder = night.write_catalogue(tmp_path_factory.mktemp("sky"))
    return Packets({survey: list(values) for survey, values in found.items()}, open_catalogues(folder))


def batches(survey: Survey, values: Sequence[bytes], delivery: Delivery) -> tuple[list[Fetched], dict[str, str]]:
    """Return a survey's packets as they are fetched, and for each source the name of its packet."""
    rng = np.random.default_rng([delivery.seed, list(Survey).index(survey)])
    number = np.arange(len(values))
    number = np.concatenate((number, rng.choice(number, int(delivery.again * len(values)), replace=False)))
    rng.shuffle(number)
    partition = rng.integers(0, delivery.partitions, len(number))
    topic = f"alerts.{survey.value}"
    turns: list[tuple[float, Fetched]] = []
    names: dict[str, str] = {}
    for p in range(delivery.partitions):
        mine = number[partition == p].tolist()
        names |= {f"{topic}/{p}/{offset}": f"{survey.value} {which}" for offset, which in enumerate(mine)}
        cuts = [(at, min(at + delivery.max_rows, len(mine))) for at in range(0, len(mine), delivery.max_rows)]
        for first, until in [*cuts, (0, int(delivery.replayed * len(mine)))]:
            offset = np.arange(first, until, dtype=np.int64)
            block = pa.array([values[which] for which in mine[first:until]], pa.large_binary())
            # Partitions take turns in any way; each goes on in order, and replays come last.
            turn = rng.random() * 0.1 + first if (first, until) in cuts else len(values) * 3.0
            turns.append((turn, Fetched(topic, p, offset, 1_795_000_000_000 + offset, block)))
    turns.sort(key=lambda one: one[0])
    return [one for _, one in turns if len(one.offset)], names


def run(settings: Settings, home: Path, packets: Packets, delivery: Delivery) -> Outcome:
    """Take the packets to an empty graph and an empty archive."""
    clean = clean_installation(settings, home)
    letters, counts, names = Letters(), Counter[str](), dict[str, str]()
    for survey, values in packets.by_survey.items():
        pipeline = Pipeline(
            survey,
            AlertStore(clean.connection),
            letters,
            packets.catalogues,
            min_reliability=0.3,
            keep_private=False,
            max_message_bytes=2**23,
            classifier_time_limit_s=120.0,
            archive=ArchiveWriter(str(home / "archive"), sync=False),
        )
        fetched, named = batches(survey, values, delivery)
        names |= named
        counted: dict[tuple[int, int], str] = {}
        for block in fetched:
            report = pipeline.run(block)
            for offset, outcome in zip(block.offset.tolist(), report.outcome.tolist(), strict=True):
                # A batch that runs again must say the same of every message.
                assert counted.setdefault((block.partition, offset), outcome) == outcome
        counts.update(counted.values())
    content = graph_content(clean, names)
    clean.connection.close()
    return Outcome(content, archive_rows(home / "archive"), counts, Counter(set(letters.buried)))


def archive_rows(root: Path) -> Counter[str]:
    """Return every row of an archive as text without its place."""
    rows: Counter[str] = Counter()
    for path in root.rglob("*.parquet"):
        if not path.name.startswith("."):
            rows.update(_as_text(row) for row in pq.ParquetFile(path).read().to_pylist())
    return rows


def _as_text(row: dict[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in row.items() if name not in OF_THE_MESSAGE))


@pytest.fixture(scope="module")
def in_order(stack_settings: Settings, packets: Packets, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Return what the packets leave when they come in one batch for each survey."""
    found = run(stack_settings, tmp_path_factory.mktemp("in_order"), packets, Delivery(0, 1, 2000))
    n = sum(map(len, packets.by_survey.values()))
    assert found.counts.total() == n
    assert found.counts["loaded"] > n / 2
    assert found.counts["dead:malformed"] == len(found.buried) == 4
    assert found.counts["duplicate"] == 0
    assert found.counts["filtered:satellite_glint"] == 0
    assert found.archive.total() == len(found.archive) == n - len(found.buried)
    assert len([line for line in found.graph if '"Detection"' in line]) == found.counts["loaded"]
    assert any('"MATCHES"' in line for line in found.graph)
    return found


ONCE = [Delivery(1, 3, 1), Delivery(2, 2, 7), Delivery(3, 4, 33, replayed=0.4), Delivery(4, 1, 2000, replayed=1.0)]
TWICE = [Delivery(5, 1, 2000, again=1.0), Delivery(6, 3, 5, again=0.5), Delivery(7, 2, 60, again=0.3, replayed=0.5)]


@pytest.mark.parametrize("delivery", ONCE, ids=str)
def test_order_and_cut_do_not_matter(
    stack_settings: Settings, packets: Packets, in_order: Outcome, tmp_path: Path, delivery: Delivery
) -> None:
    """Satellite glints are left out: whether detections lie on one circle depends on which are looked at together."""
    found = run(stack_settings, tmp_path, packets, delivery)
    assert found.counts == in_order.counts
    assert found.graph == in_order.graph
    assert found.archive == in_order.archive
    assert found.buried == in_order.buried


@pytest.mark.parametrize("delivery", TWICE, ids=str)
def test_second_deliveries_leave_no_trace(
    stack_settings: Settings, packets: Packets, in_order: Outcome, tmp_path: Path, delivery: Delivery
) -> None:
    """Which of two deliveries is named as source depends on the order: here both have the name of their packet."""
    found = run(stack_settings, tmp_path, packets, delivery)
    n = sum(map(len, packets.by_survey.values()))
    assert found.counts.total() == n + sum(int(delivery.again * len(v)) for v in packets.by_survey.values())
    assert found.counts["loaded"] == in_order.counts["loaded"]
    assert found.counts["duplicate"] > 0
    assert found.graph == in_order.graph
    # Every message is archived, a second delivery too; both rows are the same.
    assert set(found.archive) == set(in_order.archive)
    refused = sum(count for name, count in found.counts.items() if name.startswith("dead:"))
    assert found.archive.total() == found.counts.total() - refused
    assert found.buried == in_order.buried
