"""What a survey measures of its sources: noisy fluxes, upper limits and the alerts of the night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.light_curves import Points, SourceClass, difference_flux
from ingest.simulate.population import ALWAYS, Sources, draw_class, draw_sources, join_sources

if TYPE_CHECKING:
    from ingest.simulate.schedule import Schedule

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DETECTION_SIGMA = 5.0
"""Threshold of a detection [sigma]; both surveys' pipelines, Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

CALIBRATION_ERROR = 0.01
"""Floor of the relative error of a flux: scatter of the photometric calibration; same source."""

_BATCHES = 60
"""Rounds of drawing before a night counts as impossible."""

_LAST_FEW = 4
"""Alerts still missing below which only artefacts are drawn."""


@dataclass(frozen=True, eq=False, slots=True)
class Observed:
    """All visits of all sources of one survey, in order of (source, time)."""

    schedule: Schedule
    sources: Sources
    point_start: IntArray
    """(n + 1,) points ``point_start[i]`` to ``point_start[i + 1]`` are of source i."""
    source: IntArray
    """(p,) source of each point."""
    visit: IntArray
    """(p,) visit of each point."""
    true_njy: FloatArray
    """(p,) difference flux without noise [nJy]."""
    flux_njy: FloatArray
    error_njy: FloatArray
    detected: BoolArray

    @property
    def midpoint_mjd_tai(self) -> FloatArray:
        """(p,) middle of the exposure [d, TAI]."""
        return self.schedule.midpoint_mjd_tai[self.visit]

    @property
    def alert_points(self) -> IntArray:
        """(a,) points that gave an alert tonight, in order of time, then of source."""
        rows = np.flatnonzero(self.detected & (self.schedule.tonight[self.visit] >= 0))
        return rows[np.argsort(self.midpoint_mjd_tai[rows], kind="stable")]

    def points_of(self, rows: IntArray) -> IntArray:
        """Return the points of some sources, in the order of the sources given."""
        start = self.point_start[rows]
        counts = self.point_start[rows + 1] - start
        begin = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return np.arange(begin[-1]) + np.repeat(start - begin[:-1], counts)

    def select(self, rows: IntArray) -> Observed:
        """Return some of the sources with their points."""
        points = self.points_of(rows)
        counts = self.point_start[rows + 1] - self.point_start[rows]
        return Observed(
            self.schedule,
            self.sources.select(rows),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.repeat(np.arange(len(rows)), counts),
            self.visit[points],
            self.true_njy[points],
            self.flux_njy[points],
            self.error_njy[points],
            self.detected[points],
        )


def observe(rng: np.random.Generator, schedule: Schedule, sources: Sources) -> Observed:
    """Measure every source in every visit of its field."""
    first = schedule.visit_start[sources.field]
    counts = schedule.visit_start[sources.field + 1] - first
    point_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    source = np.repeat(np.arange(len(sources)), counts)
    visit = np.arange(point_start[-1]) - point_start[source] + first[source]
    points = Points(
        days=schedule.midpoint_mjd_tai[visit] - sources.epoch_mjd_tai[source],
        band=schedule.band[visit],
        peak_njy=sources.peak_njy[source],
        amplitude_mag=sources.amplitude_mag[source],
        timescale_d=sources.timescale_d[source],
        phase=sources.phase[source],
    )
    only = sources.only_visit[source]
    there = (only == ALWAYS) | (only == schedule.tonight[visit])
    true = np.where(there, difference_flux(sources.code[source], points), 0.0)
    limit = schedule.limit_njy[visit]
    error = np.hypot(limit / DETECTION_SIGMA, CALIBRATION_ERROR * true)
    flux = true + error * rng.standard_normal(len(true))
    # Where nothing is, noise alone does not make a detection: the surveys' vetting removes nearly all of those.
    detected = (np.abs(flux) > DETECTION_SIGMA * error) & (true != 0.0)
    return Observed(schedule, sources, point_start, source, visit, true, flux, error, detected)


def observe_exactly(
    rng: np.random.Generator, schedule: Schedule, start_mjd_tai: float, n_alerts: int, given: Sources
) -> Observed:
    """Draw sources until the night has exactly n alerts; the given sources come first, as far as they fit.

    Raises
    ------
    ValueError : the fields cannot make as many alerts.
    """
    parts: list[Observed] = []
    missing = n_alerts
    batch = given
    for _ in range(_BATCHES):
        seen = observe(rng, schedule, batch)
        alerts = np.bincount(seen.source[seen.alert_points], minlength=len(batch))
        fits = np.flatnonzero((np.cumsum(alerts) <= missing) & (alerts > 0))
        parts.append(seen.select(fits))
        missing -= int(alerts[fits].sum())
        if missing == 0:
            return _join(parts)
        # The last few are artefacts: each makes one alert, so that the count comes out.
        batch = (
            draw_class(rng, schedule, SourceClass.BOGUS, missing + 1, start_mjd_tai)
            if missing < _LAST_FEW
            else draw_sources(rng, schedule, max(64, int(1.2 * missing)), start_mjd_tai)
        )
    raise ValueError(f"{n_alerts} alerts do not fit into this night")


def _join(parts: list[Observed]) -> Observed:
    """Return all observations as one."""
    counts = np.concatenate([np.diff(part.point_start) for part in parts])
    shift = np.cumsum([0] + [len(part.sources) for part in parts[:-1]])
    return Observed(
        parts[0].schedule,
        join_sources([part.sources for part in parts]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([part.source + step for part, step in zip(parts, shift, strict=True)]),
        np.concatenate([part.visit for part in parts]),
        np.concatenate([part.true_njy for part in parts]),
        np.concatenate([part.flux_njy for part in parts]),
        np.concatenate([part.error_njy for part in parts]),
        np.concatenate([part.detected for part in parts]),
    )
