"""How many unrelated new objects the searched part of a region holds: rates times visited sky, place by place.

A region is sampled evenly in area, once, by its order-29 ranges. Each sample has the density of the localization
there, its latitude bin and how often its cell is visited; the samples in order of density say how rates change from
the core of the region to its edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from coordinator.background import Background, FloatArray, IntArray, Rates, cells_of
from coordinator.strata import group_of, latitude_of_cells, magnitude_bin
from graph.model import Term
from graph.sky import DEG2_PER_SR, MAX_ORDER, PIXEL_SR, cell_centres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.objects import ObjectColumns
    from graph.regions import Region

RowArray = NDArray[np.intp]

COVER_RANGES: Final = 64
"""Ranges of a region's cover that is sampled: some third of the samples fall outside it, and a finer one takes longer
to work out than all the rest."""

SAMPLES: Final = 2048
"""Places at which a region is sampled: shares of its area are good to a fraction of a per cent."""


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Places (n,) of equal area in the searched part of a region, densest first."""

    density_sr: FloatArray
    """(n,) of the localization [1/sr], descending."""
    ra_deg: FloatArray
    dec_deg: FloatArray
    area_deg2: float
    """Area of the searched part [deg2]."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Objects inside a region, m of them."""

    rows: RowArray
    """(m,) rows of the objects."""
    density_sr: FloatArray
    """(m,) of the localization at each [1/sr]."""
    searched_deg2: FloatArray
    """(m,) area at least as dense [deg2]."""
    turn_deg: float = 0.0
    """By how much the region was turned eastward [deg] before it was held against the sky."""


@dataclass(frozen=True, eq=False, slots=True)
class Chance:
    """What chance puts into a region, for m objects of it."""

    expected: FloatArray
    """(m,) unrelated objects of the same survey expected that rank at least as high, all strata counted."""
    rate_per_deg2_day: FloatArray
    """(m,) mean rate of the object's own stratum over the area searched before it [1/deg2/d]."""
    trials: IntArray
    """(m,) strata that were searched."""


_KEPT: Final[WeakKeyDictionary[Region, dict[float, Samples]]] = WeakKeyDictionary()
"""Samples of each region that is still in use, by the level to which it was searched; 50 kB each."""


def samples_of(region: Region, level: float) -> Samples:
    """Return samples of the part of a region inside a credible level; worked out once for each region."""
    kept = _KEPT.setdefault(region, {})
    if level not in kept:
        kept[level] = _sample(region, level)
    return kept[level]


