"""How fast and how late the alert stream is: one running stream, and what is thrown at it.

First a backlog that lies on Kafka when the stream starts: the sustained rate. Then a producer that keeps a pace: the
delay of each alert. Then, on demand, one tenth of the alerts after another, each sent at once: bursts, and what the
growing graph costs. Packets are made ahead while the stream has nothing to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from compose import services
from compose.bench.broker import trim, trim_points, watermarks, written
from compose.bench.feeder import Feeder
from compose.bench.latency import latency_figures
from compose.bench.meters import FamilyMeter, cpu_between, cpu_per_thousand, peak_memory_mb
from compose.bench.peers import measure_peers
from compose.bench.producer import ProducerPlan, iter_night, make_night
from compose.bench.timeline import Stretch, Timeline, undisturbed, warm_start
from compose.config import Settings
from compose.feed import alert_topic
from compose.stack.processes import check_disk
from graph.connection import Connection
from graph.model import Survey

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a stage, how much is done, and how much there is if that is known."""

PEER_PACKETS = 1000
"""Packets decoded by the peer: enough for a second or two of work."""

STEPS = 10
"""Steps in which the graph grows to its full size."""

PACED_RATES_PER_S = (256.0, 1333.0)
"""Rates at which delays are measured [1/s]: LSST's 10,000 alerts every 39 s, and the peaks of ZTF."""

SETTLE_S = 3.0
"""Pause before and after a measurement in which memory is read [s]: some batches without work."""

PACKAGES = ("pyspark", "neo4j", "confluent-kafka", "numba", "pyarrow", "onnxruntime", "fastavro")
"""Packages whose versions stand in the report."""

