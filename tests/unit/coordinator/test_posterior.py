"""The posterior over candidates and none of them: closed forms, sums, order, and frequencies in a simulated sky."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from coordinator.background import Background, Rates
from coordinator.candidates import PROPERTIES, Associations, Candidates
from coordinator.coincidence import OpenEvent
from coordinator.config import CoordinatorSettings
from coordinator.posterior import PRIORS, associate, association_posterior, log_none, share_seen
from coordinator.strata import N_CELLS
from coordinator.windows import WINDOWS
from graph.model import Circle, Coincidence, CoincidenceState, Event, ScienceCase, Survey
from graph.regions import region_of
from graph.sky import ang2pix

SKY_DEG2 = 129_600.0 / math.pi
NEAR = Circle(30.0, 10.0, 1.0, 0.9, systematic_included=True)
ONE_RATE = Background({"ztf": 2.0, "lsst": 20.0}, "for tests")

odds = st.lists(st.floats(-800.0, 800.0), max_size=40)


def pair(name: str, evidence: float, survey: Survey = Survey.ZTF, *, is_open: bool = True) -> Coincidence:
    state = CoincidenceState.OPEN if is_open else CoincidenceState.WITHDRAWN
    return Coincidence(survey, name, "Fermi:1", 0.0, 0.5, None, 0.1, 1e-9, evidence, (), state, 1)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([], []),
        ([1.0], [0.5]),
        ([3.0], [0.75]),
        ([1.0, 2.0], [0.25, 0.5]),
        ([0.0, 4.0], [0.0, 0.8]),
        ([1e-3, 1e-3, 2.0], [1e-3 / 3.002, 1e-3 / 3.002, 2.0 / 3.002]),
    ],
)
def test_few_candidates_by_hand(ratios: list[float], expected: list[float]) -> None:
    with np.errstate(divide="ignore"):
        probability, none = association_posterior(np.log(np.array(ratios)))
    assert probability == pytest.approx(expected)
    assert none == pytest.approx(1.0 / (1.0 + sum(ratios)))


@given(odds)
def test_all_probabilities_sum_to_one(log_odds: list[float]) -> None:
    probability, none = association_posterior(np.array(log_odds))
    assert float(np.sum(probability)) + none == pytest.approx(1.0, abs=1e-12)
    assert np.all((probability >= 0.0) & (probability <= 1.0 + 1e-15))
    reference = -logsumexp([0.0, *log_odds])
    assert log_none(np.array(log_odds)) == pytest.approx(reference, rel=1e-12, abs=1e-300)


@given(odds, st.randoms(use_true_random=False))
def test_order_does_not_matter(log_odds: list[float], random: Any) -> None:
    place = list(range(len(log_odds)))
    random.shuffle(place)
    probability, none = association_posterior(np.array(log_odds))
    shuffled, same_none = association_posterior(np.array(log_odds)[place] if place else np.empty(0))
    assert shuffled == pytest.approx(probability[place] if place else [], rel=1e-12)
    assert same_none == pytest.approx(none, rel=1e-12)


@given(st.lists(st.floats(-30.0, 30.0), min_size=2, max_size=10), st.floats(0.1, 20.0))
def test_more_evidence_for_one_is_less_for_all_others(log_odds: list[float], more: float) -> None:
    before, none_before = association_posterior(np.array(log_odds))
    after, none_after = association_posterior(np.array([log_odds[0] + more, *log_odds[1:]]))
    assert after[0] >= before[0]
    assert np.all(after[1:] <= before[1:])
    assert none_after <= none_before


@given(st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=10), st.floats(-30.0, 30.0))
def test_a_candidate_more_takes_from_none_and_keeps_ratios(log_odds: list[float], new: float) -> None:
    before, none_before = association_posterior(np.array(log_odds))
    after, none_after = association_posterior(np.array([*log_odds, new]))
    assert none_after <= none_before
    assert after[:-1] / none_after == pytest.approx(before / none_before, rel=1e-9)


def test_a_million_candidates_of_any_size_are_stable() -> None:
    log_odds = np.random.default_rng(5).normal(-20.0, 5.0, 1_000_000)
    log_odds[123] = 900.0
    probability, none = association_posterior(log_odds)
    assert probability[123] == pytest.approx(1.0, abs=1e-12)
    assert none == 0.0
    assert log_none(log_odds) == pytest.approx(-900.0)
    faint, none = association_posterior(np.full(1_000_000, -900.0))
    assert none == 1.0
    assert np.all(faint == 0.0)
    even, none = association_posterior(np.full(1_000_000, -math.log(1e6)))
    assert none == pytest.approx(0.5, rel=1e-12)
    assert float(np.sum(even)) == pytest.approx(0.5, rel=1e-9)


def test_evidence_that_is_no_number_is_impossible() -> None:
    probability, none = association_posterior(np.array([math.nan, 0.0, -math.inf]))
    assert probability.tolist() == [0.0, 0.5, 0.0]
    assert none == 0.5


@pytest.mark.parametrize("p_astro", [None, 0.4])
def test_an_association_is_the_published_formula(make_event: Any, p_astro: float | None) -> None:
    """P_i = P L_i / (P sum L + 1 - P), with L_i the density of counterparts over the rate of unrelated objects."""
    event: Event = make_event(localization=NEAR, p_astro=p_astro)
    term = 0.0 if p_astro is None else math.log(p_astro)
    evidence = np.array([11.0, 9.0, 12.5]) + term
    survey = np.array([0, 1, 1])
    found = associate(event, evidence, survey, background=ONE_RATE, prior=0.3)
    days = WINDOWS[ScienceCase.GRB].length_s / 86_400.0
    rate = np.array([2.0, 20.0, 20.0])
    likelihood = np.exp([11.0, 9.0, 12.5]) / (rate * SKY_DEG2 * days)
    prior = 0.3 * (p_astro or 1.0)
    whole = prior * likelihood.sum() + 1.0 - prior
    assert found.counterpart_prior == pytest.approx(prior)
    assert found.no_counterpart_probability == pytest.approx((1.0 - prior) / whole)
    told = [pair(str(k), evidence[k], (Survey.ZTF, Survey.LSST)[survey[k]]) for k in range(3)]
    assert [found.probability(one) for one in told] == pytest.approx((prior * likelihood / whole).tolist())
    assert found.probability(pair("0", 11.0, is_open=False)) is None


def test_no_candidates_leave_none_of_them(make_event: Any) -> None:
    found = associate(make_event(localization=NEAR), np.empty(0), np.empty(0, np.int64), background=ONE_RATE, prior=0.3)
    assert found.no_counterpart_probability == 1.0


def test_probabilities_are_frequencies_on_a_simulated_sky() -> None:
    """Of the candidates given some probability that share is the counterpart: at most one, among Poisson noise."""
    rng = np.random.default_rng(20240115)
    p_seen, rate, window, width = 0.4, 0.05, 100.0, 3.0
    told: list[tuple[float, bool]] = []
    said_none: list[tuple[float, bool]] = []
    for _ in range(4000):
        noise = rng.uniform(-window, window, rng.poisson(2.0 * window * rate))
        is_seen = rng.uniform() < p_seen
        places = np.append(noise, rng.normal(0.0, width)) if is_seen else noise
        density = np.exp(-0.5 * (places / width) ** 2) / (width * math.sqrt(2.0 * math.pi))
        log_odds = np.log(p_seen / (1.0 - p_seen)) + np.log(density + 1e-300) - math.log(rate)
        probability, none = association_posterior(log_odds)
        told += [(float(p), is_seen and k == len(noise)) for k, p in enumerate(probability)]
        said_none.append((none, not is_seen))
    for said in (told, said_none):
        values, truth = np.array([p for p, _ in said]), np.array([t for _, t in said])
        for low in (0.0, 0.05, 0.2, 0.4, 0.6, 0.8):
            inside = (values >= low) & (values < low + 0.2)
            if inside.sum() < 30:
                continue
            error = math.sqrt(max(np.sum(values[inside] * (1.0 - values[inside])), 1.0)) / inside.sum()
            assert abs(truth[inside].mean() - values[inside].mean()) < 4.0 * error, low


def test_only_what_is_searched_and_visited_is_seen(make_event: Any) -> None:
    event = make_event(localization=NEAR)
    region = region_of(NEAR)
    assert share_seen(event, region, ONE_RATE, 0.95) == pytest.approx(0.95)
    visits = np.zeros(N_CELLS)
    cell = ang2pix(np.array([30.0]), np.array([10.0]))[0] // (12 * 4**29 // N_CELLS)
    shape = np.ones((1, 1, 1))

    def seen(each: float, other: float) -> float:
        visits[:] = other
        visits[cell] = each
        rates = Rates(shape, shape, visits.copy(), 1.0)
        return share_seen(event, region, Background({"ztf": 2.0}, "for tests", {"ztf": rates}), 0.95)

    assert seen(0.0, 0.0) == 0.0
    assert seen(1.0, 1.0) == pytest.approx(0.95)
    days = WINDOWS[ScienceCase.GRB].length_s / 86_400.0
    assert seen(0.3, 0.3) == pytest.approx(0.95 * (1.0 - 0.7**days))
    assert 0.0 < seen(1.0, 0.0) < 0.95
    assert seen(1.0, 0.0) + seen(0.0, 1.0) == pytest.approx(0.95)


def test_the_priors_are_probabilities_with_a_source_and_the_settings_take_them() -> None:
    given_settings = CoordinatorSettings()
    for case, prior in PRIORS.items():
        assert 0.0 < prior.probability < 0.5
        assert len(prior.source) > 20
        assert given_settings.counterpart_prior(case) == prior.probability
    assert CoordinatorSettings(counterpart_prior_gw=0.25).counterpart_prior(ScienceCase.GW) == 0.25
    assert given_settings.counterpart_prior(ScienceCase.SUPERNOVA) == PRIORS[ScienceCase.UNKNOWN].probability


class Store:
    """The graph's side: the evidence of open pairs, and what was written of events."""

    def __init__(self) -> None:
        self.pairs: dict[str, Coincidence] = {}
        self.written: list[Mapping[str, Mapping[str, float | None]]] = []
        self.reads = 0
        self.stored = {"Fermi:1"}

    def evidence_of(self, event_key: str) -> Iterable[tuple[str, float]]:
        self.reads += 1
        return [
            (key, one.log_bayes_factor)
            for key, one in self.pairs.items()
            if one.event_key == event_key and one.state is CoincidenceState.OPEN
        ]

    def write_associations(self, associations: Mapping[str, Mapping[str, float | None]]) -> frozenset[str]:
        self.written.append(associations)
        return frozenset(associations) & self.stored


