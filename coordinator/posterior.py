"""Which of its candidates an event belongs to, or none of them: one probability for each, and they sum to one.

Pure. A candidate is an object that coincides with the event. Unrelated objects are a Poisson process, at most one
object is the counterpart, and the counterpart is seen with a probability that is stated beforehand. Then the
probability of a candidate is to that of none of them as ``odds * exp(log_bayes_factor) / expected``: the odds that a
counterpart is seen at all, the evidence of the pair, and the number of unrelated objects that the evidence compares
with, which are those of the whole sky in the whole window.

That ratio depends on the pair alone. So a candidate that comes or goes changes one number of the event, the
probability of none, and no other pair has to be touched; `Association.scale` is what turns the evidence of a pair into
its probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.background import cells_of
from coordinator.coincidence import level_searched
from coordinator.exposure import samples_of
from coordinator.pairs import SMALLEST_P_ASTRO
from coordinator.windows import window_of
from graph.model import CoincidenceState, ScienceCase, Survey
from graph.sky import DEG2_PER_SR, SKY_SR
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.background import Background
    from graph.model import Coincidence, Event
    from graph.regions import Region

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SMALLEST_PRIOR: Final = 1e-9
"""Distance kept from the probabilities 0 and 1 that a counterpart is seen [1], so that its odds stay finite."""

SURVEYS: Final = tuple(Survey)
"""Surveys by the number that stands for each in columns."""


@dataclass(frozen=True, slots=True)
class Prior:
    """How often the counterpart of an event is seen where its whole localization is looked at."""

    probability: float
    """Share of events whose counterpart was found [1]."""
    source: str
    """Where the number comes from."""


PRIORS: Final[Mapping[ScienceCase, Prior]] = {
    ScienceCase.GRB: Prior(
        8 / 35, "8 afterglows in 35 bursts of Fermi GBM that iPTF followed, doi:10.1088/0004-637X/806/1/52"
    ),
    ScienceCase.GW: Prior(1 / 90, "GW170817 alone of the 90 events of GWTC-3, doi:10.1103/PhysRevX.13.041039"),
    ScienceCase.NEUTRINO: Prior(
        2 / 24, "2 probable counterparts of 24 IceCube alerts that ZTF followed, doi:10.1093/mnras/stad767"
    ),
    ScienceCase.UNKNOWN: Prior(0.01, "no counterpart is established: a choice, as rare as with gravitational waves"),
}
"""Probability that a counterpart is seen, by science case of the event; settings may replace it."""


@dataclass(frozen=True, slots=True)
class Association:
    """What the candidates of an event are worth together."""

    counterpart_prior: float
    """Probability that a counterpart is among the candidates, before any of them was looked at [1]."""
    no_counterpart_probability: float
    """Probability that it is none of them, after all were looked at [1]; 1 without candidates."""
    scale: Mapping[str, float]
    """For each survey: what exp(log_bayes_factor) of a candidate is multiplied with to give its probability."""

    def probability(self, pair: Coincidence) -> float | None:
        """Return the probability that a pair belongs together [1]; None where it is withdrawn or no scale is known."""
        scale = self.scale.get(pair.survey.value, 0.0)
        if pair.state is not CoincidenceState.OPEN or not scale > 0.0:
            return None
        # The factor alone may be too large for a number.
        return math.exp(min(math.log(scale) + pair.log_bayes_factor, 0.0))


def log_none(log_odds: FloatArray) -> float:
    """Return ln of the probability of none of some candidates.

    Parameters
    ----------
    log_odds : (n,) ln of the probability of each candidate over that of none; of any size. NaN counts as impossible.
    """
    usable = log_odds[log_odds > -np.inf]
    if len(usable) == 0:
        return 0.0
    top = float(np.max(usable))
    return -float(np.logaddexp(0.0, top + math.log(float(np.sum(np.exp(usable - top))))))


def association_posterior(log_odds: FloatArray) -> tuple[FloatArray, float]:
    """Return the probability of each candidate (n,) and that of none of them; together they are 1.

    Parameters
    ----------
    log_odds : (n,) see `log_none`.
    """
    none = log_none(log_odds)
    usable = np.where(np.isnan(log_odds), -np.inf, log_odds)
    return np.asarray(np.exp(usable + none), dtype=np.float64), math.exp(none)


def associate(
    event: Event,
    evidence: FloatArray,
    survey: IntArray,
    *,
    background: Background,
    prior: float,
) -> Association:
    """Return what the candidates of an event are worth together.

    Parameters
    ----------
    evidence : (n,) log Bayes factor of every open pair of the event.
    survey : (n,) number of the object's survey in `SURVEYS`.
    background : rates of unrelated new objects.
    prior : probability that the counterpart is seen and becomes a candidate, if the event is real.

    Notes
    -----
    The evidence compares with unrelated objects that are spread evenly over sky and window, so it is divided by the
    number of both. That the event may be noise is a term of the evidence of each of its pairs; here it belongs to the
    prior, and is moved there.
    """
    is_real = 1.0 if event.p_astro is None else min(max(event.p_astro, SMALLEST_P_ASTRO), 1.0)
    seen = min(max(is_real * prior, SMALLEST_PRIOR), 1.0 - SMALLEST_PRIOR)
    rates = background.rates_of(np.array([one.value for one in SURVEYS], dtype=object))
    expected = rates * (SKY_SR * DEG2_PER_SR * window_of(event).length_s / SECONDS_PER_DAY)
    offset = math.log(seen) - math.log1p(-seen) - math.log(is_real) - np.log(expected)
    none = log_none(evidence + offset[survey])
    scale = {one.value: math.exp(number + none) for one, number in zip(SURVEYS, offset.tolist(), strict=True)}
    return Association(seen, math.exp(none), scale)


def share_seen(event: Event, region: Region, background: Background, max_credible_level: float) -> float:
    """Return the share of a localization where a counterpart would become a candidate [1].

    Parameters
    ----------
    max_credible_level : to which regions are searched; see `coordinator.coincidence.level_searched`.

    Notes
    -----
    A place counts as often as some survey visits it at least once in the window, by the measured footprints, each
    night by itself. Where no footprint was measured every place counts.
    """
    level = level_searched(region, max_credible_level)
    footprints = [rates.visits_per_day for rates in background.measured.values()]
    samples = samples_of(region, level) if footprints else None
    if samples is None or not float(np.sum(samples.density_sr)) > 0.0:
        return level
    cell, nights = cells_of(samples.ra_deg, samples.dec_deg), window_of(event).length_s / SECONDS_PER_DAY
    missed = np.ones(len(cell))
    for visits_per_day in footprints:
        missed *= (1.0 - np.clip(visits_per_day[cell], 0.0, 1.0)) ** nights
    return level * float(np.average(1.0 - missed, weights=samples.density_sr))
