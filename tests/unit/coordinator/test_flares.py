"""Flares of known blazars near a neutrino: which are candidates, how rare chance is, and what a pair is worth."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from coordinator.background import DEFAULT_BACKGROUND, SHAPE, Background, SurveyTally
from coordinator.coincidence import OpenEvent, find_coincidences
from coordinator.flares import FLARE_PRIOR, TYPICAL_FLUX_RATIO, find_flares, flare_span_mjd_tai
from coordinator.flaring import FEWEST_FLARING, FEWEST_NIGHTS, FLARING_PER_DEG2, measured_flaring_per_deg2
from coordinator.posterior import PRIORS, SURVEYS, associate
from coordinator.strata import CELL_DEG2, N_CELLS
from coordinator.windows import event_rate_hz, window_of
from graph.model import AlertTense, Circle, CoincidenceState, EventState, Messenger, ScienceCase, Survey
from graph.objects import Flares
from graph.regions import region_of
from graph.sky import DEG2_PER_SR, SKY_SR
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph.model import Coincidence, Event

PLACE = Circle(120.0, 10.0, 2.0, systematic_included=True)
LEVEL = 0.95


@pytest.fixture
def neutrino(make_event: Callable[..., Event]) -> Event:
    return make_event(
        event_key="IceCube:1", mission="IceCube", messenger=Messenger.NEUTRINO, localization=PLACE, p_astro=0.5
    )


@pytest.fixture
def flares(make_objects: Any, neutrino: Event) -> Callable[..., Flares]:
    def build(delay_d: Any, ratio: Any, *, ra_deg: Any = 120.5, dec_deg: Any = 10.3, **columns: Any) -> Flares:
        delay, ratios = np.broadcast_arrays(np.atleast_1d(delay_d), ratio)
        assert neutrino.trigger_time is not None
        trigger = datetime_to_mjd_tai(neutrino.trigger_time)
        first = columns.pop("first_d", -900.0)
        ra, dec = np.broadcast_to(ra_deg, delay.shape), np.broadcast_to(dec_deg, delay.shape)
        objects = make_objects(ra, dec, trigger + np.broadcast_to(first, delay.shape), **columns)
        return Flares(objects, trigger + delay.astype(float), ratios.astype(float))

    return build


def find(event: Event, found: Flares, background: Background = DEFAULT_BACKGROUND) -> tuple[Coincidence, ...]:
    assert event.localization is not None
    entry = OpenEvent(event, region_of(event.localization))
    return find_flares(entry, found, background, max_credible_level=LEVEL)


def test_a_pair_says_what_it_was_worked_out_from(neutrino: Event, flares: Callable[..., Flares]) -> None:
    (pair,) = find(neutrino, flares(-5.0, 3.0))
    region = region_of(PLACE)
    ra, dec = np.array([120.5]), np.array([10.3])
    # New objects are far more than flares, so as many of them rank as high.
    expected = 2.0 * FLARING_PER_DEG2 * float(region.searched_area_deg2(ra, dec)[0])
    assert pair.delta_t_s == pytest.approx(-5.0 * SECONDS_PER_DAY, abs=1e-3)
    assert pair.p_chance == pytest.approx(-math.expm1(-expected))
    assert pair.joint_far_hz == pytest.approx(event_rate_hz(neutrino) * expected)
    assert pair.state is CoincidenceState.OPEN
    terms = {term.name: term for term in pair.terms}
    assert set(terms) == {"position", "delay", "flare", "rarity", "astrophysical_origin"}
    assert terms["flare"].value == pytest.approx(math.log(3.0 / TYPICAL_FLUX_RATIO))
    assert terms["rarity"].inputs["expected"] == pytest.approx(expected)
    assert pair.log_bayes_factor == pytest.approx(sum(term.value for term in pair.terms))


@pytest.mark.parametrize(
    ("columns", "is_found"),
    [
        ({}, True),
        ({"delay_d": 29.9}, True),
        ({"delay_d": -30.1}, False),
        ({"delay_d": 30.1}, False),
        ({"ra_deg": 126.0}, False),
        # First seen in the neutrino's window: a candidate without any flare.
        ({"first_d": -5.0}, False),
    ],
)
def test_what_is_a_candidate(
    neutrino: Event, flares: Callable[..., Flares], columns: dict[str, float], is_found: bool
) -> None:
    given = {"delay_d": 1.0, **columns}
    assert bool(find(neutrino, flares(given.pop("delay_d"), 2.0, **given))) is is_found


@pytest.mark.parametrize(
    "changes", [{"messenger": Messenger.EM}, {"alert_tense": AlertTense.TEST}, {"trigger_time": None}]
)
def test_events_that_have_no_flares(neutrino: Event, flares: Callable[..., Flares], changes: dict[str, Any]) -> None:
    assert find(replace(neutrino, **changes), flares(1.0, 2.0)) == ()


def test_flares_of_a_retracted_event_are_withdrawn(neutrino: Event, flares: Callable[..., Flares]) -> None:
    (pair,) = find(replace(neutrino, state=EventState.RETRACTED), flares(1.0, 2.0))
    assert pair.state is CoincidenceState.WITHDRAWN


def test_of_an_object_the_brightest_detection_counts_in_whatever_order(
    neutrino: Event, flares: Callable[..., Flares]
) -> None:
    names = np.array(["a", "a", "b", "a", "b", "a"], dtype=object)
    delay, ratio = np.array([-40.0, 1.0, 2.0, 3.0, 4.0, 5.0]), np.array([9.0, 2.0, 1.6, 3.0, 1.7, 3.0])
    whole = find(neutrino, flares(delay, ratio, object_id=names))
    assert [(pair.object_id, round(pair.delta_t_s / SECONDS_PER_DAY, 6)) for pair in whole] == [("a", 3.0), ("b", 4.0)]
    order = np.array([5, 2, 0, 4, 1, 3])
    assert find(neutrino, flares(delay[order], ratio[order], object_id=names[order])) == whole


@pytest.mark.parametrize("new_in_window_per_deg2", [0.003, 0.03, 0.3])
def test_chance_is_uniform_over_skies_of_unrelated_flares_and_new_objects(
    make_objects: Any, neutrino: Event, flares: Callable[..., Flares], new_in_window_per_deg2: float
) -> None:
    rng = np.random.default_rng(3)
    half_deg = 4.0
    area = 4.0 * half_deg**2 * math.cos(math.radians(10.0))
    window_d = window_of(neutrino).length_s / SECONDS_PER_DAY
    background = Background({survey.value: new_in_window_per_deg2 / window_d for survey in SURVEYS}, "as drawn")
    assert neutrino.trigger_time is not None
    begin = datetime_to_mjd_tai(neutrino.trigger_time) + window_of(neutrino).start_s / SECONDS_PER_DAY
    region = region_of(PLACE)

    def anywhere(n: int) -> tuple[np.ndarray, np.ndarray]:
        return 120.0 + rng.uniform(-half_deg, half_deg, n), 10.0 + rng.uniform(-half_deg, half_deg, n)

    rarest = []
    for _ in range(800):
        n_flares, n_new = rng.poisson(FLARING_PER_DEG2 * area), rng.poisson(new_in_window_per_deg2 * area)
        ra, dec = anywhere(n_flares)
        pairs = find(neutrino, flares(rng.uniform(-30.0, 30.0, n_flares), 2.0, ra_deg=ra, dec_deg=dec), background)
        new = make_objects(*anywhere(n_new), begin + rng.uniform(0.0, window_d, n_new))
        pairs += find_coincidences(neutrino, region, new, background, max_credible_level=LEVEL)
        if pairs:
            rarest.append(min(pair.p_chance for pair in pairs))
    # The rarest of a sky is uniform up to where the search for both kinds ends.
    edge = -math.expm1(-(FLARING_PER_DEG2 + new_in_window_per_deg2) * region.area_deg2(LEVEL))
    assert len(rarest) == pytest.approx(800 * edge, abs=4.0 * math.sqrt(800 * edge * (1.0 - edge) + 1.0))
    assert stats.kstest(np.array(rarest) / edge, "uniform").pvalue > 0.01


def test_a_measured_number_of_flares_takes_the_place_of_the_stated_one(
    neutrino: Event, flares: Callable[..., Flares]
) -> None:
    measured = replace(DEFAULT_BACKGROUND, flaring_per_deg2={"ztf": 4.0 * FLARING_PER_DEG2})
    two = flares([1.0, 1.0], 2.0, survey=np.array(["ztf", "lsst"], dtype=object))
    for stated, found in zip(find(neutrino, two), find(neutrino, two, measured), strict=True):
        terms, before = ({term.name: term for term in pair.terms} for pair in (found, stated))
        more = 4.0 if found.survey is Survey.ZTF else 1.0
        assert found.joint_far_hz == pytest.approx(more * stated.joint_far_hz)
        assert found.log_bayes_factor == pytest.approx(stated.log_bayes_factor - math.log(more))
        assert terms["rarity"].inputs["flaring_background"] == ("measured" if more > 1.0 else "stated")
        assert before["rarity"].inputs["flaring_background"] == "stated"


def nights(n: int, n_cells: int) -> SurveyTally:
    visits = np.zeros(N_CELLS, dtype=np.int64)
    visits[:n_cells] = np.arange(n_cells) % n + 1
    return SurveyTally(np.zeros(SHAPE, dtype=np.int64), visits, n)


@pytest.mark.parametrize("n", [FEWEST_NIGHTS, 30, 60, 90])
def test_a_count_over_fewer_nights_never_understates_the_window(n: int) -> None:
    rng = np.random.default_rng(n)
    n_cells, n_blazars = 3000, 4000
    # Each blazar flares now and then, some often and some once, for weeks each time.
    begin = [rng.uniform(-60.0, 180.0, rng.poisson(4.0 * rng.random() ** 2)) for _ in range(n_blazars)]
    lasting = [rng.exponential(20.0, len(one)) for one in begin]

    def flaring(first: float, last: float) -> int:
        return sum(bool(np.any((b < last) & (b + d > first))) for b, d in zip(begin, lasting, strict=True))

    true = flaring(60.0, 120.0) / (n_cells * CELL_DEG2)
    found = measured_flaring_per_deg2(flaring(60.0, 60.0 + n), nights(n, n_cells))
    assert found is not None
    error = math.sqrt(flaring(60.0, 60.0 + n)) / (n_cells * CELL_DEG2)
    assert true - 3.0 * error < found < 60.0 / min(n, 60) * 1.6 * true


def test_too_few_nights_or_flares_say_nothing() -> None:
    assert measured_flaring_per_deg2(1000, nights(FEWEST_NIGHTS - 1, 500)) is None
    assert measured_flaring_per_deg2(FEWEST_FLARING - 1, nights(60, 500)) is None
    assert measured_flaring_per_deg2(FEWEST_FLARING, nights(60, 500)) is not None


@pytest.mark.parametrize("new_per_deg2_day", [0.001, 2.5])
def test_the_odds_of_a_flare_do_not_depend_on_how_many_new_objects_there_are(
    neutrino: Event, flares: Callable[..., Flares], new_per_deg2_day: float
) -> None:
    certain = replace(neutrino, p_astro=None)
    background = Background({survey.value: new_per_deg2_day for survey in SURVEYS}, "stated")
    (pair,) = find(certain, flares(1.0, 3.0), background)
    prior = PRIORS[ScienceCase.NEUTRINO].probability
    evidence, survey = np.array([pair.log_bayes_factor]), np.array([SURVEYS.index(pair.survey)])
    one = associate(certain, evidence, survey, background=background, prior=prior)
    density_sr = float(region_of(PLACE).probability_density_sr(np.array([120.5]), np.array([10.3]))[0])
    unrelated = FLARING_PER_DEG2 * SKY_SR * DEG2_PER_SR
    odds = FLARE_PRIOR / (1.0 - prior) * SKY_SR * density_sr * 3.0 / TYPICAL_FLUX_RATIO / unrelated
    found = one.probability(pair)
    assert found is not None
    assert found / one.no_counterpart_probability == pytest.approx(odds)


def test_the_span_is_the_window_about_the_trigger(neutrino: Event, make_event: Callable[..., Event]) -> None:
    begin, end = flare_span_mjd_tai(neutrino)
    assert neutrino.trigger_time is not None
    assert begin == pytest.approx(datetime_to_mjd_tai(neutrino.trigger_time - timedelta(days=30)))
    assert end - begin == pytest.approx(60.0)
    with pytest.raises(ValueError, match="trigger time"):
        flare_span_mjd_tai(make_event(trigger_time=None))
