from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from graph.errors import ModelError
from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves
from ingest.classifiers.forests import MODELS, Classifications, Classifier, ModelSpec, soften
from ingest.features import FeatureTable
from ingest.training.forests import export, fit_forests

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = ("n_points", "colour", "rise")
CLASSES = ("a", "b", "c")


def table(n: int, seed: int = 0) -> tuple[FeatureTable, np.ndarray[tuple[int], np.dtype[np.object_]]]:
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 3, n)
    values = np.column_stack([rng.integers(3, 30, n), place * 4.0 + rng.normal(size=n), rng.normal(size=n)])
    values[rng.random((n, 3)) < 0.05] = np.nan
    values[:, 0] = rng.integers(3, 30, n)
    return FeatureTable(FEATURES, values), np.array(CLASSES, dtype=object)[place]


@pytest.fixture(scope="module")
def trained() -> tuple[ModelSpec, bytes]:
    rows, label = table(600)
    forests = fit_forests(rows.values, label, np.arange(600).astype(str).astype(object), 5, trees=4)
    model = export(forests, len(FEATURES))
    spec = ModelSpec(
        classifier="toy",
        version="1",
        survey=Survey.ZTF,
        classes=forests.classes,
        features=FEATURES,
        minimum_points=3,
        members=5,
        temperature=0.8,
        feature_low=(0.0, -5.0, -4.0),
        feature_high=(40.0, 13.0, 4.0),
        features_outside=1,
        prior=dict.fromkeys(CLASSES, 1 / 3),
        sha256=hashlib.sha256(model).hexdigest(),
        training={},
        metrics={},
    )
    return spec, model


@pytest.fixture
def stored(trained: tuple[ModelSpec, bytes], tmp_path: Path) -> Path:
    spec, model = trained
    (tmp_path / "toy-ztf.onnx").write_bytes(model)
    (tmp_path / "toy-ztf.json").write_text(json.dumps(asdict(spec)))
    return tmp_path


def columns(n: int, survey: Survey = Survey.ZTF) -> AlertColumns:
    nan, text = np.full(n, np.nan), np.full(n, "", dtype=object)
    none = np.empty(0)
    curves = LightCurves(np.zeros(n + 1, dtype=np.int64), none, none.astype(np.int8), none, none, none)
    whole = np.zeros(n, dtype=np.int64)
    flag = np.ones(n, dtype=np.bool_)
    return AlertColumns(
        survey,
        whole,
        text,
        whole,
        nan,
        nan,
        nan,
        whole.astype(np.int8),
        nan,
        nan,
        nan,
        text,
        flag,
        whole,
        nan,
        nan,
        nan,
        whole,
        nan,
        ~flag,
        nan,
        nan,
        *(nan,) * 6,
        curves,
        ForcedPhotometry(curves.offsets, none, curves.band, none, none),
    )


def test_onnx_says_what_the_forests_say(trained: tuple[ModelSpec, bytes]) -> None:
    spec, model = trained
    rows, label = table(600)
    forests = fit_forests(rows.values, label, np.arange(600).astype(str).astype(object), 5, trees=4)
    assert export(forests, 3) == model
    fresh, truth = table(300, seed=9)
    np.testing.assert_allclose(
        Classifier(spec, model, 1).members(fresh.values), forests.probability(fresh.values), atol=1e-5
    )
    answer = Classifier(spec, model, 1).classify_features(fresh)
    assert (answer.top_class == truth).mean() > 0.85
    # The oracle of mean and spread: the forests themselves, calibrated with numpy.
    powered = np.clip(forests.probability(fresh.values), 1e-4, None) ** (1 / 0.8)
    powered /= powered.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(answer.probability, powered.mean(axis=0), atol=1e-4)
    top = powered.mean(axis=0).argmax(axis=1)
    np.testing.assert_allclose(answer.std, powered[:, np.arange(300), top].std(axis=0, ddof=1), atol=1e-4)


def test_too_few_points_get_no_answer(stored: Path) -> None:
    rows, _ = table(50)
    rows.values[10:20, 0] = 2
    rows.values[20, 0] = np.nan
    answer = Classifier.load("toy", Survey.ZTF, directory=stored).classify(columns(50), rows)
    assert np.flatnonzero(answer.abstained).tolist() == list(range(10, 21))
    assert set(answer.top_class[10:21]) == {""}
    assert np.isnan(answer.probability[10:21]).all()
    assert np.isnan(answer.top_probability[10:21]).all()
    assert not answer.out_of_distribution[10:21].any()
    kept = ~answer.abstained
    np.testing.assert_allclose(answer.probability[kept].sum(axis=1), 1.0, rtol=1e-5)
    assert answer.n_points[20] == 0
    assert answer.probability.dtype == np.float32


def test_out_of_distribution_needs_several_unusual_features(stored: Path) -> None:
    rows = FeatureTable(
        FEATURES, np.array([[5.0, 0, 0], [5, 99, 0], [5, 99, 99], [99, np.nan, -99], [5, np.nan, np.nan]])
    )
    answer = Classifier.load("toy", Survey.ZTF, directory=stored).classify_features(rows)
    assert answer.out_of_distribution.tolist() == [False, False, True, True, False]


