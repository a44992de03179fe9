"""How many unrelated new objects the sky shows: the rate that chance coincidences are made of.

Before anything is measured there is one rate for each survey. Measured, it is a rate for each class group, magnitude
and galactic latitude of one survey, per square degree of sky and night on which it was visited.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.strata import (
    CELL_DEG2,
    CELL_PIXELS,
    CLASS_GROUPS,
    N_CELLS,
    N_LATITUDES,
    N_MAGNITUDES,
    group_of,
    latitude_of_cells,
    magnitude_bin,
)
from graph.model import Survey
from graph.sky import ang2pix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coordinator.correction import Correction
    from graph.objects import ObjectColumns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SHAPE: Final = (len(CLASS_GROUPS), N_MAGNITUDES, N_LATITUDES)
"""Shape of an array over the strata of a survey: class group, magnitude, latitude."""

PRIOR_COUNTS: Final = 1.0
"""Objects that the coarser bin lends to each finer one [objects]: one, so that a bin of ten is its own to a tenth."""


@dataclass(frozen=True, eq=False, slots=True)
class SurveyTally:
    """What a survey showed in some nights, as counted.

    Raises
    ------
    ValueError : the arrays do not belong together, or a number is negative.
    """

    new_objects: IntArray
    """`SHAPE`, objects first detected in those nights."""
    visits: IntArray
    """(`N_CELLS`,) nights on which each cell showed a detection or an upper limit."""
    n_nights: int
    """Nights that were looked at, those without any visit included."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a count."""
        if self.new_objects.shape != SHAPE or self.visits.shape != (N_CELLS,):
            raise ValueError("a tally has one count for each stratum and one for each cell")
        if self.n_nights < 1 or self.new_objects.min() < 0 or not 0 <= self.visits.min() <= self.visits.max():
            raise ValueError("a tally needs at least one night and no negative count")
        if int(self.visits.max()) > self.n_nights:
            raise ValueError("a cell cannot be visited on more nights than there were")

    def exposure_deg2_night(self) -> FloatArray:
        """Return the visited sky (`N_LATITUDES`,) [deg2 night]: each cell counts once for each of its nights."""
        nights = np.bincount(latitude_of_cells(), weights=self.visits, minlength=N_LATITUDES)
        return np.asarray(CELL_DEG2 * nights, dtype=np.float64)

    def visits_per_day(self) -> FloatArray:
        """Return how many nights a day (`N_CELLS`,) [1/d] each cell is visited; 0 outside the footprint."""
        return np.asarray(self.visits / self.n_nights, dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class Rates:
    """Rates of one survey, each bin helped by the coarser one where its counts are few."""

    per_deg2_night: FloatArray
    """`SHAPE` [1/deg2/night], per visited sky; positive."""
    error_per_deg2_night: FloatArray
    """`SHAPE`, its Poisson uncertainty (one standard deviation)."""
    visits_per_day: FloatArray
    """(`N_CELLS`,) [1/d], see `SurveyTally.visits_per_day`."""
    usual_visits_per_day: float
    """Mean over the footprint [1/d]: taken for an object that was found outside it."""


@dataclass(frozen=True, slots=True)
class Background:
    """Rate of new objects that pass the same filters as those that are searched.

    Raises
    ------
    ValueError : there is no rate, or one is not positive.
    """

    rate_per_deg2_day: Mapping[str, float]
    """New objects per square degree and day, for each survey; of a measured one, the mean over its footprint."""
    provenance: str
    """Where the rates come from, in one sentence."""
    measured: Mapping[str, Rates] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    """Rates by stratum of each survey that was measured; the others have the one rate."""
    correction: Correction | None = None
    """Correction of the chance probabilities, where one was made and asked for."""
    flaring_per_deg2: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Known blazars that each survey sees in a flare within the window of a neutrino [1/deg2], where measured."""

    def __post_init__(self) -> None:
        """Refuse rates that would make chance impossible."""
        rates = self.rate_per_deg2_day.values()
        if not rates or not all(0.0 < rate < np.inf for rate in rates):
            raise ValueError("a background needs a positive rate for at least one survey")

    def rates_of(self, survey: NDArray[np.object_]) -> FloatArray:
        """Return the rate (n,) [1/deg2/d] for each survey name (n,); an unknown survey gets the largest."""
        largest = max(self.rate_per_deg2_day.values())
        rates = np.full(len(survey), largest, dtype=np.float64)
        for name, rate in self.rate_per_deg2_day.items():
            rates[survey == name] = rate
        return rates


DEFAULT_BACKGROUND: Final = Background(
    {Survey.ZTF.value: 2.5, Survey.LSST.value: 20.0},
    "order of magnitude before any measurement: ZTF 2e5 public alerts a night over 1e4 deg2, 12 per cent of them the "
    "first of a new object that passes the screening (night of 2023-10-18); LSST 8e5 alerts over 1e4 deg2, 22 per cent "
    "new (first public nights of 2026)",
)
"""Rates [1/deg2/d] until the stream has been measured.

For every new object of any class, for that is what is matched: a rate of classified extragalactic transients, a
thousand times lower, would make chance look rare that is not.
"""


def measure_background(objects: ObjectColumns, area_deg2: Mapping[str, float], duration_d: float) -> Background:
    """Measure one rate for each survey from the stream itself.

    Parameters
    ----------
    objects : all objects first detected in the time and area, through the same filters as those searched.
    area_deg2 : sky that each survey visited at least twice in that time [deg2]; surveys without an entry are left out.
    duration_d : length of the time [d].

    Notes
    -----
    One object is added to each count, so that a short or empty sample overstates chance instead of dividing by zero.
    """
    rates = {
        name: (1.0 + float(np.count_nonzero(objects.survey == name))) / (area * duration_d)
        for name, area in sorted(area_deg2.items())
    }
    return Background(rates, f"measured: {len(objects)} new objects in {duration_d:g} d")


def tally(objects: ObjectColumns, survey: str, visited: Sequence[IntArray]) -> SurveyTally:
    """Count the new objects of one survey.

    Parameters
    ----------
    objects : first detected in the nights, through the same filters as those searched; of any survey.
    visited : the cells (k,) that the survey visited, one array for each night; empty for a night without a visit.

    Raises
    ------
    ValueError : there is no night.
    """
    mine = objects.survey == survey
    cell = cells_of(objects.ra_deg[mine], objects.dec_deg[mine])
    one_each = np.ones(len(cell), dtype=np.int64)
    counted = count_strata(objects.top_class[mine], objects.latest_mag[mine], cell, one_each)
    visits = np.zeros(N_CELLS, dtype=np.int64)
    for cells in visited:
        visits[np.unique(cells)] += 1
    return SurveyTally(counted, visits, len(visited))


def count_strata(
    top_class: NDArray[np.object_], magnitude: FloatArray, cell: IntArray, n_objects: IntArray
) -> IntArray:
    """Return the numbers of objects by stratum, `SHAPE`, of rows (n,) that stand for ``n_objects`` each."""
    placed = (cell >= 0) & (cell < N_CELLS)
    stratum = group_of(top_class[placed]), magnitude_bin(magnitude[placed]), latitude_of_cells()[cell[placed]]
    counts = np.zeros(SHAPE, dtype=np.int64)
    np.add.at(counts, stratum, n_objects[placed])
    return counts


def joined(nights: Sequence[SurveyTally]) -> SurveyTally | None:
    """Return the tally of successive nights, from the first one with a visit on; None where there is none."""
    started = next((i for i, one in enumerate(nights) if one.visits.any()), None)
    if started is None:
        return None
    kept = nights[started:]
    return SurveyTally(
        np.sum([one.new_objects for one in kept], axis=0),
        np.sum([one.visits for one in kept], axis=0),
        sum(one.n_nights for one in kept),
    )


def cells_of(ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
    """Return the cell (n,) of positions (n,) [deg, ICRS]; -1 for what is not on the sky."""
    pixel = ang2pix(ra_deg, dec_deg)
    return np.where(pixel < 0, -1, pixel // CELL_PIXELS)


def rates_from(counted: SurveyTally) -> Rates | None:
    """Return the rates that a tally gives, None where no sky was visited.

    Notes
    -----
    Each rate is the mean of a Gamma posterior whose prior is the coarser bin's rate with the weight of
    `PRIOR_COUNTS` objects: (N + w) / (E + w / R). The survey as a whole lends to class groups, these to magnitudes
    and to latitudes, and both together, taken as independent, to the single stratum. An unvisited latitude has its
    group's rate.
    """
    exposure = counted.exposure_deg2_night()
    total = float(exposure.sum())
    if total <= 0.0:
        return None
    # What appeared where nothing is said to have been visited has no rate.
    counts = np.where(exposure > 0.0, counted.new_objects, 0).astype(np.float64)
    survey = (counts.sum() + PRIOR_COUNTS) / total
    group, _ = _lent(counts.sum(axis=(1, 2)), total, np.full(SHAPE[0], survey / SHAPE[0]))
    by_magnitude, _ = _lent(
        counts.sum(axis=2), total, np.broadcast_to(group[:, None] / N_MAGNITUDES, (SHAPE[0], N_MAGNITUDES))
    )
    by_latitude, _ = _lent(counts.sum(axis=1), exposure, np.broadcast_to(group[:, None], (SHAPE[0], N_LATITUDES)))
    independent = by_magnitude[:, :, None] * by_latitude[:, None, :] / group[:, None, None]
    rate, error = _lent(counts, exposure, independent)
    visits = counted.visits_per_day()
    return Rates(rate, error, visits, float(visits[visits > 0].mean()))


def _lent(counts: FloatArray, exposure: FloatArray | float, prior: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the Gamma posterior of rates; see `rates_from`."""
    weight = exposure + PRIOR_COUNTS / prior
    return (counts + PRIOR_COUNTS) / weight, np.sqrt(counts + PRIOR_COUNTS) / weight


def background_of(
    tallies: Mapping[str, SurveyTally], provenance: str, fallback: Background = DEFAULT_BACKGROUND
) -> Background:
    """Return the background that tallies give, with the rate of ``fallback`` for surveys without visited sky."""
    found = {name: rates for name, one in sorted(tallies.items()) if (rates := rates_from(one)) is not None}
    single = dict(fallback.rate_per_deg2_day)
    for name, rates in found.items():
        in_footprint = np.bincount(latitude_of_cells(), weights=rates.visits_per_day, minlength=N_LATITUDES)
        expected_per_day = float((rates.per_deg2_night.sum(axis=(0, 1)) * in_footprint).sum())
        single[name] = expected_per_day / float(np.count_nonzero(rates.visits_per_day))
    if not found:
        return fallback
    return Background(single, provenance, MappingProxyType(found))
