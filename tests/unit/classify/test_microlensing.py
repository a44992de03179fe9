"""The microlensing classifier: gate, abstention, answers on simulated and real objects, refusals."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from graph.errors import ModelError
from graph.model import Survey
from ingest.classifiers.contract import Batch
from ingest.classifiers.forests import MODELS
from ingest.classifiers.microlensing import Microlensing
from ingest.training.labelled import Labelled, as_batch
from ingest.training.lensing_curves import magnification, simulate
from ingest.training.microlensing_figures import answers, recall_at_precision, recall_at_rate
from ingest.training.microlensing_rows import dense_cadences, ztf_cadences
from ingest.training.projected import fit_projection
from ingest.training.sources_lensing import ogle2, packets

if TYPE_CHECKING:
    from pathlib import Path

SEED = 7


@pytest.fixture(scope="module")
def simulated() -> Labelled:
    rng = np.random.default_rng(SEED)
    return simulate(dense_cadences(20, rng), {"microlensing": 40, "LPV": 30, "variable star": 30}, rng, tag="test")


@pytest.fixture(scope="module")
def module() -> Microlensing:
    return Microlensing(Survey.LSST)


def test_simulated_lenses_are_found(module: Microlensing, simulated: Labelled) -> None:
    judged = answers(module, simulated, Survey.LSST)
    said = judged.answer.top_class == "microlensing"
    truth = judged.label == "microlensing"
    assert said[truth].mean() > 0.75
    assert said[~truth].mean() < 0.1
    fitted = np.isfinite(judged.answer.extras["delta_chi2"])
    assert fitted[said].all()


def test_rows_sum_to_one_and_have_a_spread(module: Microlensing, simulated: Labelled) -> None:
    answer = answers(module, simulated, Survey.LSST).answer
    known = ~answer.abstained
    assert answer.probability[known].sum(axis=1) == pytest.approx(np.ones(known.sum()), abs=1e-5)
    assert (answer.std[known] >= 0.0).all()


def test_the_answer_does_not_depend_on_the_batch(module: Microlensing, simulated: Labelled) -> None:
    batch = as_batch(simulated, Survey.LSST)
    whole = module.classify(batch, {})
    part = module.classify(batch.take(np.array([3, 50])), {})
    assert np.array_equal(whole.probability[[3, 50]], part.probability, equal_nan=True)


def test_a_gate_without_ten_measurements_in_a_band_is_closed(module: Microlensing, simulated: Labelled) -> None:
    short = simulated.until(simulated.curves.midpoint_mjd_tai[simulated.curves.offsets[:-1]], since_d=1.0)
    batch = as_batch(short, Survey.LSST)
    assert not module.gate(batch, {}).any()
    assert module.classify(batch, {}).abstained.all()


def test_what_is_mostly_fainter_than_its_template_is_not_asked(module: Microlensing, simulated: Labelled) -> None:
    lenses = simulated.take(simulated.label == "microlensing")
    curves = replace(lenses.curves, psf_flux_njy=-np.abs(lenses.curves.psf_flux_njy))
    assert not module.gate(as_batch(replace(lenses, curves=curves), Survey.LSST), {}).any()


def test_an_empty_batch_has_an_empty_answer(module: Microlensing, simulated: Labelled) -> None:
    batch: Batch = as_batch(simulated, Survey.LSST).take(np.empty(0, dtype=np.int64))
    assert len(module.classify(batch, {})) == 0
    assert len(module.gate(batch, {})) == 0


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    for name in ("microlensing-ztf", "microlensing_gate-ztf"):
        for ending in ("onnx", "json"):
            shutil.copy(MODELS / f"{name}.{ending}", tmp_path)
    path = tmp_path / "microlensing_gate-ztf.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelError, match="sha256"):
        Microlensing(Survey.ZTF, directory=tmp_path)


def test_real_lenses_of_ogle2_are_found_and_variable_stars_are_not(shared_data: Path) -> None:
    judged = answers(Microlensing(Survey.LSST), ogle2(shared_data / "alerts"), Survey.LSST)
    said = judged.answer.top_class == "microlensing"
    truth = judged.label == "microlensing"
    assert said[truth].mean() > 0.8
    assert said[~truth].sum() <= 2


def test_no_held_out_real_ztf_star_or_supernova_is_surely_a_lens(shared_data: Path) -> None:
    real = packets(shared_data / "alerts")
    judged = answers(Microlensing(Survey.ZTF), real.take(real.is_test), Survey.ZTF)
    assert (~judged.answer.abstained).sum() > 20
    assert np.nanmax(judged.answer.of("microlensing")) < 0.8


def test_magnification_is_paczynskis() -> None:
    assert magnification(np.array([0.0]), 0.0, 10.0, 1.0)[0] == pytest.approx(3.0 / np.sqrt(5.0))
    assert magnification(np.array([1e4]), 0.0, 10.0, 0.1)[0] == pytest.approx(1.0, abs=1e-9)


def test_simulated_detections_are_significant_and_rise_on_a_quiet_template() -> None:
    rng = np.random.default_rng(SEED)
    stars = simulate(ztf_cadences(5, rng), {"microlensing": 20}, rng, tag="test")
    flux, err = stars.curves.psf_flux_njy, stars.curves.psf_flux_err_njy
    seen = np.isfinite(flux)
    assert (np.abs(flux[seen]) > 5.0 * err[seen]).all()
    assert np.mean(flux[seen] > 0.0) > 0.8


def test_principal_components_are_those_of_the_covariance() -> None:
    values = np.random.default_rng(1).normal(size=(500, 4)) @ np.diag([5.0, 2.0, 1.0, 0.1])
    values[0, 1] = np.nan
    every = np.arange(4)
    out = fit_projection(values, 2, projected=every, kept=every[:1]).apply(values)
    assert out.shape == (500, 3)
    assert np.array_equal(out[:, 0], values[:, 0])
    assert abs(np.corrcoef(out[:, 1], out[:, 2])[0, 1]) < 1e-6


def test_recall_at_rate_and_at_precision_are_counted() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.6, np.nan, 0.1])
    truth = np.array([True, True, False, True, True, False])
    assert recall_at_rate(score, truth, 0.0)[0] == 0.5
    assert recall_at_rate(score, truth, 0.5)[::2] == (0.75, 1)
    assert recall_at_precision(score, truth, 1.0) == 0.5
    assert recall_at_precision(np.array([0.5, 0.5]), np.array([True, False]), 0.9) == 0.0
    assert recall_at_precision(np.array([np.nan, 0.5]), np.array([True, False]), 0.0) == 0.0
