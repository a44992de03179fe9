"""How fast notices and objects are correlated, and how exact: look-ups, batches, overlaps, one notice at a time.

Everything happens in memory, by the coordinator's own functions. Objects and events are drawn from a seed; the sky map
is a recorded one where a file is given, else a simulated one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil

from compose.bench.correlate_peers import POSITIONS_2D, compare_with_peers, measure_peers
from compose.bench.meters import RUNS, best_seconds
from coordinator.background import DEFAULT_BACKGROUND
from coordinator.coincidence import OpenEvent, find_coincidences, match_batch
from coordinator.lifecycle import event_from_notices
from graph import codec
from graph.model import AlertTense, AlertType, Circle, Localization, Messenger, Notice
from graph.objects import ObjectColumns
from graph.regions import Region, SkyMapRegion, overlap_integral, region_of
from graph.sky import MAX_ORDER, FloatArray, SkyMap, ang2pix, cell_centres
from graph.times import datetime_to_mjd_tai
from graph.volume import N_SHELLS, VolumeRanking, has_distances
from ingest.notices.skymap_fits import read_skymap
from ingest.simulate.sky_maps import draw_banana, sky_map_fits

PACKAGES = ("numpy", "cdshealpix")
"""Packages whose versions stand in the report."""

TRIGGER = datetime(2026, 3, 1, tzinfo=UTC)
"""Trigger time of the first event; any would do."""

OPEN_EVENTS = 200
"""Open events of the batch: half a year of Fermi."""

OPEN_MAPS = OPEN_EVENTS // 4
"""Maps that positions are looked up in at a time: the share of gravitational waves among `OPEN_EVENTS`."""

BATCH_OBJECTS = 10_000
"""Objects of the batch: a minute of LSST."""

WINDOW_D = 90.0
"""Days over which the objects in memory were first detected [d]: the graph's hot window."""

CIRCLES = (0.05, 1.0, 5.0)
"""Radii [deg] of the bursts that are announced: Swift BAT, Fermi LAT or GBM at its best, GBM."""

WIDE_RADIUS_DEG = 75.0
"""Radius [deg] that holds nine tenths of the widest map: some 15,000 deg2, 30,000 deg2 to its 99 per cent level."""

FINEST_RASTER_ORDER = 11
"""Finest HEALPix order of the brute-force raster; 50 million cells of 1.7 arcmin."""

RASTER_CELLS_AT_ONCE = 1 << 20
"""Cells of the raster evaluated at a time; bounds memory."""

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Quantiles reported."""

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class CorrelatePlan:
    """What is measured."""

    objects: int = 1_000_000
    """Objects in memory for one notice at a time."""
    positions: int = 1_000_000
    """Positions looked up in a map."""
    notices: int = 60
    """Notices of bursts handled one at a time; a tenth as many of each kind of map."""
    skymap: Path | None = None
    """A recorded multi-order map; a simulated one when absent."""
    second_map: Path | None = None
    """The map whose overlap with the first is taken; a circle of a degree when absent."""
    seed: int = 1
    batch_objects: int = BATCH_OBJECTS
    """New objects matched with all open events at once."""
    raster_order: int = FINEST_RASTER_ORDER
    """HEALPix order of the brute-force raster."""


def bench_correlate(plan: CorrelatePlan, progress: Progress) -> dict[str, object]:
    """Measure the correlation and return JSON-ready figures; `docs/cli.md` names them."""
    rng = np.random.default_rng(plan.seed)
    skymap = _first_map(plan, rng)
    region = region_of(skymap)
    ra_deg, dec_deg = _positions(rng, plan.positions)
    steps = 6
    progress("correlate", 0, steps)
    figures: dict[str, object] = {"map_cells": len(skymap), **_look_ups(region, skymap, ra_deg, dec_deg)}
    progress("correlate", 1, steps)
    figures |= _batch(rng, skymap, plan.batch_objects)
    progress("correlate", 2, steps)
    second = region_of(Circle(*_densest(skymap), 1.0)) if plan.second_map is None else region_of(_read(plan.second_map))
    figures["overlap"] = _overlap(region, second, plan.raster_order)
    progress("correlate", 3, steps)
    figures["latency_s"] = _latencies(plan, rng, skymap)
    progress("correlate", 4, steps)
    peers = measure_peers(skymap, ra_deg, dec_deg)
    progress("correlate", 5, steps)
    figures |= {"peers": peers, "agreement": compare_with_peers(skymap, second, ra_deg, dec_deg)}
    progress("correlate", steps, steps)
    memory = psutil.Process().memory_info().rss
    sizes = {"positions": plan.positions, "objects": plan.objects, "notices": plan.notices}
    return figures | {
        "peak_memory_mb": round(_peak_memory_mb(), 1),
        "memory_mb": round(memory / 1e6, 1),
        "n": sizes,
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far [MB]."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024 / 1e6
    return float(psutil.Process().memory_info().rss) / 1e6


def _read(path: Path) -> SkyMap:
    return read_skymap(path.read_bytes())


def _first_map(plan: CorrelatePlan, rng: np.random.Generator) -> SkyMap:
    if plan.skymap is not None:
        return _read(plan.skymap)
    banana = draw_banana(rng, 197.45, -23.38)
    return read_skymap(sky_map_fits(banana, 120.0, "S260301a", 61100.0))


def _positions(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """Return positions (n,) evenly over the sky [deg, ICRS]."""
    return rng.uniform(0.0, 360.0, n), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))


def _densest(skymap: SkyMap) -> tuple[float, float]:
    """Return the middle of a map's densest cell [deg, ICRS]."""
    best = int(np.argmax(skymap.probability_density_sr))
    middle = (skymap.start[best : best + 1] + skymap.stop[best : best + 1]) // 2
    ra_deg, dec_deg = cell_centres(MAX_ORDER, middle)
    return float(ra_deg[0]), float(dec_deg[0])


