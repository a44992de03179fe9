"""How much of an event's place a visit looked at, how deep, and how long before or after the trigger.

Where nothing was found this is what follow-up needs to know: whether anybody looked, and what would have been seen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from coordinator.coincidence import level_searched
from coordinator.exposure import samples_of
from coordinator.strata import CELL_ORDER
from graph.errors import NotFoundError
from graph.model import Survey
from graph.regions import region_of
from graph.sky import ang2pix
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai
from graph.visits import VISIT_CELL_ORDER, VISIT_CELL_SHIFT

if TYPE_CHECKING:
    from graph.model import Event
    from graph.regions import Region
    from graph.visits import VisitColumns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COARSE_SHIFT: Final = 2 * (VISIT_CELL_ORDER - CELL_ORDER)
"""Bits of a cell below the one of order 5 that it is part of: those are what is read at once."""

COARSE_CELLS: Final = 64
"""Cells of order 5 that are looked at most, the most probable ones: 215 deg2, what can be read in seconds."""


@dataclass(frozen=True, eq=False, slots=True)
class Places:
    """Where an event may be, in cells of `graph.visits.VISIT_CELL_ORDER`."""

    cell: IntArray
    """(k,) ascending."""
    probability: FloatArray
    """(k,) that the event is in the cell [1]; together what is looked at, 1 at most."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one visit looked at of an event's place."""

    survey: Survey
    midpoint_mjd_tai: float
    delta_t_s: float
    """Middle of the exposure minus trigger [s]."""
    band: str
    limit_mag: float
    """5 sigma limiting AB magnitude that half of the covered probability reached."""
    probability: float
    """That the event is where the visit looked [1]."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Who looked at the place of an event."""

    searched_probability: float
    """That the event is in the part of its place for which visits were looked up [1]."""
    visits: tuple[Coverage, ...]
    """In order of time."""


class VisitSource(Protocol):
    """Knows when and how deep surveys looked."""

    def visits(self, cells: IntArray, from_mjd_tai: float, until_mjd_tai: float) -> VisitColumns:
        """Return the visits of some cells in a closed time window [d, TAI].

        Parameters
        ----------
        cells : (k,) NESTED cells of `graph.visits.VISIT_CELL_ORDER`.

        Raises
        ------
        StoreError : they cannot be read.
        """
        ...


def who_looked(
    event: Event, source: VisitSource, *, before_d: float, after_d: float, max_credible_level: float
) -> Looked:
    """Return the visits that looked at the place of an event from some days before its trigger to some after it [d].

    Raises
    ------
    NotFoundError : the event has no trigger time or no place.
    StoreError : the visits cannot be read.
    """
    if event.trigger_time is None or event.localization is None:
        raise NotFoundError(f"The event {event.event_key} has no trigger time or no place, so nobody can have looked.")
    trigger_mjd_tai = datetime_to_mjd_tai(event.trigger_time)
    places = places_of(region_of(event.localization), max_credible_level)
    visits = source.visits(places.cell, trigger_mjd_tai - before_d, trigger_mjd_tai + after_d)
    return Looked(min(float(places.probability.sum()), 1.0), coverage_of(places, visits, trigger_mjd_tai))


def places_of(region: Region, max_credible_level: float) -> Places:
    """Return the cells where an event may be, inside the region that is searched for its counterparts.

    Notes
    -----
    The region is sampled at 2048 places of equal area: in one wider than that many cells a cell stands for its
    surroundings.
    """
    level = level_searched(region, max_credible_level)
    samples = samples_of(region, level)
    pixel = ang2pix(samples.ra_deg, samples.dec_deg)
    cell, own = np.unique(pixel >> VISIT_CELL_SHIFT, return_inverse=True)
    weight = np.bincount(own, weights=samples.density_sr, minlength=len(cell))
    # Of a region without a sample nothing is looked at.
    probability = np.asarray(weight * (level / max(weight.sum(), np.finfo(np.float64).tiny)), dtype=np.float64)
    coarse, own = np.unique(cell >> COARSE_SHIFT, return_inverse=True)
    likeliest = np.argsort(-np.bincount(own, weights=probability, minlength=len(coarse)), kind="stable")
    kept = np.isin(own, likeliest[:COARSE_CELLS])
    return Places(cell[kept], probability[kept])


def coverage_of(places: Places, visits: VisitColumns, trigger_mjd_tai: float) -> tuple[Coverage, ...]:
    """Return what each visit looked at of an event's place, in order of time.

    Parameters
    ----------
    visits : looks at any cells, none twice; those elsewhere are left out.
    """
    own = dict(zip(places.cell.tolist(), places.probability.tolist(), strict=True))
    looks: dict[tuple[float, str, str], list[tuple[float, float]]] = defaultdict(list)
    columns = (visits.midpoint_mjd_tai, visits.survey, visits.band, visits.cell, visits.limit_mag)
    for time, survey, band, cell, limit_mag in zip(*(column.tolist() for column in columns), strict=True):
        if cell in own:
            looks[time, survey, band].append((limit_mag, own[cell]))
    return tuple(
        Coverage(
            survey=Survey(survey),
            midpoint_mjd_tai=time,
            delta_t_s=(time - trigger_mjd_tai) * SECONDS_PER_DAY,
            band=band,
            limit_mag=_reached(found),
            probability=min(sum(probability for _, probability in found), 1.0),
        )
        for (time, survey, band), found in sorted(looks.items())
    )


def _reached(found: list[tuple[float, float]]) -> float:
    """Return the limit that at least half of the probability reached, of limits with their probabilities."""
    deepest_first = sorted(found, reverse=True)
    reached = list(accumulate(probability for _, probability in deepest_first))
    return deepest_first[bisect_left(reached, reached[-1] / 2.0)][0]
