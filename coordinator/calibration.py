"""Do chance probabilities mean what they say? Time slides, scrambled positions and simulated years give the answer.

Events are moved to where nothing can belong to them: their triggers in time against the alert stream, which is taken
as periodic over the nights at hand, and neutrinos in right ascension as well. The smallest chance probability of each
trial must then be uniform.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.coincidence import OpenEvent, level_searched
from coordinator.correction import ALL_LATITUDES, Correction, PMap, fit_map
from coordinator.exposure import (
    Found,
    Samples,
    centre_latitude,
    chance_of,
    counted_together,
    expected_in,
    samples_of,
    strata_along,
)
from coordinator.strata import N_LATITUDES, latitude_name
from coordinator.windows import SECONDS_PER_YEAR, event_rate_hz, science_case_of, window_of
from graph.model import ScienceCase
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coordinator.background import Background
    from graph.objects import ObjectColumns
    from graph.regions import Region

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
RowArray = NDArray[np.intp]

SMALLEST_RATE_RATIO: Final = 1e-3
"""Lowest joint false-alarm rate that is checked, as a fraction of the highest: rarer ones leave no counts."""

CHECKED_RATES: Final = 7
"""Joint false-alarm rates at which counts are compared: two for each factor of ten."""

HIGHEST_CHECKED_PER_YEAR: Final = 1.0
"""Highest joint false-alarm rate that is checked [1/yr]: pairs that chance makes more often are not followed up."""

KOLMOGOROV_TERMS: Final = 100
"""Terms of Kolmogorov's series: the last one is below double precision from `SMALLEST_KOLMOGOROV` on."""

SMALLEST_KOLMOGOROV: Final = 0.1
"""Argument below which the tail of Kolmogorov's distribution is 1 to double precision."""

BAND_MARGIN: Final = 3.0
"""Distances between samples by which a region may reach beyond its outermost ones; 0.4 for a circle."""

CELLS_AT_A_TIME: Final = 10_000_000
"""Pairs of a slide and an object handled at a time; bounds memory at some 100 MB."""


@dataclass(frozen=True, eq=False, slots=True)
class Trials:
    """Smallest chance probabilities of n moved events; row i of every column is the same trial."""

    p_chance: FloatArray
    """(n,) in (0, 1]; see `moved` for trials without a pair."""
    latitude: IntArray
    """(n,) latitude bin of the densest place of the localization, as moved."""
    n_with_pair: int
    """Trials in which an object was found."""


@dataclass(frozen=True, slots=True)
class Uniformity:
    """How far a sample of chance probabilities is from uniform."""

    survey: str
    latitude: str
    """Latitude bin [deg], e.g. ``10-20``, or ``all``."""
    n_trials: int
    ks_statistic: float
    """Largest distance between the distribution and the diagonal; Kolmogorov and Smirnov."""
    ks_p_value: float
    """Probability of a larger one, asymptotic; too small where trials share objects."""


@dataclass(frozen=True, slots=True)
class FarCheck:
    """Chance pairs in simulated years, at or below one joint false-alarm rate."""

    joint_far_per_year: float
    expected: float
    """Pairs that the stated rates promise: the rate times the years, for each region that holds so many."""
    counted: int

    @property
    def deviation(self) -> float:
        """Departure in Poisson standard deviations."""
        return (self.counted - self.expected) / float(np.sqrt(self.expected)) if self.expected > 0.0 else 0.0


def moved(
    entry: OpenEvent,
    objects: ObjectColumns,
    background: Background,
    span_mjd_tai: tuple[float, float],
    *,
    n_trials: int,
    rng: np.random.Generator,
    max_credible_level: float,
) -> Trials:
    """Move an event away from whatever belongs to it, and match it.

    Parameters
    ----------
    objects : of one survey, first detected in the span.
    span_mjd_tai : begin and end of the nights at hand [d, TAI]; a window longer than that is cut to it.

    Raises
    ------
    ValueError : the objects are of several surveys.

    Notes
    -----
    Beyond the searched region nothing is seen. A trial without a pair therefore only says that its probability is
    above that of any object in the region, and is given a random value there.
    """
    survey = str(objects.survey[0]) if len(objects) else ""
    if np.any(objects.survey != survey):
        raise ValueError("one survey is calibrated at a time")
    event, region = entry.event, entry.region
    length_d = span_mjd_tai[1] - span_mjd_tai[0]
    window_d = min(window_of(event).length_s / SECONDS_PER_DAY, length_d)
    level = level_searched(region, max_credible_level)
    samples = samples_of(region, level)
    plain = replace(background, correction=None)
    banded = _at_declinations(samples, objects)
    in_place = science_case_of(event) is not ScienceCase.NEUTRINO
    turns = np.zeros(1) if in_place else rng.random(n_trials) * 360.0
    smallest, latitudes, found = [], [], 0
    for turn in turns.tolist():
        inside = _inside(region, objects, banded, level, turn)
        chance = chance_of(plain, region, level, objects, inside, window_d=window_d)
        p_pairs = -np.expm1(-chance.expected)
        phase = np.mod(objects.first_midpoint_mjd_tai[inside.rows] - span_mjd_tai[0], length_d)
        best = _best(p_pairs, phase, rng.random(n_trials if in_place else 1) * length_d, window_d, length_d)
        edge = -np.expm1(-expected_in(plain, survey, samples, window_d, turn))
        seen = np.isfinite(best)
        smallest.append(np.where(seen, best, edge + (1.0 - edge) * rng.random(len(best))))
        latitudes.append(np.full(len(best), centre_latitude(samples, turn)))
        found += int(np.count_nonzero(seen))
    return Trials(np.concatenate(smallest), np.concatenate(latitudes), found)


