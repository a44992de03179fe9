from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy_healpix import HEALPix
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import ConfigurationError
from ingest.catalogue import CatalogueInfo, CatalogueLayout, build_catalogue, nested_cell
from ingest.catalogues.opened import Positions
from ingest.crossmatch import Catalogue, CrossMatches, crossmatch, match_probability, open_catalogues

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LAYOUT = CatalogueLayout(
    ra="ra",
    dec="dec",
    version="1",
    reference="none",
    radius_arcsec=2.0,
    sigma_arcsec=0.4,
    source_id="name",
    object_type="kind",
    distance_mpc="far",
)


def build(folder: Path, ra: NDArray[np.float64], dec: NDArray[np.float64], radius_arcsec: float = 2.0) -> Catalogue:
    frame = pd.DataFrame({"ra": ra, "dec": dec, "kind": "star", "far": np.arange(len(ra)) - 1.0})
    frame["name"] = [f"s{i}" for i in range(len(ra))]
    frame.to_parquet(folder / "source.parquet")
    layout = CatalogueLayout(**{**{f: getattr(LAYOUT, f) for f in LAYOUT.__slots__}, "radius_arcsec": radius_arcsec})
    build_catalogue("toy", folder / "source.parquet", folder / "out", layout)
    return Catalogue.open(folder / "out" / "toy")


