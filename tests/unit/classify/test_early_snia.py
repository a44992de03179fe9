"""The classifier of early type Ia supernovae: gate, answers on real and simulated objects, recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graph.errors import ModelError
from graph.model import Survey
from graph.taxonomy import PARENTS
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.contract import Batch
from ingest.classifiers.early_snia import MINIMUM_POINTS, EarlySnIa, all_features, feature_names, is_rising
from ingest.classifiers.forests import MODELS, Classifier
from ingest.classifiers.run import Runner
from ingest.training.early_judge import early_figures, mix_weights
from ingest.training.early_snia import may_fit, threshold_for
from ingest.training.early_sources import ZTF_LABELS, recorded_ztf, select_points, thinned
from ingest.training.labelled import Labelled, as_batch, detection_times
from ingest.training.sources import bts, plasticc
from ingest.training.sources_elasticc import elasticc


@pytest.fixture(scope="module")
def simulated(shared_data: Path) -> Labelled:
    return plasticc(shared_data / "alerts")


def before_peak(labelled: Labelled) -> Labelled:
    """Return what was known at the maximum, or at the last detection of what has none."""
    owner, time = detection_times(labelled)
    last = np.full(len(labelled), -np.inf)
    np.maximum.at(last, owner, time)
    peak = labelled.peak_mjd_tai
    return labelled.until(np.where(np.isnan(peak), last, np.minimum(peak, last)), since_d=365.0)


def some(simulated: Labelled, label: str, count: int = 60) -> Labelled:
    mine = np.flatnonzero(simulated.is_test & (simulated.label == label))[:count]
    return before_peak(simulated.take(mine))


def asked(labelled: Labelled, survey: Survey) -> tuple[Batch, np.ndarray]:
    batch = as_batch(labelled, survey)
    runner = Runner((Coarse(survey), EarlySnIa(survey)), time_limit_s=60.0)
    answer = runner.run(batch).answers["early_snia"]
    runner.close()
    return batch, answer.of("SN Ia")


@pytest.mark.parametrize("survey", list(Survey))
def test_artefact_is_small_and_its_classes_are_of_the_taxonomy(survey: Survey) -> None:
    spec = Classifier.load("early_snia", survey).spec
    assert set(spec.classes) <= set(PARENTS)
    assert spec.features == feature_names(survey)
    assert (MODELS / f"early_snia-{survey}.onnx").stat().st_size < 1_500_000
    assert 0.0 < spec.metrics["threshold"] < 1.0
    assert all({"name", "wanted", "reached", "met"} <= set(entry) for entry in spec.metrics["goals"])


def test_altered_model_is_refused(tmp_path: Path) -> None:
    for ending in ("json", "onnx"):
        (tmp_path / f"early_snia-lsst.{ending}").write_bytes((MODELS / f"early_snia-lsst.{ending}").read_bytes())
    with (tmp_path / "early_snia-lsst.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError):
        Classifier.load("early_snia", Survey.LSST, directory=tmp_path)


def test_sidecar_of_another_version_is_refused(tmp_path: Path) -> None:
    raw = json.loads((MODELS / "early_snia-lsst.json").read_text(encoding="utf-8"))
    raw["sha256"] = "0" * 64
    (tmp_path / "early_snia-lsst.json").write_text(json.dumps(raw), encoding="utf-8")
    (tmp_path / "early_snia-lsst.onnx").write_bytes((MODELS / "early_snia-lsst.onnx").read_bytes())
    with pytest.raises(ModelError):
        Classifier.load("early_snia", Survey.LSST, directory=tmp_path)


def test_gate_asks_rising_supernovae_and_few_stars(simulated: Labelled) -> None:
    shares = {}
    for label in ("SN Ia", "EB", "RRL"):
        batch = as_batch(some(simulated, label), Survey.LSST)
        batch = batch.take(np.flatnonzero(batch.n_points >= MINIMUM_POINTS))
        answers = {"coarse": Coarse(Survey.LSST).classify(batch, {})}
        shares[label] = float(is_rising(batch, answers).mean())
    assert shares["SN Ia"] > 0.9
    assert shares["EB"] < 0.2
    assert shares["RRL"] < 0.2


def test_supernovae_of_type_ia_score_above_the_others(simulated: Labelled) -> None:
    scores = {}
    for label in ("SN Ia", "SN II", "AGN"):
        _, score = asked(some(simulated, label), Survey.LSST)
        scores[label] = float(np.nanmean(score)) if np.isfinite(score).any() else 0.0
    assert scores["SN Ia"] > scores["SN II"] + 0.2
    assert scores["SN Ia"] > scores["AGN"] + 0.2


def test_too_few_points_are_not_asked(simulated: Labelled) -> None:
    batch, score = asked(some(simulated, "SN Ia"), Survey.LSST)
    assert np.isnan(score[batch.n_points < MINIMUM_POINTS]).all()


def test_without_forced_photometry_there_is_an_answer(simulated: Labelled) -> None:
    labelled = some(simulated, "SN Ia")
    bare = replace(labelled, forced=labelled.until(np.full(len(labelled), -np.inf)).forced)
    _, score = asked(bare, Survey.LSST)
    assert np.nanmean(score) > 0.5


def test_same_alerts_have_the_same_answers_alone_and_together(simulated: Labelled) -> None:
    batch = as_batch(some(simulated, "SN Ia"), Survey.LSST)
    module = EarlySnIa(Survey.LSST)
    together = module.classify(batch, {}).probability
    alone = np.vstack([module.classify(batch.take(np.array([i])), {}).probability for i in range(len(batch))])
    np.testing.assert_array_equal(together, alone)


def test_flat_light_curves_get_no_answer(simulated: Labelled) -> None:
    labelled = simulated.take(np.flatnonzero(np.diff(simulated.curves.offsets) >= 20)[:40])
    flux = np.full(len(labelled.curves.psf_flux_njy), 5000.0)
    curves = replace(labelled.curves, psf_flux_njy=flux, psf_flux_err_njy=flux / 20.0)
    batch = as_batch(replace(labelled, curves=curves, forced=labelled.until(np.full(40, -np.inf)).forced), Survey.LSST)
    answer = EarlySnIa(Survey.LSST).classify(batch, {})
    few = all_features(batch).select(("constant_points",))[:, 0] < 6
    assert (answer.abstained | few).all()


@pytest.mark.parametrize("name", ["ZTF19acnjwgm", "ZTF20aaoojli", "ZTF20acjhhqx"])
def test_real_supernovae_are_named_before_their_maximum(shared_data: Path, name: str) -> None:
    labelled = bts(shared_data / "alerts")
    batch = as_batch(before_peak(labelled.take(np.flatnonzero(labelled.object_id == name))), Survey.ZTF)
    answer = EarlySnIa(Survey.ZTF).classify(batch, {})
    assert answer.top_class.tolist() == ["SN Ia"]
    assert answer.of("SN Ia")[0] > Classifier.load("early_snia", Survey.ZTF).spec.metrics["threshold"]


def test_recorded_stars_and_nuclei_are_not_named(shared_data: Path) -> None:
    recorded = recorded_ztf(shared_data / "alerts")
    _, score = asked(recorded.take(np.isin(recorded.label, ["AGN", "RRL", "EB", "LPV"])), Survey.ZTF)
    threshold = Classifier.load("early_snia", Survey.ZTF).spec.metrics["threshold"]
    assert (np.nan_to_num(score) >= threshold).sum() <= 2


def test_real_type_ia_lead_among_real_supernovae(shared_data: Path) -> None:
    """Of the Bright Transient Survey's type Ia with enough points, most are called Ia."""
    labelled = bts(shared_data / "alerts")
    chosen = before_peak(labelled.take(np.arange(400)))
    _, score = asked(chosen, Survey.ZTF)
    score = score[np.isfinite(score)]
    assert len(score) > 50
    assert (score > 0.5).mean() > 0.6