def _at_declinations(samples: Samples, objects: ObjectColumns) -> RowArray:
    """Return the rows of the objects at the declinations of a region, however it is turned about the pole."""
    if len(samples.dec_deg) == 0:
        return np.empty(0, dtype=np.intp)
    margin_deg = BAND_MARGIN * float(np.sqrt(samples.area_deg2 / len(samples.dec_deg)))
    low, high = samples.dec_deg.min() - margin_deg, samples.dec_deg.max() + margin_deg
    return np.flatnonzero((objects.dec_deg >= low) & (objects.dec_deg <= high))


def _inside(region: Region, objects: ObjectColumns, banded: RowArray, level: float, turn_deg: float) -> Found:
    """Return which of some objects are inside the searched part of a turned region."""
    ra_deg, dec_deg = objects.ra_deg[banded] - turn_deg, objects.dec_deg[banded]
    rows = np.flatnonzero(region.credible_level(ra_deg, dec_deg) <= level)
    ra_deg, dec_deg = ra_deg[rows], dec_deg[rows]
    density = region.probability_density_sr(ra_deg, dec_deg)
    searched = region.searched_area_deg2(ra_deg, dec_deg)
    possible = density > 0.0
    return Found(banded[rows[possible]], density[possible], searched[possible], turn_deg)


def _best(
    p_pairs: FloatArray, phase_d: FloatArray, begin_d: FloatArray, window_d: float, length_d: float
) -> FloatArray:
    """Return the smallest probability among the objects in each window (n,); infinite where there is none."""
    best = np.full(len(begin_d), np.inf)
    if len(p_pairs) == 0:
        return best
    step = max(1, CELLS_AT_A_TIME // len(p_pairs))
    for first in range(0, len(begin_d), step):
        since = np.mod(phase_d[None, :] - begin_d[first : first + step, None], length_d)
        best[first : first + step] = np.where(since < window_d, p_pairs[None, :], np.inf).min(axis=1)
    return best


def run_trials(
    entries: Sequence[OpenEvent],
    objects: ObjectColumns,
    background: Background,
    span_mjd_tai: tuple[float, float],
    *,
    n_slides: int,
    seed: int,
    max_credible_level: float,
) -> Trials:
    """Return the trials of all events with the objects of one survey; the same seed gives the same trials."""
    found = [
        moved(
            entry,
            objects,
            background,
            span_mjd_tai,
            n_trials=n_slides,
            rng=np.random.default_rng((seed, number)),
            max_credible_level=max_credible_level,
        )
        for number, entry in enumerate(entries)
    ]
    if not found:
        return Trials(np.empty(0), np.empty(0, dtype=np.int64), 0)
    return Trials(
        np.concatenate([one.p_chance for one in found]),
        np.concatenate([one.latitude for one in found]),
        sum(one.n_with_pair for one in found),
    )


def by_latitude(trials: Trials) -> Iterator[tuple[str, FloatArray]]:
    """Yield the probabilities of all trials, then those of each latitude bin that has any, with the bin's name."""
    yield ALL_LATITUDES, trials.p_chance
    for number in range(N_LATITUDES):
        chosen = trials.p_chance[trials.latitude == number]
        if len(chosen):
            yield latitude_name(number), chosen


def uniformity(survey: str, latitude: str, p_chance: FloatArray) -> Uniformity:
    """Compare probabilities (n,) with the uniform distribution."""
    n = len(p_chance)
    if n == 0:
        return Uniformity(survey, latitude, 0, 0.0, 1.0)
    ordered, steps = np.sort(p_chance), np.arange(n + 1) / n
    statistic = float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))
    return Uniformity(survey, latitude, n, statistic, kolmogorov_tail(float(np.sqrt(n)) * statistic))


