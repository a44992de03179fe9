"""A night as both surveys and the missions would have seen it, with the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai
from ingest.alerts.columns import BANDS
from ingest.simulate.catalogue import catalogue_table
from ingest.simulate.cutouts import lsst_stamps, ztf_stamps
from ingest.simulate.events import EventPlan, counterparts, night_end, plan_events
from ingest.simulate.histories import make_histories
from ingest.simulate.light_curves import CLASSES, SourceClass
from ingest.simulate.lsst_packets import LsstNight, make_lsst_night
from ingest.simulate.lsst_schema import DEFAULT_SCHEMA_ID, load_lsst_schema
from ingest.simulate.notices import write_notices
from ingest.simulate.observe import Observed, observe_exactly
from ingest.simulate.population import Sources, join_sources
from ingest.simulate.schedule import LSST_STRATEGY, ZTF_STRATEGY, Schedule, plan_night
from ingest.simulate.ztf_packets import ZtfNight, make_ztf_night

if TYPE_CHECKING:
    from datetime import datetime

    from ingest.simulate.simulated_notice import SimulatedNotice

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DEFAULT_EVENTS = 7
"""Events of a night: one of each kind."""

SHARED_SHARE = 1 / 3
"""Largest share of LSST's alerts that may be of sources that ZTF saw as well: the bright end of a deep survey."""

LSST_OLDEST_D = 300.0
"""Age of LSST's oldest records [d]: the public stream began in February 2026."""


@dataclass(frozen=True, eq=False, slots=True)
class SimulatedNight:
    """Messages of a night. ``ztf`` and ``lsst`` are sized and can be iterated any number of times."""

    start: datetime
    duration_s: float
    ztf: ZtfNight
    """Avro object container files, one alert each, in order of time."""
    lsst: LsstNight
    """Messages in the Confluent wire format, in order of time."""
    events: tuple[EventPlan, ...]
    notices: tuple[SimulatedNotice, ...]
    """In the order of sending."""
    truth: pa.Table
    """One row for each alert: what it is and which event it belongs to."""
    catalogue: pa.Table
    """Known variable stars, nuclei and galaxies, for the cross-match."""


def simulate_night(  # noqa: PLR0917 - the agreed door; the first five are always given
    seed: int,
    n_alerts_ztf: int,
    n_alerts_lsst: int,
    start: datetime,
    duration_s: float,
    n_events: int = DEFAULT_EVENTS,
    lsst_schema_id: int = DEFAULT_SCHEMA_ID,
) -> SimulatedNight:
    """Simulate a night of two surveys with injected counterparts.

    Parameters
    ----------
    seed : the same seed gives the same bytes.
    n_alerts_ztf, n_alerts_lsst : exact numbers of alerts.
    start : beginning of the observing, aware.
    duration_s : its length [s].
    n_events : multi-messenger events; kinds in turn, see `ingest.simulate.events.EventKind`.

    Raises
    ------
    ValueError : the start is naive, a number is out of range, or the night cannot hold so many alerts.
    UnknownSchemaError : LSST's schema files are not installed, or have no such version.
    """
    if min(n_alerts_ztf, n_alerts_lsst, n_events) < 0 or not 0.0 < duration_s <= 0.6 * SECONDS_PER_DAY:
        raise ValueError("counts must not be negative and a night lasts up to 0.6 days")
    begin = datetime_to_mjd_tai(start)
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    events_rng, notices_rng, ztf_rng, lsst_rng, stamps_rng = streams
    plans = plan_events(events_rng, n_events, start, duration_s)
    places = (np.array([plan.ra_deg for plan in plans]), np.array([plan.dec_deg for plan in plans]))
    left = counterparts(events_rng, plans, np.arange(n_events), night_end(start, duration_s))

    ztf_schedule = plan_night(ztf_rng, ZTF_STRATEGY, begin, duration_s, places)
    ztf_seen = observe_exactly(ztf_rng, ztf_schedule, begin, n_alerts_ztf, left)

    lsst_schedule = plan_night(lsst_rng, LSST_STRATEGY, begin, duration_s, _lsst_centres(ztf_schedule, places))
    shared = _shared_sources(ztf_seen.sources, lsst_schedule, int(SHARED_SHARE * n_alerts_lsst))
    lsst_seen = observe_exactly(lsst_rng, lsst_schedule, begin, n_alerts_lsst, join_sources([left, shared]))

    ztf_histories = make_histories(ztf_seen)
    ztf = make_ztf_night(ztf_seen, ztf_histories, ztf_stamps(stamps_rng))
    lsst_histories = make_histories(lsst_seen, oldest_d=LSST_OLDEST_D)
    lsst = make_lsst_night(lsst_seen, lsst_histories, lsst_stamps(stamps_rng), load_lsst_schema(lsst_schema_id))
    return SimulatedNight(
        start=start,
        duration_s=duration_s,
        ztf=ztf,
        lsst=lsst,
        events=plans,
        notices=write_notices(plans, notices_rng),
        truth=pa.concat_tables([_ztf_truth(ztf, plans), _lsst_truth(lsst, plans)]),
        catalogue=catalogue_table(events_rng, (ztf_seen, lsst_seen), (ztf_histories, lsst_histories), plans),
    )


