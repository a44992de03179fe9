"""How fast is the alert stream? Measured on generated packets through the real broker, Spark and graph."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice

import fastavro
import psutil

from compose import services
from compose.config import Settings
from compose.feed import feed_alerts
from graph.connection import Connection
from graph.model import Survey
from ingest.simulate import simulate_night
from ingest.stream import BatchSummary

PEER_PACKETS = 1000
"""Packets decoded by the peer: enough for a second or two of work."""

PACKAGES = ("pyspark", "neo4j", "confluent-kafka", "numba", "pyarrow", "onnxruntime")
"""Packages whose versions stand in the report."""


@dataclass(slots=True)
class _Timeline:
    """When each micro-batch was in the graph."""

    finished: list[tuple[float, BatchSummary]] = field(default_factory=list)
    peak_memory: int = 0

    def note(self, batch: BatchSummary) -> None:
        """Remember a finished batch and the memory of all our processes."""
        self.finished.append((time.perf_counter(), batch))
        me = psutil.Process()
        family = [me, *me.children(recursive=True)]
        self.peak_memory = max(
            self.peak_memory, sum(process.memory_info().rss for process in family if process.is_running())
        )


def bench_ingest(
    settings: Settings, n_alerts: int, seed: int, progress: Callable[[str, int], None]
) -> dict[str, object]:
    """Measure full ZTF packets, cutouts included, from Kafka to committed in Neo4j.

    Returns
    -------
    ``alerts_per_s`` is the sustained rate after the first micro-batch, in which workers load models and compiled code;
    ``stages`` is the rate of each stage alone, summed over the workers' time.
    """
    night = simulate_night(
        seed=seed,
        n_alerts_ztf=n_alerts,
        n_alerts_lsst=0,
        start=datetime(2026, 11, 20, 2, tzinfo=UTC),
        duration_s=3600.0,
    )
    packets = list(night.ztf)
    services.prepare(settings).close()
    started = time.perf_counter()
    feed_alerts(settings, ((Survey.ZTF, packet) for packet in packets), lambda n: progress("to Kafka", n))
    produced = time.perf_counter() - started
    timeline = _Timeline()

    def note(batch: BatchSummary) -> None:
        timeline.note(batch)
        progress("to the graph", sum(done.received for _, done in timeline.finished))

    started = time.perf_counter()
    services.run_ingest(settings, note, once=True)
    first, last = timeline.finished[0], timeline.finished[-1]
    warm = sum(batch.received for _, batch in timeline.finished[1:])
    seconds: dict[str, float] = {}
    for _, batch in timeline.finished[1:]:
        for name, value in batch.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
    with Connection.open(settings.graph) as connection:
        in_graph = connection.read("count_alerts")[0]
    return {
        "alerts_per_s": round(warm / max(last[0] - first[0], 1e-9), 1),
        "mb_per_s": round(warm / max(last[0] - first[0], 1e-9) * sum(map(len, packets)) / len(packets) / 1e6, 1),
        "first_batch_alerts_per_s": round(first[1].received / (first[0] - started), 1),
        "stages": {name: round(warm / value, 1) for name, value in seconds.items() if value > 0},
        "produce_per_s": round(len(packets) / produced, 1),
        "peak_memory_mb": timeline.peak_memory // 2**20,
        "peers": {"fastavro_decode_one_core": round(_fastavro_rate(packets), 1)},
        "n": len(packets),
        "detections_in_graph": in_graph["detections"],
        "packet_bytes": sum(map(len, packets)) // len(packets),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _fastavro_rate(packets: Sequence[bytes]) -> float:
    """Return how many of the same packets a plain Python consumer decodes in a second on one core."""
    sample = list(islice(packets, PEER_PACKETS))
    started = time.perf_counter()
    for packet in sample:
        for _ in fastavro.reader(io.BytesIO(packet)):
            pass
    return len(sample) / (time.perf_counter() - started)
