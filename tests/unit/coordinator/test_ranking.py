"""Lists: scores that add up, deterministic order, one place for each object."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.ranking import make_list, rank_targets
from graph.model import Coincidence, CoincidenceState, ScienceCase, Survey, Term

NOW = 61100.0


def pair(object_id: str, value: float, event: str = "Fermi:1", **changes: Any) -> Coincidence:
    fields: dict[str, Any] = {
        "survey": Survey.ZTF,
        "object_id": object_id,
        "event_key": event,
        "delta_t_s": 100.0,
        "credible_level": 0.5,
        "separation_deg": 1.0,
        "p_chance": 0.1,
        "joint_far_hz": 1e-7,
        "log_bayes_factor": value,
        "terms": (Term("position", value - 1.0, {}), Term("delay", 1.0, {})),
        "state": CoincidenceState.OPEN,
        "revision": 1,
    }
    return Coincidence(**{**fields, **changes})


def rank(case: ScienceCase, objects: Any, pairs: Any = (), limit: int = 50) -> Any:
    return rank_targets(case, objects, pairs, now_mjd_tai=NOW, limit=limit)


def test_the_strongest_open_pair_leads(make_objects: Any) -> None:
    objects = make_objects(np.arange(3.0), 5.0, NOW - 1, latest_mag=np.array([18.0, np.nan, 20.0]))
    pairs = [
        pair("ZTF00000", 2.0),
        pair("ZTF00001", 5.0),
        pair("ZTF00002", 9.0, state=CoincidenceState.WITHDRAWN),
        pair("ZTF99999", 7.0),
    ]
    first, second = rank(ScienceCase.GRB, objects, pairs)
    assert (first.rank, first.object_id, first.score) == (1, "ZTF00001", 5.0)
    assert (second.rank, second.object_id, second.score) == (2, "ZTF00000", 2.0)
    assert (first.latest_mag, second.latest_mag) == (None, 18.0)
    assert (first.ra_deg, first.p_chance, first.joint_far_hz, first.event_key) == (1.0, 0.1, 1e-7, "Fermi:1")


def test_an_object_with_many_events_has_one_place_its_best(make_objects: Any) -> None:
    objects = make_objects([1.0], 5.0, NOW - 1)
    pairs = [pair("ZTF00000", 2.0, "Fermi:1"), pair("ZTF00000", 6.0, "Swift:9"), pair("ZTF00000", 6.0, "Swift:8")]
    (target,) = rank(ScienceCase.GRB, objects, pairs)
    assert (target.event_key, target.score) == ("Swift:8", 6.0)


@settings(deadline=None)
@given(st.permutations(list(range(6))), st.integers(1, 6))
def test_order_of_input_does_not_matter(make_objects: Any, order: list[int], limit: int) -> None:
    objects = make_objects(np.arange(6.0), 5.0, NOW - 1)
    pairs = [pair(f"ZTF{i:05d}", float(i % 2)) for i in range(6)]
    expected = rank(ScienceCase.GW, objects, pairs, limit)
    shuffled = rank(ScienceCase.GW, objects.take(np.array(order)), [pairs[i] for i in order], limit)
    assert shuffled == expected
    assert [target.object_id[-1] for target in expected] == ["1", "3", "5", "0", "2", "4"][:limit]


def classified(make_objects: Any, **columns: Any) -> Any:
    n = len(next(iter(columns.values())))
    return make_objects(np.arange(float(n)), 5.0, columns.pop("first", np.full(n, NOW - 1)), **columns)


def test_supernovae_are_likely_bright_and_young(make_objects: Any) -> None:
    objects = classified(
        make_objects,
        top_class=np.array(["SN Ia", "SN Ia", "SN Ia", "AGN", "SN", "SN"], dtype=object),
        class_probability=np.array([0.9, 0.6, 0.9, 0.9, np.nan, 1.0]),
        latest_mag=np.array([19.0, 19.0, 17.0, 15.0, 15.0, 19.0]),
        first=np.array([NOW - 1, NOW - 1, NOW - 1, NOW - 1, NOW - 1, NOW - 400]),
    )
    targets = rank(ScienceCase.SUPERNOVA, objects)
    assert [target.object_id[-1] for target in targets] == ["2", "0", "1", "5"]
    values = {term.name: term.value for term in targets[0].terms}
    assert values["class"] == pytest.approx(np.log(9.0))
    assert values["brightness"] == pytest.approx(np.log(100 ** (2 / 5)))
    assert values["youth"] == pytest.approx(-0.1)


def test_unknown_objects_are_uncertain_and_new(make_objects: Any) -> None:
    objects = classified(
        make_objects,
        top_class=np.array(["AGN", "SN", "", "SN", "SN"], dtype=object),
        class_probability=np.array([0.3, 0.95, np.nan, 0.45, 0.3]),
        n_detections=np.array([2, 2, 2, 9, 1]),
    )
    targets = rank(ScienceCase.UNKNOWN, objects)
    assert [target.object_id[-1] for target in targets] == ["2", "0", "3"]
    assert targets[0].top_class is None
    assert targets[0].class_probability is None


@pytest.mark.parametrize("case", [ScienceCase.SUPERNOVA, ScienceCase.UNKNOWN])
def test_scores_are_finite_sums_of_their_terms_for_any_object(make_objects: Any, case: ScienceCase) -> None:
    rng = np.random.default_rng(0)
    n = 400
    objects = classified(
        make_objects,
        top_class=rng.choice(np.array(["SN", "AGN", ""], dtype=object), n),
        class_probability=rng.choice([0.0, 0.2, 0.5, 1.0, np.nan], n),
        latest_mag=rng.choice([15.0, 25.0, np.nan], n),
        n_detections=rng.choice([-1, 1, 2, 500], n),
        first=rng.choice([NOW - 1000, NOW + 1, NOW - 0.1, np.nan], n),
    )
    targets = rank(case, objects, limit=n)
    assert len(targets) > 10
    for target in targets:
        assert np.isfinite(target.score)
        assert target.score == pytest.approx(sum(term.value for term in target.terms))
    assert [target.rank for target in targets] == list(range(1, len(targets) + 1))
    assert all(a.score >= b.score for a, b in itertools.pairwise(targets))


def test_the_same_targets_are_the_same_list(make_objects: Any) -> None:
    objects = make_objects(np.arange(3.0), 5.0, NOW - 1)
    targets = rank(ScienceCase.GRB, objects, [pair("ZTF00000", 2.0), pair("ZTF00001", 5.0)])
    first, second = make_list(ScienceCase.GRB, 1, targets), make_list(ScienceCase.GRB, 2, targets)
    assert first.list_id == second.list_id
    assert len(first.list_id) == 16
    assert int(first.list_id, 16) >= 0
    assert make_list(ScienceCase.GRB, 3, targets[:1]).list_id != first.list_id
    assert make_list(ScienceCase.GRB, 1, ()).targets == ()
