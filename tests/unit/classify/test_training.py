from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import sklearn

from graph.model import Survey
from graph.times import mjd_utc_to_tai
from ingest.classifiers.forests import MODELS, Classifier
from ingest.training.coarse import MODEL_VERSION, evaluate, model_features, train
from ingest.training.evaluation import class_weights
from ingest.training.examples import HISTORY_D, MINIMUM_POINTS, as_seen_by_ztf, cut_histories, lend_context, tabulate
from ingest.training.histories import (
    FLUXCAL_NJY,
    History,
    SimulatedObject,
    flux_from_magnitude,
    split_fraction,
)

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20261122
"""Of the shipped models."""


def history(name: str, day: np.ndarray[tuple[int], np.dtype[np.float64]], source: str = "packet") -> History:
    n = len(day)
    seen = np.arange(n) % 4 != 1
    return History(
        object_id=name,
        label="SN",
        source=source,
        midpoint_mjd_tai=60000.0 + day,
        band=np.full(n, 1, dtype=np.int8),
        psf_flux_njy=np.where(seen, 1000.0 + day, np.nan),
        psf_flux_err_njy=np.where(seen, 50.0, np.nan),
        upper_limit_njy=np.where(seen, np.nan, 300.0),
        star_galaxy_score=0.1 if source == "packet" else float("nan"),
        nearest_source_arcsec=2.0 if source == "packet" else float("nan"),
    )


def test_the_split_is_md5() -> None:
    for name in ("ZTF18abgzkmf", "615", ""):
        assert split_fraction(name) == pytest.approx(int(hashlib.md5(name.encode()).hexdigest()[:12], 16) / 16**12)  # noqa: S324
    fractions = np.array([split_fraction(str(i)) for i in range(4000)])
    assert abs((fractions < 0.5).mean() - 0.5) < 0.03


def test_units_of_the_simulation() -> None:
    assert flux_from_magnitude(np.array([27.5]))[0] == pytest.approx(FLUXCAL_NJY)
    assert flux_from_magnitude(np.array([31.4, 8.9]))[1] == pytest.approx(1e9, rel=1e-9)


@pytest.mark.parametrize("survey", list(Survey))
def test_a_cut_sees_the_past_and_a_window_only(survey: Survey) -> None:
    rng = np.random.default_rng(0)
    whole = [history(str(i), np.sort(rng.uniform(0, 500, 60))) for i in range(30)]
    by_name = {item.object_id: item for item in whole}
    cuts = list(cut_histories(whole, survey, rng))
    assert len(cuts) > 40
    for cut in cuts:
        full = by_name[cut.object_id]
        end = cut.midpoint_mjd_tai[-1]
        inside = (full.midpoint_mjd_tai <= end) & (full.midpoint_mjd_tai >= end - HISTORY_D[survey])
        np.testing.assert_array_equal(cut.midpoint_mjd_tai, full.midpoint_mjd_tai[inside])
        assert np.isfinite(cut.psf_flux_njy[-1])
        assert np.isfinite(cut.psf_flux_njy).sum() >= MINIMUM_POINTS


def test_a_nearer_supernova_is_brighter_and_faster() -> None:
    day = np.arange(0.0, 120.0, 2.0)
    shape = 3000.0 * np.exp(-0.5 * ((day - 50.0) / 15.0) ** 2)
    both = np.tile(np.array([1, 2], dtype=np.int8), len(day))
    far = History(
        "1", "SN Ia", "plasticc", 60000.0 + np.repeat(day, 2), both, np.repeat(shape, 2), np.full(2 * len(day), 20.0),
        np.full(2 * len(day), np.nan),
    )  # fmt: skip
    item = SimulatedObject(far, np.ones(2 * len(day), dtype=np.bool_), 0.5)
    near = as_seen_by_ztf(item, np.random.default_rng(3))
    assert near is not None
    detected = np.isfinite(near.psf_flux_njy)
    peak = 31.4 - 2.5 * np.log10(np.nanmax(near.psf_flux_njy))
    assert 11.8 < peak < 20.2
    assert (near.psf_flux_njy[detected] / near.psf_flux_err_njy[detected] > 4.99).all()
    assert (np.isfinite(near.upper_limit_njy) == ~detected).all()
    assert np.all(np.diff(near.midpoint_mjd_tai) >= 0)
    strong = near.psf_flux_njy > 0.5 * np.nanmax(near.psf_flux_njy)
    width = np.ptp(near.midpoint_mjd_tai[strong])
    assert width < 2 * 1.1775 * 15.0 / 1.2
    assert as_seen_by_ztf(SimulatedObject(far, item.detected, 0.0), np.random.default_rng(3)) is None