def test_any_number_may_be_a_feature(stored: Path) -> None:
    wild = np.array(
        [[5.0, value, other] for value in (1e300, -1e300, np.inf, np.nan, -0.0) for other in (np.nan, 1e39)]
    )
    answer = Classifier.load("toy", Survey.ZTF, directory=stored).classify_features(FeatureTable(FEATURES, wild))
    np.testing.assert_allclose(answer.probability.sum(axis=1), 1.0, rtol=1e-5)


def test_no_alerts_no_answers(stored: Path) -> None:
    answer = Classifier.load("toy", Survey.ZTF, directory=stored).classify(
        columns(0), FeatureTable(FEATURES, np.empty((0, 3)))
    )
    assert len(answer) == 0
    assert answer.probability.shape == (0, 3)
    assert answer.top_class.shape == answer.top_probability.shape == (0,)


def test_a_row_does_not_depend_on_its_batch(stored: Path) -> None:
    rows, _ = table(40)
    model = Classifier.load("toy", Survey.ZTF, directory=stored)
    together = model.classify_features(rows)
    alone = [model.classify_features(FeatureTable(FEATURES, rows.values[i : i + 1])) for i in range(40)]
    np.testing.assert_array_equal(together.probability, np.concatenate([one.probability for one in alone]))


def test_loaded_once(stored: Path) -> None:
    first = Classifier.load("toy", Survey.ZTF, directory=stored)
    assert Classifier.load("toy", Survey.ZTF, directory=stored) is first


def test_an_altered_model_is_refused(stored: Path) -> None:
    path = stored / "toy-ztf.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256"):
        Classifier.load("toy", Survey.ZTF, directory=stored)


@pytest.mark.parametrize("name", ["absent", "../toy", ""])
def test_an_absent_model_is_refused(stored: Path, name: str) -> None:
    with pytest.raises(ModelError):
        Classifier.load(name, Survey.ZTF, directory=stored)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "not json", '{"survey": "ztf"}', '{"survey": "kepler"}', '{"survey": ["ztf"]}']
)
def test_a_broken_sidecar_is_refused(stored: Path, text: str) -> None:
    (stored / "toy-ztf.json").write_text(text)
    with pytest.raises(ModelError):
        Classifier.load("toy", Survey.ZTF, directory=stored)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "warm"},
        {"members": 4},
        {"members": None},
        {"features": ["n_points", "colour"]},
        {"classes": ["a"]},
        {"feature_low": [0.0]},
        {"extra": 1},
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(stored: Path, change: dict[str, object]) -> None:
    path = stored / "toy-ztf.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError):
        Classifier.load("toy", Survey.ZTF, directory=stored)


def test_bytes_that_are_no_model_are_refused(trained: tuple[ModelSpec, bytes]) -> None:
    junk = b"not a model"
    with pytest.raises(ModelError, match="cannot be run"):
        Classifier(replace(trained[0], sha256=hashlib.sha256(junk).hexdigest()), junk, 1)


def test_wrong_survey_rows_or_columns_are_refused(stored: Path) -> None:
    rows, _ = table(4)
    model = Classifier.load("toy", Survey.ZTF, directory=stored)
    with pytest.raises(ModelError, match="lsst"):
        model.classify(columns(4, Survey.LSST), rows)
    with pytest.raises(ModelError, match="rows"):
        model.classify(columns(5), rows)
    with pytest.raises(ModelError, match="rise"):
        model.classify(columns(4), FeatureTable(FEATURES[:2], rows.values[:, :2]))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_calibration_keeps_the_order(temperature: float) -> None:
    probability = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
    softer = soften(probability, temperature)
    np.testing.assert_allclose(softer.sum(axis=1), 1.0)
    np.testing.assert_array_equal(softer.argsort(axis=1), probability.argsort(axis=1))
    if temperature == 1.0:
        np.testing.assert_allclose(softer, probability, atol=1e-3)


@pytest.mark.parametrize("survey", list(Survey))
def test_the_shipped_models_are_whole_small_and_fast(survey: Survey) -> None:
    model = Classifier.load("coarse", survey)
    spec = model.spec
    assert (MODELS / f"coarse-{survey}.onnx").stat().st_size < 1_500_000
    assert sum(spec.prior.values()) == pytest.approx(1.0)
    assert set(spec.metrics["classes"]) == set(spec.classes)
    rng = np.random.default_rng(0)
    values = rng.uniform(spec.feature_low, spec.feature_high, (2000, len(spec.features)))
    values[:, spec.features.index("n_points")] = 5
    rows = FeatureTable(spec.features, values)
    model.classify_features(rows)
    start = time.process_time()
    answer = model.classify_features(rows)
    assert 2000 / (time.process_time() - start) > 10_000
    assert isinstance(answer, Classifications)
    assert not answer.out_of_distribution.all()
    np.testing.assert_allclose(answer.probability.sum(axis=1), 1.0, rtol=1e-5)
