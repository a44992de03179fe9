"""What the measurement itself relies on: the raster, the tables for the peers, and that all figures are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy_healpix import uniq_to_level_ipix

from compose.bench.correlate import CorrelatePlan, bench_correlate, brute_force_overlap
from compose.bench.correlate_peers import table_of
from graph.model import Circle
from graph.regions import overlap_integral, region_of, to_skymap
from graph.sky import SKY_SR, SkyMap
from ingest.notices.skymap_fits import read_skymap


def coarse_map(seed: int) -> SkyMap:
    """Return a map of cells of orders 1 and 3."""
    rng = np.random.default_rng(seed)
    coarse, fine = 4**28, 4**26
    split = rng.random(48) < 0.5
    start = np.concatenate(
        [np.arange(c * coarse, (c + 1) * coarse, fine) if s else [c * coarse] for c, s in enumerate(split)]
    ).astype(np.int64)
    stop = np.append(start[1:], 48 * coarse)
    density = rng.exponential(1.0, len(start))
    return SkyMap(start, stop, density / np.dot(density, (stop - start) * (SKY_SR / (48 * coarse))))


@pytest.mark.parametrize("seed", range(4))
def test_the_raster_and_the_exact_overlap_agree(seed: int) -> None:
    first, second = region_of(coarse_map(seed)), region_of(coarse_map(seed + 10))
    assert overlap_integral(first, second) == pytest.approx(brute_force_overlap(first, second, 3), rel=1e-12)


def test_the_overlap_with_a_circle_is_right_to_a_millionth_of_a_fine_raster() -> None:
    smooth = region_of(Circle(40.0, -30.0, 20.0))
    assert overlap_integral(smooth, smooth) == pytest.approx(brute_force_overlap(smooth, smooth, 7), rel=1e-4)


def test_a_table_for_the_peers_names_the_same_cells() -> None:
    skymap = to_skymap(region_of(Circle(10.0, 20.0, 3.0)), 1e-4)
    table = table_of(skymap)
    level, cell = uniq_to_level_ipix(np.asarray(table["UNIQ"]))
    assert (cell.astype(np.int64) * 4 ** (29 - level.astype(np.int64)) == skymap.start).all()
    assert table.colnames == ["UNIQ", "PROBDENSITY"]


def test_the_golden_overlap_equals_a_raster_of_its_finest_cells(shared_data: Path) -> None:
    folder = shared_data / "notices" / "skymaps"
    hlv = region_of(read_skymap((folder / "GW170817_HLV_relabelled_MS181101ab.multiorder.fits").read_bytes()))
    gbm = region_of(read_skymap((folder / "GRB170817A_GBM_healpix_flat.fit.gz").read_bytes()))
    exact = overlap_integral(hlv, gbm)
    assert exact == pytest.approx(32.286665, abs=1e-5)
    # Cells of order 9 sample the finer ones at one place in four to sixteen.
    assert brute_force_overlap(hlv, gbm, 9) == pytest.approx(exact, rel=1e-2)


def test_a_small_run_has_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    small = coarse_map(3)
    n = len(small)
    layers = (np.full(n, 100.0), np.full(n, 20.0), np.full(n, 1e-4))
    with_distances = SkyMap(small.start, small.stop, small.probability_density_sr, *layers)
    monkeypatch.setattr("compose.bench.correlate._first_map", lambda plan, rng: with_distances)
    heard: list[tuple[str, int, int | None]] = []
    plan = CorrelatePlan(objects=3000, positions=3000, notices=6, batch_objects=200, raster_order=6)
    figures = bench_correlate(plan, lambda *step: heard.append(step))
    wanted = {
        "map_cells", "positions_2d_per_s", "positions_by_maps_per_s", "positions_3d_per_s", "rank_volume_s",
        "batch", "overlap", "latency_s",
        "peers", "agreement", "peak_memory_mb", "memory_mb", "n", "cores", "versions",
    }  # fmt: skip
    assert set(figures) == wanted
    # Only 3000 positions were given.
    assert list(figures["positions_by_maps_per_s"]) == ["200", "2000"]  # type: ignore[call-overload]
    latency = figures["latency_s"]
    assert isinstance(latency, dict)
    assert set(latency) == {"grb_circle", "gw_map", "gw_full_sky"}
    assert all(0.0 < one["p50"] <= one["p95"] <= one["p99"] for one in latency.values())
    assert latency["gw_full_sky"]["pairs_each"] > 100
    # The overlap of cells with a circle: a raster of order 6 has the error of the midpoint rule.
    overlap = figures["overlap"]
    assert isinstance(overlap, dict)
    assert overlap["difference"] < 0.05
    assert heard[-1] == ("correlate", 6, 6)
