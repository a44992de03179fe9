"""Which objects of two surveys are one: positions in, links between them out.

An object is found by each survey on its own. They are one where each is the other's nearest and chance does not bring
strangers so close; the link says how probable that is, and one that no longer holds is taken away. A link belongs to
the cell of ZTF's object and follows from what lies in that cell and at its border alone, so the order in which objects
came does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped, unused-ignore]

from graph.model import Survey
from graph.sky import MAX_ORDER, ang2pix, cell_centres, cell_radius_deg, cone_ranges, tangents, unit_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graph.connection import Connection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_SEPARATION_ARCSEC: Final = 2.0
"""Largest separation of one object in two surveys [arcsec]: five times the error of a faint ZTF detection and its
blending; beyond it the probability is nil at any density."""

SIGMA_ARCSEC: Final = 0.35
"""1 sigma error of the separation on each axis [arcsec]: ZTF's scatter near its limit, Masci et al. 2019,
doi:10.1088/1538-3873/aae8ac, 0.3, with LSST's and the astrometric frames' 0.1 to 0.15 in quadrature."""

PRIOR_SAME: Final = 0.5
"""Share of ZTF's objects that LSST has too, where it has looked: half of them are brighter than its saturation or were
gone; of little weight, for a true pair has a Bayes factor above 1e4 at the densest fields."""

BORDER_DEG: Final = 10.0 / 3600.0
"""Margin around a cell [deg]: five times the largest separation. What lies within it may change links of the cell."""

CELL_ORDER: Final = 8
"""HEALPix order of the cells that are associated at a time, 0.05 deg2: some hundred objects, one short query."""

CELL_PIXELS: Final = 4 ** (MAX_ORDER - CELL_ORDER)
"""Order-29 pixels in a cell."""

CELL_DEG2: Final = 360.0 * 360.0 / np.pi / (12 * 4**CELL_ORDER)
"""Area of a cell [deg2]."""

MAX_RANGES: Final = 32
"""Pixel ranges with which a cell and its border are asked for at most: a finer cover saves less than it costs."""

AROUND: Final = np.radians(np.arange(8) * 45.0)
"""Directions [rad] in which the border of a cell is looked for: at eight, no corner within 0.92 `BORDER_DEG` is passed
over."""

SAME_FROM: Final = 0.5
"""Probability from which two objects count as one in joint light curves."""


@dataclass(frozen=True, eq=False, slots=True)
class Links:
    """m pairs of objects; probability 0 takes a link away."""

    ztf_key: tuple[str, ...]
    lsst_key: tuple[str, ...]
    separation_arcsec: FloatArray
    probability: FloatArray

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.ztf_key)


def same_probability(separation_arcsec: FloatArray, density_deg2: float) -> FloatArray:
    """Return the probability (n,) that two mutual nearest neighbours are one object.

    Parameters
    ----------
    separation_arcsec : (n,).
    density_deg2 : of the second survey's objects around [deg^-2].

    References
    ----------
    Budavari & Szalay 2008, doi:10.1086/587156: the density of true partners at a separation against that of strangers.
    """
    variance = SIGMA_ARCSEC**2
    beyond = np.exp(-(separation_arcsec**2) / (2.0 * variance))
    partners = PRIOR_SAME / (2.0 * np.pi * variance) * beyond
    # A stranger is nearest where there is no partner, or where the partner is further away; and for the stranger too
    # this is the nearest only if it has no partner of its own.
    free_deg2 = (1.0 - PRIOR_SAME) * density_deg2
    strangers = (1.0 - PRIOR_SAME + PRIOR_SAME * beyond) * free_deg2 / 3600.0**2
    return np.asarray(partners / (partners + strangers + np.finfo(np.float64).tiny), dtype=np.float64)


def mutual_nearest(
    first: tuple[FloatArray, FloatArray], second: tuple[FloatArray, FloatArray]
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return rows of both and separation [arcsec] of all pairs that are each other's nearest.

    Parameters
    ----------
    first, second : right ascension and declination [deg, ICRS].
    """
    one, two = unit_vectors(*first), unit_vectors(*second)
    if not len(one) or not len(two):
        none = np.empty(0, np.int64)
        return none, none, np.empty(0)
    chord = 2.0 * np.sin(0.5 * np.radians(MAX_SEPARATION_ARCSEC / 3600.0))
    distance, there = cKDTree(two).query(one, distance_upper_bound=chord)
    _, back = cKDTree(one).query(two)
    row = np.flatnonzero(np.isfinite(distance))
    row = row[back[there[row]] == row]
    separation = np.degrees(2.0 * np.arcsin(np.clip(0.5 * distance[row], 0.0, 1.0))) * 3600.0
    return row, there[row].astype(np.int64), separation


