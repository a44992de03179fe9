from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad  # type: ignore[import-untyped, unused-ignore]
from scipy.stats import kstest  # type: ignore[import-untyped, unused-ignore]

from ingest.catalogue import CatalogueLayout, build_catalogue, nested_cell
from ingest.catalogues.counts import (
    chance_probability,
    differential_density_arcsec2,
    faint_density_arcsec2,
    galaxy_density_arcsec2,
    r_magnitude,
)
from ingest.crossmatch import Catalogue, crossmatch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH_DEG = 2.0
LAYOUT = CatalogueLayout(
    ra="ra", dec="dec", version="1", reference="none", radius_arcsec=40.0, sigma_arcsec=0.5, source_id="name"
)


def field(folder: Path, n: int, layout: CatalogueLayout = LAYOUT, **columns: NDArray[np.float64]) -> Catalogue:
    rng = np.random.default_rng(n)
    low, high = (float(np.sin(np.radians(dec))) for dec in (30.0, 30.0 + WIDTH_DEG))
    frame = pd.DataFrame(
        {
            "ra": rng.uniform(100.0, 100.0 + WIDTH_DEG, n),
            "dec": np.degrees(np.arcsin(rng.uniform(low, high, n))),
            "name": np.arange(n).astype(str),
            **columns,
        }
    )
    frame.to_parquet(folder / "field.parquet")
    build_catalogue("field", folder / "field.parquet", folder / "out", layout)
    return Catalogue.open(folder / "out" / "field")


