from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import Distance, SkyCoord
from astropy.time import Time

from graph.times import mjd_tai_to_julian_year
from ingest.catalogue import CatalogueLayout, build_catalogue
from ingest.catalogues import opened
from ingest.catalogues.layouts import Column
from ingest.catalogues.motion import moved_vectors, separations_arcsec
from ingest.crossmatch import Catalogue, crossmatch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LAYOUT = CatalogueLayout(
    ra="ra",
    dec="dec",
    version="1",
    reference="none",
    radius_arcsec=1.5,
    sigma_arcsec=0.05,
    epoch=2016.0,
    source_id="name",
    numbers={
        "pm_ra_masyr": Column(("pmra",)),
        "pm_dec_masyr": Column(("pmdec",)),
        "pm_ra_error_masyr": Column(("pm_error",)),
        "parallax_mas": Column(("parallax",)),
    },
)


def stars(folder: Path, order: int = 3, **columns: Any) -> Catalogue:
    frame = pd.DataFrame(columns)
    frame["name"] = [f"s{i}" for i in range(len(frame))]
    frame.to_parquet(folder / "stars.parquet")
    layout = CatalogueLayout(**{**{f: getattr(LAYOUT, f) for f in LAYOUT.__slots__}, "order": order})
    build_catalogue("stars", folder / "stars.parquet", folder / "out", layout)
    return Catalogue.open(folder / "out" / "stars")


def mjd_tai(jyear: float) -> float:
    return float(Time(jyear, format="jyear", scale="tai").mjd)


