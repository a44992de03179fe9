"""Visits after a trigger that saw nothing: what they say against a counterpart that fades."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import norm

from coordinator.background import DEFAULT_BACKGROUND
from coordinator.coincidence import find_coincidences
from coordinator.onset import DEPTH_SCATTER_MAG, LIMIT_SCATTER_MAG, NOT_BEGUN, SMALLEST_CHANCE, onset_terms
from graph.model import Circle, Messenger, ScienceCase
from graph.regions import region_of
from graph.times import datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph.model import Event
    from graph.objects import ObjectColumns

TRIGGER = 61_000.0


def term(
    make_objects: Callable[..., ObjectColumns],
    case: ScienceCase,
    limit_d: float,
    found_d: float,
    **depth: float,
) -> Any:
    columns = {name: np.array([value]) for name, value in {"last_limit_mjd_tai": TRIGGER + limit_d, **depth}.items()}
    objects = make_objects(10.0, 10.0, TRIGGER + found_d, **columns)
    return onset_terms(case, TRIGGER, objects, np.array([0])).get(0)


@pytest.mark.parametrize(
    ("case", "limit_d", "found_d", "faded_mag"),
    [
        (ScienceCase.GRB, 0.5, 1.0, 2.5 * math.log10(2.0)),
        (ScienceCase.GRB, 0.1, 0.11, 2.5 * math.log10(1.1)),
        (ScienceCase.GW, 1.5, 2.5, 0.3),
        (ScienceCase.GW, 4.0, 6.0, 0.6),
    ],
)
@pytest.mark.parametrize("deeper_mag", [None, -1.5, 0.0, 1.2])
def test_what_was_missed_must_have_been_fainter(
    make_objects: Any, case: ScienceCase, limit_d: float, found_d: float, faded_mag: float, deeper_mag: float | None
) -> None:
    depth = {} if deeper_mag is None else {"last_limit_mag": 19.0 + deeper_mag, "first_mag": 19.0}
    found = term(make_objects, case, limit_d, found_d, **depth)
    scatter = DEPTH_SCATTER_MAG if deeper_mag is None else LIMIT_SCATTER_MAG
    counterpart = norm.cdf(-((deeper_mag or 0.0) + faded_mag) / scatter)
    stranger = 0.5 + 0.5 * norm.cdf(-(deeper_mag or 0.0) / scatter)
    assert found.value == pytest.approx(math.log(max(counterpart, SMALLEST_CHANCE) / stranger), abs=1e-6)
    assert found.inputs == {
        "last_limit_delta_t_s": pytest.approx(limit_d * 86400.0, abs=1e-3),
        "last_limit_mag": depth.get("last_limit_mag"),
        "first_mag": depth.get("first_mag"),
        "faded_mag": pytest.approx(faded_mag, abs=1e-6),
    }


@pytest.mark.parametrize(
    ("case", "limit_d", "found_d"),
    [(ScienceCase.GRB, 60.0 / 86400.0, 300.0 / 86400.0), (ScienceCase.GW, 0.2, 0.9)],
)
def test_while_a_counterpart_may_still_rise_it_is_missed_like_any_other(
    make_objects: Any, case: ScienceCase, limit_d: float, found_d: float
) -> None:
    for depth in ({}, {"last_limit_mag": 21.0, "first_mag": 19.0}):
        assert term(make_objects, case, limit_d, found_d, **depth).value == pytest.approx(0.0, abs=1e-9)


def test_a_deep_visit_speaks_and_a_shallow_one_hardly_does(make_objects: Any) -> None:
    said = [
        term(make_objects, ScienceCase.GRB, 0.5, 1.0, last_limit_mag=limit_mag, first_mag=19.0).value
        for limit_mag in (15.0, 17.0, 18.0, 18.5, 19.0)
    ]
    assert said == sorted(said, reverse=True)
    assert said[0] == pytest.approx(0.0, abs=1e-3)
    deepest = term(make_objects, ScienceCase.GRB, 0.5, 1.0, last_limit_mag=22.0, first_mag=19.0).value
    assert deepest == pytest.approx(math.log(SMALLEST_CHANCE / NOT_BEGUN), abs=1e-6)


@pytest.mark.parametrize(
    ("case", "limit_d"),
    [
        (ScienceCase.GRB, -0.5),
        (ScienceCase.GRB, math.nan),
        (ScienceCase.GW, -3.0),
        (ScienceCase.NEUTRINO, 1.0),
        (ScienceCase.UNKNOWN, 1.0),
    ],
)
def test_nothing_is_said_where_nothing_is_known(make_objects: Any, case: ScienceCase, limit_d: float) -> None:
    assert term(make_objects, case, limit_d, 2.0) is None


def test_the_term_is_bounded_and_falls_with_the_time_in_which_it_should_have_been_seen(make_objects: Any) -> None:
    values = [term(make_objects, ScienceCase.GRB, limit_d, 4.0).value for limit_d in (3.9, 2.0, 1.0, 0.1, 0.01)]
    assert values == sorted(values, reverse=True)
    assert values[0] < 0.0
    assert values[-1] == pytest.approx(math.log(SMALLEST_CHANCE / 0.75))


def test_a_burst_prefers_what_no_later_visit_missed(
    make_event: Callable[..., Event], make_objects: Callable[..., ObjectColumns]
) -> None:
    event = make_event(messenger=Messenger.EM, localization=Circle(30.0, 10.0, 2.0, systematic_included=True))
    assert event.localization is not None
    assert event.trigger_time is not None
    trigger = datetime_to_mjd_tai(event.trigger_time)
    limits = trigger + np.array([-1.0, 0.5, np.nan])
    objects = make_objects([30.1] * 3, [10.1] * 3, trigger + 1.0, last_limit_mjd_tai=limits)
    before, after, unknown = find_coincidences(event, region_of(event.localization), objects, DEFAULT_BACKGROUND)
    assert before.log_bayes_factor == unknown.log_bayes_factor > after.log_bayes_factor
    assert [name.name for name in after.terms] == ["position", "delay", "class", "repeated", "onset"]
    assert before.p_chance == after.p_chance
