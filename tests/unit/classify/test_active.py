"""Active learning: strategies, labels that come back, and the gain over chance."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from api.testing import FakeGraph, FakeReader
from graph.errors import ConfigurationError, StoreError
from graph.model import Survey
from graph.views import MatchView, ObjectView
from ingest.training import labels
from ingest.training.active import (
    Sample,
    Strategy,
    Target,
    ask,
    compare,
    entropy,
    figures,
    is_positive,
    learn,
    purity_at,
    start_of,
    write_targets,
)
from ingest.training.active_samples import actsn
from ingest.training.labels import GraphLabels, LabelFile


def a_sample(n: int = 300, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    values = rng.normal(size=(n, 3))
    values[:, 0] += np.where(positive, 1.5, -1.5)
    return Sample(values, positive, np.array([f"o{i}" for i in range(n)], dtype=object))


def chosen(strategy: Strategy, score: list[float], quota: int) -> list[int]:
    both = np.column_stack([score, 1.0 - np.array(score)])
    values = np.array(score)[:, None]
    return ask(both, values, values[:0], strategy=strategy, quota=quota, rng=np.random.default_rng(1)).tolist()


@pytest.mark.parametrize("strategy", [Strategy.UNCERTAINTY, Strategy.ENTROPY])
def test_the_most_uncertain_are_asked_for_first(strategy: Strategy) -> None:
    assert chosen(strategy, [0.9, 0.52, 0.1, 0.4, 0.99], 2) == [1, 3]


def test_novelty_keeps_its_choices_apart() -> None:
    score = np.full(20, 0.5)
    values = np.array([[0.0]] * 10 + [[5.0]] * 10)
    both = np.column_stack([score, score])
    got = ask(both, values, values[:1], strategy=Strategy.NOVELTY, quota=2, rng=np.random.default_rng(2))
    assert values[got[0], 0] == 5.0
    assert len(set(got.tolist())) == 2


@pytest.mark.parametrize("strategy", list(Strategy))
def test_quota_is_kept_and_nobody_is_asked_twice(strategy: Strategy) -> None:
    got = chosen(strategy, list(np.linspace(0.0, 1.0, 30)), 7)
    assert len(got) == len(set(got)) == 7
    assert len(chosen(strategy, [0.5, 0.6], 7)) == 2


def test_entropy_of_equal_chances_is_the_log_of_their_number() -> None:
    np.testing.assert_allclose(entropy(np.array([[0.25] * 4, [1.0, 0.0, 0.0, 0.0]])), [np.log(4.0), 0.0], atol=1e-9)


def test_purity_at_half_of_the_positives() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    truth = np.array([True, False, True, True, True])
    assert purity_at(score, truth, 0.5) == pytest.approx(2 / 3)
    assert purity_at(np.ones(5), truth, 0.5) == pytest.approx(0.8)


def test_purity_and_efficiency_of_a_counted_case() -> None:
    said = np.array([True, True, False, False])
    assert figures(said, np.array([True, False, True, True])) == (0.5, pytest.approx(1 / 3))
    assert figures(~np.ones(4, bool), np.ones(4, bool)) == (0.0, 0.0)


def test_labels_grow_by_the_quota_and_learning_helps() -> None:
    pool, target = a_sample(), a_sample(200, 1)
    nights = learn(pool, target, start_of(pool, 3), strategy=Strategy.UNCERTAINTY, queries=25, quota=10, seed=3)
    assert [night.labels for night in nights] == [10, 20, 30, 35]
    assert nights[-1].purity > 0.8


def test_the_same_seed_gives_the_same_curve() -> None:
    pool, target = a_sample(), a_sample(200, 1)
    first, again = (
        learn(pool, target, start_of(pool, 3), strategy=Strategy.NOVELTY, queries=20, quota=10, seed=3)
        for _ in range(2)
    )
    assert first == again


def test_comparison_states_what_a_strategy_spares() -> None:
    result = compare(a_sample(), a_sample(200, 1), [Strategy.UNCERTAINTY], queries=10, quota=10, seeds=[1, 2])
    curve = result["strategies"]["uncertainty"]
    assert curve["labels"] == [10, 20]
    assert curve["share_of_random"] is None or 0.0 < curve["share_of_random"] <= 1.0
    assert len(curve["purity_at_half_std"]) == 2


def test_a_pool_without_one_kind_is_refused() -> None:
    sample = a_sample()
    with pytest.raises(ConfigurationError, match="too few"):
        start_of(sample.take(sample.positive), 1)


def test_labels_come_back_from_csv_and_json(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("object_id,class\nZTF1,SN Ia\nZTF2,SN II\n", encoding="utf-8")
    (tmp_path / "a.json").write_text('{"ZTF1": "SN Ia", "ZTF2": "SN II"}', encoding="utf-8")
    wanted = {"ZTF1": "SN Ia", "ZTF2": "SN II"}
    assert LabelFile(tmp_path / "a.csv").labels() == LabelFile(tmp_path / "a.json").labels() == wanted


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "object_id,class\nZTF1,nonsense\n"),
        ("a.csv", "id,type\nZTF1,SN Ia\n"),
        ("a.csv", "object_id,class\nZTF1\n"),
        ("a.json", "[1, 2]"),
        ("a.json", "{"),
    ],
)
def test_damaged_labels_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        LabelFile(tmp_path / name).labels()


def entry(catalog: str, kind: str | None, probability: float | None = 0.99) -> MatchView:
    return MatchView(f"{catalog}:{kind}", catalog, str(kind), 10.0, -5.0, kind, 0.2, probability)


def a_graph(matches: dict[str, list[MatchView]]) -> FakeReader:
    nowhere = (10.0, -5.0, 0, 60000.0, 60001.0, 19.5, "r", None, None, None, 19.0, "g", "SN", 0.9)
    objects = [ObjectView(f"ztf:{name}", Survey.ZTF, name, *nowhere) for name in [*matches, "unasked"]]
    return FakeReader(FakeGraph(objects=objects, matches={f"ztf:{name}": found for name, found in matches.items()}))


def test_labels_come_back_from_catalogues_in_the_graph() -> None:
    reader = a_graph(
        {
            "subtype": [entry("tns", "SN Ia-91T-like")],
            "trusted": [entry("simbad", "AGN"), entry("tns", "TDE-H-He")],
            "renamed": [entry("tns", "unclassified"), entry("tns", "SN IIn", 0.95)],
            "surer": [entry("simbad", "RRLyr", 0.95), entry("simbad", "EB*", 0.97)],
            "new": [entry("tns", "unclassified"), entry("tns", None)],
            "host": [entry("simbad", "G"), entry("mangrove", "galaxy")],
            "beside": [entry("tns", "SN Ia", 0.6), entry("tns", "SN Ia", None)],
            "survey": [entry("vsx", "RRAB")],
            "nothing": [],
        }
    )
    names = ["subtype", "trusted", "renamed", "surer", "new", "host", "beside", "survey", "nothing", "unknown"]
    found = GraphLabels(reader, Survey.ZTF, names).labels()
    assert found == {"subtype": "SN Ia", "trusted": "TDE", "renamed": "SN II", "surer": "EB"}
    assert GraphLabels(reader, Survey.LSST, names).labels() == {}


def test_the_graph_is_asked_in_parts_and_its_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "OBJECTS_AT_A_TIME", 2)
    names = [f"o{i}" for i in range(5)]
    reader = a_graph({name: [entry("tns", "SN Ia")] for name in names})
    assert GraphLabels(reader, Survey.ZTF, [*names, "o1"]).labels() == dict.fromkeys(names, "SN Ia")
    assert [len(call[2]) for call in reader.calls] == [2, 2, 1]  # type: ignore[arg-type]
    reader.failure = StoreError("Neo4j could not be reached.")
    with pytest.raises(StoreError):
        GraphLabels(reader, Survey.ZTF, names).labels()


def test_list_for_observers_is_written_as_csv_and_json(tmp_path: Path) -> None:
    targets = [Target(1, "ZTF1", 10.0, -5.0, 0.5, 0.1, 6, 4.0)]
    write_targets(targets, tmp_path / "a.csv")
    write_targets(targets, tmp_path / "a.json")
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["object_id"] == "ZTF1"
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))[0]["rank"] == 1


def test_kinds_of_the_positive_class_count() -> None:
    assert is_positive("SN Ia")
    assert not is_positive("SN II")
    assert not is_positive("SN")


def test_uncertainty_spares_labels_on_the_published_fits(shared_data: Path) -> None:
    pool, target = actsn(shared_data / "alerts")
    assert pool.values.shape[1] == 20
    assert not set(pool.object_id) & set(target.object_id)
    result = compare(pool, target, [Strategy.UNCERTAINTY], queries=60, quota=30, seeds=[1])
    curve = result["strategies"]["uncertainty"]["purity_at_half"]
    assert curve[-1] > curve[0]
