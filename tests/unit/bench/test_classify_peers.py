"""The peers get the light curves that ours get, in their units, and are left out where they are not installed."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from compose.bench import classify_peers, sncosmo_peer, supernnova_peer
from compose.bench.producer import ProducerPlan, iter_night, make_night
from graph.model import Survey
from ingest.alerts.columns import AlertColumns, LightCurves
from ingest.alerts.decode import AlertDecoder

PEERS = ("light_curve", "sncosmo", "torch")


@pytest.fixture(scope="module")
def alerts() -> AlertColumns:
    plan = ProducerPlan("ztf", 60, 3, "")
    return AlertDecoder(Survey.ZTF).decode(list(iter_night(make_night(plan), plan)))[0]


def curves_of(*parts: tuple[list[float], list[int], list[float], list[float]]) -> LightCurves:
    time, band, flux, err = (np.concatenate([part[k] for part in parts]) for k in range(4))
    offsets = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])])
    return LightCurves(offsets, time, band.astype(np.int8), flux, err, np.full(len(time), np.nan))


def test_what_is_not_installed_is_left_out(alerts: AlertColumns, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PEERS:
        monkeypatch.setitem(sys.modules, name, None)
    assert classify_peers.measure_peers(alerts) == {}


def test_all_that_is_installed_is_measured(alerts: AlertColumns, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("light_curve")
    pytest.importorskip("sncosmo")
    monkeypatch.setattr(sncosmo_peer, "MAX_FITS", 2)
    monkeypatch.setattr(classify_peers, "MAX_FITS", 2)
    figures = classify_peers.measure_peers(alerts)
    assert {"light_curve_17_features", "light_curve_bazin_fit", "sncosmo_fit"} <= figures.keys()
    assert all(figure["alerts_per_s"] > 0 and figure["n"] > 0 for figure in figures.values())


def test_no_light_curves_are_no_measurement(alerts: AlertColumns) -> None:
    assert classify_peers.measure_peers(alerts.take(np.zeros(0, dtype=np.int64))) == {}


def test_the_template_is_found_again_in_nanojansky(alerts: AlertColumns) -> None:
    peer = pytest.importorskip("sncosmo")
    model = sncosmo_peer.template(peer)
    model.set(z=0.08, t0=61000.0, hostebv=0.1)
    model.set_source_peakmag(19.0, sncosmo_band(peer, 638.9), "ab")
    time, band = np.repeat(61000.0 + np.arange(-15.0, 40.0, 5.0), 2), np.tile([1, 2], 11)
    middle_nm = np.where(band == 1, 474.7, 638.9)
    mag = np.array([model.bandmag(sncosmo_band(peer, nm), "ab", t) for nm, t in zip(middle_nm, time, strict=True)])
    flux = 3631e9 * 10.0 ** (-0.4 * mag)
    points = curves_of((time.tolist(), band.tolist(), flux.tolist(), (0.01 * flux + 100.0).tolist()))
    (table,) = sncosmo_peer.photometry(peer, replace(alerts.take(np.arange(1)), light_curves=points), 5)
    found = sncosmo_peer.fit(peer, sncosmo_peer.template(peer), table)
    assert found["t0"] == pytest.approx(61000.0, abs=0.5)
    assert found["z"] == pytest.approx(0.08, abs=0.01)
    assert found["hostebv"] == pytest.approx(0.1, abs=0.05)
    assert found["amplitude"] == pytest.approx(model.get("amplitude"), rel=0.1)


def sncosmo_band(peer: object, middle_nm: float) -> object:
    """Return a flat band of 130 nm."""
    return peer.Bandpass([10.0 * middle_nm - 650.0, 10.0 * middle_nm + 650.0], [1.0, 1.0])  # type: ignore[attr-defined]


def test_faint_short_and_old_points_are_not_fitted(alerts: AlertColumns) -> None:
    peer = pytest.importorskip("sncosmo")
    days = np.arange(10.0).tolist()
    good = (days, [1] * 10, [900.0] * 10, [100.0] * 10)
    short = (days[:7], [1] * 7, [900.0] * 7, [100.0] * 7)
    faint = (days, [1] * 10, [400.0] * 10, [100.0] * 10)
    old = ([*days[:9], 200.0], [1] * 10, [900.0] * 10, [100.0] * 10)
    points = curves_of(good, short, faint, old, good)
    tables = sncosmo_peer.photometry(peer, replace(alerts.take(np.zeros(5, dtype=np.int64)), light_curves=points), 9)
    assert [table["flux"].tolist() for table in tables] == [[900.0] * 10] * 2


def test_steps_hold_the_points_of_a_night(alerts: AlertColumns) -> None:
    first = ([0.0, 0.1, 0.2, 5.0], [1, 2, 1, 2], [10.0, 20.0, 30.0, 40.0], [3.0, 1.0, 2.0, 1.0])
    second = ([7.0], [1], [np.nan], [np.nan])
    third = ([8.0, 8.34], [4, 1], [50.0, -60.0], [1.0, 1.0])
    points = curves_of(first, second, third)
    chosen = replace(alerts.take(np.zeros(3, dtype=np.int64)), light_curves=points)
    one, two = supernnova_peer.steps_of(chosen)
    # Three bands: fluxes g, r, z, errors, time since the step before, combinations g, r, gr, z, ...
    expected = np.zeros((4, 14))
    expected[0, [0, 1, 3, 4, 9]] = [*np.arcsinh([30.0, 20.0, 2.0, 1.0]), 1.0]
    expected[1, [1, 4, 6, 8]] = [*np.arcsinh([40.0, 1.0]), 5.0, 1.0]
    expected[2, [2, 5, 10]] = [*np.arcsinh([50.0, 1.0]), 1.0]
    expected[3, [0, 3, 6, 7]] = [*np.arcsinh([-60.0, 1.0]), 0.34, 1.0]
    np.testing.assert_allclose(np.vstack([one, two]), expected, atol=1e-12)


def test_the_network_answers_for_each_light_curve(alerts: AlertColumns) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("supernnova.training.vanilla_rnn")
    work, n = supernnova_peer.works(alerts)["supernnova_rnn"]
    answer = np.asarray(work())
    assert answer.shape == (n, 2)
    np.testing.assert_allclose(answer.sum(axis=1), 1.0, atol=1e-6)