def test_lent_context_hides_the_source() -> None:
    rng = np.random.default_rng(0)
    rows = [history(str(i), np.arange(9.0), "packet" if i % 2 else "plasticc-as-ztf") for i in range(800)]
    table = tabulate(lend_context(rows, rng))
    absent = np.isnan(table.features.select(("star_galaxy_score",))[:, 0])
    for source in ("packet", "plasticc-as-ztf"):
        assert abs(absent[table.source == source].mean() - 0.25) < 0.06


def test_objects_weigh_the_same() -> None:
    label = np.array(["a"] * 6 + ["b"] * 2, dtype=object)
    name = np.array(["1", "1", "1", "2", "3", "4", "5", "5"], dtype=object)
    weight = class_weights(label, name)
    totals = [weight[name == one].sum() for one in ("1", "2", "3", "4")]
    np.testing.assert_allclose(totals, totals[0])
    # Four objects against one: the root of the ratio.
    assert weight[label == "a"].sum() / weight[label == "b"].sum() == pytest.approx(2.0)
    assert weight.sum() == pytest.approx(len(label))


def test_training_again_gives_the_shipped_bytes(shared_data: Path, tmp_path: Path) -> None:
    shipped = Classifier.load("coarse", Survey.ZTF).spec
    if shipped.training["libraries"]["scikit-learn"] != sklearn.__version__:
        pytest.skip("another version of scikit-learn draws other trees")
    spec = train(Survey.ZTF, shared_data / "alerts", SEED, tmp_path)
    assert spec.version == MODEL_VERSION
    assert spec.sha256 == shipped.sha256
    assert (tmp_path / "coarse-ztf.onnx").read_bytes() == (MODELS / "coarse-ztf.onnx").read_bytes()
    assert (tmp_path / "coarse-ztf.json").read_bytes() == (MODELS / "coarse-ztf.json").read_bytes()


def test_lsst_holds_up_on_other_cuts_of_held_out_objects(shared_data: Path) -> None:
    shipped = Classifier.load("coarse", Survey.LSST).spec.metrics
    again = evaluate(Survey.LSST, shared_data / "alerts", 1, MODELS)
    assert again["accuracy"] == pytest.approx(shipped["accuracy"], abs=0.03)
    assert again["accuracy"] > 0.6
    assert again["calibration_error"] < 0.1


def test_real_supernovae_that_were_not_fitted_on(shared_data: Path) -> None:
    points = pd.read_parquet(shared_data / "alerts" / "lightcurves" / "ztf_bts_snia_dev_lc.parquet").sort_values("time")
    points = points[points["magerr"] > 0]
    fitted = set(pd.read_csv(shared_data / "alerts" / "labels" / "ztf_alert_object_labels_dev.csv")["objectId"])
    histories = []
    for name, rows in list(points.groupby("objectId"))[:300]:
        flux = flux_from_magnitude(rows["mag"].to_numpy(np.float64))
        if name not in fitted:
            histories.append(
                History(
                    object_id=str(name),
                    label="SN",
                    source="packet",
                    midpoint_mjd_tai=mjd_utc_to_tai(rows["time"].to_numpy(np.float64)),
                    band=np.where(rows["band"] == "g", 1, 2).astype(np.int8),
                    psf_flux_njy=flux,
                    psf_flux_err_njy=flux * rows["magerr"].to_numpy(np.float64) / 1.0857,
                    upper_limit_njy=np.full(len(rows), np.nan),
                )
            )
    table = tabulate(list(cut_histories(histories, Survey.ZTF, np.random.default_rng(0))))
    answer = Classifier.load("coarse", Survey.ZTF).classify_features(table.features)
    assert len(answer) > 800
    assert (answer.top_class == "SN").mean() > 0.9


def test_zwicky_reads_two_bands() -> None:
    names = model_features(Survey.ZTF)
    assert "star_galaxy_score" in names
    assert not [name for name in names if "_i_" in name or name.endswith(("_u", "_z", "_y"))]
    assert "n_points_y" in model_features(Survey.LSST)