def _sample(region: Region, level: float) -> Samples:
    """Sample the part of a region inside a credible level."""
    ranges = region.cover(level, COVER_RANGES)
    lengths = ranges[:, 1] - ranges[:, 0]
    before = np.concatenate(([0], np.cumsum(lengths)))
    # Even steps along the ranges are even in area; whole numbers beyond 2^53 do not fit into floats.
    step = max(int(before[-1]) // SAMPLES, 1)
    place = np.arange(step // 2, int(before[-1]), step, dtype=np.int64)
    own = np.searchsorted(before, place, side="right") - 1
    ra_deg, dec_deg = cell_centres(MAX_ORDER, ranges[own, 0] + place - before[own])
    inside = region.credible_level(ra_deg, dec_deg) <= level
    area_deg2 = float(before[-1]) * PIXEL_SR * DEG2_PER_SR * float(np.mean(inside))
    ra_deg, dec_deg = ra_deg[inside], dec_deg[inside]
    density = region.probability_density_sr(ra_deg, dec_deg)
    order = np.argsort(-density, kind="stable")
    return Samples(density[order], ra_deg[order], dec_deg[order], area_deg2)


def chance_of(
    background: Background, region: Region, level: float, objects: ObjectColumns, found: Found, *, window_d: float
) -> Chance:
    """Return how many unrelated objects rank as high as each of some objects inside a region.

    Parameters
    ----------
    level : credible level to which the region is searched.
    found : which of the objects are inside it, and where.
    window_d : length of the time window [d].

    Notes
    -----
    An object's own stratum (class group, magnitude) is expected to show x = T * area * <rate * visits> objects at
    least as central, the mean being taken over that area. Ranked by x, the smallest first, the other strata of the
    survey show min(x, all they hold) each. The sum over strata is the number expected to rank as high by chance, so
    the looks into all strata are paid for and 1 - exp(-sum) is uniform. A survey with a single rate has one stratum.
    """
    survey = objects.survey[found.rows]
    rate = background.rates_of(survey)
    expected = rate * found.searched_deg2 * window_d
    trials = np.ones(len(found.rows), dtype=np.int64)
    for name, rates in background.measured.items():
        mine = np.flatnonzero(survey == name)
        if len(mine) == 0:
            continue
        samples = samples_of(region, level)
        own, whole = _mean_rates(rates, samples, objects.take(found.rows[mine]), found.density_sr[mine], found.turn_deg)
        ranked_by = own * found.searched_deg2[mine] * window_d
        edges = whole * samples.area_deg2 * window_d
        expected[mine] = counted_together(ranked_by, edges)
        rate[mine] = own
        trials[mine] = edges.size
    if background.correction is not None:
        centre = centre_latitude(samples_of(region, level), found.turn_deg)
        expected = background.correction.expected(survey, centre, expected)
    return Chance(expected, rate, trials)


def with_chance(
    background: Background, chance: Chance, terms: Sequence[tuple[Term, ...]]
) -> Sequence[tuple[Term, ...]]:
    """Return the terms of pairs, with what their chance was worked out from where the background was measured.

    Notes
    -----
    The term weighs nothing: it only carries the rate, the trials and where they come from.
    """
    if not background.measured and background.correction is None:
        return terms
    inputs = zip(chance.expected.tolist(), chance.rate_per_deg2_day.tolist(), chance.trials.tolist(), strict=True)
    corrected = None if background.correction is None else background.correction.provenance
    return [
        (
            *before,
            Term(
                "chance",
                0.0,
                {
                    "expected": expected,
                    "rate_per_deg2_day": rate,
                    "trials": float(trials),
                    "background": background.provenance,
                    "correction": corrected,
                },
            ),
        )
        for before, (expected, rate, trials) in zip(terms, inputs, strict=True)
    ]


def counted_together(ranked_by: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the objects expected in all strata at or before some ranks.

    Parameters
    ----------
    ranked_by : (m,) objects expected in the own stratum at least as central.
    edges : (s,) objects expected in each stratum in the whole searched region.
    """
    ordered = np.sort(edges)
    held = np.concatenate(([0.0], np.cumsum(ordered)))
    full = np.searchsorted(ordered, ranked_by, side="right")
    # The own stratum holds the object, whatever the samples say of its edge.
    return np.maximum(held[full] + ranked_by * (len(ordered) - full), ranked_by)


def counted_with_others(expected: FloatArray, others: FloatArray) -> FloatArray:
    """Return the objects expected at or before some ranks (m,), others (m,) of another kind counted with them.

    Notes
    -----
    Of the other kind as many count as rank as high by the number expected, or all that the region holds of them.
    """
    return expected + np.minimum(expected, others)


def edges_of(rates: Rates, samples: Samples, window_d: float, turn_deg: float = 0.0) -> FloatArray:
    """Return the objects expected in each stratum (s,) in the whole searched region."""
    latitude, visits = _places(rates, samples.ra_deg + turn_deg, samples.dec_deg)
    return _over_strata(rates, latitude, visits) * samples.area_deg2 * window_d


def expected_in(background: Background, survey: str, samples: Samples, window_d: float, turn_deg: float = 0.0) -> float:
    """Return the unrelated objects of a survey expected in the whole searched region."""
    rates = background.measured.get(survey)
    if rates is None:
        rate = float(background.rates_of(np.array([survey], dtype=object))[0])
        return rate * samples.area_deg2 * window_d
    return float(edges_of(rates, samples, window_d, turn_deg).sum())


def centre_latitude(samples: Samples, turn_deg: float = 0.0) -> int:
    """Return the latitude bin of the densest place of a region; the last one for a region without area."""
    if len(samples.density_sr) == 0:
        return -1
    cell = cells_of(samples.ra_deg[:1] + turn_deg, samples.dec_deg[:1])
    return int(latitude_of_cells()[cell[0]])


def _mean_rates(
    rates: Rates, samples: Samples, objects: ObjectColumns, density_sr: FloatArray, turn_deg: float
) -> tuple[FloatArray, FloatArray]:
    """Return the mean rate [1/deg2/d] of each object's stratum before it, and of every stratum in the whole region."""
    latitude, visits = _places(rates, samples.ra_deg + turn_deg, samples.dec_deg)
    group, magnitude = group_of(objects.top_class), magnitude_bin(objects.latest_mag)
    own_latitude, own_visits = _places(rates, objects.ra_deg, objects.dec_deg)
    # It was seen there, so its own place is visited.
    own_visits = np.where(own_visits > 0.0, own_visits, rates.usual_visits_per_day)
    by_latitude = np.zeros((len(visits) + 1, rates.per_deg2_night.shape[2]))
    by_latitude[np.arange(len(visits)) + 1, latitude] = visits
    np.cumsum(by_latitude, axis=0, out=by_latitude)
    n_before = np.searchsorted(-samples.density_sr, -density_sr, side="right")
    stratum_rates = rates.per_deg2_night[group, magnitude]
    here = stratum_rates[np.arange(len(objects)), own_latitude] * own_visits
    own = (np.einsum("mb,mb->m", by_latitude[n_before], stratum_rates) + here) / (n_before + 1.0)
    return own, _over_strata(rates, latitude, visits)


def _over_strata(rates: Rates, latitude: IntArray, visits: FloatArray) -> FloatArray:
    """Return the mean over some places of the rate [1/deg2/d] of every class group and magnitude (s,)."""
    n_latitudes = rates.per_deg2_night.shape[2]
    if len(visits) == 0:
        return np.zeros(rates.per_deg2_night[..., 0].size)
    share = np.bincount(latitude, weights=visits, minlength=n_latitudes) / len(visits)
    return np.asarray(rates.per_deg2_night @ share, dtype=np.float64).ravel()


def _places(rates: Rates, ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return latitude bin and visits a day [1/d] of places that are on the sky."""
    cell = cells_of(ra_deg, dec_deg)
    return latitude_of_cells()[cell], rates.visits_per_day[cell]


def strata_along(rates: Rates, samples: Samples, window_d: float) -> FloatArray:
    """Return the objects (s, n + 1) expected in each stratum up to each sample, from 0 to all that it holds."""
    latitude, visits = _places(rates, samples.ra_deg, samples.dec_deg)
    n_latitudes = rates.per_deg2_night.shape[2]
    flat = rates.per_deg2_night.reshape(-1, n_latitudes)
    area_deg2 = samples.area_deg2 / max(len(visits), 1)
    held = np.cumsum(flat[:, latitude] * visits * (area_deg2 * window_d), axis=1)
    return np.concatenate((np.zeros((len(flat), 1)), held), axis=1)
