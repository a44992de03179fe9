"""Skies of fast transients as the surveys would see them: where real ones are too few to learn from.

Kilonovae come from `ingest.training.kilonova_model`, the rest from the simulator's models. LSST's visits, depths and
gaps are those of PLAsTiCC objects; ZTF's are drawn as its public survey looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves, no_forced, ragged_offsets
from ingest.simulate.light_curves import difference_flux
from ingest.simulate.population import RECIPES
from ingest.simulate.source_classes import CLASSES, Points, SourceClass
from ingest.simulate.transients import AFTERGLOW_DECAY
from ingest.training.examples import DEPTH_MAG, DEPTH_SCATTER_MAG, FLOOR, VISIT_PROBABILITY
from ingest.training.histories import flux_from_magnitude
from ingest.training.kilonova_model import GRID_D, draw_ejecta, observed_flux
from ingest.training.labelled import Labelled

if TYPE_CHECKING:
    from collections.abc import Callable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BEFORE_D, AFTER_D = 30.0, 45.0
"""Visits that are kept before and after the onset [d]."""

AFTERGLOW_INDEX = AFTERGLOW_DECAY
"""Index of the decay of all simulated afterglows."""

DETECTION_SIGMA = 5.0
"""Significance of a detection in both surveys."""

DEEP_VISITS, DEEP_SHARE = 200, 0.01
"""Visits above which a PLAsTiCC object lies in a deep drilling field, and share of sources that are put there: some
more than their area's, as LSST's pairs of visits in two bands look like them and PLAsTiCC's wide survey has none."""

HUBBLE_MPC = 299_792.458 / 70.0
"""Speed of light over the Hubble constant [Mpc]; 70 km/s/Mpc lies between the measurements."""

FARTHEST_MPC = {Survey.ZTF: 220.0, Survey.LSST: 1000.0}
"""Distance of the farthest simulated kilonova [Mpc]: the brightest vanish beyond at a depth of 20.5 or 24.5 mag."""

REDDENING_MAG = 0.1
"""Mean E(B-V) towards a kilonova, exponentially distributed [mag]; that of high latitudes and of old hosts."""

EXTINCTION = np.array([4.14, 3.24, 2.27, 1.69, 1.27, 1.09])
"""Extinction over E(B-V) in u to y, R_V = 3.1; Schlafly & Finkbeiner 2011, doi:10.1088/0004-637X/737/2/103, table 6."""

SUBJECTS: dict[str, SourceClass] = {
    "GRB afterglow": SourceClass.AFTERGLOW,
    "M-dwarf flare": SourceClass.M_DWARF_FLARE,
    "CV": SourceClass.CATACLYSMIC,
    "SN Ia": SourceClass.SN_IA,
    "SN II": SourceClass.SN_II,
    "SN Ibc": SourceClass.SN_IBC,
}
"""Class of the taxonomy -> model of the simulator."""


TRIES = {"KN": 12, "M-dwarf flare": 60}
"""Places for each object that is wanted, where most are missed: they are too faint or over before the second visit; 4
for the others."""


@dataclass(frozen=True, eq=False, slots=True)
class Visits:
    """Visits to n places as one ragged array, times from the onset of the source that will be put there."""

    offsets: IntArray
    days: FloatArray
    """(p,) after the onset [d], ascending in a row."""
    band: NDArray[np.int8]
    err_njy: FloatArray
    """(p,) 1 sigma without the source's own noise [nJy]."""

    @property
    def owner(self) -> IntArray:
        """(p,) row of each visit."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def ztf_visits(n: int, rng: np.random.Generator) -> Visits:
    """Draw the visits of ZTF's public survey in g and r to n places."""
    nights = np.arange(-BEFORE_D, AFTER_D)
    chosen = rng.random((n, len(nights), 2)) < VISIT_PROBABILITY
    owner, night, band = np.nonzero(chosen)
    days = nights[night] + rng.random(n)[owner] + rng.uniform(0.0, 0.3, len(owner))
    depth = rng.normal(DEPTH_MAG, DEPTH_SCATTER_MAG, len(owner))
    order = np.lexsort((days, owner))
    err = flux_from_magnitude(depth) / DETECTION_SIGMA
    return Visits(ragged_offsets(owner, n), days[order], (band[order] + 1).astype(np.int8), err[order])


def lsst_visits(donors: Labelled, n: int, rng: np.random.Generator) -> Visits:
    """Draw the visits of donors with forced photometry, from a random moment in a season."""
    forced = donors.forced
    deep = np.diff(forced.offsets) > DEEP_VISITS
    chance = np.where(deep, DEEP_SHARE / max(deep.sum(), 1), (1.0 - DEEP_SHARE) / max((~deep).sum(), 1))
    row = rng.choice(len(donors), n, p=chance / chance.sum())
    lent = forced.take(row)
    owner = np.repeat(np.arange(n), np.diff(lent.offsets))
    # A source is kept only where it is seen: onsets spread a few days around the visits of its place.
    start = lent.midpoint_mjd_tai[rng.integers(lent.offsets[:-1], np.maximum(lent.offsets[1:], lent.offsets[:-1] + 1))]
    days = lent.midpoint_mjd_tai - (start - rng.uniform(0.0, 6.0, n))[owner]
    kept = (days > -BEFORE_D) & (days < AFTER_D)
    # The errors of the lender's own bright days are its own: the median of its band stands for the sky.
    group = owner * 6 + lent.band
    order = np.lexsort((lent.psf_flux_err_njy, group))
    count = np.bincount(group, minlength=6 * n)
    middle = np.concatenate([[0], np.cumsum(count)])[:-1] + count // 2
    typical = lent.psf_flux_err_njy[order][np.minimum(middle, len(order) - 1)][group]
    err = np.minimum(lent.psf_flux_err_njy, typical)
    return Visits(ragged_offsets(owner[kept], n), days[kept], lent.band[kept].astype(np.int8), err[kept])


