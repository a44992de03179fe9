"""Sky maps from FITS, against astropy and against the figures of the recorded maps."""

from __future__ import annotations

import contextlib
import gzip
import io
import resource
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix, nside_to_pixel_area
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import HeliographError, MalformedPacketError, SkyMapError
from graph.regions import region_of
from graph.sky import MAX_ORDER
from ingest.notices import fits_table
from ingest.notices.skymap_fits import read_skymap

if TYPE_CHECKING:
    from pathlib import Path

NSIDE = 8
DEG2_PER_SR = (180.0 / np.pi) ** 2


def to_bytes(columns: list[Any], **cards: object) -> bytes:
    table = fits.BinTableHDU.from_columns(columns)
    for key, value in cards.items():
        table.header[key] = value
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return buffer.getvalue()


def probabilities(seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    p = np.random.default_rng(seed).random(12 * NSIDE**2)
    return np.asarray(p / p.sum())


def at_pixels(payload: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the probability of each NESTED pixel as the reader's map gives it."""
    skymap = read_skymap(payload)
    first = np.arange(12 * NSIDE**2) << (2 * (MAX_ORDER - 3))
    cell = np.searchsorted(skymap.start, first, side="right") - 1
    return np.asarray(skymap.probability_density_sr[cell] * nside_to_pixel_area(NSIDE).value)


@pytest.mark.parametrize("form", ["D", "E"])
@pytest.mark.parametrize("name", ["PROB", "PROBABILITY"])
@pytest.mark.parametrize("compress", [False, True])
def test_nested_map(form: str, name: str, compress: bool) -> None:
    p = probabilities()
    payload = to_bytes([fits.Column(name, form, unit="pix-1", array=p)], NSIDE=NSIDE, ORDERING="NESTED")
    payload = gzip.compress(payload) if compress else payload
    np.testing.assert_allclose(at_pixels(payload), p, rtol=1e-6)


def test_ring_map_in_wide_rows_equals_nested() -> None:
    p = probabilities()
    ring = HEALPix(NSIDE, "nested").nested_to_ring(np.arange(len(p)))
    in_ring = np.empty_like(p)
    in_ring[ring] = p
    column = fits.Column("PROBABILITY", "64E", array=in_ring.reshape(-1, 64))
    np.testing.assert_allclose(at_pixels(to_bytes([column], NSIDE=NSIDE, ORDERING="RING")), p, rtol=1e-6)


@pytest.mark.parametrize(("unit", "factor"), [("sr-1", 1.0), ("deg-2", 1.0 / DEG2_PER_SR), ("1/deg^2", 7.0)])
def test_multi_order_density_in_any_unit(unit: str, factor: float) -> None:
    p = probabilities()
    density = p / nside_to_pixel_area(NSIDE).value * factor
    shuffled = np.random.default_rng(2).permutation(len(p))
    columns = [
        fits.Column("UNIQ", "K", array=(4 * NSIDE**2 + np.arange(len(p)))[shuffled]),
        fits.Column("PROBDENSITY", "D", unit=unit, array=density[shuffled]),
    ]
    np.testing.assert_allclose(at_pixels(to_bytes(columns, ORDERING="NUNIQ")), p, rtol=1e-12)


def test_distances_and_merging_of_equal_neighbours() -> None:
    p = np.zeros(12 * NSIDE**2)
    p[5:7] = 0.5
    columns = [fits.Column("PROB", "D", array=p)] + [
        fits.Column(name, "D", array=np.full(len(p), value))
        for name, value in (("DISTMU", 40.0), ("DISTSIGMA", 8.0), ("DISTNORM", 6e-4))
    ]
    skymap = read_skymap(to_bytes(columns, NSIDE=NSIDE, ORDERING="NESTED"))
    assert len(skymap) == 3
    assert skymap.distance_mu_mpc is not None
    assert set(skymap.distance_mu_mpc) == {40.0}


def test_unseen_and_nan_are_gaps_and_totals_are_normalised() -> None:
    p = probabilities() * 977.8
    p[3], p[4] = np.nan, -1.6375e30
    skymap = read_skymap(to_bytes([fits.Column("PROB", "D", array=p)], NSIDE=NSIDE, ORDERING="NESTED"))
    assert float(np.dot(skymap.probability_density_sr, skymap.cell_sr)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("array", "cards"),
    [
        (-probabilities(), {"NSIDE": NSIDE, "ORDERING": "NESTED"}),
        (probabilities() * 0.0, {"NSIDE": NSIDE, "ORDERING": "NESTED"}),
        (probabilities(), {"NSIDE": NSIDE}),
        (probabilities(), {"NSIDE": 7, "ORDERING": "NESTED"}),
        (probabilities(), {"NSIDE": 16, "ORDERING": "NESTED"}),
        (probabilities(), {"NSIDE": NSIDE, "ORDERING": "NESTED", "COORDSYS": "G"}),
    ],
)
def test_what_is_no_probability_map_is_refused(array: Any, cards: dict[str, object]) -> None:
    with pytest.raises(SkyMapError):
        read_skymap(to_bytes([fits.Column("PROB", "D", array=array)], **cards))


def test_overlapping_cells_are_refused() -> None:
    columns = [fits.Column("UNIQ", "K", array=[4, 16]), fits.Column("PROBDENSITY", "D", array=[1.0, 1.0])]
    with pytest.raises(SkyMapError, match="disjoint"):
        read_skymap(to_bytes(columns, ORDERING="NUNIQ"))


def test_truncated_and_exploding_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = to_bytes([fits.Column("PROB", "D", array=probabilities())], NSIDE=NSIDE, ORDERING="NESTED")
    for broken in (
        payload[:6000],
        payload[:100],
        b"",
        b"SIMPLE  =",
        gzip.compress(payload)[:-20],
        b"\x1f\x8b" + b"x" * 50,
    ):
        with pytest.raises(MalformedPacketError):
            read_skymap(broken)
    monkeypatch.setattr(fits_table, "MAX_UNPACKED_BYTES", 10_000)
    with pytest.raises(MalformedPacketError, match="too large"):
        read_skymap(gzip.compress(payload))


def test_claimed_size_is_not_believed() -> None:
    payload = to_bytes([fits.Column("PROB", "D", array=probabilities())], NSIDE=NSIDE, ORDERING="NESTED")
    huge = payload.replace(b"NAXIS2  =                  768", b"NAXIS2  =      999999999999999")
    assert huge != payload
    with pytest.raises(MalformedPacketError, match="truncated"):
        read_skymap(huge)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8639), st.integers(0, 255)), min_size=1, max_size=12))
