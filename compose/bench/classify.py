"""How many alerts one core classifies: features, each classifier and all together, on alerts as they come.

Alerts are decoded and screened before the clock starts; then each batch goes the way it goes in the stream, in one
thread. The clock is processor time, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil

from compose.bench.classify_peers import measure_peers
from graph.model import Survey
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import AlertDecoder
from ingest.catalogues.opened import Catalogue
from ingest.classifiers.contract import batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Runner
from ingest.classifiers.warm import warm_up
from ingest.crossmatch import match_alerts
from ingest.features import alert_features
from ingest.replay import iter_alert_messages
from ingest.screening import screen

BATCH_ALERTS = 2000
"""Alerts classified at a time, as many as an executor of the stream handles."""

TIME_LIMIT_S = 600.0
"""Time that a classifier has for a batch here [s]: none shall be left out of a measurement."""

PACKAGES = ("numpy", "numba", "onnxruntime")
"""Packages whose versions stand in the report."""


@dataclass(frozen=True, slots=True)
class ClassifyPlan:
    """What is measured."""

    survey: Survey
    source: tuple[Path, ...]
    """Folders or files of recorded packets; see `ingest.replay.iter_alert_messages`."""
    alerts: int
    """Alerts to classify; the recorded ones are repeated until there are so many."""
    catalogues: tuple[Catalogue, ...]
    min_reliability: float


def bench_classify(plan: ClassifyPlan, progress: Callable[[int], None]) -> dict[str, object]:
    """Measure the classifiers of one survey.

    Returns
    -------
    ``alerts_per_s`` from decoded alerts to all answers, cross-match included, on one core; ``stages`` with the alerts
    of the mix that each would pass in a second if it were alone; ``asked``, the share that passed each gate;
    ``cost_us`` of an alert that passed; ``abstained`` of those asked; ``peers``.
    """
    alerts = _screened(plan)
    modules = load_modules(plan.survey)
    warm_up(modules, plan.survey)
    runner = Runner(modules, time_limit_s=TIME_LIMIT_S)
    used: dict[str, float] = defaultdict(float)
    asked: Counter[str] = Counter()
    spoken: Counter[str] = Counter()
    n = 0
    start = time.process_time()
    while n < plan.alerts:
        columns = alerts.take(np.arange(n, n + BATCH_ALERTS) % len(alerts))
        begun = time.process_time()
        matches = match_alerts(plan.catalogues, columns)
        matched = time.process_time()
        batch = batch_of(columns, matches)
        described = time.process_time()
        used["crossmatch"] += matched - begun
        used["features"] += described - matched
        outcome = runner.run(batch)
        for name, answer in outcome.answers.items():
            used[name] += outcome.cpu_seconds[name]
            asked[name] += outcome.asked[name]
            spoken[name] += int((~answer.abstained).sum())
        n += len(columns)
        progress(n)
    elapsed = time.process_time() - start
    memory = psutil.Process().memory_info()
    return {
        "alerts_per_s": round(n / elapsed, 1),
        "stages": {name: round(n / seconds, 1) for name, seconds in used.items() if seconds > 0},
        "cpu_s_per_1000": round(1000.0 * elapsed / n, 4),
        "asked": {name: round(number / n, 4) for name, number in asked.items()},
        "answered": {name: round(number / n, 4) for name, number in spoken.items()},
        "cost_us": {name: round(1e6 * used[name] / number, 2) for name, number in asked.items() if number},
        "peak_memory_mb": round(memory.rss / 1e6),
        "peers": measure_peers(alerts),
        "features_per_s": round(len(alerts) / _fastest(lambda: alert_features(alerts)), 1),
        "survey": plan.survey.value,
        "n": n,
        "recorded": len(alerts),
        "points_per_light_curve": round(float(np.diff(alerts.light_curves.offsets).mean()), 1),
        "cores": 1,
        "versions": {name: version(name) for name in PACKAGES},
    }


def _screened(plan: ClassifyPlan) -> AlertColumns:
    """Return the recorded alerts of the survey that the stream would classify."""
    decoder = AlertDecoder(plan.survey)
    packets = [packet for path in plan.source for found, packet in iter_alert_messages(path) if found is plan.survey]
    columns, _ = decoder.decode(packets)
    return columns.take(screen(columns, plan.min_reliability, keep_private=False) == "")


def _fastest(work: Callable[[], object], runs: int = 5) -> float:
    """Return the processor time of the fastest of some runs [s]."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return max(min(taken), 1e-9)