def cells_about(ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
    """Return the cells, ascending, whose links objects at some positions [deg, ICRS] may change."""
    centre, (east, north) = unit_vectors(ra_deg, dec_deg), tangents(ra_deg, dec_deg)
    step = np.radians(BORDER_DEG)
    around = [centre + step * (np.cos(angle) * north + np.sin(angle) * east) for angle in AROUND]
    x, y, z = np.concatenate([centre, *around]).T
    cells = ang2pix(np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))) // CELL_PIXELS
    return np.unique(cells[cells >= 0])


class Associator:
    """Links objects of two surveys in the graph, cell by cell."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def associate(self, cell: int) -> Links:
        """Bring the links of ZTF's objects in one cell of order `CELL_ORDER` up to date, and return them."""
        ra, dec = cell_centres(CELL_ORDER, np.array([cell]))
        radius_deg = cell_radius_deg(CELL_ORDER) + BORDER_DEG
        ranges = cone_ranges(float(ra[0]), float(dec[0]), radius_deg, MAX_RANGES)
        rows = self._connection.read("read_positions_in_ranges", ranges=[[a, b - 1] for a, b in ranges.tolist()])
        links = links_of([row for row in rows if row["ra_deg"] is not None], cell)
        if len(links):
            self._connection.write(
                "write_same_as",
                ztf_key=list(links.ztf_key),
                lsst_key=list(links.lsst_key),
                separation_arcsec=links.separation_arcsec.tolist(),
                probability=links.probability.tolist(),
            )
        return links


def links_of(rows: Sequence[Mapping[str, Any]], cell: int) -> Links:
    """Return the links of ZTF's objects in a cell, and with probability 0 those that no longer hold.

    Parameters
    ----------
    rows : objects in and around the cell as ``read_positions_in_ranges`` gives them, in any order.
    """
    ordered = sorted(rows, key=lambda row: str(row["object_key"]))
    ztf, lsst = ([row for row in ordered if row["survey"] == survey.value] for survey in (Survey.ZTF, Survey.LSST))
    one, two, separation = mutual_nearest(_positions(ztf), _positions(lsst))
    mine = np.array([_is_in(ztf[place], cell) for place in one.tolist()], dtype=np.bool_)
    one, two, separation = one[mine], two[mine], separation[mine]
    # Of the cell alone: a new object elsewhere must not change what is said here.
    density_deg2 = sum(_is_in(row, cell) for row in lsst) / CELL_DEG2
    now = [(str(ztf[i]["object_key"]), str(lsst[j]["object_key"])) for i, j in zip(one, two, strict=True)]
    holding = set(now)
    gone = [
        (str(row["object_key"]), str(other))
        for row in ztf
        if _is_in(row, cell)
        for other in row["same_as"]
        if (row["object_key"], other) not in holding
    ]
    pairs = now + gone
    return Links(
        tuple(pair[0] for pair in pairs),
        tuple(pair[1] for pair in pairs),
        np.concatenate([separation, np.full(len(gone), MAX_SEPARATION_ARCSEC)]),
        np.concatenate([same_probability(separation, density_deg2), np.zeros(len(gone))]),
    )


def _positions(rows: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, FloatArray]:
    """Return right ascensions and declinations (n,) [deg]."""
    ra, dec = (np.array([row[name] for row in rows], dtype=np.float64) for name in ("ra_deg", "dec_deg"))
    return ra, dec


def _is_in(row: Mapping[str, Any], cell: int) -> bool:
    """Return whether an object lies in a cell."""
    return int(row["healpix29"]) // CELL_PIXELS == cell