BYTES_ON_DISK = {Survey.ZTF: 65_000, Survey.LSST: 115_000}
"""Room that a packet takes on Kafka or in the spool [byte]; measured on simulated packets, which lz4 hardly shrinks."""


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What is measured."""

    n_alerts: int
    """Alerts of the backlog; with ``scale`` alerts in all."""
    survey: Survey = Survey.ZTF
    rates_per_s: tuple[float, ...] = PACED_RATES_PER_S
    duration_s: float = 30.0
    """Length of each paced sending [s]; 0 leaves them out."""
    scale: bool = False
    """Grow the graph in `STEPS` steps, each of them a burst."""
    seed: int = 1

    @property
    def backlog(self) -> int:
        """Alerts that lie on Kafka when the stream starts."""
        return max(self.n_alerts // STEPS, 1) if self.scale else self.n_alerts

    @property
    def paced(self) -> dict[float, int]:
        """Alerts sent at each rate."""
        return {rate: int(rate * self.duration_s) for rate in self.rates_per_s} if self.duration_s > 0 else {}

    @property
    def bursts(self) -> tuple[int, ...]:
        """Alerts of each burst."""
        return (self.backlog,) * (STEPS - 1) if self.scale else ()

    @property
    def total(self) -> int:
        """All alerts."""
        return self.backlog + sum(self.paced.values()) + sum(self.bursts)


def bench_ingest(settings: Settings, plan: IngestPlan, progress: Progress) -> dict[str, object]:
    """Measure full packets, cutouts included, from Kafka to committed in Neo4j.

    Returns
    -------
    JSON-ready figures; docs/cli.md names each.

    Raises
    ------
    EnvironmentProblem : the disk cannot hold the largest backlog.
    StoreError : the stream stopped before the end.
    PublishError : the producing process stopped before the end.
    """
    largest = max(plan.backlog, *plan.paced.values(), *plan.bursts, 0)
    # Once in the spool, once on Kafka, and once more until the broker has deleted what was done before.
    check_disk(settings.home, settings.stack.min_free_disk_mb + 3 * largest * BYTES_ON_DISK[plan.survey] // 2**20)
    services.prepare(settings).close()
    folder = settings.home / "bench"
    peers, packet_bytes = _peers(plan)
    producer = ProducerPlan(plan.survey.value, plan.total, plan.seed, str(folder))
    timeline = Timeline()
    with Feeder(settings, producer, alert_topic(settings, plan.survey)) as feeder, FamilyMeter("driver") as meter:
        run = _Run(settings, plan, packet_bytes, feeder, timeline, meter, progress)
        run.fill_backlog()
        with ThreadPoolExecutor(1) as pool:
            started_s = time.perf_counter()
            steps = pool.submit(run.steps, started_s)
            try:
                services.run_ingest(settings, timeline.note, once=False, stop=steps.done)
            finally:
                timeline.close()
            figures = steps.result()
    return {
        **figures,
        "peers": peers,
        "survey": plan.survey.value,
        "packet_bytes": packet_bytes,
        **_in_graph(settings),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """The measurements, made on a thread beside the stream."""

    settings: Settings
    plan: IngestPlan
    packet_bytes: int
    """Mean length of a packet [byte]."""
    feeder: Feeder
    timeline: Timeline
    meter: FamilyMeter
    progress: Progress

    @property
    def topic(self) -> str:
        """Topic of the survey's alerts."""
        return alert_topic(self.settings, self.plan.survey)

    def fill_backlog(self) -> None:
        """Put the backlog onto Kafka before the stream starts."""
        self.progress("to Kafka", 0, self.plan.total)
        self.feeder.stage(self.plan.backlog)
        self.feeder.send_staged(self.plan.backlog)
        self.progress("to Kafka", self.feeder.sent_alerts, self.plan.total)

    def steps(self, started_s: float) -> dict[str, object]:
        """Make every measurement and return the figures."""
        backlog = self._backlog(started_s)
        paced = [self._paced(rate, n) for rate, n in self.plan.paced.items()]
        bursts = [self._burst(n) for n in self.plan.bursts]
        figures: dict[str, object] = {
            **backlog,
            "latency_s": paced[0]["latency_s"] if paced else latency_figures({}),
            "paced": paced,
            "peak_memory_mb": peak_memory_mb(self.meter.samples, started_s, time.perf_counter())["total"],
            "n": self.timeline.processed,
            "lost": written(self.settings.kafka, self.topic) - self.timeline.processed,
        }
        if bursts:
            figures |= {"burst": bursts[0], "growth": [_growth_of(backlog), *bursts]}
        return figures

    def _backlog(self, started_s: float) -> dict[str, object]:
        """Measure the rate at which a backlog goes."""
        self.timeline.wait_for(self.plan.backlog)
        finished = self.timeline.finished
        ended_s = finished[-1].at_s
        self._show()
        warm = self.timeline.stretch(warm_start(finished, started_s), ended_s)
        first = finished[0]
        return {
            "alerts_per_s": round(warm.per_s, 1),
            "mb_per_s": round(warm.per_s * self.packet_bytes / 1e6, 1),
            "first_batch_alerts_per_s": round(first.batch.received / (first.at_s - started_s), 1),
            "stages": warm.stage_rates(),
            "backlog": self.plan.backlog,
            "warm_alerts": warm.received,
            **self._used(warm),
        }

    def _paced(self, rate_per_s: float, n: int) -> dict[str, object]:
        """Measure the delays of alerts that come at a pace."""
        self.feeder.stage(n)
        before = self.timeline.processed
        start_s = time.perf_counter()
        time.sleep(SETTLE_S)
        quiet_s = time.perf_counter()
        sent = self.feeder.send_staged(n, rate_per_s)
        lag = before + sent.alerts - self.timeline.processed
        end_s = time.perf_counter()
        self.timeline.wait_for(before + sent.alerts)
        drained_s = time.perf_counter()
        time.sleep(SETTLE_S)
        self._show()
        stretch = self.timeline.stretch(quiet_s, drained_s)
        samples = self.meter.samples
        used = self._used(stretch)
        return {
            "rate_per_s": rate_per_s,
            "sent_per_s": round(sent.alerts / max(sent.seconds, 1e-9), 1),
            "producer_late_s": sent.late_s,
            "n": stretch.received,
            "latency_s": latency_figures(stretch.latency()),
            "batches": len(stretch.batches),
            "lag_at_end": lag,
            "drained_after_s": round(drained_s - end_s, 2),
            "memory_start_mb": peak_memory_mb(samples, start_s, quiet_s).get("total"),
            "memory_end_mb": peak_memory_mb(samples, drained_s, time.perf_counter()).get("total"),
            **used,
        }

    def _burst(self, n: int) -> dict[str, object]:
        """Measure how long a burst takes that comes on top of a running stream."""
        self._make_room()
        self.feeder.stage(n)
        before = self.timeline.processed
        start_s = time.perf_counter()
        sent = self.feeder.send_staged(n)
        sent_s = time.perf_counter()
        self.timeline.wait_for(before + sent.alerts)
        drained_s = time.perf_counter()
        self._show()
        whole = self.timeline.stretch(start_s, drained_s)
        alone = undisturbed(whole, self.timeline.finished, sent_s)
        return {
            "in_graph_before": before,
            "n": whole.received,
            "lost": sent.messages - whole.received,
            "sent_in_s": sent.seconds,
            "drained_in_s": round(drained_s - start_s, 2),
            "alerts_per_s": round(alone.per_s, 1),
            "stages": alone.stage_rates(),
            **self._used(whole),
        }

    def _used(self, stretch: Stretch) -> dict[str, object]:
        """Return what a stretch took of processors and of memory."""
        samples = self.meter.samples
        cpu_s = cpu_between(samples, stretch.start_s, stretch.end_s)
        return {
            "cpu_s_per_1000": cpu_per_thousand(cpu_s, stretch.received),
            "memory_mb": peak_memory_mb(samples, stretch.start_s, stretch.end_s),
        }

    def _make_room(self) -> None:
        """Let Kafka forget what is in the graph: a million packets would not fit on a disk."""
        ends = {number: high for number, (_, high) in watermarks(self.settings.kafka, self.topic).items()}
        margin = 2 * self.settings.ingest.max_offsets_per_batch
        trim(self.settings.kafka, self.topic, trim_points(ends, margin))

    def _show(self) -> None:
        self.progress("to Kafka", self.feeder.sent_alerts, self.plan.total)
        self.progress("to the graph", self.timeline.processed, self.plan.total)


