"""Kinds of new objects that chance is counted for apart: class group, magnitude, galactic latitude of a sky cell.

All places are cells of one HEALPix order, so that an object, the sky that was visited and the sky that is searched
fall into the same latitude bin.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.sky import MAX_ORDER, cell_centres
from graph.taxonomy import nearest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CELL_ORDER: Final = 5
"""HEALPix order of the cells of visited sky: 3.4 deg2, less than one detector quadrant row of ZTF's camera and half
of Rubin's field, and still large enough that a visited cell shows some detection."""

N_CELLS: Final = 12 * 4**CELL_ORDER
"""Cells on the whole sky at `CELL_ORDER`."""

CELL_DEG2: Final = 360.0 * 360.0 / np.pi / N_CELLS
"""Area of a cell [deg2]: the sphere's 129600 / pi over their number."""

CELL_PIXELS: Final = 4 ** (MAX_ORDER - CELL_ORDER)
"""Order-29 pixels in a cell: dividing a NESTED pixel by it gives its cell."""

CLASS_GROUPS: Final = ("explosive", "nuclear", "stellar", "unnamed")
"""Roots of `graph.taxonomy`, and one for all else; finer groups would leave most magnitude and
latitude bins empty for months."""

MAG_EDGES: Final = (18.0, 19.0, 20.0, 21.0, 22.5)
"""Edges between the magnitude bins [mag, AB]: one magnitude each around ZTF's limit of 20.5, then Rubin's depth."""

N_MAGNITUDES: Final = len(MAG_EDGES) + 2
"""Magnitude bins: between the edges, beyond both ends, and the last one for objects without a magnitude."""

LATITUDE_EDGES_DEG: Final = (10.0, 20.0, 40.0)
"""Edges between the bins of absolute galactic latitude [deg]: the density of stars, hence of variable stars, falls by
a factor of some three from each bin to the next (Bahcall and Soneira 1980, doi:10.1086/190685)."""

N_LATITUDES: Final = len(LATITUDE_EDGES_DEG) + 1
"""Latitude bins."""

NORTH_POLE_DEG: Final = (192.85948, 27.12825)
"""North galactic pole [deg, ICRS]; The Hipparcos and Tycho Catalogues (1997), ESA SP-1200, volume 1, 1.5.3."""


def latitude_name(number: int) -> str:
    """Return the name of a latitude bin, e.g. ``10-20``."""
    edges = (0.0, *LATITUDE_EDGES_DEG, 90.0)
    return f"{edges[number]:g}-{edges[number + 1]:g}"


def galactic_latitude_deg(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return the galactic latitude (n,) [deg] of positions (n,) [deg, ICRS]."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    ra_pole, dec_pole = np.radians(NORTH_POLE_DEG)
    sine = np.sin(dec) * np.sin(dec_pole) + np.cos(dec) * np.cos(dec_pole) * np.cos(ra - ra_pole)
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))), dtype=np.float64)


@cache
def latitude_of_cells() -> IntArray:
    """Return the latitude bin (`N_CELLS`,) of each cell, by its centre."""
    latitude = np.abs(galactic_latitude_deg(*cell_centres(CELL_ORDER, np.arange(N_CELLS))))
    bins = np.searchsorted(LATITUDE_EDGES_DEG, latitude, side="right").astype(np.int64)
    bins.setflags(write=False)
    return bins


def group_of(top_class: NDArray[np.object_]) -> IntArray:
    """Return the group number (n,) of class names (n,): the group that a class is a kind of, or ``unnamed``."""
    groups = {name: nearest(name, CLASS_GROUPS) or "unnamed" for name in set(top_class)}
    numbers = {name: CLASS_GROUPS.index(group) for name, group in groups.items()}
    return np.array([numbers[name] for name in top_class], dtype=np.int64)


def magnitude_bin(magnitude: FloatArray) -> IntArray:
    """Return the bin number (n,) of AB magnitudes (n,); the last bin for NaN."""
    bins = np.searchsorted(MAG_EDGES, magnitude, side="right").astype(np.int64)
    return np.where(np.isfinite(magnitude), bins, N_MAGNITUDES - 1)