def moved(columns: dict[str, NDArray[np.float64]], years: float) -> SkyCoord:
    start = SkyCoord(
        columns["ra"] * u.deg,
        columns["dec"] * u.deg,
        pm_ra_cosdec=columns["pmra"] * u.mas / u.yr,
        pm_dec=columns["pmdec"] * u.mas / u.yr,
        distance=Distance(parallax=np.full(len(columns["ra"]), 300.0) * u.mas),
        radial_velocity=np.zeros(len(columns["ra"])) * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    return start.apply_space_motion(dt=years * u.yr)


@pytest.mark.parametrize("years", [-30.0, 0.0, 10.0])
def test_motion_equals_astropy(years: float) -> None:
    rng = np.random.default_rng(4)
    n = 500
    columns = {
        "ra": np.append(rng.uniform(0, 360, n), [0.0, 0.0, 359.9999]),
        "dec": np.append(np.degrees(np.arcsin(rng.uniform(-1, 1, n))), [89.999, -89.999, 0.0]),
        "pmra": rng.uniform(-7e3, 7e3, n + 3),
        "pmdec": rng.uniform(-7e3, 7e3, n + 3),
    }
    found = moved_vectors(columns["ra"], columns["dec"], columns["pmra"], columns["pmdec"], np.full(n + 3, years))
    at = np.array(moved(columns, years).represent_as("unitspherical").to_cartesian().xyz.value).T
    assert separations_arcsec(found, at).max() < 1e-3


def test_julian_years_equal_astropy() -> None:
    mjd = np.array([40000.0, 51544.5, 60000.25, 61000.0])
    np.testing.assert_allclose(mjd_tai_to_julian_year(mjd), Time(mjd, format="mjd", scale="tai").tt.jyear, atol=2e-6)


def test_barnards_star_is_found_after_ten_years_and_only_then(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"ra": [269.448503], "dec": [4.739420], "pmra": [-801.551], "pmdec": [10362.394]}
    arrays = {name: np.array(value) for name, value in columns.items()}
    catalogue = stars(tmp_path, **columns)
    assert list(catalogue.info.fastest_masyr.values()) == [pytest.approx(10393.3, abs=0.1)]
    later = moved(arrays, 10.0)
    ra, dec = np.atleast_1d(later.ra.deg), np.atleast_1d(later.dec.deg)
    found = crossmatch([catalogue], ra, dec, midpoint_mjd_tai=mjd_tai(2026.0))
    assert found.source_id.tolist() == ["s0"]
    assert found.separation_arcsec[0] < 1e-3
    assert (found.ra_deg[0], found.dec_deg[0]) == (269.448503, 4.739420)
    assert found.pm_masyr[0] == pytest.approx(10393.3, abs=0.1)
    assert found.probability[0] > 0.99
    assert len(crossmatch([catalogue], ra, dec)) == 0
    assert len(crossmatch([catalogue], ra, dec, midpoint_mjd_tai=mjd_tai(2025.8))) == 0
    assert len(crossmatch([catalogue], ra, dec, midpoint_mjd_tai=1.5e9)) == 0
    assert len(crossmatch([catalogue], arrays["ra"], arrays["dec"], midpoint_mjd_tai=np.array([np.nan]))) == 1


@pytest.mark.parametrize("order", [1, 5])
def test_moving_fields_equal_a_full_search(tmp_path: Path, order: int) -> None:
    rng = np.random.default_rng(order)
    n = 4000
    # Around a corner of cells, with motions from nothing to 5 arcsec a year.
    columns = {
        "ra": rng.uniform(44.8, 45.2, n) % 360.0,
        "dec": rng.uniform(-0.2, 0.2, n),
        "pmra": rng.normal(0, 1, n) * 10.0 ** rng.uniform(-1, 3.5, n),
        "pmdec": rng.normal(0, 1, n) * 10.0 ** rng.uniform(-1, 3.5, n),
    }
    columns["pmra"][::7] = columns["pmdec"][::7] = np.nan
    columns["pmra"][1::7] = columns["pmdec"][1::7] = 0.0
    catalogue = stars(tmp_path, order, **columns)
    solid = {name: np.nan_to_num(values) for name, values in columns.items()}
    years = np.where(np.arange(n) % 2, 10.0, -16.0)
    early, late = moved(solid, -16.0), moved(solid, 10.0)
    at_ra = np.where(years > 0, late.ra.deg, early.ra.deg)
    at_dec = np.where(years > 0, late.dec.deg, early.dec.deg) + 0.4 / 3600.0
    mjd = np.where(years > 0, mjd_tai(2026.0), mjd_tai(2000.0))
    found = crossmatch([catalogue], at_ra, at_dec, midpoint_mjd_tai=mjd)
    for positive, sky in ((True, late), (False, early)):
        mine = np.flatnonzero((years > 0) == positive)
        place, separation, _ = SkyCoord(at_ra[mine] * u.deg, at_dec[mine] * u.deg).match_to_catalog_sky(sky)
        rows = np.isin(found.row, mine)
        assert (found.row[rows] == mine).all()
        assert found.source_id[rows].tolist() == [f"s{i}" for i in place]
        np.testing.assert_allclose(found.separation_arcsec[rows], separation.arcsec, atol=2e-3)


def test_errors_of_motion_and_parallax_widen_the_match(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"ra": [10.0, 20.0, 30.0], "dec": [0.0] * 3, "pmra": [100.0] * 3, "pmdec": [0.0] * 3}
    catalogue = stars(tmp_path, **columns, pm_error=[0.0, 50.0, 0.0], parallax=[0.0, 0.0, 700.0])
    ra = np.array(columns["ra"]) + (1.0 + 0.7) / 3600.0
    found = crossmatch([catalogue], ra, np.zeros(3), midpoint_mjd_tai=mjd_tai(2026.0), sigma_arcsec=0.1)
    np.testing.assert_allclose(found.separation_arcsec, 0.7, atol=1e-4)
    for row, extra in enumerate((0.0, 0.5, 0.7 / np.sqrt(2))):
        variance = 0.1**2 + 0.05**2 + extra**2
        want = np.log(2 / variance * (180 / np.pi * 3600) ** 2) - 0.7**2 / 2 / variance
        assert found.log_bayes_factor[row] == pytest.approx(want, abs=1e-2)
    assert found.probability[0] < found.probability[1] < 1.0


def test_each_position_has_its_own_error(tmp_path: Path) -> None:
    catalogue = stars(tmp_path, ra=[10.0, 20.0, 30.0], dec=[0.0] * 3)
    ra = np.array([10.0, 20.0, 30.0]) + 1.0 / 3600.0
    both = crossmatch([catalogue], ra, np.zeros(3), sigma_arcsec=np.array([0.1, 0.5, np.nan]))
    one_by_one = [
        crossmatch([catalogue], ra[[i]], np.zeros(1), sigma_arcsec=sigma) for i, sigma in enumerate((0.1, 0.5, 0.3))
    ]
    np.testing.assert_allclose(both.probability, [found.probability[0] for found in one_by_one])
    assert both.log_bayes_factor[0] < both.log_bayes_factor[1]


def test_the_cells_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    catalogue = stars(tmp_path, 1, ra=ra, dec=dec)
    monkeypatch.setattr(opened, "ROWS_IN_MEMORY", 200)
    monkeypatch.setattr("ingest.catalogues.cells.UNPACKED_ROWS", 0)
    for _ in range(2):
        found = crossmatch([catalogue], ra, dec)
        assert (found.row == np.arange(3000)).all()
        assert found.source_id.tolist() == [f"s{i}" for i in range(3000)]
    assert sum(len(cell.numbers) for cell in catalogue._loaded.values()) <= 200
