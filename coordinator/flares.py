"""Flares of known blazars as candidates of neutrinos: old objects that no first detection ties to an event.

Pure. A blazar that a catalogue knows coincides with a neutrino when it is in a high state within `FLARE_WINDOW` of it
and lies inside its region. Chance is a Poisson process of such blazars over the area searched before this one. A pair
is one object and one event, so an object whose first detection lies in the event's window is left to
`coordinator.coincidence`: what is new needs no flare to be a candidate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.coincidence import is_real, level_searched
from coordinator.pairs import FloatArray, Measures, RowArray, origin_terms, pairs_of
from coordinator.places import Place, place_of
from coordinator.posterior import PRIORS
from coordinator.strata import CELL_DEG2
from coordinator.windows import TimeWindow, window_of
from graph.model import Messenger, ScienceCase, Term
from graph.sky import SKY_SR
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coordinator.background import Background, SurveyTally
    from coordinator.coincidence import OpenEvent
    from graph.model import Coincidence, Event
    from graph.objects import Flares, ObjectColumns

TextArray = NDArray[np.object_]

FLARE_WINDOW: Final = TimeWindow(
    start_s=-30.0 * SECONDS_PER_DAY,
    stop_s=30.0 * SECONDS_PER_DAY,
    softening_s=None,
    share_before=0.0,
    reason="Flares of blazars last weeks to months, before and after their neutrino; TXS 0506+056 brightened over the "
    "50 days before IceCube-170922A. No delay is preferred.",
)
"""Delay of a detection in a flare from the neutrino."""

FLARING_PER_DEG2: Final = 0.03
"""Known blazars that are seen in a high state at some time of `FLARE_WINDOW` [1/deg2], until it is measured: 4LAC-DR3
and 3HSP have some 4,500 between them on 41,253 deg2; fluxes are log-normal with a deviation of 0.5 mag, so a fifth are
above 1.5 times their median at any time and some three in ten within two months. The same for all surveys."""

FEWEST_NIGHTS: Final = 20
"""Nights of a survey below which the stated number holds: chance would be overstated more than threefold, see
`measured_flaring_per_deg2`."""

FEWEST_FLARING: Final = 20
"""Known blazars in a flare below which it holds as well: a fifth of Poisson error."""

TYPICAL_FLUX_RATIO: Final = 2.0
"""Mean flux ratio of unrelated flares [1]: of the same log-normal above a ratio of 1.5."""

FLARE_PRIOR: Final = 0.02
"""Probability that a neutrino comes from a known blazar in a high state [1]: one of some fifty alerts of IceCube had
one at three sigma, TXS 0506+056; doi:10.1126/science.aat1378."""


def may_have_flares(event: Event) -> bool:
    """Return whether flares of known blazars are candidates of an event."""
    return event.messenger is Messenger.NEUTRINO and event.trigger_time is not None


def flare_span_mjd_tai(event: Event) -> tuple[float, float]:
    """Return begin and end [d, TAI] of the time in which a flare is a candidate of an event with a trigger time.

    Raises
    ------
    ValueError : the event has no trigger time.
    """
    if event.trigger_time is None:
        raise ValueError("an event without a trigger time has no window")
    return FLARE_WINDOW.span_mjd_tai(datetime_to_mjd_tai(event.trigger_time))


def measured_flaring_per_deg2(n_flaring: int, counted: SurveyTally) -> float | None:
    """Return how many known blazars a survey sees in a flare in a window like `FLARE_WINDOW` [1/deg2].

    Parameters
    ----------
    n_flaring : known blazars that it saw in a flare in the nights of the tally.

    Returns
    -------
    The number in a square degree of the sky that it visited; None where that is too few to say.

    Notes
    -----
    A window of 60 days holds as many shorter spells as fit into it, and no more flaring blazars than all of these
    together. So a count over n < 60 nights is multiplied by 60 / n: an upper bound, for a blazar that flares on and on
    is counted in each. Chance is overstated by that, never understated.
    """
    if counted.n_nights < FEWEST_NIGHTS or n_flaring < FEWEST_FLARING:
        return None
    spells = max(FLARE_WINDOW.length_s / SECONDS_PER_DAY / counted.n_nights, 1.0)
    return (1.0 + n_flaring) * spells / (CELL_DEG2 * np.count_nonzero(counted.visits))


def find_flares(
    entry: OpenEvent,
    flares: Flares,
    background: Background,
    *,
    max_credible_level: float,
    include_tests: bool = False,
) -> tuple[Coincidence, ...]:
    """Return the flares that coincide with an event, one pair for each object: that of its brightest detection.

    Parameters
    ----------
    flares : of any time, an object as often as it was seen in a flare.
    background : rates of unrelated new objects, with which the evidence of all pairs compares.
    max_credible_level, include_tests : see `coordinator.coincidence.find_coincidences`.
    """
    event, region = entry.event, entry.region
    if not may_have_flares(event) or event.trigger_time is None or not (include_tests or is_real(event)):
        return ()
    trigger = datetime_to_mjd_tai(event.trigger_time)
    delta_t_s = (flares.midpoint_mjd_tai - trigger) * SECONDS_PER_DAY
    is_new = window_of(event).contains((flares.objects.first_midpoint_mjd_tai - trigger) * SECONDS_PER_DAY)
    rows = _brightest(flares, np.flatnonzero(FLARE_WINDOW.contains(delta_t_s) & ~is_new))
    place = place_of(region, flares.objects, rows, level_searched(region, max_credible_level))
    rows = rows[place.kept]
    if len(rows) == 0:
        return ()
    survey, delta_t_s = flares.objects.survey[rows], delta_t_s[rows]
    per_deg2 = np.array([background.flaring_per_deg2.get(name, FLARING_PER_DEG2) for name in survey], dtype=np.float64)
    expected = per_deg2 * place.searched_deg2
    rarity = _rarity(event, background, survey, per_deg2, expected)
    terms = _terms(event, place, delta_t_s, flares.flux_ratio[rows], rarity)
    return pairs_of(event, region, flares.objects, rows, Measures(delta_t_s, place.level, expected, terms))


def _brightest(flares: Flares, rows: RowArray) -> RowArray:
    """Return those of some rows that are the brightest of their object, the first in time of equals, by object."""
    objects: ObjectColumns = flares.objects
    name, survey = objects.object_id[rows].astype(str), objects.survey[rows].astype(str)
    order = np.lexsort((flares.midpoint_mjd_tai[rows], -flares.flux_ratio[rows], name, survey))
    name, survey = name[order], survey[order]
    is_first = np.append(True, (name[1:] != name[:-1]) | (survey[1:] != survey[:-1]))[: len(rows)]
    return np.asarray(rows[order[is_first]], dtype=np.intp)


def _rarity(
    event: Event, background: Background, survey: TextArray, flaring_per_deg2: FloatArray, expected: FloatArray
) -> list[Term]:
    """Return the terms of how much rarer flares are than new objects (m,), for as likely a counterpart.

    Notes
    -----
    The evidence of every pair compares with the new objects of the whole sky in the window of the event, and its odds
    begin from the prior of such a counterpart (`coordinator.posterior`). Flares have a prior and a number of their own.
    """
    new_deg2 = background.rates_of(survey) * window_of(event).length_s / SECONDS_PER_DAY
    prior = FLARE_PRIOR / PRIORS[ScienceCase.NEUTRINO].probability
    value = math.log(prior) + np.log(new_deg2 / flaring_per_deg2)
    columns = zip(value.tolist(), flaring_per_deg2.tolist(), survey.tolist(), expected.tolist(), strict=True)
    return [
        Term(
            "rarity",
            rarity,
            {
                "flaring_per_deg2": number,
                "flaring_background": "measured" if name in background.flaring_per_deg2 else "stated",
                "flare_prior": FLARE_PRIOR,
                "expected": chance,
            },
        )
        for rarity, number, name, chance in columns
    ]


def _terms(
    event: Event, place: Place, delta_t_s: FloatArray, flux_ratio: FloatArray, rarity: Sequence[Term]
) -> list[tuple[Term, ...]]:
    """Return the addends of each pair's log Bayes factor; a neutrino's chance grows with the flux of the flare."""
    window = {"window_start_s": FLARE_WINDOW.start_s, "window_stop_s": FLARE_WINDOW.stop_s}
    notice_id, common = event.localization_notice_id, origin_terms(event)
    columns = zip(
        np.log(SKY_SR * place.density_sr).tolist(),
        place.density_sr.tolist(),
        delta_t_s.tolist(),
        flux_ratio.tolist(),
        rarity,
        strict=True,
    )
    return [
        (
            Term("position", where, {"probability_density_sr": density, "localization_notice_id": notice_id}),
            Term("delay", 0.0, {"delta_t_s": delay, **window}),
            Term("flare", math.log(ratio / TYPICAL_FLUX_RATIO), {"flux_ratio": ratio}),
            rare,
            *common,
        )
        for where, density, delay, ratio, rare in columns
    ]