def kolmogorov_tail(x: float) -> float:
    """Return the probability that Kolmogorov's statistic times the root of the sample's size exceeds a value.

    References
    ----------
    Kolmogorov (1933); the alternating series, which needs two terms above 1 and is 1 to double precision below 0.1.
    """
    k = np.arange(1.0, KOLMOGOROV_TERMS + 1.0)
    signs = np.where(k % 2.0 == 1.0, 1.0, -1.0)
    return 1.0 if x < SMALLEST_KOLMOGOROV else float(np.clip(2.0 * np.sum(signs * np.exp(-2.0 * (k * x) ** 2)), 0, 1))


def fit_correction(trials: dict[str, Trials], provenance: str) -> Correction:
    """Return the correction that makes the trials of each survey uniform, by latitude bin where they suffice."""
    maps: dict[tuple[str, str], PMap] = {}
    for survey, one in sorted(trials.items()):
        for key, p_chance in (
            (ALL_LATITUDES, one.p_chance),
            *((str(number), one.p_chance[one.latitude == number]) for number in range(N_LATITUDES)),
        ):
            fitted = fit_map(p_chance)
            if fitted is not None:
                maps[survey, key] = fitted
    return Correction(maps, provenance)


def simulate_years(
    entries: Sequence[OpenEvent],
    survey: str,
    stated: Background,
    truth: Background,
    *,
    years: float,
    seed: int,
    max_credible_level: float,
) -> tuple[FarCheck, ...]:
    """Count the chance pairs of many simulated years against their joint false-alarm rates.

    Parameters
    ----------
    entries : each stands for a stream of events of its kind and place at its own rate.
    survey : one that both backgrounds have measured.
    stated : the background that probabilities are worked out from.
    truth : the background that the simulated sky is drawn from.
    years : simulated time [yr].

    Returns
    -------
    Counts below joint false-alarm rates from `HIGHEST_CHECKED_PER_YEAR` down to `SMALLEST_RATE_RATIO` of it.

    Notes
    -----
    Pairs are drawn as a Poisson process over class groups, magnitudes and the samples of each region, so that ten
    thousand years take a fraction of a second; only the pairs below the highest rate are drawn.
    """
    rng = np.random.default_rng(seed)
    thresholds = HIGHEST_CHECKED_PER_YEAR * np.geomspace(SMALLEST_RATE_RATIO, 1.0, CHECKED_RATES)
    counted, expected = np.zeros(CHECKED_RATES, dtype=np.int64), np.zeros(CHECKED_RATES)
    for entry in entries:
        per_year = event_rate_hz(entry.event) * SECONDS_PER_YEAR
        window_d = window_of(entry.event).length_s / SECONDS_PER_DAY
        samples = samples_of(entry.region, level_searched(entry.region, max_credible_level))
        # (s, n + 1) objects expected in each stratum up to each sample, by either background.
        before = strata_along(stated.measured[survey], samples, window_d)
        true_before = strata_along(truth.measured[survey], samples, window_d)
        far = _simulated_far(before, np.diff(true_before, axis=1), per_year, years, rng)
        counted += np.searchsorted(np.sort(far), thresholds, side="right")
        # A region with little visited sky never shows a pair as common as the rate.
        expected += years * np.minimum(thresholds, per_year * before[:, -1].sum())
    return tuple(
        FarCheck(float(rate), float(mean), int(n)) for rate, mean, n in zip(thresholds, expected, counted, strict=True)
    )


def _simulated_far(
    before: FloatArray, true_steps: FloatArray, per_year: float, years: float, rng: np.random.Generator
) -> FloatArray:
    """Return the stated joint false-alarm rates [1/yr] of the chance pairs of one stream of events.

    Parameters
    ----------
    before : (s, n + 1) objects that are said to be expected in each stratum up to each sample of the region.
    true_steps : (s, n) objects that are expected between two samples.
    """
    edges = before[:, -1]
    # Only what ranks below the highest rate is drawn; the count is linear between the edges.
    knots = np.concatenate(([0.0], np.sort(edges)))
    highest = np.interp(HIGHEST_CHECKED_PER_YEAR / per_year, counted_together(knots, edges), knots)
    begin = before[:, :-1]
    end = np.minimum(np.maximum(begin, highest), before[:, 1:])
    whole = before[:, 1:] - begin
    # Where nothing is said to be, whatever is there ranks with what comes before.
    share = np.where(whole > 0.0, (end - begin) / np.where(whole > 0.0, whole, 1.0), begin <= highest)
    drawn = rng.poisson(per_year * years * true_steps * share)
    stratum, sample = (np.repeat(place, drawn[drawn > 0]) for place in np.nonzero(drawn))
    first, last = begin[stratum, sample], end[stratum, sample]
    return per_year * counted_together(first + (last - first) * rng.random(len(stratum)), edges)