def _growth_of(backlog: dict[str, object]) -> dict[str, object]:
    """Return the figures of the first step in the form of the later ones."""
    wanted = ("alerts_per_s", "stages", "cpu_s_per_1000", "memory_mb")
    return {"in_graph_before": 0, "n": backlog["backlog"], **{name: backlog[name] for name in wanted}}


def _peers(plan: IngestPlan) -> tuple[dict[str, dict[str, float]], int]:
    """Measure the peer on a few packets of the same kind, before anything else runs."""
    few = ProducerPlan(plan.survey.value, PEER_PACKETS, plan.seed, "")
    packets = list(iter_night(make_night(few), few))
    return measure_peers(plan.survey, packets), sum(map(len, packets)) // len(packets)


def _in_graph(settings: Settings) -> dict[str, object]:
    """Return what the graph holds."""
    with Connection.open(settings.graph) as connection:
        counts = connection.read("count_alerts")[0]
    return {"detections_in_graph": counts["detections"], "objects_in_graph": counts["objects"]}


def disk_figures(settings: Settings, n_alerts: int, n_detections: int) -> dict[str, object]:
    """Return what graph and archive take below our folder; the servers are down, or much is not on disk yet."""
    store = _bytes_below(settings.home / "neo4j" / "data" / "databases" / settings.graph.database)
    archive = _bytes_below(settings.home / "archive")
    return {
        "store_bytes_per_detection": round(store / n_detections) if store and n_detections else None,
        "archive_bytes_per_alert": round(archive / n_alerts) if archive and n_alerts else None,
    }


def _bytes_below(folder: Path) -> int:
    """Return the size of all files below a folder [byte]; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