def test_elasticc_is_read_in_nanojansky(shared_data: Path) -> None:
    labelled = elasticc(shared_data / "alerts")
    assert set(labelled.label) == {"SN Ia", "SN II"}
    brightest = np.maximum.reduceat(labelled.curves.psf_flux_njy, labelled.curves.offsets[:-1])
    assert 20.0 < float(np.median(31.4 - 2.5 * np.log10(brightest))) < 25.0
    assert (
        np.diff(labelled.curves.midpoint_mjd_tai)[np.diff(labelled.curves.offsets).cumsum()[:-1][:1] - 2] >= 0
    ).all()


def test_thinned_light_curves_lose_the_same_nights_everywhere(simulated: Labelled) -> None:
    labelled = simulated.take(np.arange(40))
    thin = thinned(labelled, np.random.default_rng(1))
    for i in range(40):
        seen, forced = (
            set(np.floor(part.midpoint_mjd_tai[part.offsets[i] : part.offsets[i + 1]]))
            for part in (thin.curves, thin.forced)
        )
        assert seen <= forced
    assert len(thin.forced.midpoint_mjd_tai) < len(labelled.forced.midpoint_mjd_tai)


def test_points_of_a_mask_keep_their_owners(simulated: Labelled) -> None:
    curves = simulated.take(np.arange(10)).curves
    kept = np.arange(len(curves.band)) % 2 == 0
    chosen = select_points(curves, kept)
    assert len(chosen.band) == kept.sum()
    assert chosen.offsets[-1] == kept.sum()


def test_what_may_not_be_fitted_on_is_not() -> None:
    source = np.array(["plasticc", "plasticc-as-ztf", "bts", "actsn", "follow-up"], dtype=object)
    assert may_fit(source).tolist() == [True, True, False, False, True]


def test_threshold_is_the_least_that_is_pure() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.6])
    truth = np.array([True, True, False, True])
    assert threshold_for(score, truth, np.ones(4), 1.0) == 0.8
    assert threshold_for(score, truth, np.ones(4), 0.75) == 0.6
    assert threshold_for(score, ~truth, np.ones(4), 0.9) == 1.0


def test_figures_of_a_counted_case() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.1])
    truth = np.array([True, False, True, True])
    got = early_figures(score, truth, np.ones(4), np.full(4, 5), 0.75)
    assert got["purity"] == 0.5
    assert got["efficiency"] == pytest.approx(1 / 3)
    assert got["prevalence"] == 0.75
    weighted = early_figures(score, truth, np.array([3.0, 1.0, 3.0, 3.0]), np.full(4, 5), 0.75)
    assert weighted["purity"] == 0.75


def test_weights_give_the_classes_their_shares() -> None:
    label = np.array(["SN Ia"] * 9 + ["SN CC"], dtype=object)
    weight = mix_weights(label, Survey.ZTF)
    assert weight.mean() == pytest.approx(1.0)
    assert weight[:9].sum() / weight[9] == pytest.approx(0.614 / 0.234)
    assert (mix_weights(label, Survey.LSST) == 1.0).all()


def test_labels_of_ztf_are_of_the_taxonomy() -> None:
    assert set(ZTF_LABELS.values()) <= set(PARENTS)
