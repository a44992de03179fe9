"""Levels and densities in space against brute force over all voxels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.cell_index import CellIndex
from graph.errors import SkyMapError
from graph.sky import SKY_SR, SkyMap, ang2pix, cell_centres
from graph.volume import (
    N_SHELLS,
    VolumeRanking,
    has_distances,
    line_of_sight_density_mpc3,
    mean_distance_mpc,
)
from ingest.notices.skymap_fits import read_skymap

ORDER = 1
N_CELLS = 12 * 4**ORDER


def norm_of(mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return N by a fine sum: the integral of p(r) over r is 1."""
    r = np.linspace(0.0, float(np.max(mu + 12 * sigma)), 200_001)
    weight = np.exp(-0.5 * ((r - mu[:, None]) / sigma[:, None]) ** 2) * r**2 / (np.sqrt(2 * np.pi) * sigma[:, None])
    return 1.0 / (weight.sum(axis=1) * (r[1] - r[0]))


@cache
def build_map(seed: int) -> SkyMap:
    rng = np.random.default_rng(seed)
    width = 4 ** (29 - ORDER)
    cells = np.arange(N_CELLS, dtype=np.int64)
    density = rng.exponential(1.0, N_CELLS)
    mu, sigma = rng.uniform(80.0, 160.0, N_CELLS), rng.uniform(10.0, 40.0, N_CELLS)
    return SkyMap(
        cells * width,
        (cells + 1) * width,
        density / density.mean() / SKY_SR,
        mu,
        sigma,
        norm_of(mu, sigma),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_levels_are_the_probability_of_all_denser_voxels(seed: int) -> None:
    skymap = build_map(seed)
    ranking = VolumeRanking(skymap)
    mu, sigma, norm = skymap.distance_mu_mpc, skymap.distance_sigma_mpc, skymap.distance_norm_mpc2
    assert mu is not None
    assert sigma is not None
    assert norm is not None
    step = ranking.shell_mpc
    # Loop over shells, unlike the code: the density and the exact volume of each voxel.
    density = np.empty((N_CELLS, N_SHELLS))
    volume = np.empty((N_CELLS, N_SHELLS))
    for shell in range(N_SHELLS):
        r = (shell + 1) * step
        line = norm / (np.sqrt(2 * np.pi) * sigma) * np.exp(-((r - mu) ** 2) / (2 * sigma**2))
        density[:, shell] = skymap.probability_density_sr * line
        volume[:, shell] = ((r + step / 2) ** 3 - (r - step / 2) ** 3) / 3 * (SKY_SR / N_CELLS)
    assert np.sum(density * volume) == pytest.approx(1.0, abs=1e-5)
    rng = np.random.default_rng(seed)
    cells, shells = rng.integers(0, N_CELLS, 40), rng.integers(0, N_SHELLS, 40)
    ra, dec = cell_centres(ORDER, cells)
    found = ranking.credible_level(ang2pix(ra, dec), (shells + 1.0) * step)
    for cell, shell, level in zip(cells, shells, found, strict=True):
        denser = density >= density[cell, shell] * (1 - 1e-13)
        assert level == pytest.approx(min(np.sum((density * volume)[denser]), 1.0), abs=1e-9)
    here = ranking.density_mpc3(ang2pix(ra, dec), (shells + 1.0) * step)
    assert here == pytest.approx(density[cells, shells], rel=1e-12)


def test_the_mean_distance_is_that_of_the_distribution() -> None:
    skymap = build_map(5)
    mu, sigma, norm = skymap.distance_mu_mpc, skymap.distance_sigma_mpc, skymap.distance_norm_mpc2
    assert mu is not None
    assert sigma is not None
    assert norm is not None
    r = np.linspace(0.0, 800.0, 100_001)
    line = norm[:, None] * np.exp(-0.5 * ((r - mu[:, None]) / sigma[:, None]) ** 2) * r**2
    mean = (line * r).sum(axis=1) * (r[1] - r[0]) / (np.sqrt(2 * np.pi) * sigma)
    expected = float(np.dot(mean, skymap.probability_density_sr * skymap.cell_sr))
    assert mean_distance_mpc(skymap) == pytest.approx(expected, rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.floats(1.0, 400.0), st.floats(0.1, 50.0), st.integers(0, N_CELLS - 1))
def test_the_error_of_a_measured_distance_is_folded_in(distance: float, error: float, cell: int) -> None:
    skymap = build_map(7)
    ra, dec = cell_centres(ORDER, np.array([cell]))
    pixel = ang2pix(ra, dec)
    found = line_of_sight_density_mpc3(skymap, pixel, np.array([distance]), np.array([error]))[0]
    true = np.linspace(distance - 9 * error, distance + 9 * error, 4_001)
    sharp = line_of_sight_density_mpc3(skymap, np.repeat(pixel, len(true)), true, np.zeros(len(true)))
    weight = np.exp(-0.5 * ((true - distance) / error) ** 2) / (np.sqrt(2 * np.pi) * error)
    assert found == pytest.approx(float(np.sum(sharp * weight) * (true[1] - true[0])), rel=1e-6)


def test_places_without_a_voxel_have_level_1_and_no_density() -> None:
    half = build_map(9)
    skymap = SkyMap(
        half.start[:24],
        half.stop[:24],
        half.probability_density_sr[:24] / np.dot(half.probability_density_sr[:24], half.cell_sr[:24]),
        *(layer[:24] for layer in (half.distance_mu_mpc, half.distance_sigma_mpc, half.distance_norm_mpc2)),  # type: ignore[index]
    )
    ranking = VolumeRanking(skymap)
    outside = np.array([half.start[40], -1, half.start[3], half.start[3], half.start[3]])
    distance = np.array([100.0, 100.0, -5.0, np.nan, 1e9])
    assert CellIndex(skymap.start, skymap.stop).find(outside).tolist() == [-1, -1, 3, 3, 3]
    assert ranking.credible_level(outside, distance).tolist() == [1.0] * 5
    assert ranking.density_mpc3(outside, distance)[:2].tolist() == [0.0, 0.0]
    assert np.isnan(line_of_sight_density_mpc3(skymap, outside[:2], distance[:2], np.ones(2))).all()


def test_a_map_without_distances_is_refused() -> None:
    full = build_map(1)
    flat = SkyMap(full.start, full.stop, full.probability_density_sr)
    assert not has_distances(flat)
    for ask in (VolumeRanking, mean_distance_mpc):
        with pytest.raises(SkyMapError, match="no distances"):
            ask(flat)


def test_a_line_of_sight_without_a_distance_says_nothing() -> None:
    full = build_map(1)
    assert full.distance_mu_mpc is not None
    mu = full.distance_mu_mpc.copy()
    mu[0] = np.inf
    holed = SkyMap(
        full.start, full.stop, full.probability_density_sr, mu, full.distance_sigma_mpc, full.distance_norm_mpc2
    )
    density = line_of_sight_density_mpc3(holed, full.start[:2], np.full(2, 100.0), np.full(2, 5.0))
    assert np.isnan(density[0])
    assert density[1] > 0.0


def test_the_distance_of_gw170817_is_that_of_ngc_4993(shared_data: Path) -> None:
    folder = shared_data / "notices" / "skymaps"
    skymap = read_skymap((folder / "GW170817_HLV_relabelled_MS181101ab.multiorder.fits").read_bytes())
    # The header of the published map states a mean of 39.8 Mpc.
    assert mean_distance_mpc(skymap) == pytest.approx(39.77, abs=0.05)
    pixel = np.repeat(ang2pix(197.4504, -23.3815), 3)
    near, right, far = line_of_sight_density_mpc3(skymap, pixel, np.array([10.0, 40.0, 120.0]), np.full(3, 4.0))
    assert right > 5.0 * near
    assert right > 1e6 * far