World = tuple[Store, Callable[..., Associations], dict[str, OpenEvent]]


@pytest.fixture
def world(make_event: Any) -> World:
    return build_world(make_event)


def build_world(make_event: Any) -> World:
    store = Store()
    event = make_event(event_key="Fermi:1", localization=NEAR)
    return store, lambda: Associations(store, CoordinatorSettings()), {"Fermi:1": OpenEvent(event, region_of(NEAR))}


@given(
    changes=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.floats(-5.0, 15.0), st.booleans()), min_size=1, max_size=12
    ),
    cut=st.integers(0, 12),
)
@settings(max_examples=60, deadline=None)
def test_candidates_that_come_and_go_in_any_way_give_the_same(
    make_event: Any, changes: list[tuple[str, float, bool]], cut: int
) -> None:
    store, make, open_events = build_world(make_event)
    kept = make()
    result = make().settle([pair("z", 0.0, is_open=False)], open_events, ONE_RATE)["Fermi:1"]
    for place, (name, evidence, is_open) in enumerate(changes):
        if place == cut:
            kept = make()  # a new process knows what the graph knows
        survey = Survey.LSST if name < "c" else Survey.ZTF
        told = pair(name, evidence, survey, is_open=is_open)
        store.pairs[f"{survey.value}:{name}"] = told
        result = kept.settle([told], open_events, ONE_RATE)["Fermi:1"]
        assert kept.settle([told], open_events, ONE_RATE)["Fermi:1"] == result, "a step may be repeated"
    at_once = make().settle(list(store.pairs.values())[::-1], open_events, ONE_RATE)["Fermi:1"]
    assert at_once == result, "to the last bit"
    standing = [one for one in store.pairs.values() if one.state is CoincidenceState.OPEN]
    shares = [result.probability(one) for one in standing]
    assert sum(share for share in shares if share is not None) + result.no_counterpart_probability == pytest.approx(
        1.0, abs=1e-12
    )