def _lsst_centres(ztf: Schedule, places: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the fields of the events and, after them, as many of ZTF's as LSST can see."""
    low, high = LSST_STRATEGY.dec_range_deg
    n_events = len(places[0])
    within = np.flatnonzero((ztf.field_dec_deg > low) & (ztf.field_dec_deg < high))
    other = within[within >= n_events][: len(ztf) // 2]
    return (
        np.concatenate([places[0], ztf.field_ra_deg[other]]),
        np.concatenate([places[1], ztf.field_dec_deg[other]]),
    )


def _shared_sources(sources: Sources, schedule: Schedule, at_most: int) -> Sources:
    """Return the sources that stand still, belong to no event and lie in one of the fields, placed there."""
    best = np.full(len(sources), np.inf)
    field = np.zeros(len(sources), dtype=np.int64)
    ra, dec = np.radians(sources.ra_deg), np.radians(sources.dec_deg)
    for i, (ra0, dec0) in enumerate(
        zip(np.radians(schedule.field_ra_deg), np.radians(schedule.field_dec_deg), strict=True)
    ):
        cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
        distance = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
        nearer = distance < best
        best[nearer], field[nearer] = distance[nearer], i
    steady = ~sources.is_of(SourceClass.ASTEROID, SourceClass.BOGUS) & (sources.event < 0)
    rows = np.flatnonzero(steady & (best < schedule.strategy.field_radius_deg))[:at_most]
    return replace(sources, field=field).select(rows)


def _truth(
    seen: Observed, points: IntArray, survey: Survey, ids: dict[str, pa.Array], plans: tuple[EventPlan, ...]
) -> pa.Table:
    """Return what is true of some alerts, in columns that both surveys share."""
    source = seen.source[points]
    event = seen.sources.event[source]
    names = np.array([one.value for one in CLASSES])
    event_ids = np.array([plan.event_id for plan in plans] or [""])
    missions = np.array([plan.mission for plan in plans] or [""])
    return pa.table(
        {
            **ids,
            "survey": pa.array([survey.value] * len(points), pa.string()),
            "class": pa.array(names[seen.sources.code[source]], pa.string()),
            "event_id": pa.array(event_ids[event], pa.string(), mask=event < 0),
            "mission": pa.array(missions[event], pa.string(), mask=event < 0),
            "ra_deg": seen.sources.ra_deg[source],
            "dec_deg": seen.sources.dec_deg[source],
            "midpoint_mjd_tai": seen.midpoint_mjd_tai[points],
            "band": pa.array(np.array(list(BANDS))[seen.schedule.band[seen.visit[points]]], pa.string()),
            "psf_flux_njy": seen.flux_njy[points],
            "psf_flux_err_njy": seen.error_njy[points],
            "true_flux_njy": seen.true_njy[points],
        }
    )


def _ztf_truth(night: ZtfNight, plans: tuple[EventPlan, ...]) -> pa.Table:
    points = night.alert_points
    names = night.object_id[night.seen.source[points]].astype("U12")
    body = night.seen.sources.body[night.seen.source[points]]
    ids = {
        "detection_id": pa.array(night.candid[points]),
        "object_id": pa.array(names, pa.string()),
        "solar_system_id": pa.array(body.astype("U8"), pa.string(), mask=body < 0),
    }
    return _truth(night.seen, points, Survey.ZTF, ids, plans)


def _lsst_truth(night: LsstNight, plans: tuple[EventPlan, ...]) -> pa.Table:
    points = night.alert_points
    source = night.seen.source[points]
    object_id, body = night.object_id[source], night.body_id[source]
    # A moving body has no object: its alerts carry an empty identifier, as the decoded columns do.
    names = np.where(object_id < 0, "", object_id.astype("U20"))
    ids = {
        "detection_id": pa.array(night.source_id[points]),
        "object_id": pa.array(names, pa.string()),
        "solar_system_id": pa.array(body.astype("U20"), pa.string(), mask=body == 0),
    }
    return _truth(night.seen, points, Survey.LSST, ids, plans)
