"""Host galaxies of positions: candidates ranked by how likely a transient lies where it does.

A galaxy's directional light radius is the radius of its ellipse of half of the light in the direction of the position;
separations in units of it compare near large galaxies with far small ones. How much a candidate is worth depends also
on how many galaxies as bright the sky holds, and what all candidates together are worth, on the chance that none of
them is the host.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graph.sky import tangents, unit_vectors
from ingest.catalogues.counts import (
    ARCSEC2_PER_DEG2,
    chance_probability,
    differential_density_arcsec2,
    galaxy_density_arcsec2,
    r_magnitude,
)
from ingest.catalogues.motion import ARCSEC
from ingest.catalogues.opened import Catalogue, Neighbours, Positions
from ingest.crossmatch import ALERT_SIGMA_ARCSEC, is_galaxy, usable_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

HOST_RADIUS_ARCSEC = 60.0
"""Radius around a position in which galaxies are candidates [arcsec]: 100 kpc at redshift 0.09. Outskirts of the few
galaxies that are larger on the sky need a larger one."""

DLR_LIMIT = 4.0
"""Largest separation of a host in directional light radii: Gupta et al. 2016, doi:10.3847/0004-6256/152/6/154, find
that hosts of nine in ten supernovae lie within it and few strangers."""

OFFSET_SCALE = 1.0
"""Scale of the exponential fall of transients with the separation in directional light radii. With it 91 percent lie
within `DLR_LIMIT`; light itself falls with 0.6."""

PRIOR_HOSTED = 0.5
"""Share of transients whose host is in the catalogue, before looking. Of little weight: a host at one light radius has
a likelihood ratio of hundreds."""

HOST_MAGNITUDES = 10.0
"""Range of magnitudes over which hosts are spread evenly [mag]: r = 12 to 22 holds those of nearly all transients that
ZTF and the bright half of LSST find. Strangers follow the number counts instead, so that a bright galaxy is worth more
than a faint one at the same distance in light radii."""

TYPICAL_RADIUS_KPC = 5.0
"""Half-light radius of a bright galaxy along its major axis [kpc]: late types of M_r = -21 in Shen et al. 2003,
doi:10.1046/j.1365-8711.2003.06740.x."""

TYPICAL_SURFACE_BRIGHTNESS = 21.5
"""Mean surface brightness of a galaxy within its half-light radius [mag arcsec^-2, r]; the middle of the galaxies of
Strauss et al. 2002, doi:10.1086/342343."""

TYPICAL_RADIUS_ARCSEC = 2.0
"""Half-light radius of a galaxy of which neither shape nor distance nor magnitude is known [arcsec]: one of 18 mag."""

RADIUS_BOUNDS_ARCSEC = (0.2, 600.0)
"""Half-light radii that are believed [arcsec]: from unresolved to the Triangulum Galaxy."""


@dataclass(frozen=True, eq=False, slots=True)
class Hosts:
    """Candidate hosts of positions; those of one position follow each other, the best first."""

    row: IntArray
    """(m,) index of the position; ascending."""
    rank: IntArray
    """(m,) 0 for the best candidate of its position and catalogue."""
    catalogue: TextArray
    source_id: TextArray
    object_type: TextArray
    ra_deg: FloatArray
    """(m,) of the galaxy's centre [deg, ICRS]."""
    dec_deg: FloatArray
    separation_arcsec: FloatArray
    light_radius_arcsec: FloatArray
    """(m,) directional light radius, widened by the error of the position."""
    d_dlr: FloatArray
    """(m,) separation over it."""
    shape_known: BoolArray
    """(m,) whether the light radius is the catalogue's; else a typical one."""
    p_chance: FloatArray
    """(m,) P_cc: that a random position has a galaxy as near and as bright; by the catalogue's density where the galaxy
    has no magnitude."""
    probability: FloatArray
    """(m,) that this is the host; those of the candidates of one catalogue and `p_none` make 1."""
    p_none: FloatArray
    """(m,) that none of the catalogue's galaxies within the radius is."""
    magnitude: FloatArray
    redshift: FloatArray
    distance_mpc: FloatArray
    """(m,) luminosity distance [Mpc]; NaN when the catalogue gives none."""
    distance_err_mpc: FloatArray

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.row)

    def take(self, chosen: IntArray) -> Hosts:
        """Return the candidates at some places."""
        return Hosts(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})

    def best(self) -> Hosts:
        """Return the most probable candidate of each position over all catalogues, within `DLR_LIMIT`."""
        near = np.flatnonzero(self.d_dlr <= DLR_LIMIT)
        order = near[np.lexsort((near, -self.probability[near], self.row[near]))]
        return self.take(order[np.flatnonzero(np.diff(self.row[order], prepend=-1))])