def test_the_graph_is_read_once_and_written_only_when_something_changed(world: Any) -> None:
    store, make, open_events = world
    kept = make()
    for _ in range(3):
        kept.settle([pair("a", 3.0)], open_events, ONE_RATE)
    assert (store.reads, len(store.written)) == (1, 1)
    kept.settle([pair("a", 3.0, is_open=False)], open_events, ONE_RATE)
    assert store.written[-1]["Fermi:1"]["no_counterpart_probability"] == 1.0


def test_an_event_that_is_not_stored_yet_is_written_again(world: Any) -> None:
    store, make, open_events = world
    kept = make()
    store.stored = set()
    kept.settle([pair("a", 3.0)], open_events, ONE_RATE)
    store.stored = {"Fermi:1"}
    for _ in range(2):
        kept.settle([pair("a", 3.0)], open_events, ONE_RATE)
    assert len(store.written) == 2


def test_an_event_that_is_closed_has_no_probabilities(world: Any) -> None:
    store, make, open_events = world
    kept = make()
    kept.settle([pair("a", 3.0)], open_events, ONE_RATE)
    assert kept.settle([pair("a", 3.0, is_open=False)], {}, ONE_RATE) == {}
    assert store.written[-1] == {"Fermi:1": dict.fromkeys(PROPERTIES)}


def test_many_candidates_are_kept_in_order_and_cheaply() -> None:
    rng = np.random.default_rng(3)
    names, evidence = rng.permutation(20_000), rng.normal(size=20_000)
    kept = Candidates((f"ztf:{name}", float(value)) for name, value in zip(names[:15_000], evidence, strict=False))
    kept.update(pair(str(name), float(value)) for name, value in zip(names[10_000:], evidence[10_000:], strict=True))
    assert np.sum(kept.evidence) == pytest.approx(np.sum(evidence))
    assert len(kept.evidence) == len(kept.survey) == 20_000
    kept.update(pair(str(name), 0.0, is_open=False) for name in names[:19_999])
    assert kept.evidence.tolist() == [evidence[19_999]]
