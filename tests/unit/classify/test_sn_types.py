from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from graph.errors import ModelError
from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.artefact import Sidecar, read_artefact, write_artefact
from ingest.classifiers.contract import Batch, abstain
from ingest.classifiers.run import Runner
from ingest.classifiers.sn_types import SnTypes, entropy, soft_max
from ingest.classifiers.sn_types_input import sequences
from ingest.training.examples import HISTORY_D
from ingest.training.labelled import Labelled, as_batch
from ingest.training.nonsense import as_nonsense
from ingest.training.sn_types_data import keep_points, published_supernovae, until
from ingest.training.sources import bts, plasticc


def supernovae(n: int, survey: Survey, seed: int = 0) -> Labelled:
    """Return made-up light curves that rise and fall."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    owner = np.repeat(np.arange(n), lengths)
    time = 60_000.0 + rng.uniform(-15.0, 60.0, len(owner))
    order = np.lexsort((time, owner))
    time = time[order]
    band = rng.integers(1, 3, len(owner)) if survey is Survey.ZTF else rng.integers(0, 6, len(owner))
    flux = 2e4 * np.exp(-0.5 * ((time - 60_000.0) / 15.0) ** 2) + 2e3
    absent = np.full(n, np.nan)
    return Labelled(
        object_id=np.arange(n).astype(str).astype(object),
        label=np.full(n, "SN Ia", dtype=object),
        source=np.full(n, "made", dtype=object),
        curves=LightCurves(offsets, time, band.astype(np.int8), flux, flux * 0.05, np.full(len(owner), np.nan)),
        forced=ForcedPhotometry(offsets, time + 0.5, band.astype(np.int8), flux, flux * 0.1),
        ra_deg=absent,
        dec_deg=absent,
        redshift=absent,
        redshift_err=absent,
        peak_mjd_tai=absent,
    )


@pytest.fixture(scope="module", params=list(Survey))
def module(request: pytest.FixtureRequest) -> SnTypes:
    return SnTypes(request.param)


def survey_of(module: SnTypes) -> Survey:
    return Survey.ZTF if module._survey is Survey.ZTF else Survey.LSST


@pytest.fixture
def batch(module: SnTypes) -> Batch:
    return as_batch(supernovae(150, survey_of(module)), survey_of(module))


def test_answers_are_what_the_samples_say(module: SnTypes, batch: Batch) -> None:
    answer = module.classify(batch, {})
    sidecar, _ = read_artefact("sn_types", survey_of(module))
    read = sequences(batch.survey, batch.curves, batch.columns.forced)
    assert (answer.abstained == (read.points < 4)).all()
    np.testing.assert_array_equal(answer.n_points, read.points)
    logits = module.logits(read)[:, ~answer.abstained]
    given, n = sidecar.parameters, np.clip(read.points[~answer.abstained], 4, 100)
    temperature = np.exp(given["log_temperature"]) * (n / 10.0) ** given["log_temperature_slope"]
    sampled = soft_max(logits[:, :, :-1] / temperature[:, None] + given["class_bias"])
    mean = sampled.mean(axis=0)
    np.testing.assert_allclose(answer.probability[~answer.abstained], mean, atol=1e-5)
    np.testing.assert_allclose(answer.probability[~answer.abstained].sum(axis=1), 1.0, atol=1e-5)
    spread = sampled[:, np.arange(len(mean)), mean.argmax(axis=1)].std(axis=0, ddof=1)
    np.testing.assert_allclose(answer.std[~answer.abstained], spread, atol=1e-5)
    total, information = (answer.extras[name][~answer.abstained] for name in ("entropy_nat", "mutual_information_nat"))
    assert ((total >= 0.0) & (total <= np.log(mean.shape[1]) + 1e-9)).all()
    assert ((information >= 0.0) & (information <= total + 1e-9)).all()
    assert len(sampled) == sidecar.parameters["samples"]
    assert answer.classes == sidecar.classes
    assert answer.version == module.version


def test_an_answer_depends_on_its_own_alert_only(module: SnTypes, batch: Batch) -> None:
    whole = module.classify(batch, {})
    again = module.classify(batch, {})
    np.testing.assert_array_equal(whole.probability, again.probability)
    row = np.arange(3, 150, 7)
    part = module.classify(batch.take(row), {})
    np.testing.assert_allclose(part.probability, whole.probability[row], atol=2e-5)
    assert (part.out_of_distribution == whole.out_of_distribution[row]).mean() > 0.95


def test_an_alert_without_forced_photometry_has_an_answer(module: SnTypes, batch: Batch) -> None:
    none = keep_points(batch.columns.forced, np.zeros(len(batch.columns.forced.band), dtype=np.bool_))
    answer = module.classify(replace(batch, columns=replace(batch.columns, forced=none)), {})
    assert (~answer.abstained).mean() > 0.8


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300, -1e300])
def test_hostile_numbers_give_answers_or_abstention(module: SnTypes, batch: Batch, bad: float) -> None:
    curves = batch.curves
    time, flux, err = (curves.midpoint_mjd_tai.copy(), curves.psf_flux_njy.copy(), curves.psf_flux_err_njy.copy())
    time[::7], flux[::5], err[::3] = bad, bad, bad
    spoilt = replace(curves, midpoint_mjd_tai=time, psf_flux_njy=flux, psf_flux_err_njy=err)
    answer = module.classify(replace(batch, columns=replace(batch.columns, light_curves=spoilt)), {})
    assert np.isfinite(answer.probability[~answer.abstained]).all()
    dark = replace(curves, psf_flux_njy=np.full(len(flux), bad))
    assert module.classify(replace(batch, columns=replace(batch.columns, light_curves=dark)), {}).abstained.all()


def test_the_gate_asks_for_what_may_be_a_supernova(module: SnTypes, batch: Batch) -> None:
    assert module.gate(batch, {}).all()
    names = ("SN Ia", "SN CC", "AGN") if survey_of(module) is Survey.LSST else ("SN", "AGN")
    coarse = abstain("coarse", "1", names, batch.n_points)
    coarse.probability[:] = 0.0
    coarse.probability[:, -1] = 1.0
    coarse.probability[10, :-1] = 0.3
    coarse.probability[11] = np.nan
    assert np.flatnonzero(module.gate(batch, {"coarse": coarse})).tolist() == [10]


def test_the_runner_asks_it(module: SnTypes, batch: Batch) -> None:
    runner = Runner((module,), time_limit_s=60)
    outcome = runner.run(batch)
    runner.close()
    assert not outcome.left_out
    assert outcome.asked["sn_types"] == int((batch.n_points >= 4).sum())
    assert set(outcome.answers["sn_types"].extras) == set(SnTypes.extras)


def test_entropy_is_that_of_the_distribution() -> None:
    probability = np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(entropy(probability), [np.log(4.0), 0.0, np.log(2.0)], atol=1e-12)
    np.testing.assert_allclose(soft_max(np.array([[1e3, 0.0], [0.0, 0.0]])), [[1.0, 0.0], [0.5, 0.5]])


def stored(tmp_path: Path, **changes: object) -> Sidecar:
    sidecar, model = read_artefact("sn_types", Survey.ZTF)
    sidecar = replace(sidecar, **changes)  # type: ignore[arg-type]
    write_artefact(sidecar, model, tmp_path)
    return sidecar


def test_altered_bytes_and_sidecars_are_refused(tmp_path: Path) -> None:
    stored(tmp_path)
    path = tmp_path / "sn_types-ztf.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256"):
        SnTypes(Survey.ZTF, tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        SnTypes(Survey.LSST, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"log_temperature": "x"},
        {"log_temperature": None},
        {"log_temperature_slope": float("nan")},
        {"class_bias": [0.0, 0.0]},
        {"class_bias": 1.0},
        {"class_bias": [0.0, 0.0, 0.0, 0.0, 1e9]},
        {"outlier_threshold": []},
    ],
)
def test_a_sidecar_without_its_numbers_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    stored(tmp_path, parameters={**read_artefact("sn_types", Survey.ZTF)[0].parameters, **changes})
    with pytest.raises(ModelError, match="lacks a number"):
        SnTypes(Survey.ZTF, tmp_path)
    stored(tmp_path, parameters={})
    with pytest.raises(ModelError, match="lacks a number"):
        SnTypes(Survey.ZTF, tmp_path)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    numbers = read_artefact("sn_types", Survey.ZTF)[0].parameters
    stored(tmp_path, classes=("SN Ia", "SN II"), parameters={**numbers, "class_bias": [0.0, 0.0]})
    with pytest.raises(ModelError, match="shape"):
        SnTypes(Survey.ZTF, tmp_path)
    other = read_artefact("sn_types", Survey.LSST)
    swapped = replace(other[0], survey=Survey.ZTF)
    write_artefact(swapped, other[1], tmp_path)
    with pytest.raises(ModelError, match="shape"):
        SnTypes(Survey.ZTF, tmp_path)


def test_a_model_for_the_other_survey_is_refused(tmp_path: Path) -> None:
    sidecar, model = read_artefact("sn_types", Survey.LSST)
    (tmp_path / "sn_types-ztf.onnx").write_bytes(model)
    (tmp_path / "sn_types-ztf.json").write_text(json.dumps(asdict(sidecar)))
    assert hashlib.sha256(model).hexdigest() == sidecar.sha256
    with pytest.raises(ModelError, match="lsst"):
        SnTypes(Survey.ZTF, tmp_path)


def test_the_artefacts_are_small() -> None:
    for survey in Survey:
        assert len(read_artefact("sn_types", survey)[1]) < 1_500_000


def test_real_type_ia_supernovae_are_named(shared_data: Path) -> None:
    module = SnTypes(Survey.ZTF)
    real = bts(shared_data / "alerts")
    real = real.take(np.flatnonzero(real.is_test)[:150])
    answer = module.classify(as_batch(real, Survey.ZTF), {})
    assert (answer.top_class[~answer.abstained] == "SN Ia").mean() > 0.88
    named = published_supernovae(shared_data / "alerts")
    said = module.classify(as_batch(named, Survey.ZTF), {})
    assert said.top_class[named.label == "SN Ia"].tolist().count("SN Ia") >= 16
    golden = {"ZTF19aamjvie": "SN Ia", "ZTF20aafxahn": "SN Ia", "ZTF19aaknvuh": "SN Ia", "ZTF18acbwasc": "SN II"}
    assert {name: said.top_class[list(named.object_id).index(name)] for name in golden} == golden


def test_simulated_supernovae_are_told_apart_and_nonsense_is_flagged(shared_data: Path) -> None:
    module = SnTypes(Survey.LSST)
    objects = plasticc(shared_data / "alerts")
    some = objects.take(np.flatnonzero(objects.is_test & np.isin(objects.label, ("SN Ia", "SN II")))[:200])
    end = some.peak_mjd_tai + 40.0
    batch = as_batch(until(some, end, np.full(len(some), HISTORY_D[Survey.LSST])), Survey.LSST)
    answer = module.classify(batch, {})
    said = ~answer.abstained
    ia, other = answer.of("SN Ia")[said & (some.label == "SN Ia")], answer.of("SN Ia")[said & (some.label == "SN II")]
    assert (ia[:, None] > other).mean() > 0.85
    assert answer.out_of_distribution[said].mean() < 0.15
    for kind in ("shuffled", "bogus", "flat"):
        spoilt = module.classify(as_nonsense(batch, kind), {})
        assert spoilt.out_of_distribution[~spoilt.abstained].mean() > 0.7