def test_any_damage_of_the_header_is_refused_in_our_words(damage: list[tuple[int, int]]) -> None:
    columns = [fits.Column("UNIQ", "K", array=[4, 5]), fits.Column("PROBDENSITY", "D", array=[1.0, 1.0])]
    payload = bytearray(to_bytes(columns, ORDERING="NUNIQ"))
    for place, value in damage:
        payload[place % len(payload)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(HeliographError):
            read_skymap(bytes(payload))


@pytest.mark.parametrize(
    ("file", "cells", "a90"),
    [
        ("GW170817_HLV_relabelled_MS181101ab.multiorder.fits", 19200, 31.0),
        ("GW190425_S190425z_G330561_bayestar.fits.gz", 19200, 10183.0),
        ("GRB170817A_GBM_healpix_flat.fit.gz", 76364, 1096.0),
        ("S230528ay_bilby.multiorder.fits", 16896, 96.7),
    ],
)
def test_recorded_maps(shared_data: Path, file: str, cells: int, a90: float) -> None:
    skymap = read_skymap((shared_data / "notices/skymaps" / file).read_bytes())
    assert len(skymap) == cells
    assert region_of(skymap).area_deg2(0.9) == pytest.approx(a90, rel=3e-3)


def test_recorded_region_without_probability_is_refused(shared_data: Path) -> None:
    with pytest.raises(SkyMapError, match="no column"):
        read_skymap((shared_data / "notices/skymaps/G483432_20240513_90percent.moc.fits").read_bytes())


def test_nside_2048_ring_map_stays_within_memory(shared_data: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    skymap = read_skymap((shared_data / "notices/skymaps/GRB220617A_IPN_map_hpx.fits.gz").read_bytes())
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert len(skymap) == 752
    assert grown_mb < 1400