def inside(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Off the edge, where the parts of a cell from which densities are counted are not full.
    low, high = 0.5, WIDTH_DEG - 0.5
    return 100.0 + rng.uniform(low, high, n), 30.0 + rng.uniform(low, high, n)


def test_chance_is_uniform_on_random_positions(tmp_path: Path) -> None:
    # 30 entries in each circle, so that every position has a nearest one.
    area = 4.0 * np.cos(np.radians(31.0)) * 3600.0**2
    catalogue = field(tmp_path, round(30 / (np.pi * 40.0**2) * area))
    found = crossmatch([catalogue], *inside(np.random.default_rng(1), 3000))
    assert len(found) == 3000
    assert kstest(found.p_chance, "uniform").pvalue > 0.01
    # And no such match passes for true.
    assert (found.probability > 0.9).mean() < 0.01


def test_density_follows_the_field(tmp_path: Path) -> None:
    # A cluster of a thousand times the density of what surrounds it, in the same cell.
    rng = np.random.default_rng(2)
    n = 20_000
    ra = np.concatenate([rng.uniform(100, 102, n), rng.uniform(101.0, 101.05, n)])
    dec = np.concatenate([rng.uniform(30, 32, n), rng.uniform(31.0, 31.05, n)])
    frame = pd.DataFrame({"ra": ra, "dec": dec, "name": np.arange(2 * n).astype(str)})
    frame.to_parquet(tmp_path / "field.parquet")
    build_catalogue("field", tmp_path / "field.parquet", tmp_path / "out", LAYOUT)
    catalogue = Catalogue.open(tmp_path / "out" / "field")
    found = crossmatch([catalogue], np.array([100.4, 101.025]), np.array([30.4, 31.025]))
    sparse, dense = -np.log1p(-found.p_chance) / np.pi / found.separation_arcsec**2 * 3600.0**2
    assert sparse == pytest.approx(n / 4 / np.cos(np.radians(31.0)), rel=0.3)
    assert dense > 10 * sparse


def test_probabilities_of_true_matches_and_strangers_are_calibrated(tmp_path: Path) -> None:
    # Dense and blurred, so that strangers are often nearest; positions with errors of their own.
    rng = np.random.default_rng(3)
    catalogue = field(tmp_path, 200_000)
    table = pd.read_parquet(tmp_path / "field.parquet")
    n = 30_000
    sigma = rng.uniform(0.5, 3.0, n)
    real = rng.random(n) < 0.4
    ra, dec = inside(rng, n)
    middle = np.flatnonzero((np.abs(table["ra"] - 101.0) < 0.5) & (np.abs(table["dec"] - 31.0) < 0.5))
    chosen = rng.choice(middle, n)
    total = np.hypot(sigma, 0.5)
    ra = np.where(real, table["ra"].to_numpy()[chosen] + rng.normal(0, total) / 3600 / np.cos(np.radians(31.0)), ra)
    dec = np.where(real, table["dec"].to_numpy()[chosen] + rng.normal(0, total) / 3600, dec)
    found = crossmatch([catalogue], ra, dec, sigma_arcsec=sigma, prior_matched=0.4)
    true = real[found.row] & (np.abs(found.ra_deg - table["ra"].to_numpy()[chosen[found.row]]) < 1e-9)
    checked = 0
    for low in np.arange(0.0, 1.0, 0.1):
        some = (found.probability >= low) & (found.probability < low + 0.1)
        if some.sum() > 400:
            checked += 1
            # Four standard errors, and two percent for what this toy sky flattens.
            tolerance = 2.0 / np.sqrt(some.sum()) + 0.02
            assert true[some].mean() == pytest.approx(found.probability[some].mean(), abs=tolerance)
    assert checked >= 6


def test_counts_of_galaxies_agree_with_those_of_others() -> None:
    # Beckwith et al. 2006 as Berger 2010, doi:10.1088/0004-637X/722/2/1946, writes them.
    r = np.array([21.0, 22.0, 24.0, 26.0])
    berger = 10.0 ** (0.33 * (r - 24.0) - 2.44) / (0.33 * np.log(10.0))
    np.testing.assert_allclose(galaxy_density_arcsec2(r), berger, rtol=0.1)
    # SDSS's main sample: 90 galaxies in a square degree, of which the faint law makes 480.
    assert galaxy_density_arcsec2(np.array([17.77]))[0] * 3600**2 == pytest.approx(90.0)
    assert faint_density_arcsec2(np.array([17.77]))[0] * 3600**2 > 400.0


def test_the_slope_of_the_counts_is_their_derivative() -> None:
    for low, high in ((14.0, 18.0), (19.0, 22.0), (23.0, 25.0)):
        total, _ = quad(lambda m: float(differential_density_arcsec2(np.array([m]))[0]), low, high, points=[20.58])
        bounds = galaxy_density_arcsec2(np.array([low, high]))
        assert total == pytest.approx(bounds[1] - bounds[0], rel=1e-3)


def test_chance_of_a_galaxy_by_hand() -> None:
    # Bloom's law by hand: m = 24 has 10^(0.334 * 1.037 + 4.320) / (0.334 ln 10) = 60,300 deg^-2, 4.65e-3 arcsec^-2;
    # within 2 arcsec 0.0585 of them are expected.
    density = galaxy_density_arcsec2(np.array([24.0]))
    np.testing.assert_allclose(density, 4.65e-3, rtol=2e-3)
    np.testing.assert_allclose(chance_probability(np.array([2.0]), density), 1.0 - np.exp(-0.0585), rtol=2e-3)
    assert chance_probability(np.array([0.0, np.nan]), np.array([1.0, 1.0]))[0] == 0.0


def test_bands_are_brought_to_r() -> None:
    magnitude = r_magnitude(np.array([15.0, 12.0, 14.0, np.nan]), np.array(["B", "K", "r", "B"], dtype=object))
    np.testing.assert_allclose(magnitude, [14.0, 14.8, 14.0, np.nan])
    assert len(r_magnitude(np.empty(0), np.empty(0, dtype=object))) == 0


def test_galaxies_with_a_magnitude_are_judged_by_counts(tmp_path: Path) -> None:
    layout = CatalogueLayout(
        **{
            **{f: getattr(LAYOUT, f) for f in LAYOUT.__slots__},
            "galaxy_types": ("*",),
            "magnitudes": (("r", ("mag",)),),
        }
    )
    catalogue = field(tmp_path, 3, layout, mag=np.array([15.0, 19.0, np.nan]))
    table = pd.read_parquet(tmp_path / "field.parquet")
    found = crossmatch([catalogue], table["ra"].to_numpy(), table["dec"].to_numpy() + 5.0 / 3600.0)
    bright, faint = galaxy_density_arcsec2(np.array([15.0, 19.0]))
    np.testing.assert_allclose(found.p_chance[:2], -np.expm1(-np.pi * 25.0 * np.array([bright, faint])), rtol=1e-4)
    # So few are counted in the whole cell of 54 square degrees.
    cells = nested_cell(table["ra"].to_numpy(), table["dec"].to_numpy())
    there = (cells == cells[2]).sum()
    np.testing.assert_allclose(found.p_chance[2], np.pi * 25.0 * there / (53.7 * 3600**2), rtol=1e-2)
