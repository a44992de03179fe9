"""A night as both surveys and the missions would have seen it, with the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai
from ingest.simulate.alert_stream import AlertStream
from ingest.simulate.catalogue import catalogue_table
from ingest.simulate.cutouts import lsst_stamps, pack_stamps, ztf_stamps
from ingest.simulate.events import EventPlan, counterparts, night_end, plan_events
from ingest.simulate.lsst_packets import LsstPacker, visit_ids
from ingest.simulate.lsst_schema import DEFAULT_SCHEMA_ID, load_lsst_schema
from ingest.simulate.notices import write_notices
from ingest.simulate.schedule import LSST_STRATEGY, ZTF_STRATEGY, Schedule, plan_night
from ingest.simulate.survey_sky import make_sky
from ingest.simulate.truth import TRUTH_SCHEMA, iter_truth, truth_of
from ingest.simulate.ztf_packets import ZtfPacker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ingest.simulate.alert_stream import NamedAlerts
    from ingest.simulate.histories import Histories
    from ingest.simulate.observe import Observed
    from ingest.simulate.simulated_notice import SimulatedNotice

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DEFAULT_EVENTS = 8
"""Events of a night: one of each kind."""

LONGEST_NIGHT_D = 0.6
"""Longest night [d]: 14.4 h, about midwinter at either site."""


@dataclass(frozen=True, eq=False, slots=True)
class SimulatedNight:
    """Messages of a night. ``ztf`` and ``lsst`` are sized and can be iterated any number of times."""

    start: datetime
    duration_s: float
    seed: int
    ztf: AlertStream
    """Avro object container files, one alert each, in order of time."""
    lsst: AlertStream
    """Messages in the Confluent wire format, in order of time."""
    events: tuple[EventPlan, ...]
    notices: tuple[SimulatedNotice, ...]
    """In the order of sending."""

    @property
    def streams(self) -> dict[Survey, AlertStream]:
        """The alerts of each survey."""
        return {Survey.ZTF: self.ztf, Survey.LSST: self.lsst}

    @property
    def truth(self) -> pa.Table:
        """One row for each alert: what it is and which event it belongs to; made anew when asked for."""
        tables = [table for stream in self.streams.values() for table in self.truths(stream)]
        return pa.concat_tables([TRUTH_SCHEMA.empty_table(), *tables])

    @property
    def catalogue(self) -> pa.Table:
        """Known variable stars, nuclei and galaxies, for the cross-match; made anew when asked for."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_CATALOGUE,)))
        return catalogue_table(rng, self._fields(), self.ztf.sky.schedule, self.events)

    def truths(self, stream: AlertStream) -> Iterator[pa.Table]:
        """Yield the truth about one survey's alerts, chunk by chunk."""
        return iter_truth(stream, self.events)

    def truth_of(self, stream: AlertStream, alerts: NamedAlerts) -> pa.Table:
        """Return the truth about one chunk of a survey's alerts."""
        return truth_of(alerts, stream.packer, stream.sky.schedule.strategy.survey, self.events)

    def _fields(self) -> Iterator[tuple[Observed, Histories]]:
        for stream in self.streams.values():
            for number in np.flatnonzero(stream.sky.n_alerts).tolist():
                named = stream.field(number)
                yield named.seen, named.histories


_EVENTS, _ZTF, _LSST, _STAMPS, _CATALOGUE = range(5)
"""What the random numbers of a night are for."""


def simulate_night(  # noqa: PLR0917 - the agreed door; the first five are always given
    seed: int,
    n_alerts_ztf: int,
    n_alerts_lsst: int,
    start: datetime,
    duration_s: float,
    n_events: int = DEFAULT_EVENTS,
    lsst_schema_id: int = DEFAULT_SCHEMA_ID,
    *,
    cutouts: bool = True,
) -> SimulatedNight:
    """Simulate a night of two surveys with injected counterparts.

    Parameters
    ----------
    seed : the same seed gives the same bytes.
    n_alerts_ztf, n_alerts_lsst : exact numbers of alerts.
    start : beginning of the observing, aware.
    duration_s : its length [s].
    n_events : multi-messenger events; kinds in turn, see `ingest.simulate.events.EventKind`.
    cutouts : False for packets whose three images are null, as some brokers pass them on.

    Raises
    ------
    ValueError : the start is naive, or a number is out of range. A night that cannot hold so many alerts says so when
        it is iterated.
    UnknownSchemaError : LSST's schema files are not installed, or have no such version.
    """
    if min(n_alerts_ztf, n_alerts_lsst, n_events) < 0 or not 0.0 < duration_s <= LONGEST_NIGHT_D * SECONDS_PER_DAY:
        raise ValueError(f"counts must not be negative and a night lasts up to {LONGEST_NIGHT_D} days")
    begin = datetime_to_mjd_tai(start)
    events_rng, ztf_rng, lsst_rng, stamps_rng = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(use,))) for use in (_EVENTS, _ZTF, _LSST, _STAMPS)
    )
    plans = plan_events(events_rng, n_events, start, duration_s)
    places = (np.array([plan.ra_deg for plan in plans]), np.array([plan.dec_deg for plan in plans]))
    left = counterparts(events_rng, plans, np.arange(n_events), night_end(start, duration_s))
    ztf_schedule = plan_night(ztf_rng, ZTF_STRATEGY, (begin, duration_s), places, n_events)
    ztf_sky = make_sky(ztf_schedule, (seed, _ZTF), n_alerts_ztf, left)
    centres, other = _lsst_centres(ztf_schedule, n_events)
    lsst_schedule = plan_night(lsst_rng, LSST_STRATEGY, (begin, duration_s), centres, n_events)
    other_field = np.full(len(lsst_schedule), -1, dtype=np.int64)
    other_field[: len(other)] = other
    lsst_sky = make_sky(lsst_schedule, (seed, _LSST), n_alerts_lsst, left, (ztf_sky, other_field))
    ztf_pool = pack_stamps(ztf_stamps(stamps_rng), b"") if cutouts else None
    # The branch of the union is that of an image.
    lsst_pool = pack_stamps(lsst_stamps(stamps_rng), b"\x02") if cutouts else None
    lsst_packer = LsstPacker(lsst_pool, load_lsst_schema(lsst_schema_id), visit_ids(lsst_schedule))
    return SimulatedNight(
        start=start,
        duration_s=duration_s,
        seed=seed,
        ztf=AlertStream(ztf_sky, ZtfPacker(ztf_pool)),
        lsst=AlertStream(lsst_sky, lsst_packer),
        events=plans,
        notices=write_notices(plans, events_rng),
    )


def _lsst_centres(ztf: Schedule, n_events: int) -> tuple[tuple[FloatArray, FloatArray], IntArray]:
    """Return centres of fields, the events' and as many others of ZTF as LSST can see, and their numbers there."""
    low, high = LSST_STRATEGY.dec_range_deg
    within = np.flatnonzero((ztf.field_dec_deg > low) & (ztf.field_dec_deg < high))
    chosen = np.concatenate([np.arange(n_events), within[within >= n_events][: len(ztf) // 2]]).astype(np.int64)
    return (ztf.field_ra_deg[chosen], ztf.field_dec_deg[chosen]), chosen
