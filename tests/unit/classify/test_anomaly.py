"""Isolation forests with feedback: what they find, that their export equals them, and that nonsense is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from graph.errors import ModelError
from graph.model import Survey
from ingest.classifiers.anomaly import (
    CLASSES,
    PRIOR,
    Anomaly,
    anomaly_probability,
    squeeze,
    tail_share,
)
from ingest.classifiers.forests import MODELS
from ingest.classifiers.run import Runner
from ingest.features import FeatureTable
from ingest.training.alert_sets import lsst_alerts
from ingest.training.anomaly import export, grow, learn


def rows(n: int, seed: int, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_the_share_of_the_tail_is_that_of_the_sample() -> None:
    sample = np.random.default_rng(0).normal(size=20_000)
    tail = np.logspace(-3.0, 0.0, 60)
    found = tail_share(np.array([-2.0, -1.0, 0.0, 1.0]), np.quantile(sample, tail), tail)
    np.testing.assert_allclose(found, [(sample <= score).mean() for score in (-2.0, -1.0, 0.0, 1.0)], rtol=0.06)
    assert tail_share(np.array([-1e9, 1e9]), np.quantile(sample, tail), tail).tolist() == pytest.approx([1e-3, 1.0])


def test_half_is_where_the_tail_is_as_small_as_the_prior() -> None:
    assert anomaly_probability(np.array([PRIOR / (1.0 - PRIOR), 1.0])) == pytest.approx([0.5, PRIOR])
    assert (np.diff(anomaly_probability(np.logspace(-4, 0, 30))) < 0).all()


def test_squeezed_features_are_finite_whatever_comes() -> None:
    hostile = np.array([[np.nan, np.inf], [-np.inf, 1e300], [0.0, -1e300]])
    read = squeeze(hostile, np.zeros(2), np.ones(2))
    assert np.isfinite(read).all()
    assert read[0, 0] == 0.0


def test_an_outlier_scores_lower_and_answers_move_it_up() -> None:
    read = rows(1500, 1)
    grown = grow(read, 7, trees=20)
    far = np.full((1, 6), 6.0, dtype=np.float32)
    assert grown.score(far).mean() < np.quantile(grown.score(read).mean(axis=0), 0.001)
    # Experts want one side of the sixth column only.
    worth = read[:, 5] > 1.8
    names = np.array([str(i) for i in range(len(read))], dtype=object)
    order = np.argsort(grown.score(rows(1500, 2)).mean(axis=0))[:75]
    before = (rows(1500, 2)[order, 5] > 1.8).mean()
    told = learn(grown, read, names, worth, {"0": True}, rounds=4)
    order = np.argsort(told.score(rows(1500, 2)).mean(axis=0))[:75]
    assert (rows(1500, 2)[order, 5] > 1.8).mean() > before + 0.1
    assert told.asked["0"] is True
    assert len(told.asked) == 61


def test_the_exported_forests_equal_those_that_were_grown() -> None:
    read = rows(800, 3)
    grown = grow(read, 11, trees=10)
    model = export(grown, 6)
    tail = np.array([0.01, 1.0])
    parameters = {
        "features": [f"f{i}" for i in range(6)],
        "centre": [0.0] * 6,
        "width": [1.0] * 6,
        "tail": tail.tolist(),
        "score_at": [[-1.0, 0.0]] * 5,
        "combined_at": [-1.0, 0.0],
    }
    module = Anomaly.from_parts("1", parameters, model)
    values = np.sinh(read.astype(np.float64))
    np.testing.assert_allclose(module.scores(values), grown.score(squeeze(values, np.zeros(6), np.ones(6))), atol=1e-5)
    assert export(grow(read, 11, trees=10), 6) == model
    for broken in ({"width": [0.0] * 6}, {"centre": [0.0]}, {"score_at": [[0.0]]}, {"tail": "nonsense"}):
        with pytest.raises(ModelError):
            Anomaly.from_parts("1", parameters | broken, model)
    with pytest.raises(ModelError, match="lacks a parameter"):
        Anomaly.from_parts("1", {}, model)


def test_an_altered_artefact_is_refused(tmp_path: Path) -> None:
    for ending in ("json", "onnx"):
        (tmp_path / f"anomaly-lsst.{ending}").write_bytes((MODELS / f"anomaly-lsst.{ending}").read_bytes())
    assert Anomaly(Survey.LSST, directory=tmp_path).classes == CLASSES
    with (tmp_path / "anomaly-lsst.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="sha256"):
        Anomaly(Survey.LSST, directory=tmp_path)


@pytest.mark.parametrize("survey", list(Survey))
def test_the_card_of_the_shipped_score_names_what_was_asked(survey: Survey) -> None:
    sidecar = json.loads((MODELS / f"anomaly-{survey}.json").read_text())
    assert sidecar["version"] == Anomaly(survey).version
    assert len(sidecar["parameters"]["asked"]) >= 20
    told, untold = (sidecar["metrics"][key]["top_0.05"]["recall"] for key in ("with_feedback", "without_feedback"))
    assert told >= untold


def test_shipped_scores_of_simulated_alerts(shared_data: Path) -> None:
    alerts = lsst_alerts(shared_data / "alerts", 5)
    held = alerts.take(np.flatnonzero(alerts.is_test)[::3])
    module = Anomaly(Survey.LSST)
    runner = Runner((module,), time_limit_s=60)
    answer = runner.run(held.batch).answers["anomaly"]
    share = answer.extras["tail_share"]
    # On objects that were not fitted on, the share of the tail is what it says.
    for wanted in (0.05, 0.2, 0.5):
        assert (share[~answer.abstained] <= wanted).mean() == pytest.approx(wanted, abs=0.07)
    np.testing.assert_allclose(answer.probability[~answer.abstained].sum(axis=1), 1.0, atol=1e-5)
    again = runner.run(held.batch.take(np.arange(0, len(held), 7))).answers["anomaly"]
    np.testing.assert_array_equal(again.probability, answer.probability[::7])
    runner.close()
    # Pure: features of an alert decide, nothing else of the batch; hostile ones do not crash.
    names = held.batch.features.names
    hostile = np.full((4, len(names)), np.nan)
    hostile[1], hostile[2], hostile[3] = np.inf, -1e300, 0.0
    batch = held.batch.take(np.arange(4))
    hostile[:, names.index("n_points")] = 5.0
    odd = type(batch)(batch.columns, FeatureTable(names, hostile), batch.matches)
    assert np.isfinite(module.classify(odd, {}).extras["tail_share"]).all()