def _look_ups(region: Region, skymap: SkyMap, ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, object]:
    """Measure positions a second, on the sky and in space."""
    n = len(ra_deg)
    figures: dict[str, object] = {
        "positions_2d_per_s": round(n / best_seconds(lambda: region.credible_level(ra_deg, dec_deg))),
        "positions_by_maps_per_s": _by_maps(skymap, ra_deg, dec_deg),
    }
    if not has_distances(skymap):
        return figures
    started = time.perf_counter()
    ranking = VolumeRanking(skymap)
    figures["rank_volume_s"] = round(time.perf_counter() - started, 3)
    distance_mpc = np.linspace(1.0, N_SHELLS, n) * ranking.shell_mpc
    seconds = best_seconds(lambda: ranking.credible_level(ang2pix(ra_deg, dec_deg), distance_mpc))
    return figures | {"positions_3d_per_s": round(n / seconds)}


def _by_maps(skymap: SkyMap, ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, int]:
    """Return looks a second of some positions in many maps, each map with its own memory, by positions at a time."""
    maps = [SkyMapRegion(skymap) for _ in range(OPEN_MAPS)]

    def look(n: int) -> None:
        pixel = ang2pix(ra_deg[:n], dec_deg[:n])
        for one in maps:
            one.at_pixels(pixel)

    # Open maps have been looked into before.
    look(POSITIONS_2D[-1])
    measured = [n for n in POSITIONS_2D if n <= len(ra_deg)]
    return {str(n): round(n * OPEN_MAPS / best_seconds(partial(look, n))) for n in measured}


def draw_objects(rng: np.random.Generator, n: int, first_d: float, last_d: float) -> ObjectColumns:
    """Return n objects evenly over the sky, first detected evenly between two times after `TRIGGER` [d]."""
    ra_deg, dec_deg = _positions(rng, n)
    return ObjectColumns(
        survey=np.full(n, "ztf", dtype=object),
        object_id=np.array([f"ZTF{number:09d}" for number in range(n)], dtype=object),
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        first_midpoint_mjd_tai=datetime_to_mjd_tai(TRIGGER) + rng.uniform(first_d, last_d, n),
        last_limit_mjd_tai=np.full(n, np.nan),
        latest_mag=rng.normal(19.5, 0.8, n),
        top_class=rng.choice(np.array(["", "SN", "AGN", "variable star"], dtype=object), n),
        class_probability=rng.uniform(0.3, 1.0, n),
        n_detections=np.full(n, 2, dtype=np.int64),
    )


def announce(number: int, place: Localization, messenger: Messenger, trigger_time: datetime) -> Notice:
    """Return a first notice."""
    return Notice(
        notice_id=f"{number:032x}",
        mission="LVK" if messenger is Messenger.GW else "Fermi",
        instrument="",
        messenger=messenger,
        notice_type="",
        alert_type=AlertType.INITIAL,
        alert_tense=AlertTense.CURRENT,
        event_id=str(number),
        event_names=(),
        record_number=0,
        trigger_time=trigger_time,
        alert_time=trigger_time,
        localization=place,
        far_hz=1e-9 if messenger is Messenger.GW else None,
    )


