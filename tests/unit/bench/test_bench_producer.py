"""The producing process: what it sends, when, and that it says so when it cannot."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import fastavro
import pyarrow.parquet as pq
import pytest

from compose.bench.broker import trim_points
from compose.bench.feeder import Feeder
from compose.bench.ingest import IngestPlan
from compose.bench.producer import TRUTH_FILE, Orders, ProducerPlan, iter_night, make_night, send_paced, with_faults
from compose.bench.spool import read_spool, write_spool
from compose.config import Settings
from graph.errors import PublishError
from graph.model import Survey


class Recorder:
    """Remembers what was sent and when."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str, bytes]] = []
        self.flushed = 0

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:  # noqa: ARG002 - as a sender's
        self.sent.append((time.monotonic(), topic, value))

    def flush(self) -> None:
        self.flushed += 1


@pytest.fixture
def plan(tmp_path: Path) -> ProducerPlan:
    return ProducerPlan("ztf", 300, 3, str(tmp_path))


def test_a_pace_is_kept_in_small_steps() -> None:
    recorder = Recorder()
    sent = send_paced(recorder, "t", iter([b"xy"] * 1000), 200, 400.0)
    assert (sent.alerts, sent.bytes, len(recorder.sent)) == (200, 400, 200)
    begin = recorder.sent[0][0] - 0.05
    lateness = [at - begin - number / 400.0 for number, (at, *_) in enumerate(recorder.sent)]
    # A message goes out within the tick after its time, and the machine may be busy.
    assert min(lateness) > -0.005
    assert sorted(lateness)[len(lateness) // 2] < 0.15
    assert recorder.flushed == 1


def test_a_pace_ends_with_its_packets() -> None:
    assert send_paced(Recorder(), "t", iter([b"x"] * 7), 100, 1000.0).alerts == 7


def test_faults_follow_the_packets_that_they_are_made_of() -> None:
    plan = ProducerPlan("ztf", 12, 1, "", repeat_every=4, damage_every=6)
    packets = [bytes([i]) * 8 for i in range(1, 13)]
    out = list(with_faults(packets, plan))
    assert [packet for first, packet in out if first] == packets
    assert [packet for first, packet in out if not first] == [
        packets[3],
        b"\x06" * 4,
        packets[7],
        packets[11],
        b"\x0c" * 4,
    ]


def test_a_spool_gives_back_what_it_was_given(tmp_path: Path) -> None:
    packets = [bytes([i % 251]) * (i % 7) for i in range(1203)]
    assert write_spool(tmp_path / "s", iter(packets)) == (1203, sum(map(len, packets)))
    assert list(read_spool(tmp_path / "s")) == packets


def test_orders_take_the_night_in_turn(plan: ProducerPlan) -> None:
    recorder = Recorder()
    orders = Orders(plan, "alerts.ztf", recorder)
    assert orders.carry_out({"stage": 100})["alerts"] == 100
    assert orders.carry_out({"send_staged": 100, "rate_per_s": 0})["alerts"] == 100
    assert orders.carry_out({"send": 150})["messages"] == 150
    assert orders.carry_out({"stage": 999})["alerts"] == 50
    assert orders.carry_out({"send_staged": 999, "rate_per_s": 5000.0})["alerts"] == 50
    assert [value for _, _, value in recorder.sent] == list(make_night(plan).ztf)
    assert {topic for _, topic, _ in recorder.sent} == {"alerts.ztf"}
    orders.close()
    truth = pq.read_table(Path(plan.folder) / TRUTH_FILE)
    named = [next(fastavro.reader(io.BytesIO(value)))["candid"] for _, _, value in recorder.sent]
    assert truth.column("detection_id").to_pylist() == named
    assert len(set(named)) == plan.n_alerts


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_a_night_without_images_is_small(plan: ProducerPlan, survey: str) -> None:
    plan = replace(plan, survey=survey, n_alerts=40)
    full, bare = (list(iter_night(make_night(one), one)) for one in (plan, replace(plan, cutouts=False)))
    assert len(bare) == len(full) == 40
    assert sum(map(len, bare)) < 0.7 * sum(map(len, full))


def test_a_process_that_cannot_go_on_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="ended with status 1"):
        Feeder(Settings(), ProducerPlan("no such survey", 10, 1, str(tmp_path)), "alerts.ztf")


def test_a_process_ends_with_its_feeder(tmp_path: Path) -> None:
    with Feeder(Settings(), ProducerPlan("ztf", 60, 1, str(tmp_path)), "alerts.ztf") as feeder:
        assert feeder.stage(50)[0] == 50
        process = feeder.process
    assert process.returncode == 0


def test_a_plan_adds_up() -> None:
    plain = IngestPlan(40_000, duration_s=10.0)
    assert plain.total == 40_000 + 2560 + 13_330
    assert IngestPlan(40_000, duration_s=0.0).total == 40_000
    scaled = IngestPlan(1_000_000, Survey.LSST, (), 10.0, scale=True)
    assert scaled.total == 1_000_000
    assert scaled.bursts == (100_000,) * 9


def test_what_a_killed_batch_may_read_again_is_kept() -> None:
    assert trim_points({0: 50_000, 1: 12_000}, 16_000) == {0: 34_000, 1: 0}
