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

WARM_UP_BATCHES = 2
"""Micro-batches left out of the sustained rate: workers load models and compiled code, and Neo4j's statements are
compiled by its Java machine only after some ten thousand rows."""

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
    ``alerts_per_s`` is the sustained rate after `WARM_UP_BATCHES`;
    ``stages`` is the rate of each stage alone, summed over the workers' time.
    """
    night = simulate_night(
        seed=seed,
        n_alerts_ztf=n_alerts,
        n_alerts_lsst=0,
        start=datetime(2026, 11, 20, 2, tzinfo=UTC),
        duration_s=3600.0,
    )
    sample = list(islice(night.ztf, PEER_PACKETS))
    packet_bytes = sum(map(len, sample)) // len(sample)
    services.prepare(settings).close()
    started = time.perf_counter()
    feed_alerts(settings, ((Survey.ZTF, packet) for packet in night.ztf), lambda n: progress("to Kafka", n))
    produced = time.perf_counter() - started
    timeline = _Timeline()

    def note(batch: BatchSummary) -> None:
        timeline.note(batch)
        progress("to the graph", sum(done.received for _, done in timeline.finished))

    started = time.perf_counter()
    services.run_ingest(settings, note, once=True)
    first, last = timeline.finished[0], timeline.finished[-1]
    warm_from = min(WARM_UP_BATCHES, len(timeline.finished) - 1)
    warm_batches = [batch for _, batch in timeline.finished[warm_from:]]
    warm = sum(batch.received for batch in warm_batches)
    warm_s = max(last[0] - timeline.finished[warm_from - 1][0], 1e-9) if warm_from else last[0] - started
    seconds: dict[str, float] = {}
    for batch in warm_batches:
        for name, value in batch.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
    with Connection.open(settings.graph) as connection:
        in_graph = connection.read("count_alerts")[0]
    return {
        "alerts_per_s": round(warm / warm_s, 1),
        "mb_per_s": round(warm / warm_s * packet_bytes / 1e6, 1),
        "first_batch_alerts_per_s": round(first[1].received / (first[0] - started), 1),
        "stages": {name: round(warm / value, 1) for name, value in seconds.items() if value > 0},
        "generate_and_produce_per_s": round(n_alerts / produced, 1),
        "peak_memory_mb": timeline.peak_memory // 2**20,
        "peers": {"fastavro_decode_one_core": round(_fastavro_rate(sample), 1)},
        "n": n_alerts,
        "detections_in_graph": in_graph["detections"],
        "packet_bytes": packet_bytes,
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _fastavro_rate(packets: Sequence[bytes]) -> float:
    """Return how many of the same packets a plain Python consumer decodes in a second on one core."""
    started = time.perf_counter()
    for packet in packets:
        for _ in fastavro.reader(io.BytesIO(packet)):
            pass
    return len(packets) / (time.perf_counter() - started)
