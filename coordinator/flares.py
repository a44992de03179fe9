"""Flares of known blazars as candidates of neutrinos: old objects that no first detection ties to an event.

Pure. A blazar that a catalogue knows coincides with a neutrino when it is in a high state within `FLARE_WINDOW` of it
and lies inside its region. Chance is a Poisson process of such blazars over the area searched before this one, and of
the new objects that rank as high. A pair is one object and one event, so an object whose first detection lies in the
event's window is left to `coordinator.coincidence`: what is new needs no flare to be a candidate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.coincidence import is_real, level_searched
from coordinator.exposure import counted_with_others, expected_in, samples_of
from coordinator.flaring import FLARE_WINDOW, flaring_per_deg2, may_have_flares
from coordinator.pairs import FloatArray, Measures, RowArray, origin_terms, pairs_of
from coordinator.places import Place, place_of
from coordinator.posterior import PRIORS
from coordinator.windows import window_of
from graph.model import ScienceCase, Term
from graph.sky import SKY_SR
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coordinator.background import Background
    from coordinator.coincidence import OpenEvent
    from graph.model import Coincidence, Event
    from graph.objects import Flares, ObjectColumns

TextArray = NDArray[np.object_]

TYPICAL_FLUX_RATIO: Final = 2.0
"""Mean flux ratio of unrelated flares [1]: of the same log-normal above a ratio of 1.5."""

FLARE_PRIOR: Final = 0.02
"""Probability that a neutrino comes from a known blazar in a high state [1]: one of some fifty alerts of IceCube had
one at three sigma, TXS 0506+056; doi:10.1126/science.aat1378."""


def flare_span_mjd_tai(event: Event) -> tuple[float, float]:
    """Return begin and end [d, TAI] of the time in which a flare is a candidate of an event with a trigger time.

    Raises
    ------
    ValueError : the event has no trigger time.
    """
    if event.trigger_time is None:
        raise ValueError("an event without a trigger time has no window")
    return FLARE_WINDOW.span_mjd_tai(datetime_to_mjd_tai(event.trigger_time))


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
    level = level_searched(region, max_credible_level)
    place = place_of(region, flares.objects, rows, level)
    rows = rows[place.kept]
    if len(rows) == 0:
        return ()
    survey, delta_t_s = flares.objects.survey[rows], delta_t_s[rows]
    per_deg2 = flaring_per_deg2(background, survey)
    new_objects = _new_objects(entry, background, survey, level)
    expected = counted_with_others(per_deg2 * place.searched_deg2, new_objects)
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


def _new_objects(entry: OpenEvent, background: Background, survey: TextArray, level: float) -> FloatArray:
    """Return the unrelated new objects (m,) that each survey is expected to show in the whole region of an event."""
    samples, window_d = samples_of(entry.region, level), window_of(entry.event).length_s / SECONDS_PER_DAY
    held = {name: expected_in(background, name, samples, window_d) for name in set(survey.tolist())}
    return np.array([held[name] for name in survey], dtype=np.float64)


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
