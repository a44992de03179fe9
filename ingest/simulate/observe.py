"""What a survey measures of its sources: noisy fluxes, upper limits and the alerts of the night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.light_curves import difference_flux
from ingest.simulate.population import ALWAYS, Sources, draw_class, draw_sources, join_sources
from ingest.simulate.source_classes import Points, SourceClass

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

_FILLINGS = 3
"""Passes over the sources that did not fit at first: a source makes one to three alerts."""

_LAST_ROUND = 3
"""Rounds after which only artefacts are drawn, each one alert, so that the count comes out."""


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

    def alerts_of(self, visit: int) -> IntArray:
        """Return the points of one visit that gave an alert, in order of source."""
        return np.flatnonzero(self.detected & (self.visit == visit))

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


def observe_field(rng: np.random.Generator, schedule: Schedule, field: int, n_alerts: int, given: Sources) -> Observed:
    """Draw sources until the field has exactly n alerts tonight; the given sources come first, as far as they fit.

    Raises
    ------
    ValueError : the field cannot make as many alerts.
    """
    parts: list[Observed] = []
    missing = n_alerts
    batch = given
    for number in range(_BATCHES):
        seen = observe(rng, schedule, batch)
        detected = np.flatnonzero(seen.detected & (schedule.tonight[seen.visit] >= 0))
        alerts = np.bincount(seen.source[detected], minlength=len(batch))
        fits = _fitting(alerts, missing)
        parts.append(seen.select(fits))
        missing -= int(alerts[fits].sum())
        if missing == 0:
            return join_observed(parts)
        batch = (
            draw_class(rng, schedule, SourceClass.BOGUS, field, missing)
            if number >= _LAST_ROUND and missing <= n_alerts // 50 + 1
            else draw_sources(rng, schedule, field, max(24, int(1.1 * missing)))
        )
    raise ValueError(f"{n_alerts} alerts do not fit into one field of this night")


def _fitting(alerts: IntArray, at_most: int) -> IntArray:
    """Return sources with so many alerts together at most: the first ones, then smaller ones that still fit."""
    chosen = np.zeros(len(alerts), dtype=np.bool_)
    for _ in range(_FILLINGS):
        left = at_most - int(alerts[chosen].sum())
        rest = np.flatnonzero((alerts > 0) & (alerts <= left) & ~chosen)
        chosen[rest[np.cumsum(alerts[rest]) <= left]] = True
    return np.flatnonzero(chosen)


def join_observed(parts: list[Observed]) -> Observed:
    """Return all observations of one schedule as one."""
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
