"""Sky maps from FITS bytes to `graph.sky.SkyMap`, whatever their order, names and units.

Seen in the wild: multi-order maps (UNIQ with density per steradian or square degree), flat maps in NESTED or RING
order, per pixel, in scalar or 1024-wide columns, compressed or not, with and without distances, some not normalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cdshealpix
import numpy as np

from graph.errors import MalformedPacketError, SkyMapError
from graph.sky import MAX_ORDER, PIXEL_SR, FloatArray, IntArray, SkyMap, cells_to_ranges, uniq_to_cells
from ingest.notices.fits_table import Table, read_tables, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBABILITY_COLUMNS = ("PROBDENSITY", "PROB", "PROBABILITY", "PROB_DENSITY", "PROBABILITY_DENSITY")
"""Names under which missions write the probability, the most exact first."""

DISTANCE_COLUMNS = ("DISTMU", "DISTSIGMA", "DISTNORM")
"""Location [Mpc], scale [Mpc] and norm [Mpc^-2] of the distance along each line of sight; LVK, arXiv:1605.04242."""

EQUATORIAL = frozenset({"", "C", "CEL", "CELESTIAL", "EQ", "EQU", "EQUATORIAL", "ICRS", "Q", "J2000"})
"""Values of COORDSYS that mean right ascension and declination; absent means the same."""

UNSEEN = -1.6375e30
"""HEALPix's value for a pixel without data; Gorski et al. 2005, doi:10.1086/427976."""

ROUNDING = 1e-5
"""Departure of the total from 1 that is a mission's rounding and left alone; float32 maps reach some 1e-6."""

CHUNK_PIXELS = 1 << 20
"""Pixels reordered at a time; bounds the index arrays to some 16 MB."""


def read_skymap(payload: bytes) -> SkyMap:
    """Read the first table of a FITS file that holds a probability.

    Raises
    ------
    MalformedPacketError : the bytes are no FITS file, truncated or too large.
    SkyMapError : the file holds no probability on the sky.

    Notes
    -----
    Neighbouring pixels of a flat map with equal values become one cell, which undoes the flattening of a multi-order
    map. A map whose total is not 1 is divided by it: missions publish likelihoods too, and per square degree for per
    steradian.
    """
    for table in read_tables(unpack(payload)):
        name = next((column for column in PROBABILITY_COLUMNS if column in table.columns), None)
        if name is not None:
            return _skymap(table, name)
    raise SkyMapError("the FITS file holds no column with a probability")


def _skymap(table: Table, name: str) -> SkyMap:
    """Return the map of a table with the probability in column ``name``."""
    if str(table.header.get("COORDSYS", "")).strip().upper() not in EQUATORIAL:
        raise SkyMapError("the sky map is not in equatorial coordinates")
    has_distance = all(column in table.columns for column in DISTANCE_COLUMNS)
    names = (name, *DISTANCE_COLUMNS) if has_distance else (name,)
    columns = [table.columns[column] for column in names]
    if "UNIQ" in table.columns:
        start, stop, values = _multi_order(table.columns["UNIQ"], columns)
    else:
        start, stop, values = _flat(table, columns)
    area_sr = (stop - start) * PIXEL_SR
    probability = values[0] if _is_density(name, table.units[name]) else values[0] / _pixel_sr(table, area_sr)
    distance = values[1:] if has_distance else [None, None, None]
    return SkyMap(start, stop, _normalised(probability, area_sr), *distance)


def _is_density(name: str, unit: str) -> bool:
    """Return whether a column is per solid angle; which one does not matter, the map is normalised."""
    bare = unit.lower().replace(" ", "")
    if any(angle in bare for angle in ("sr", "steradian", "deg")):
        return True
    if bare in {"", "pix-1", "1/pix", "pix^-1", "pix**-1", "pixel-1", "1/pixel", "prob", "probability"}:
        return "DENSITY" in name and not bare
    raise SkyMapError(f"the unit {unit[:16]} of the probability is not known")