def sphere(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def near(ra: Any, dec: Any, angle_deg: Any, separation_arcsec: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    moved = SkyCoord(ra * u.deg, dec * u.deg).directional_offset_by(angle_deg * u.deg, separation_arcsec * u.arcsec)
    return np.atleast_1d(moved.ra.deg), np.atleast_1d(moved.dec.deg)


def assert_equals_astropy(
    matches: CrossMatches,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    entries: NDArray[np.float64],
    radius_arcsec: float,
) -> None:
    place, separation, _ = SkyCoord(ra * u.deg, dec * u.deg).match_to_catalog_sky(SkyCoord(*(entries * u.deg)))
    inside = separation.arcsec <= radius_arcsec
    np.testing.assert_array_equal(matches.row, np.flatnonzero(inside))
    assert matches.source_id.tolist() == [f"s{i}" for i in place[inside]]
    np.testing.assert_allclose(matches.separation_arcsec, separation.arcsec[inside], atol=1e-6)
    np.testing.assert_allclose(matches.ra_deg, entries[0][place[inside]], atol=1e-12)


def test_equals_astropy_over_the_sphere(tmp_path: Path) -> None:
    radius_arcsec = 2.0
    entries = np.repeat(sphere(300, 0), 10, axis=1)
    rng = np.random.default_rng(1)
    # Ten within 0.2 deg of each place: few cells of the sky, so few files, and yet all over it.
    entries = np.array(near(*entries, rng.uniform(0, 360, 3000), rng.uniform(0, 720, 3000)))
    ra, dec = near(entries[0], entries[1], rng.uniform(0, 360, 3000), rng.uniform(0, 2 * radius_arcsec, 3000))
    catalogue = build(tmp_path, entries[0], entries[1], radius_arcsec)
    matches = crossmatch([catalogue], ra, dec)
    assert 1000 < len(matches) < 2000
    assert_equals_astropy(matches, ra, dec, entries, radius_arcsec)


def test_equals_astropy_across_borders_corners_and_poles(tmp_path: Path) -> None:
    # One base pixel of the north, with a pole, of the equator, with the seam at 0 deg, and of the south.
    cells = np.concatenate([np.arange(64) + 64 * base for base in (0, 4, 8)])
    lon, lat = HEALPix(8, "nested").boundaries_lonlat(cells, step=3)
    edge_ra = np.concatenate([lon.deg.ravel(), [0.0, 0.0, 90.0, 360.0 - 1e-9]])
    edge_dec = np.concatenate([lat.deg.ravel(), [90.0, -90.0, 0.0, 0.0]])
    rng = np.random.default_rng(2)
    n = len(edge_ra)
    entries = np.array(near(edge_ra, edge_dec, rng.uniform(0, 360, n), rng.uniform(0, 30, n)))
    ra, dec = near(edge_ra, edge_dec, rng.uniform(0, 360, n), rng.uniform(0, 30, n))
    catalogue = build(tmp_path, entries[0], entries[1], 40.0)
    crossing = nested_cell(ra, dec) != nested_cell(entries[0], entries[1])
    assert crossing.sum() > 500
    assert_equals_astropy(crossmatch([catalogue], ra, dec), ra, dec, entries, 40.0)


@given(
    st.floats(0, 360, exclude_max=True),
    st.floats(-90, 90),
    st.floats(0, 360),
    st.floats(0.0, 1.0),
    st.sampled_from([1.5, 30.0, 3600.0]),
)
@settings(deadline=None, max_examples=100)
def test_every_probe_covers_its_circle(ra: float, dec: float, angle: float, share: float, radius: float) -> None:
    catalogue = Catalogue.__new__(Catalogue)
    catalogue.info = cast("CatalogueInfo", SimpleNamespace(order=3))
    catalogue._filled = np.ones(768, dtype=np.bool_)
    at = Positions.of(np.array([ra]), np.array([dec]))
    _, cells = catalogue._candidate_cells(at, radius)
    assert nested_cell(*near(ra, dec, angle, share * radius * 0.9997))[0] in cells


@pytest.mark.parametrize("reach", [1.5, 30.0, 100.0, 1000.0])
def test_positions_off_the_border_reach_no_other_cell(reach: float) -> None:
    catalogue = Catalogue.__new__(Catalogue)
    catalogue.info = cast("CatalogueInfo", SimpleNamespace(order=3))
    # All over the sky, and dense beside borders and at the corners of cells, where cells are least square.
    lon, lat = HEALPix(8, "nested").boundaries_lonlat(np.arange(768), step=2)
    rng = np.random.default_rng(6)
    n = lon.size * 20
    close = near(
        np.repeat(lon.deg.ravel(), 20),
        np.repeat(lat.deg.ravel(), 20),
        rng.uniform(0, 360, n),
        rng.uniform(0, 8 * reach, n),
    )
    ra, dec = (np.concatenate(both) for both in zip(close, sphere(30_000, 7), strict=True))
    at = Positions.of(ra, dec)
    inner = np.flatnonzero(~catalogue._near_border(at, reach))
    assert len(inner) > 5000
    for angle in range(0, 360, 45):
        moved = near(ra[inner], dec[inner], np.full(len(inner), float(angle)), np.full(len(inner), reach))
        assert (nested_cell(*moved) == at.cell(3)[inner]).all()


def test_the_nearest_wins_and_the_radius_holds(tmp_path: Path) -> None:
    entry_ra, entry_dec = near(np.full(2, 10.0), np.full(2, 20.0), np.array([0.0, 90.0]), np.array([1.0, 0.5]))
    catalogue = build(tmp_path, entry_ra, entry_dec)
    ra, dec = near(np.full(2, 10.0), np.full(2, 20.0), np.array([0.0, 180.0]), np.array([0.0, 2.1]))
    matches = crossmatch([catalogue], ra, dec)
    assert matches.row.tolist() == [0]
    assert matches.source_id.tolist() == ["s1"]
    assert matches.separation_arcsec[0] == pytest.approx(0.5, abs=1e-6)
    assert matches.catalogue.tolist() == ["toy"]


def test_impossible_positions_match_nothing(tmp_path: Path) -> None:
    catalogue = build(tmp_path, np.array([10.0, 0.0]), np.array([20.0, 0.0]))
    ra = np.array([np.nan, 10.0, np.inf, 10.0, 10.0, 370.0, -350.0])
    dec = np.array([20.0, np.nan, 0.0, 91.0, 20.0, 20.0, 20.0])
    assert crossmatch([catalogue], ra, dec).row.tolist() == [4, 5, 6]
    assert len(crossmatch([catalogue], np.empty(0), np.empty(0))) == 0
    nothing = crossmatch([], ra, dec)
    assert len(nothing) == 0
    assert nothing.source_id.dtype == object


def test_several_catalogues_in_order_of_rows(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = build(tmp_path / "a", np.array([10.0, 50.0]), np.array([0.0, 0.0]))
    two = build(tmp_path / "b", np.array([50.0, 10.0]), np.array([0.0, 0.0]))
    matches = crossmatch([one, two], np.array([50.0, 10.0]), np.zeros(2))
    assert matches.row.tolist() == [0, 0, 1, 1]
    assert matches.source_id.tolist() == ["s1", "s0", "s0", "s1"]
    # Distances that are not positive are absent.
    assert np.isnan(matches.distance_mpc[[1, 2]]).all()


def test_only_the_needed_cells_are_read(tmp_path: Path) -> None:
    ra, dec = sphere(500, 3)
    catalogue = build(tmp_path, ra, dec)
    crossmatch([catalogue], ra[:3], dec[:3])
    assert 1 <= len(catalogue._loaded) <= 6
    assert Catalogue.open(tmp_path / "out" / "toy") is catalogue


def test_probability_is_that_of_simulated_skies() -> None:
    # Dense field, large errors: half of the positions have an entry, the others only meet strangers.
    rng = np.random.default_rng(0)
    n, density_deg2, sigma, radius = 200_000, 50_000.0, 1.0, 5.0
    real = rng.random(n) < 0.5
    true_separation = rng.rayleigh(sigma, n)
    # Nearest stranger of a Poisson field: area to it is exponential.
    stranger = np.sqrt(rng.exponential(1.0, n) / np.pi / density_deg2) * 3600.0
    separation = np.where(real, np.minimum(true_separation, stranger), stranger)
    is_match = real & (true_separation < stranger)
    kept = separation < radius
    stated = match_probability(separation, np.full(n, sigma), np.full(n, density_deg2), 0.5)
    checked = 0
    for low in np.arange(0.0, 1.0, 0.1):
        inside = kept & (stated >= low) & (stated < low + 0.1)
        if inside.sum() > 500:
            checked += 1
            assert is_match[inside].mean() == pytest.approx(stated[inside].mean(), abs=4 * 0.5 / np.sqrt(inside.sum()))
    assert checked >= 3


def test_probability_in_closed_form() -> None:
    sigma = 0.5 * np.pi / 180 / 3600
    n_sky = 3.0 * 41252.96125
    near_enough = np.exp(-0.5 * (0.7 / 0.5) ** 2)
    odds = 2 / sigma**2 * near_enough * 0.1 / n_sky / (0.9 + 0.1 * near_enough)
    expected = odds / (1 + odds)
    stated = match_probability(np.array([0.7]), np.array([0.5]), np.array([3.0]), 0.1)
    np.testing.assert_allclose(stated, expected, rtol=1e-9)
    far = match_probability(np.array([0.0, 1.0, 5.0, 3600.0]), np.full(4, 0.5), np.full(4, 3.0), 0.1)
    assert (np.diff(far) < 0).all()
    assert far[-1] < 1e-200


def test_a_catalogue_is_built_the_same_twice(tmp_path: Path) -> None:
    ra, dec = sphere(300, 4)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        build(tmp_path / name, ra, dec)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a" / "out").rglob("*.*"))
    assert len(files) > 100
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_formats_names_and_sexagesimal_positions(tmp_path: Path) -> None:
    lines = [
        "n, ra ,dec,z",
        '1,"00 01 16.37","-00 35 34.0",0.1',
        '2,"23 59 59.9","+29 35 34",-1',
        '3,"","+29 35 34",0.2',
        '4,"abc","x",0.2',
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    layout = CatalogueLayout(
        ra="ra", dec="dec", version="1", reference="r", radius_arcsec=2, sigma_arcsec=1, redshift="z", sexagesimal=True
    )
    info = build_catalogue("csv", tmp_path / "t.csv", tmp_path / "out", layout)
    assert (info.n, info.n_dropped) == (2, 2)
    want = SkyCoord(["00 01 16.37", "23 59 59.9"], ["-00 35 34.0", "+29 35 34"], unit=("hourangle", "deg"))
    matches = crossmatch(open_catalogues(tmp_path / "out"), want.ra.deg, want.dec.deg)
    assert matches.row.tolist() == [0, 1]
    np.testing.assert_allclose(matches.separation_arcsec, 0.0, atol=1e-4)
    np.testing.assert_allclose(matches.redshift, [0.1, np.nan])
    assert matches.source_id[0] == "csv J000.318208-00.592778"
    table = Table(
        {"ra": [10.0, np.nan], "dec": [5.0, 5.0], "kind": [b"RR  ", b"EB"], "name": ["x", "y"], "far": [1.0, 2.0]}
    )
    table.write(tmp_path / "t.fits")
    assert build_catalogue("fits", tmp_path / "t.fits", tmp_path / "out", LAYOUT).n == 1
    found = crossmatch([Catalogue.open(tmp_path / "out" / "fits")], np.array([10.0]), np.array([5.0]))
    assert (found.object_type[0], found.source_id[0], found.distance_mpc[0]) == ("RR", "x", 1.0)


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "t.txt").write_text("x")
    (tmp_path / "t.parquet").write_bytes(b"x")
    (tmp_path / "t.fits").write_bytes(b"x")
    for name, layout in (
        ("t.csv", LAYOUT),
        ("t.txt", LAYOUT),
        ("t.parquet", LAYOUT),
        ("t.fits", LAYOUT),
        ("no.csv", None),
    ):
        with pytest.raises(ConfigurationError):
            build_catalogue("toy", tmp_path / name, tmp_path / "out", layout)
    with pytest.raises(ConfigurationError):
        build_catalogue("../gcvs", tmp_path / "t.csv", tmp_path / "out", LAYOUT)
    with pytest.raises(ConfigurationError, match="complete"):
        Catalogue.open(tmp_path / "out")
    assert open_catalogues(tmp_path / "absent") == open_catalogues(None) == ()
    catalogue = build(tmp_path, np.array([1.0]), np.array([1.0]))
    with pytest.raises(ConfigurationError, match="already"):
        build_catalogue("toy", tmp_path / "source.parquet", tmp_path / "out", LAYOUT)
    next((tmp_path / "out" / "toy").rglob("part.parquet")).write_bytes(b"cut")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        crossmatch([catalogue], np.array([1.0]), np.array([1.0]))


def test_labelled_variables_are_found_in_gcvs(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "alerts" / "catalogues" / "gcvs.parquet"
    build_catalogue("gcvs", source, tmp_path)
    labels = pd.read_csv(shared_data / "alerts" / "labels" / "ztf_alert_object_labels_dev.csv")
    labels = labels[labels["gcvs_type"].notna()]
    catalogue = Catalogue.open(tmp_path / "gcvs")
    ra, dec = labels["ra"].to_numpy(), labels["dec"].to_numpy()
    matches = crossmatch([catalogue], ra, dec)
    assert len(labels) > 20
    assert len(matches) >= 0.9 * len(labels)
    stated = labels["gcvs_type"].astype(str).str.strip().to_numpy()[matches.row]
    assert (stated == matches.object_type).mean() > 0.9
    assert np.median(matches.probability) > 0.99
    # The same objects a minute of arc away are not there.
    assert len(crossmatch([catalogue], ra, dec + 1 / 60)) <= 0.02 * len(labels)
