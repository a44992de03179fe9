"""Measure how many alerts a classifier answers in a second on one core; no part of an artefact, as machines differ."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from graph.errors import NotFoundError
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.classifiers.contract import batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Runner
from ingest.crossmatch import crossmatch
from ingest.replay import iter_alert_messages
from ingest.training.examples import HISTORY_D
from ingest.training.labelled import as_batch, detection_times
from ingest.training.sources import plasticc

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.classifiers.contract import Batch

ALERTS = 2000
"""Alerts of the batch that is timed, the size of a share of a micro-batch."""

REPEATS = 3
"""Times that the batch is asked about; the fastest counts, as other programs only slow it down."""

SEED = 20261122
"""Of the alerts that are drawn."""


def sample_alerts(survey: Survey, data_dir: Path) -> Batch:
    """Return up to `ALERTS` alerts of a survey: recorded ZTF packets, or simulated LSST objects at detections.

    Raises
    ------
    NotFoundError : the folder has no such alerts.
    """
    if survey is Survey.ZTF:
        messages = (packet for found, packet in iter_alert_messages(data_dir / "ztf_bulk") if found is survey)
        columns, _ = AlertDecoder(survey).decode(list(islice(messages, ALERTS)))
        if not len(columns):
            raise NotFoundError(f"{data_dir} holds no ZTF packets.")
        return batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg))
    objects = plasticc(data_dir)
    owner, at_time = detection_times(objects)
    chosen = np.sort(np.random.default_rng(SEED).integers(len(owner), size=ALERTS))
    return as_batch(objects.take(owner[chosen]).until(at_time[chosen], since_d=HISTORY_D[survey]), survey)


def alerts_per_s(name: str, batch: Batch) -> float | None:
    """Return the alerts that one classifier answers in a second, gate included, on one core.

    Returns
    -------
    All alerts of the batch over the wall time, those that its gate spares it included; None for a classifier that is
    not registered. The classifiers before it are asked as well, and not counted.
    """
    modules = load_modules(batch.survey)
    if name not in {module.name for module in modules}:
        return None
    runner = Runner(modules, time_limit_s=600.0)
    try:
        runner.run(batch)
        seconds = min(runner.run(batch).seconds[name] for _ in range(REPEATS))
    finally:
        runner.close()
    return len(batch) / max(seconds, time.get_clock_info("perf_counter").resolution)