def _pixel_sr(table: Table, area_sr: FloatArray) -> FloatArray | float:
    """Return the solid angle that one value is for [sr]: the cell's own, or the flat map's pixel."""
    return area_sr if "UNIQ" in table.columns else 4.0 * np.pi / _n_pixels(table)


def _multi_order(uniq: NDArray[Any], columns: list[NDArray[Any]]) -> tuple[IntArray, IntArray, list[FloatArray]]:
    """Return start, stop and the values of each cell of a UNIQ table, in order of the sky."""
    if any(len(column) != len(uniq) for column in columns):
        raise SkyMapError("the sky map has not one value for each cell")
    start, stop = cells_to_ranges(*uniq_to_cells(uniq.astype(np.int64)))
    order = np.argsort(start, kind="stable")
    return start[order], stop[order], [column.astype(np.float64)[order] for column in columns]


def _n_pixels(table: Table) -> int:
    """Return the number of pixels of the whole sky at the resolution of a flat map."""
    nside = table.header.get("NSIDE")
    if isinstance(nside, bool) or not isinstance(nside, int) or not 1 <= nside <= 1 << MAX_ORDER or nside & (nside - 1):
        raise SkyMapError("the sky map states no resolution that is a power of two")
    return 12 * nside * nside


def _flat(table: Table, columns: list[NDArray[Any]]) -> tuple[IntArray, IntArray, list[FloatArray]]:
    """Return start, stop and the values of the cells of a flat map, equal neighbours merged."""
    n_pixels = _n_pixels(table)
    depth = (n_pixels // 12).bit_length() // 2
    if any(len(column) != n_pixels for column in columns):
        raise SkyMapError("the sky map has not one value for each pixel of the sky")
    ordering = str(table.header.get("ORDERING", "")).strip().upper()
    if ordering == "RING":
        columns = [_nested_from_ring(column, depth) for column in columns]
    elif ordering not in {"NESTED", "NEST"}:
        raise SkyMapError("the sky map states no order of its pixels")
    changes = np.zeros(n_pixels - 1, dtype=np.bool_)
    for column in columns:
        changes |= column[1:] != column[:-1]
    first = np.concatenate((np.zeros(1, dtype=np.int64), np.flatnonzero(changes) + 1))
    shift = 2 * (MAX_ORDER - depth)
    stop = np.concatenate((first[1:], [n_pixels]))
    return first << shift, stop << shift, [column[first].astype(np.float64) for column in columns]


def _nested_from_ring(column: NDArray[Any], depth: int) -> NDArray[Any]:
    """Return a column of a RING map in NESTED order."""
    result = np.empty(len(column), dtype=column.dtype.newbyteorder("="))
    for begin in range(0, len(column), CHUNK_PIXELS):
        pixels = np.arange(begin, min(begin + CHUNK_PIXELS, len(column)), dtype=np.uint64)
        # One thread: the callers share their cores already.
        result[begin : begin + len(pixels)] = column[cdshealpix.to_ring(pixels, depth, num_threads=1)]
    return result


def _normalised(density: FloatArray, area_sr: FloatArray) -> FloatArray:
    """Return densities without gaps that integrate to 1."""
    density = np.where(np.isfinite(density) & (density > UNSEEN / 2.0), density, 0.0)
    if len(density) == 0 or float(density.min()) < 0.0:
        raise SkyMapError("the sky map holds a negative probability")
    with np.errstate(over="ignore"):
        total = float(np.dot(density, area_sr))
    if not np.isfinite(total) or total <= 0.0:
        raise SkyMapError("the sky map holds no probability")
    return density if abs(total - 1.0) <= ROUNDING else density / total


def read_skymap_of_notice(payload: bytes) -> SkyMap:
    """Read a sky map that came inside a notice, where every defect is the packet's.

    Raises
    ------
    MalformedPacketError : the sky map cannot be read or is none.
    """
    try:
        return read_skymap(payload)
    except SkyMapError as error:
        raise MalformedPacketError(f"the sky map is refused: {error}") from error
