from __future__ import annotations

import jax
import numpy as np
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import NDArray
from scipy.special import log_softmax  # type: ignore[import-untyped, unused-ignore]

from ingest.classifiers.session import start_session
from ingest.training.recurrent import Design, Examples, Weights, draw_masks, export, fit_members, forward, start_weights
from ingest.training.resimulate import WAVELENGTH_NM, Visits, emitter, luminosity_distance, observe, redshift_for

ask = jax.jit(forward)
DESIGN = Design(inputs=7, hidden=6, outputs=4, dropout=0.2)


def batch(n: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, n)
    nights = rng.integers(1, 9, n)
    values = rng.normal(size=(n, 8, 7)).astype(np.float32)
    values[:, :, 0] += target[:, None] * 3.0
    values[np.arange(8) >= nights[:, None]] = 0.0
    return Examples(
        values, nights.astype(np.int32), target.astype(np.int32), np.zeros(n, np.float32), np.ones(n, np.float32)
    )


def test_onnx_says_what_jax_says_for_every_mask() -> None:
    rng = np.random.default_rng(4)
    members = [start_weights(DESIGN, rng) for _ in range(2)]
    masks = [(draw_masks(DESIGN, 2, rng)[0], draw_masks(DESIGN, 6, rng)[1]) for _ in members]
    model = export(members, masks, 3)
    assert model == export(members, masks, 3)
    given = batch(20, 1)
    session = start_session(model, "toy")
    said = session.run(["logits"], {"values": given.values.transpose(1, 0, 2), "nights": given.nights})[0]
    assert said.shape == (12, 20, 4)
    wanted = [
        np.asarray(ask(weights, given.values, given.nights, of_state[s : s + 1], of_pool[3 * s + h : 3 * s + h + 1]))
        for weights, (of_state, of_pool) in zip(members, masks, strict=True)
        for s in range(2)
        for h in range(3)
    ]
    np.testing.assert_allclose(said, np.stack(wanted), atol=2e-5)
    # The same sequences with more padding have the same answers.
    longer = np.concatenate([given.values, np.zeros((20, 5, 7), np.float32)], axis=1).transpose(1, 0, 2)
    again = session.run(["logits"], {"values": np.ascontiguousarray(longer), "nights": given.nights})[0]
    np.testing.assert_allclose(said, again, atol=1e-6)


def test_a_fit_learns_and_repeats_itself() -> None:
    def batches(epoch: int) -> list[Examples]:
        return [batch(64, 100 * epoch + k) for k in range(20)]

    def fitted() -> list[Weights]:
        return fit_members(DESIGN, lambda epoch: iter(batches(epoch)), 3, 60, [(1, 0), (1, 0), (1, 1)])

    first = fitted()
    for name, value in first[0].items():
        np.testing.assert_array_equal(value, first[1][name])
    assert not np.array_equal(first[0]["r"], first[2]["r"])
    fresh = batch(300, 7)
    one, two = np.ones((1, 6), np.float32), np.ones((1, 12), np.float32)
    for weights in first:
        logits = np.asarray(ask(weights, fresh.values, fresh.nights, one, two))
        loss = -log_softmax(logits[:, :-1], axis=1)[np.arange(300), fresh.target].mean()
        assert loss < 0.75 * np.log(3.0)
        assert (logits[:, -1] < 0.0).all()


def test_masks_keep_the_mean() -> None:
    state, pool = draw_masks(DESIGN, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose([state.mean(), pool.mean()], 1.0, atol=0.02)
    np.testing.assert_allclose([(state == 0).mean(), (pool == 0).mean()], [0.2, 0.4], atol=0.01)


def test_distances_are_those_of_astropy() -> None:
    model = FlatLambdaCDM(H0=70.0, Om0=0.3)
    z = np.array([0.01, 0.1, 0.5, 1.5, 3.0])
    ratio = model.luminosity_distance(z).value / model.luminosity_distance(0.1).value
    np.testing.assert_allclose(luminosity_distance(z) / luminosity_distance(0.1), ratio, rtol=1e-3)


def bump(time: NDArray[np.float64], nm: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1e4 * np.exp(-0.5 * (time / 20.0) ** 2) * np.exp(-0.5 * ((nm - 620.0) / 300.0) ** 2)


def test_a_supernova_observed_anew_keeps_its_shape() -> None:
    rng = np.random.default_rng(2)
    time = np.repeat(np.arange(-50.0, 80.0, 3.0), 6)
    band = np.tile(np.arange(6), len(time) // 6).astype(np.int8)
    source = emitter(time, band, bump(time, WAVELENGTH_NM[band]), np.full(len(time), 30.0), 0.3)
    assert source is not None
    visits = Visits(np.repeat(np.arange(-20.0, 30.0, 4.0), 2), np.tile([2, 3], 13).astype(np.int8), np.full(26, 1.0))
    same = observe(source, 0.3, visits, rng)
    np.testing.assert_allclose(same.flux_njy, bump(same.time_d, WAVELENGTH_NM[same.band]), atol=400.0)
    # Farther away it lasts longer, is redder and fainter by the square of the distance.
    stretch = 1.4 / 1.3
    far = observe(source, 0.4, visits, rng)
    dimmer = stretch * float(luminosity_distance(0.3) / luminosity_distance(0.4)) ** 2
    wanted = dimmer * bump(far.time_d / stretch, WAVELENGTH_NM[far.band] / stretch)
    np.testing.assert_allclose(far.flux_njy, wanted, atol=400.0)
    near = redshift_for(source, source.peak_njy * 4.0)
    assert 0.1 < near < 0.3
    assert abs(redshift_for(source, source.peak_njy) - 0.3) < 0.02


def test_visits_without_knowledge_are_left_out_and_faint_curves_have_no_model() -> None:
    time = np.concatenate([np.arange(-20.0, 0.0, 2.0), np.arange(60.0, 80.0, 2.0)])
    band = np.full(20, 2, np.int8)
    source = emitter(time, band, bump(time, np.full(20, 622.0)), np.full(20, 30.0), 0.1)
    assert source is not None
    visits = Visits(np.array([-10.0, 30.0]), np.array([2, 2], np.int8), np.full(2, 1.0))
    assert observe(source, 0.1, visits, np.random.default_rng(0)).time_d.tolist() == [-10.0]
    assert emitter(time, band, np.full(20, 10.0), np.full(20, 30.0), 0.1) is None
    assert emitter(time, band, np.full(20, 1e4), np.full(20, 30.0), 0.0) is None