def light_radius_arcsec(
    semi_major_arcsec: FloatArray, axis_ratio: FloatArray, position_angle_deg: FloatArray, direction_deg: FloatArray
) -> FloatArray:
    """Return the directional light radius of ellipses.

    Parameters
    ----------
    semi_major_arcsec : (n,) of half of the light.
    axis_ratio : (n,) minor over major, in (0, 1].
    position_angle_deg : (n,) of the major axis, from north through east.
    direction_deg : (n,) of the position as seen from the centre, likewise.

    References
    ----------
    Sullivan et al. 2006, doi:10.1086/506137; Gupta et al. 2016, doi:10.3847/0004-6256/152/6/154.
    """
    angle = np.radians(direction_deg - position_angle_deg)
    minor = semi_major_arcsec * axis_ratio
    return np.asarray(minor / np.hypot(axis_ratio * np.cos(angle), np.sin(angle)), dtype=np.float64)


def typical_radius_arcsec(distance_mpc: FloatArray, redshift: FloatArray, r_mag: FloatArray) -> FloatArray:
    """Return the half-light radius of galaxies whose shape is not known [arcsec].

    Parameters
    ----------
    distance_mpc : (n,) luminosity distance, or NaN.
    redshift : (n,) or NaN, to the angular distance.
    r_mag : (n,) or NaN; counts first, because it says how large this galaxy is.
    """
    by_light = np.sqrt(10.0 ** (0.4 * (TYPICAL_SURFACE_BRIGHTNESS - r_mag)) / (2.0 * np.pi))
    angular_mpc = distance_mpc / (1.0 + np.nan_to_num(redshift)) ** 2
    by_distance = TYPICAL_RADIUS_KPC / 1000.0 / angular_mpc / ARCSEC
    radius = np.where(np.isfinite(by_light), by_light, by_distance)
    return np.clip(np.where(np.isfinite(radius), radius, TYPICAL_RADIUS_ARCSEC), *RADIUS_BOUNDS_ARCSEC)


def _directions_deg(near: Neighbours, at: Positions) -> FloatArray:
    """Return the position angle of each position as seen from the centre of the entry [deg]."""
    ra, dec = near.column("ra_deg"), near.column("dec_deg")
    east, north = tangents(ra, dec)
    offset = at.vectors[near.row] - unit_vectors(ra, dec)
    return np.degrees(np.arctan2(np.sum(offset * east, axis=-1), np.sum(offset * north, axis=-1)))


