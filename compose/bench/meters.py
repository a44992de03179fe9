"""What all our processes use: memory and processor time by part, sampled beside the work."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import psutil

RUNS = 5
"""Repetitions of a measurement, of which the fastest counts: the machine may have other work."""

SAMPLE_INTERVAL_S = 0.5
"""Time between samples [s]: a sample costs some 5 ms, so one percent of a core."""

PART_MARKS = (
    ("compose.stack.neo4j_server", "neo4j"),
    ("compose.stack.kafka_server", "kafka"),
    ("compose.bench.producer", "producer"),
    ("pyspark.daemon", "python_workers"),
    ("pyspark/daemon", "python_workers"),
    ("org.apache.spark", "spark_jvm"),
    ("compose.cli", "driver"),
)
"""Text in a command line -> the part that the process belongs to; the first that is found decides."""

NOT_OURS = frozenset({"producer", "watcher"})
"""Parts that stand for the outside world or only look on: they are in no sum."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all processes."""

    at_s: float
    """Time of the look [s], ``time.perf_counter``."""
    cpu_s: dict[str, float]
    """Processor time of each part since the beginning [s], that of ended processes included."""
    rss_bytes: dict[str, int]
    """Resident memory of each part [byte]; pages that forked workers share count once for each."""

    @property
    def total_rss_bytes(self) -> int:
        """Resident memory of everything that is ours [byte]."""
        return sum(size for part, size in self.rss_bytes.items() if part not in NOT_OURS)


def part_of(command_line: Sequence[str]) -> str:
    """Return the part that a process belongs to, told by its command line."""
    joined = " ".join(command_line)
    return next((part for mark, part in PART_MARKS if mark in joined), "other")


def cpu_between(samples: Sequence[Sample], start_s: float, end_s: float) -> dict[str, float]:
    """Return the processor time of each part between two moments [s], interpolated between samples."""
    if not samples:
        return {}
    times = [sample.at_s for sample in samples]
    parts = sorted({part for sample in samples for part in sample.cpu_s})
    used = {}
    for part in parts:
        values = [sample.cpu_s.get(part, 0.0) for sample in samples]
        first, last = np.interp([start_s, end_s], times, values)
        used[part] = float(last - first)
    return used


def cpu_per_thousand(used_s: dict[str, float], n_alerts: int) -> dict[str, float]:
    """Return the processor time for a thousand alerts [s] of each part, and ``total`` over those that are ours."""
    if n_alerts < 1:
        return {}
    ours = {part: seconds for part, seconds in used_s.items() if part not in NOT_OURS and seconds > 0}
    scaled = {part: round(1000 * seconds / n_alerts, 3) for part, seconds in ours.items()}
    return {"total": round(1000 * sum(ours.values()) / n_alerts, 3), **scaled}


def peak_memory_mb(samples: Sequence[Sample], start_s: float, end_s: float) -> dict[str, int]:
    """Return the largest memory of each part and of the ``total`` between two moments [MiB]."""
    within = [sample for sample in samples if start_s <= sample.at_s <= end_s]
    if not within:
        return {}
    parts = sorted({part for sample in within for part in sample.rss_bytes} - NOT_OURS)
    peaks = {part: max(sample.rss_bytes.get(part, 0) for sample in within) // 2**20 for part in parts}
    return {"total": max(sample.total_rss_bytes for sample in within) // 2**20, **peaks}


class FamilyMeter:
    """Samples this process and everything below it until the block ends."""

    def __init__(self, own_part: str) -> None:
        """Take the name of the part that this process itself is."""
        self._own_part = own_part
        self._samples: list[Sample] = []
        self._known: dict[int, tuple[psutil.Process, str]] = {}
        self._ended_s: dict[str, float] = defaultdict(float)
        self._last_s: dict[int, float] = {}
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End with a last sample."""
        self._asked.set()
        self._thread.join()
        self.sample()

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples so far, in order of time."""
        return tuple(self._samples)

    def _run(self) -> None:
        while not self._asked.wait(SAMPLE_INTERVAL_S):
            self.sample()

    def sample(self) -> None:
        """Look once."""
        me = psutil.Process()
        found = {process.pid: process for process in [me, *me.children(recursive=True)]}
        # The system gives the numbers of ended processes to new ones.
        for pid in [pid for pid, (known, _) in self._known.items() if found.get(pid) != known]:
            _, part = self._known.pop(pid)
            self._ended_s[part] += self._last_s.pop(pid, 0.0)
        cpu_s = defaultdict(float, self._ended_s)
        rss_bytes: Counter[str] = Counter()
        for pid, process in found.items():
            try:
                # Looked at every time: a child has its parent's command line until it has loaded its own program.
                part = self._own_part if pid == me.pid else part_of(process.cmdline())
                with process.oneshot():
                    times = process.cpu_times()
                    rss_bytes[part] += process.memory_info().rss
            except psutil.Error:
                continue
            self._known[pid] = (process, part)
            self._last_s[pid] = times.user + times.system
            cpu_s[part] += self._last_s[pid]
        self._samples.append(Sample(time.perf_counter(), dict(cpu_s), dict(rss_bytes)))


def best_seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """Return the shortest wall time of a piece of work [s]."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
