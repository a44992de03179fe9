"""The classifier of variables on real alerts, its golden objects, its refusals, and the state of blazars."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from graph.errors import ModelError
from graph.model import Survey
from graph.taxonomy import PARENTS
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.contract import Batch, batch_of
from ingest.classifiers.forests import MODELS, Classifier
from ingest.classifiers.run import Runner
from ingest.classifiers.variability import NAME, Variability
from ingest.crossmatch import CrossMatches, crossmatch
from ingest.flares import MIN_FLARE_RATIO, blazar_flux_ratio, flare_flux_ratio
from ingest.training.evaluation import class_weights
from ingest.training.labelled import Labelled, as_batch
from ingest.training.sources_variability import LabelledAlerts, cut_alerts, earlier, join, lend_context, ztf_alerts
from ingest.training.variability import ASKED, WANTED_F1, batch, judged, macro_f1, newest

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = {
    "ZTF18abshook": "EB", "ZTF17aabwksv": "EB", "ZTF18aaydcry": "LPV", "ZTF18aayejno": "LPV", "ZTF18abwpsty": "RRL",
    "ZTF17aabuxil": "RRL", "ZTF19aacwmge": "AGN", "ZTF18aceezaz": "AGN", "ZTF18acsbjid": "SSO", "ZTF18accsawg": "SN",
}  # fmt: skip
"""Held-out objects that catalogues name."""


@pytest.fixture(scope="module")
def alerts(shared_data: Path) -> LabelledAlerts:
    return ztf_alerts(shared_data / "alerts")


def test_known_objects_are_named(alerts: LabelledAlerts) -> None:
    answer = Variability(Survey.ZTF).classify(batch(alerts), {})
    for name, kind in GOLDEN.items():
        rows = np.flatnonzero(alerts.columns.object_id == name)
        assert len(rows)
        assert set(answer.top_class[rows]) == {kind}, name


def test_objects_that_were_not_fitted_on(alerts: LabelledAlerts) -> None:
    held_out = alerts.take(alerts.fraction >= 0.5)
    found = judged(Variability(Survey.ZTF), held_out)
    assert macro_f1(found, ASKED[Survey.ZTF]) >= WANTED_F1
    stated = Variability(Survey.ZTF)._forests.spec.metrics["goals"][0]
    assert macro_f1(found, ASKED[Survey.ZTF]) == pytest.approx(stated["reached"], abs=0.01)
    assert not found.answer.out_of_distribution.mean() > 0.1


def test_answers_do_not_depend_on_the_batch(alerts: LabelledAlerts) -> None:
    module = Variability(Survey.ZTF)
    whole = module.classify(batch(alerts), {})
    some = np.arange(3, len(alerts), 7)
    part = module.classify(batch(alerts.take(some)), {})
    np.testing.assert_allclose(part.probability, whole.probability[some], atol=1e-6)
    np.testing.assert_allclose(whole.probability[~whole.abstained].sum(axis=1), 1.0, atol=1e-4)
    assert set(module.classes) <= set(PARENTS)
    asked = ~whole.abstained
    assert asked.mean() > 0.99
    assert ((whole.std[asked] >= 0.0) & (whole.std[asked] < 0.55)).all()


def test_earlier_alerts_have_shorter_histories(alerts: LabelledAlerts) -> None:
    rng = np.random.default_rng(1)
    some = alerts.take(np.arange(0, len(alerts), 5))
    cut = earlier(some, rng, 2)
    last = {
        name: some.columns.midpoint_mjd_tai[some.columns.object_id == name].max() for name in some.columns.object_id
    }
    curves = cut.columns.light_curves
    for row in range(len(cut)):
        points = slice(curves.offsets[row], curves.offsets[row + 1])
        now = cut.columns.midpoint_mjd_tai[row]
        assert curves.midpoint_mjd_tai[points].max() == now < last[cut.columns.object_id[row]]
        own = curves.midpoint_mjd_tai[points] == now
        assert cut.columns.psf_flux_njy[row] in curves.psf_flux_njy[points][own]
    assert (cut.columns.n_detections != 0).all()
    both = join([some, cut])
    assert len(both) == len(some) + len(cut) == len(both.columns.light_curves)
    assert len(newest(both)) == len(set(both.columns.object_id))
    lent = lend_context(cut, some, rng)
    assert set(lent.columns.template_mag) <= set(some.columns.template_mag)


def _labelled(time: list[float], flux: list[float], forced: int = 0) -> Labelled:
    n, times = len(time), np.array(time)
    absent = np.full(1, np.nan)
    return Labelled(
        *(np.array([value], dtype=object) for value in ("a", "AGN", "toy")),
        LightCurves(np.array([0, n]), times, np.ones(n, np.int8), np.array(flux), np.full(n, 10.0), np.full(n, np.nan)),
        ForcedPhotometry(
            np.array([0, forced]), *(np.arange(forced) - 90.0, np.ones(forced, np.int8)), *(np.ones(forced),) * 2
        ),
        *(absent,) * 5,
    )


def test_cut_light_curves_know_the_past_only() -> None:
    time = [0.0, 10.0, 20.0, 40.0, 45.0]
    cut = cut_alerts(_labelled(time, [50.0] * 5, 200), Survey.LSST, np.random.default_rng(0), 40, 30.0)
    assert set(cut.columns.midpoint_mjd_tai) == set(time)
    row = int(np.flatnonzero(cut.columns.midpoint_mjd_tai == 45.0)[0])
    curves = cut.columns.light_curves
    assert curves.midpoint_mjd_tai[curves.offsets[row] : curves.offsets[row + 1]].tolist() == [20.0, 40.0, 45.0]
    assert cut.columns.n_detections[row] == 5
    assert (cut.columns.first_midpoint_mjd_tai == 0.0).all()
    lengths = np.diff(cut.columns.forced.offsets)
    assert (lengths == 0).any()
    assert cut.columns.forced.midpoint_mjd_tai.min(initial=0.0) >= -30.0


def test_runner_scatters_and_hostile_values_pass() -> None:
    wild = _labelled([0.0, 0.0, 1e300, np.nan], [1e300, -1e308, 5.0, np.inf])
    runner = Runner((Variability(Survey.ZTF), Variability(Survey.LSST)), time_limit_s=60)
    for survey in Survey:
        outcome = Runner((Variability(survey),), time_limit_s=60).run(as_batch(wild, survey))
        assert not outcome.left_out
        assert len(outcome.answers[NAME]) == 1
    runner.close()
    none = as_batch(_labelled([], []), Survey.ZTF)
    assert Variability(Survey.ZTF).classify(none, {}).abstained.all()


def test_an_lsst_detection_alone_gets_no_answer() -> None:
    module = Variability(Survey.LSST)
    assert module.classify(as_batch(_labelled([1.0], [90.0]), Survey.LSST), {}).abstained.all()
    assert not module.classify(as_batch(_labelled([1.0, 2.0], [90.0, 95.0]), Survey.LSST), {}).abstained.any()


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    for ending in ("onnx", "json"):
        shutil.copy(MODELS / f"{NAME}-ztf.{ending}", tmp_path)
    model = tmp_path / f"{NAME}-ztf.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256"):
        Classifier.load(NAME, Survey.ZTF, directory=tmp_path)


@pytest.mark.parametrize("survey", list(Survey))
def test_sidecars_are_honest(survey: Survey) -> None:
    sidecar = json.loads((MODELS / f"{NAME}-{survey}.json").read_text())
    assert {"split", "sources", "not_covered", "counts"} <= set(sidecar["training"])
    assert all({"wanted", "reached", "met"} <= set(goal) for goal in sidecar["metrics"]["goals"])
    assert {"as_is", "shuffled", "reversed", "flat", "bogus"} <= set(sidecar["metrics"]["behaviour"])
    assert (MODELS / f"{NAME}-{survey}.onnx").stat().st_size < 1_500_000


def _blazar(catalogue: str, probability: float, flux: float, object_type: str = "blazar") -> Batch:
    made = as_batch(_labelled([0.0, 1.0, 2.0, 3.0], [10.0, 20.0, 30.0, flux]), Survey.LSST)
    columns = replace(made.columns, template_mag=np.array([31.4 - 2.5 * np.log10(80.0)]))
    text = [np.array([value], dtype=object) for value in (catalogue, "x", object_type)]
    numbers = [np.array([value]) for value in (1.0, 2.0, 0.3, probability, np.nan, np.nan)]
    names = ("ra_deg", "dec_deg", "separation_arcsec", "probability", "distance_mpc", "redshift")
    matches = replace(
        crossmatch((), columns.ra_deg, columns.dec_deg),
        row=np.array([0]),
        catalogue=text[0],
        source_id=text[1],
        object_type=text[2],
        **dict(zip(names, numbers, strict=True)),
    )
    assert isinstance(matches, CrossMatches)
    return Batch(columns, batch_of(columns, made.matches).features, matches)


@pytest.mark.parametrize(
    ("catalogue", "object_type", "probability", "expected"),
    [
        ("4lac", "", 0.99, 2.8),
        ("simbad", "BLL", 0.99, 2.8),
        ("3hsp", "blazar", 0.2, np.nan),
        ("simbad", "QSO", 0.99, np.nan),
        ("gaia", "", 0.99, np.nan),
    ],
)
def test_a_blazar_is_measured_against_itself(
    catalogue: str, object_type: str, probability: float, expected: float
) -> None:
    made = _blazar(catalogue, probability, 200.0, object_type)
    assert blazar_flux_ratio(made.columns, made.matches)[0] == pytest.approx(expected, nan_ok=True)
    answer = Variability(Survey.LSST).classify(made, {})
    assert answer.extras["blazar_flux_ratio"][0] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("flux", "is_flare"), [(200.0, True), (20.0, False), (69.0, False), (71.0, True)])
def test_a_flare_is_a_detection_well_above_the_quiescent_level(flux: float, is_flare: bool) -> None:
    made = _blazar("4lac", 0.99, flux)
    ratio = flare_flux_ratio(made.columns, made.matches)[0]
    assert ratio == pytest.approx((80.0 + flux) / 100.0 if is_flare else np.nan, nan_ok=True)
    assert not ratio < MIN_FLARE_RATIO


def test_a_blazar_without_a_past_has_no_state() -> None:
    made = _blazar("4lac", 0.99, 200.0)
    short = replace(made.columns, light_curves=as_batch(_labelled([2.0, 3.0], [9.0, 9.0]), Survey.LSST).curves)
    assert np.isnan(blazar_flux_ratio(short, made.matches)[0])
    blank = replace(made.columns, template_mag=np.array([np.nan]))
    assert np.isnan(blazar_flux_ratio(blank, made.matches)[0])


def test_macro_f1_by_hand(alerts: LabelledAlerts) -> None:
    found = judged(Variability(Survey.ZTF), alerts.take(np.arange(40)))
    perfect = replace(found, label=found.answer.top_class)
    present = tuple(sorted({str(name) for name in found.answer.top_class}))
    assert macro_f1(perfect, present) == 1.0
    assert class_weights(perfect.label, perfect.object_id).sum() > 0