def _shapes(near: Neighbours, r_mag: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return semi-major axis [arcsec], axis ratio, position angle [deg] and whether they are the catalogue's."""
    major, ratio, angle = (near.column(name) for name in ("semi_major_arcsec", "axis_ratio", "position_angle_deg"))
    known = np.isfinite(major)
    typical = typical_radius_arcsec(near.column("distance_mpc"), near.column("redshift"), r_mag)
    major = np.clip(np.where(known, major, typical), *RADIUS_BOUNDS_ARCSEC)
    # Without an angle, a circle of the same area.
    oriented = known & np.isfinite(ratio) & np.isfinite(angle)
    flat = np.where(np.isfinite(ratio), ratio, 1.0)
    major = np.where(oriented, major, major * np.sqrt(flat))
    return major, np.where(oriented, flat, 1.0), np.where(oriented, angle, 0.0), known


def _probabilities(row: IntArray, ratio: FloatArray, prior_hosted: float) -> tuple[FloatArray, FloatArray]:
    """Return the probability of each candidate and that of none for its position; rows are ascending."""
    first = np.flatnonzero(np.diff(row, prepend=-1))
    place = np.cumsum(np.diff(row, prepend=-1) > 0) - 1
    total = np.add.reduceat(ratio, first) if len(first) else np.empty(0)
    none = 1.0 - prior_hosted
    evidence = none + prior_hosted * total[place]
    return prior_hosted * ratio / evidence, none / evidence


def _candidates(
    catalogue: Catalogue, at: Positions, sigma_arcsec: FloatArray, radius_arcsec: float, prior_hosted: float
) -> Hosts:
    """Return the candidates of one catalogue; see `find_hosts`."""
    near = catalogue.neighbours(at, radius_arcsec)
    near = near.take(np.flatnonzero(is_galaxy(catalogue, near.object_type)))
    r_mag = r_magnitude(near.column("magnitude"), near.band)
    major, flat, angle, known = _shapes(near, r_mag)
    # The error of the position blurs the ellipse: both axes in quadrature.
    sigma = np.where(sigma_arcsec >= 0.0, sigma_arcsec, ALERT_SIGMA_ARCSEC)[near.row]
    minor, major = np.hypot(major * flat, sigma), np.hypot(major, sigma)
    dlr = light_radius_arcsec(major, minor / major, angle, _directions_deg(near, at))
    d_dlr = near.separation_arcsec / dlr
    local = near.column("density_deg2") / ARCSEC2_PER_DEG2
    counted = np.isfinite(r_mag)
    strangers = np.where(counted, differential_density_arcsec2(r_mag) * HOST_MAGNITUDES, local)
    profile = np.exp(-d_dlr / OFFSET_SCALE) / (2.0 * np.pi * OFFSET_SCALE**2 * major * minor)
    probability, p_none = _probabilities(near.row, profile / strangers, prior_hosted)
    order = np.lexsort((near.separation_arcsec, -probability, near.row))
    starts = np.flatnonzero(np.diff(near.row, prepend=-1))
    rank = np.arange(len(near)) - np.repeat(starts, np.diff(starts, append=len(near)))
    hosts = Hosts(
        row=near.row,
        rank=rank,
        catalogue=np.full(len(near), catalogue.info.name, dtype=object),
        source_id=near.source_id,
        object_type=near.object_type,
        ra_deg=near.column("ra_deg"),
        dec_deg=near.column("dec_deg"),
        separation_arcsec=near.separation_arcsec,
        light_radius_arcsec=dlr,
        d_dlr=d_dlr,
        shape_known=known,
        p_chance=chance_probability(near.separation_arcsec, np.where(counted, galaxy_density_arcsec2(r_mag), local)),
        probability=probability,
        p_none=p_none,
        magnitude=near.column("magnitude"),
        redshift=near.column("redshift"),
        distance_mpc=near.column("distance_mpc"),
        distance_err_mpc=near.column("distance_err_mpc"),
    )
    return replace(hosts.take(order), rank=rank)


def find_hosts(
    catalogues: Sequence[Catalogue],
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    *,
    sigma_arcsec: ArrayLike = ALERT_SIGMA_ARCSEC,
    radius_arcsec: float = HOST_RADIUS_ARCSEC,
    prior_hosted: float = PRIOR_HOSTED,
) -> Hosts:
    """Return the candidate host galaxies of positions, from all catalogues that hold galaxies.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS]; a position that is not finite or not on the sphere has none.
    sigma_arcsec : 1 sigma error of the positions on each axis, one or (n,).
    radius_arcsec : within which galaxies are candidates.
    prior_hosted : share of positions whose host is in a catalogue, before looking.

    Returns
    -------
    All candidates; `Hosts.best` takes one for each position.

    Notes
    -----
    With q the prior, L_i the likelihood of the separation from galaxy i and n_i the density of strangers like it,
    P_i = q L_i / n_i over (1 - q) + q times the sum of all L_j / n_j. L falls exponentially with the separation in
    light radii over the area of the ellipse; n is the number counts at the galaxy's magnitude times the range over
    which hosts are spread, or the catalogue's density where there is no magnitude. Catalogues are not merged: one
    galaxy may be a candidate in each.

    References
    ----------
    Gupta et al. 2016, doi:10.3847/0004-6256/152/6/154; Bloom et al. 2002, doi:10.1086/338893; the form of the
    posterior is that of Aggarwal et al. 2021, doi:10.3847/1538-4357/abe8d2.
    """
    usable, at = usable_positions(ra_deg, dec_deg, None)
    sigma = np.broadcast_to(np.asarray(sigma_arcsec, dtype=np.float64), np.shape(ra_deg))[usable]
    parts = [
        _candidates(catalogue, at, sigma, radius_arcsec, prior_hosted)
        for catalogue in catalogues
        if catalogue.info.galaxy_types
    ] or [_no_hosts()]
    columns = {item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Hosts)}
    joined = Hosts(**columns)
    order = np.argsort(joined.row, kind="stable")
    return replace(joined.take(order), row=usable[joined.row[order]])


def _no_hosts() -> Hosts:
    """Return no candidates."""
    kinds = {"row": np.int64, "rank": np.int64, "shape_known": np.bool_}
    kinds |= dict.fromkeys(("catalogue", "source_id", "object_type"), object)
    return Hosts(**{item.name: np.empty(0, dtype=kinds.get(item.name, np.float64)) for item in fields(Hosts)})
