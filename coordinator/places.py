"""Where objects lie on a localization, on the sky and along the line of sight.

One look-up for each object and map gives level, density and searched area. Where a map states distances and an
object's host has one, the pair gets a term for it; the others are judged by place alone, each for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Term
from graph.regions import SkyMapRegion
from graph.sky import ang2pix
from graph.volume import has_distances, line_of_sight_density_mpc3

if TYPE_CHECKING:
    from graph.objects import ObjectColumns
    from graph.regions import Region

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
RowArray = NDArray[np.intp]

UNRELATED_HOSTS_REACH_MPC: Final = 900.0
"""Luminosity distance [Mpc] to which unrelated new objects are seen, evenly in volume: a type Ia supernova of absolute
magnitude -19.3 at ZTF's limit of 20.5. A deeper survey sees farther, so this understates the weight of a near host."""

HOST_DISTANCE_ERROR: Final = 0.1
"""Relative error of a host's distance that states none [1]: 300 km/s of peculiar motion at 40 Mpc."""

WRONG_HOST_PROBABILITY: Final = 0.1
"""Probability that the galaxy found is not the host [1]: the distance term then says nothing, so it is never below
the logarithm of this."""


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where the rows that passed lie on the event's localization."""

    kept: RowArray
    """(k,) places of those rows among the rows that were asked for."""
    level: FloatArray
    density_sr: FloatArray
    searched_deg2: FloatArray


def place_of(
    region: Region, objects: ObjectColumns, rows: RowArray, deepest: float, pixel: IntArray | None = None
) -> Place:
    """Return where some rows lie on a localization, those outside left out.

    Parameters
    ----------
    rows : (m,) places in the columns of ``objects``.
    deepest : credible level up to which a place is inside.
    pixel : (n,) order-29 pixels of all objects, where many events share them.
    """
    on_map = _on_map(region, objects, rows, deepest, pixel)
    return _on_formula(region, objects, rows, deepest) if on_map is None else on_map


def _on_map(
    region: Region, objects: ObjectColumns, rows: RowArray, deepest: float, pixel: IntArray | None
) -> Place | None:
    """Return where rows lie on a sky map, by one look-up for all that is asked; None for a formula."""
    if not isinstance(region, SkyMapRegion):
        return None
    level, density_sr, searched_deg2 = region.at_pixels(
        ang2pix(objects.ra_deg[rows], objects.dec_deg[rows]) if pixel is None else pixel[rows]
    )
    kept = np.flatnonzero((level <= deepest) & (density_sr > 0.0))
    return Place(kept, level[kept], density_sr[kept], searched_deg2[kept])


def _on_formula(region: Region, objects: ObjectColumns, rows: RowArray, deepest: float) -> Place:
    """Return where rows lie on a circle or an ellipse; density and area only of those that are inside."""
    level = region.credible_level(objects.ra_deg[rows], objects.dec_deg[rows])
    kept = np.flatnonzero(level <= deepest)
    density_sr = region.probability_density_sr(objects.ra_deg[rows[kept]], objects.dec_deg[rows[kept]])
    possible = density_sr > 0.0
    kept, density_sr = kept[possible], density_sr[possible]
    searched_deg2 = region.searched_area_deg2(objects.ra_deg[rows[kept]], objects.dec_deg[rows[kept]])
    return Place(kept, level[kept], density_sr, searched_deg2)


def distance_terms(region: Region, objects: ObjectColumns, rows: RowArray) -> dict[int, Term]:
    """Return the term of each row whose host's distance is known and whose line of sight states one, by its place.

    Notes
    -----
    The map's density at the host's distance over that of unrelated hosts, even in volume out to
    `UNRELATED_HOSTS_REACH_MPC`; with `WRONG_HOST_PROBABILITY` the galaxy is a stranger and says nothing. Objects
    without a known host are judged by place alone, each for itself.
    """
    hosted = np.flatnonzero(objects.host_distance_mpc[rows] > 0.0)
    if len(hosted) == 0 or not isinstance(region, SkyMapRegion) or not has_distances(region.skymap):
        return {}
    chosen = rows[hosted]
    distance, error = objects.host_distance_mpc[chosen], objects.host_distance_err_mpc[chosen]
    error = np.where(error > 0.0, error, HOST_DISTANCE_ERROR * distance)
    pixel = ang2pix(objects.ra_deg[chosen], objects.dec_deg[chosen])
    density = line_of_sight_density_mpc3(region.skymap, pixel, distance, error)
    ratio = density * UNRELATED_HOSTS_REACH_MPC**3 / 3.0
    value = np.log((1.0 - WRONG_HOST_PROBABILITY) * ratio + WRONG_HOST_PROBABILITY)
    return {
        place: Term("distance", what, {"host_distance_mpc": d, "host_distance_err_mpc": e, "density_mpc3": p})
        for place, what, d, e, p in zip(
            hosted.tolist(), value.tolist(), distance.tolist(), error.tolist(), density.tolist(), strict=True
        )
        if isfinite(what)
    }
