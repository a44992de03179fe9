"""The truth about simulated alerts, one row for each, in the order of the packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ingest.alerts.columns import BANDS
from ingest.simulate.source_classes import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.model import Survey
    from ingest.simulate.alert_stream import AlertStream, NamedAlerts, Packer
    from ingest.simulate.events import EventPlan

TRUTH_SCHEMA = pa.schema(
    [
        ("detection_id", pa.int64()),
        ("object_id", pa.string()),
        ("solar_system_id", pa.string()),
        ("survey", pa.string()),
        ("class", pa.string()),
        ("event_id", pa.string()),
        ("mission", pa.string()),
        ("exposure_id", pa.int64()),
        ("trail", pa.int64()),
        ("ra_deg", pa.float64()),
        ("dec_deg", pa.float64()),
        ("midpoint_mjd_tai", pa.float64()),
        ("band", pa.string()),
        ("psf_flux_njy", pa.float64()),
        ("psf_flux_err_njy", pa.float64()),
        ("true_flux_njy", pa.float64()),
    ]
)
"""Columns of the truth table; ``trail`` numbers the glints that one satellite made in one exposure."""


def truth_of(alerts: NamedAlerts, packer: Packer, survey: Survey, plans: tuple[EventPlan, ...]) -> pa.Table:
    """Return what is true of some alerts."""
    seen, points = alerts.seen, alerts.alert_points
    source = seen.source[points]
    names = packer.names(alerts)
    event, trail = seen.sources.event[source], seen.sources.trail[source]
    classes = np.array([one.value for one in CLASSES])
    event_ids = np.array([plan.event_id for plan in plans] or [""])
    missions = np.array([plan.mission for plan in plans] or [""])
    columns = [
        pa.array(names.detection_id),
        names.object_id,
        names.solar_system_id,
        pa.array([survey.value] * len(points), pa.string()),
        pa.array(classes[seen.sources.code[source]], pa.string()),
        pa.array(event_ids[event], pa.string(), mask=event < 0),
        pa.array(missions[event], pa.string(), mask=event < 0),
        pa.array(names.exposure_id),
        pa.array(trail, pa.int64(), mask=trail < 0),
        pa.array(seen.sources.ra_deg[source]),
        pa.array(seen.sources.dec_deg[source]),
        pa.array(seen.midpoint_mjd_tai[points]),
        pa.array(np.array(list(BANDS))[seen.schedule.band[seen.visit[points]]], pa.string()),
        pa.array(seen.flux_njy[points]),
        pa.array(seen.error_njy[points]),
        pa.array(seen.true_njy[points]),
    ]
    return pa.Table.from_arrays(columns, schema=TRUTH_SCHEMA)


def iter_truth(stream: AlertStream, plans: tuple[EventPlan, ...]) -> Iterator[pa.Table]:
    """Yield the truth about a stream's alerts in its chunks."""
    survey = stream.sky.schedule.strategy.survey
    for alerts in stream.iter_alerts():
        yield truth_of(alerts, stream.packer, survey, plans)