def _batch(rng: np.random.Generator, skymap: SkyMap, n: int) -> dict[str, object]:
    """Measure new objects against all open events: three bursts for each gravitational wave."""
    objects = draw_objects(rng, n, 4.0, 4.5)
    open_events: list[OpenEvent] = []
    ra_deg, dec_deg = _positions(rng, OPEN_EVENTS)
    map_region = region_of(skymap)
    for number in range(OPEN_EVENTS):
        is_gw = number % 4 == 0
        place: Localization = skymap if is_gw else Circle(float(ra_deg[number]), float(dec_deg[number]), 18.0)
        messenger = Messenger.GW if is_gw else Messenger.EM
        time_of_event = TRIGGER + timedelta(days=float(rng.uniform(0.0, 4.0)))
        event = event_from_notices([announce(number, place, messenger, time_of_event)])
        open_events.append(OpenEvent(event, map_region if is_gw else region_of(place)))
    found = match_batch(open_events, objects, DEFAULT_BACKGROUND)
    used = time.process_time()
    seconds = best_seconds(lambda: match_batch(open_events, objects, DEFAULT_BACKGROUND))
    cpu_s = (time.process_time() - used) / RUNS
    figures = {"s": round(seconds, 4), "cpu_s": round(cpu_s, 4)}
    return {"batch": {"objects": n, "events": OPEN_EVENTS, "pairs": len(found), **figures}}


def _overlap(first: Region, second: Region, order: int) -> dict[str, object]:
    """Measure the overlap integral and hold it against a sum over all cells of a fine raster."""
    started = time.perf_counter()
    value = overlap_integral(first, second)
    seconds = time.perf_counter() - started
    raster = brute_force_overlap(first, second, order)
    return {"value": value, "s": round(seconds, 5), "raster": raster, "difference": abs(value - raster) / raster}


def brute_force_overlap(first: Region, second: Region, order: int = FINEST_RASTER_ORDER) -> float:
    """Return 4 pi times the integral of the product of two densities by summing over all cells of one order.

    Notes
    -----
    Exact where neither map has finer cells; for a formula it has the error of the midpoint rule.
    """
    n_cells = 12 * 4**order
    total = 0.0
    for start in range(0, n_cells, RASTER_CELLS_AT_ONCE):
        cells = np.arange(start, min(start + RASTER_CELLS_AT_ONCE, n_cells), dtype=np.int64)
        ra_deg, dec_deg = cell_centres(order, cells)
        density = first.probability_density_sr(ra_deg, dec_deg)
        covered = np.flatnonzero(density > 0.0)
        if len(covered):
            other = second.probability_density_sr(ra_deg[covered], dec_deg[covered])
            total += float(np.dot(density[covered], other))
    return total * (4.0 * np.pi) ** 2 / n_cells


def _latencies(plan: CorrelatePlan, rng: np.random.Generator, skymap: SkyMap) -> dict[str, object]:
    """Measure each notice from its JSON to its coincidences, with all objects in memory."""
    objects = draw_objects(rng, plan.objects, -WINDOW_D / 2.0, WINDOW_D / 2.0)
    few = max(plan.notices // 10, 1)
    ra_deg, dec_deg = _positions(rng, plan.notices)
    circles = [
        Circle(float(ra), float(dec), CIRCLES[number % len(CIRCLES)], systematic_included=True)
        for number, (ra, dec) in enumerate(zip(ra_deg, dec_deg, strict=True))
    ]
    wide = Circle(*_densest(skymap), WIDE_RADIUS_DEG)
    kinds: dict[str, tuple[Messenger, Sequence[Localization]]] = {
        "grb_circle": (Messenger.EM, circles),
        "gw_map": (Messenger.GW, [skymap] * few),
        "gw_full_sky": (Messenger.GW, [_as_map(wide)] * few),
    }
    return {name: _one_by_one(objects, messenger, places) for name, (messenger, places) in kinds.items()}


def _as_map(circle: Circle) -> SkyMap:
    """Return a circle as a sky map of equal cells, as missions send them."""
    order = 6
    cells = np.arange(12 * 4**order, dtype=np.int64)
    density = region_of(circle).probability_density_sr(*cell_centres(order, cells))
    width = 4 ** (MAX_ORDER - order)
    return SkyMap(cells * width, (cells + 1) * width, density / (density.mean() * 4.0 * np.pi))


def _one_by_one(objects: ObjectColumns, messenger: Messenger, places: Sequence[Localization]) -> dict[str, object]:
    """Return quantiles of the time that a notice takes, and how many pairs it gave in the mean."""
    seconds, pairs = [], 0
    for number, place in enumerate(places):
        body = codec.to_bytes(announce(number, place, messenger, TRIGGER))
        started = time.perf_counter()
        event = event_from_notices([replace(codec.from_bytes(Notice, body), notice_id="0")])
        region = None if event.localization is None else region_of(event.localization)
        found = find_coincidences(event, region, objects, DEFAULT_BACKGROUND)
        seconds.append(time.perf_counter() - started)
        pairs += len(found)
    quantiles = {name: round(float(np.quantile(seconds, share)), 4) for name, share in QUANTILES.items()}
    return {**quantiles, "notices": len(places), "pairs_each": round(pairs / len(places), 1)}
