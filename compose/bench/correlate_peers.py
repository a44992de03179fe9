"""ligo.skymap and ligo-raven on the same maps and positions, where they are installed.

They are published under the GPL and are oracles here, never part of Heliograph: an extra named ``peers`` installs them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table

from compose.bench.meters import best_seconds
from graph.regions import Region, overlap_integral, region_of, to_skymap
from graph.sky import MAX_ORDER, FloatArray, IntArray, SkyMap, ang2pix
from graph.volume import VolumeRanking, has_distances

POSITIONS_2D = (200, 2_000, 20_000)
"""Positions looked up on the sky at a time: those of a small batch, and so many that ranking the map costs nothing."""

POSITIONS_3D = (200, 2_000)
"""Positions and distances looked up in space at a time."""

PEER_RUNS = 3
"""Repetitions of a peer's look-up, of which the fastest counts; in space one takes many seconds."""

LAYERS = {"DISTMU": "distance_mu_mpc", "DISTSIGMA": "distance_sigma_mpc", "DISTNORM": "distance_norm_mpc2"}
"""Column of a published map -> field of ours."""


def _peer(module: str) -> Any:  # noqa: ANN401 - the peers are untyped
    """Return a peer's module, None where it is not installed or lacks what it needs."""
    try:
        return import_module(module)
    except ImportError:
        return None


def _orders(skymap: SkyMap) -> IntArray:
    """Return the order of each cell (m,)."""
    _, exponent = np.frexp((skymap.stop - skymap.start).astype(np.float64))
    return np.asarray(MAX_ORDER - (exponent.astype(np.int64) - 1) // 2)


def table_of(skymap: SkyMap) -> Any:  # noqa: ANN401 - astropy is untyped
    """Return a map as the table that ligo.skymap works on."""
    order = _orders(skymap)
    columns: dict[str, object] = {
        "UNIQ": 4 * 4**order + np.right_shift(skymap.start, 2 * (MAX_ORDER - order)),
        "PROBDENSITY": skymap.probability_density_sr,
    }
    if has_distances(skymap):
        columns |= {name: getattr(skymap, field) for name, field in LAYERS.items()}
    return Table(columns)


def measure_peers(skymap: SkyMap, ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, object]:
    """Measure ligo.skymap's look-ups a second by the number of positions at a time; empty where it is not installed."""
    peer = _peer("ligo.skymap.postprocess.crossmatch")
    if peer is None:
        return {}
    flat = table_of(SkyMap(skymap.start, skymap.stop, skymap.probability_density_sr))
    on_sky, in_space = {}, {}
    for n in POSITIONS_2D:
        places = SkyCoord(ra_deg[:n] * units.deg, dec_deg[:n] * units.deg)
        on_sky[str(n)] = round(n / _seconds(peer, flat, places), 1)
    for n in POSITIONS_3D if has_distances(skymap) else ():
        places = SkyCoord(ra_deg[:n] * units.deg, dec_deg[:n] * units.deg, np.linspace(1.0, 200.0, n) * units.Mpc)
        in_space[str(n)] = round(n / _seconds(peer, table_of(skymap), places), 1)
    rates = {"positions_2d_per_s": on_sky, "positions_3d_per_s": in_space}
    return {"ligo.skymap": {**rates, "version": version("ligo.skymap")}}


def _seconds(peer: Any, table: Any, places: Any) -> float:  # noqa: ANN401 - see _peer
    """Return the shortest time of a look-up; the first one of a process imports and compiles."""
    return best_seconds(lambda: peer.crossmatch(table, places), PEER_RUNS)


def compare_with_peers(skymap: SkyMap, second: Region, ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, object]:
    """Return the largest differences between the peers' values and ours; empty where there are no peers."""
    agreement: dict[str, object] = {}
    peer = _peer("ligo.skymap.postprocess.crossmatch")
    if peer is not None:
        agreement |= _against_skymap(peer, skymap, ra_deg[: POSITIONS_2D[-1]], dec_deg[: POSITIONS_2D[-1]])
    raven = _peer("ligo.raven.search")
    if raven is not None:
        agreement["overlap_raven"] = raven_overlap(raven, skymap, to_skymap(second))
        agreement["overlap_ours"] = overlap_integral(region_of(skymap), second)
    return agreement


def _against_skymap(peer: Any, skymap: SkyMap, ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, object]:  # noqa: ANN401 - see _peer
    """Return the largest differences of credible levels on the sky and in space."""
    flat = SkyMap(skymap.start, skymap.stop, skymap.probability_density_sr)
    theirs = peer.crossmatch(table_of(flat), SkyCoord(ra_deg * units.deg, dec_deg * units.deg))
    ours = region_of(skymap).credible_level(ra_deg, dec_deg)
    agreement: dict[str, object] = {"credible_level_2d": float(np.max(np.abs(ours - theirs.searched_prob)))}
    if has_distances(skymap):
        ranking = VolumeRanking(skymap)
        ra_deg, dec_deg = ra_deg[: POSITIONS_3D[-1]], dec_deg[: POSITIONS_3D[-1]]
        # In the first half of a shell both take the same one: they round down, we to the nearest.
        distance_mpc = (np.arange(len(ra_deg), dtype=np.float64) % 900.0 + 1.25) * np.float64(ranking.shell_mpc)
        places = SkyCoord(ra_deg * units.deg, dec_deg * units.deg, distance_mpc * units.Mpc)
        theirs = peer.crossmatch(table_of(skymap), places)
        level = ranking.credible_level(ang2pix(ra_deg, dec_deg), distance_mpc)
        agreement["credible_level_3d"] = float(np.max(np.abs(level - theirs.searched_prob_vol)))
    return agreement


def raven_overlap(raven: Any, first: SkyMap, second: SkyMap) -> float:  # noqa: ANN401 - see _peer
    """Return ligo-raven's overlap of two multi-order maps, which pairs nearest cell centres."""
    a, b = table_of(first), table_of(second)
    value = raven.skymap_overlap_integral(
        np.asarray(a["PROBDENSITY"]), np.asarray(b["PROBDENSITY"]), np.asarray(a["UNIQ"]), np.asarray(b["UNIQ"])
    )
    return float(value)