def kilonova_flux(visits: Visits, survey: Survey, rng: np.random.Generator) -> FloatArray:
    """Return the flux (p,) [nJy] of a kilonova at each place, at distances that are even in volume to the power 2/3."""
    n, owner = len(visits.offsets) - 1, visits.owner
    distance = FARTHEST_MPC[survey] * np.maximum(rng.random(n) ** 0.5, 0.03)
    redshift = distance / HUBBLE_MPC / (1.0 + 0.75 * distance / HUBBLE_MPC)
    grid = observed_flux(draw_ejecta(n, rng), redshift, distance)
    dimming = 10.0 ** (-0.4 * rng.exponential(REDDENING_MAG, n)[:, None] * EXTINCTION)
    flux = np.zeros(len(owner))
    for row in range(n):
        mine = slice(visits.offsets[row], visits.offsets[row + 1])
        days = visits.days[mine] / (1.0 + redshift[row])
        for code in range(len(EXTINCTION)):
            here = visits.band[mine] == code
            flux[mine][here] = dimming[row, code] * np.interp(days[here], GRID_D, grid[row, code], left=0.0, right=0.0)
    return flux


def simulator_flux(visits: Visits, kind: SourceClass, survey: Survey, rng: np.random.Generator) -> FloatArray:
    """Return the flux (p,) [nJy] of a source of the simulator at each place."""
    n, owner, recipe = len(visits.offsets) - 1, visits.owner, RECIPES[kind]
    depth = {Survey.ZTF: DEPTH_MAG, Survey.LSST: 24.5}[survey]
    magnitude = rng.triangular(depth - 6.0, depth + recipe.faint_offset_mag, depth + recipe.faint_offset_mag, n)
    if kind is SourceClass.AFTERGLOW:
        # The brightness of an afterglow is given at one hour, and surveys come later.
        magnitude = rng.uniform(depth - 7.0, depth - 1.0, n)
    low, high = np.log(recipe.timescale_d)
    points = Points(
        days=visits.days,
        band=visits.band.astype(np.int64),
        peak_njy=flux_from_magnitude(magnitude)[owner],
        amplitude_mag=rng.uniform(*recipe.amplitude_mag, n)[owner],
        timescale_d=np.exp(rng.uniform(low, high, n))[owner],
        phase=rng.random(n)[owner],
    )
    return difference_flux(np.full(len(owner), CLASSES.index(kind)), points)


def _observe(  # noqa: PLR0917 - one call
    label: str, source: str, visits: Visits, flux: FloatArray, survey: Survey, rng: np.random.Generator
) -> Labelled:
    """Add noise, tell detections from visits that saw nothing, and keep objects with two detections."""
    n, owner = len(visits.offsets) - 1, visits.owner
    err = np.hypot(visits.err_njy, FLOOR * flux)
    value = flux + err * rng.normal(size=len(flux))
    seen = value > DETECTION_SIGMA * err
    time = 60_000.0 + visits.days
    limit = np.where(seen, np.nan, DETECTION_SIGMA * err)
    listed = seen | (survey is Survey.ZTF)
    curves = LightCurves(
        ragged_offsets(owner[listed], n),
        time[listed],
        visits.band[listed],
        np.where(seen, value, np.nan)[listed],
        np.where(seen, err, np.nan)[listed],
        limit[listed],
    )
    forced = no_forced(n)
    if survey is Survey.LSST:
        forced = ForcedPhotometry(visits.offsets, time, visits.band, value, err)
    absent = np.full(n, np.nan)
    made = Labelled(
        object_id=np.array([f"{source}-{survey}-{label}-{row}" for row in range(n)], dtype=object),
        label=np.full(n, label, dtype=object),
        source=np.full(n, source, dtype=object),
        curves=curves,
        forced=forced,
        ra_deg=absent,
        dec_deg=absent,
        redshift=absent,
        redshift_err=absent,
        peak_mjd_tai=absent,
    )
    return made.take(np.bincount(owner[seen], minlength=n) >= 2)


def simulated(
    label: str, n: int, survey: Survey, seed: int, visits: Callable[[int, np.random.Generator], Visits]
) -> Labelled:
    """Return about n simulated transients of one class with two detections or more.

    Parameters
    ----------
    label : ``KN`` or a key of `SUBJECTS`.
    visits : draws the visits to a number of places.
    """
    rng = np.random.default_rng([seed, sum(label.encode()), survey is Survey.ZTF])
    places = visits(n * TRIES.get(label, 4), rng)
    is_kilonova = label == "KN"
    flux = kilonova_flux(places, survey, rng) if is_kilonova else simulator_flux(places, SUBJECTS[label], survey, rng)
    made = _observe(label, "simulated", places, flux, survey, rng)
    return made.take(np.arange(min(n, len(made))))
