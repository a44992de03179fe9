"""Match positions with local catalogues: the nearest entry within a catalogue's radius, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graph.times import mjd_tai_to_julian_year
from ingest.catalogues.counts import ARCSEC2_PER_DEG2, chance_probability, galaxy_density_arcsec2, r_magnitude
from ingest.catalogues.motion import ARCSEC
from ingest.catalogues.opened import Catalogue, Neighbours, Positions, open_catalogues
from ingest.catalogues.stored import EVERY_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ingest.alerts.columns import AlertColumns

__all__ = [
    "ALERT_SIGMA_ARCSEC",
    "PRIOR_MATCHED",
    "Catalogue",
    "CrossMatches",
    "crossmatch",
    "is_galaxy",
    "log_bayes_factor",
    "match_probability",
    "open_catalogues",
    "usable_positions",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

ALERT_SIGMA_ARCSEC = 0.3
"""1 sigma error of an alert's position on each axis [arcsec]: ZTF's scatter near its detection limit, Masci et al.
2019, doi:10.1088/1538-3873/aae8ac; LSST's is smaller, so its matches are worth a little more than stated."""

PRIOR_MATCHED = 0.1
"""Share of alerts that have their source in a catalogue, before looking; small, because no catalogue here is complete,
and of little weight: a true match at a typical density has a Bayes factor above 1e4 times its prior."""

SMALLEST_SIGMA_ARCSEC = 1e-3
"""Smallest error of a position that is believed [arcsec]; keeps zeros out of the logarithms."""

EARLIEST_JYEAR = 1950.0
"""Earliest Julian year of a position that is believed; before it, entries stay at their own epoch."""

LATEST_JYEAR = 2100.0
"""Latest such year; recorded test packets of LSST carry MJD 1.5e9."""


@dataclass(frozen=True, eq=False, slots=True)
class CrossMatches:
    """Nearest catalogue entries of positions; at most one row for each position and catalogue."""

    row: IntArray
    """(m,) index of the position; ascending, then by the order of the catalogues."""
    catalogue: TextArray
    source_id: TextArray
    object_type: TextArray
    ra_deg: FloatArray
    """(m,) of the entry [deg, ICRS], as catalogued: at its own epoch."""
    dec_deg: FloatArray
    separation_arcsec: FloatArray
    """(m,) at the time of the position, the entry moved there."""
    probability: FloatArray
    """(m,) that position and entry are one source; see `match_probability`."""
    log_bayes_factor: FloatArray
    """(m,) natural logarithm of the Bayes factor of one source against two; see `log_bayes_factor`."""
    p_chance: FloatArray
    """(m,) that a random position has an entry as near, by the density of the catalogue around the entry; of a galaxy
    with a magnitude, that it has a galaxy as near and as bright, by number counts."""
    distance_mpc: FloatArray
    """(m,) luminosity distance [Mpc]; NaN when the catalogue gives none."""
    redshift: FloatArray
    magnitude: FloatArray
    """(m,) in whichever band the catalogue has; NaN when it has none."""
    pm_masyr: FloatArray
    """(m,) proper motion [mas/yr]; NaN when the catalogue gives none."""
    parallax_mas: FloatArray
    parallax_err_mas: FloatArray

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.row)

    def take(self, chosen: IntArray) -> CrossMatches:
        """Return the matches at some places."""
        return CrossMatches(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})


def log_bayes_factor(separation_arcsec: FloatArray, sigma_arcsec: FloatArray) -> FloatArray:
    """Return the natural logarithm of the Bayes factor of one source against two unrelated ones.

    Parameters
    ----------
    separation_arcsec : (n,).
    sigma_arcsec : (n,) both errors in quadrature, on each axis.

    Notes
    -----
    2 / s^2 exp(-d^2 / (2 s^2)), both in radians. It knows nothing of how many entries there are.

    References
    ----------
    Budavari & Szalay 2008, doi:10.1086/587156, equation 16.
    """
    variance = (sigma_arcsec * ARCSEC) ** 2
    return np.asarray(np.log(2.0 / variance) - (separation_arcsec * ARCSEC) ** 2 / (2.0 * variance), dtype=np.float64)


def match_probability(
    separation_arcsec: FloatArray, sigma_arcsec: FloatArray, density_deg2: FloatArray, prior_matched: float
) -> FloatArray:
    """Return the probability that a position and its nearest entry are one source.

    Parameters
    ----------
    separation_arcsec : (n,).
    sigma_arcsec : (n,) both errors in quadrature, on each axis.
    density_deg2 : (n,) of entries around the position [deg^-2].
    prior_matched : share of positions that have an entry, before looking.

    Notes
    -----
    The Bayes factor times the prior that a given one of the N entries that the sky would hold at this density is the
    match, over the chance that the position has no entry or has it further away than this stranger. Exact for a Poisson
    field of strangers.

    References
    ----------
    Budavari & Szalay 2008, doi:10.1086/587156, equations 16 and 27.
    """
    log_bayes = log_bayes_factor(separation_arcsec, sigma_arcsec)
    on_sky = np.maximum(density_deg2 * 4.0 * np.pi * (180.0 / np.pi) ** 2, 1.0)
    unseen = 1.0 - prior_matched + prior_matched * np.exp(-0.5 * (separation_arcsec / sigma_arcsec) ** 2)
    log_odds = np.clip(log_bayes + np.log(prior_matched / on_sky / unseen), -700.0, 700.0)
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)


def total_sigma_arcsec(near: Neighbours, sigma_arcsec: FloatArray) -> FloatArray:
    """Return the error of each separation on one axis [arcsec].

    Parameters
    ----------
    near : p pairs.
    sigma_arcsec : (n,) of the positions; one that is not a positive number counts as `ALERT_SIGMA_ARCSEC`.

    Notes
    -----
    In quadrature: the position, the entry, the error of its proper motion times the years that have passed, and its
    annual parallax over the root of two, which is not applied to positions.
    """
    stated = np.where(sigma_arcsec > 0.0, sigma_arcsec, ALERT_SIGMA_ARCSEC)[near.row]
    drift = np.nan_to_num(near.column("pm_sigma_masyr") * near.years) / 1000.0
    wobble = np.nan_to_num(near.column("parallax_mas")) / 1000.0
    variance = stated**2 + near.column("sigma_arcsec") ** 2 + drift**2 + 0.5 * wobble**2
    return np.maximum(np.sqrt(variance), SMALLEST_SIGMA_ARCSEC)


def is_galaxy(catalogue: Catalogue, object_type: TextArray) -> BoolArray:
    """Tell which entries of a catalogue are galaxies, by their types."""
    if EVERY_TYPE in catalogue.info.galaxy_types:
        return np.ones(len(object_type), dtype=np.bool_)
    return np.isin(object_type.astype(str), np.array(catalogue.info.galaxy_types, dtype=str))


def usable_positions(
    ra_deg: ArrayLike, dec_deg: ArrayLike, midpoint_mjd_tai: ArrayLike | None
) -> tuple[IntArray, Positions]:
    """Return which positions are on the sky, and those."""
    ra, dec = np.asarray(ra_deg, dtype=np.float64), np.asarray(dec_deg, dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0))
    years = None
    if midpoint_mjd_tai is not None:
        years = np.broadcast_to(mjd_tai_to_julian_year(midpoint_mjd_tai), ra.shape)[usable]
        # A damaged date must not sweep the stars across the sky.
        years = np.where((years > EARLIEST_JYEAR) & (years < LATEST_JYEAR), years, np.nan)
    return usable, Positions.of(ra[usable], dec[usable], years)


def _nearest(
    catalogue: Catalogue, at: Positions, usable: IntArray, sigma_arcsec: FloatArray, prior_matched: float
) -> CrossMatches:
    """Return the nearest entries of one catalogue; see `crossmatch`."""
    near = catalogue.neighbours(at, catalogue.info.radius_arcsec, nearest=True)
    sigma = total_sigma_arcsec(near, sigma_arcsec)
    density = near.column("density_deg2") / ARCSEC2_PER_DEG2
    magnitude = near.column("magnitude")
    counted = is_galaxy(catalogue, near.object_type) & np.isfinite(magnitude)
    density[counted] = galaxy_density_arcsec2(r_magnitude(magnitude[counted], near.band[counted]))
    return CrossMatches(
        row=usable[near.row],
        catalogue=np.full(len(near), catalogue.info.name, dtype=object),
        source_id=near.source_id,
        object_type=near.object_type,
        ra_deg=near.column("ra_deg"),
        dec_deg=near.column("dec_deg"),
        separation_arcsec=near.separation_arcsec,
        probability=match_probability(near.separation_arcsec, sigma, near.column("density_deg2"), prior_matched),
        log_bayes_factor=log_bayes_factor(near.separation_arcsec, sigma),
        p_chance=chance_probability(near.separation_arcsec, density),
        distance_mpc=near.column("distance_mpc"),
        redshift=near.column("redshift"),
        magnitude=magnitude,
        pm_masyr=np.hypot(near.column("pm_ra_masyr"), near.column("pm_dec_masyr")),
        parallax_mas=near.column("parallax_mas"),
        parallax_err_mas=near.column("parallax_err_mas"),
    )


def crossmatch(
    catalogues: Sequence[Catalogue],
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    *,
    sigma_arcsec: ArrayLike = ALERT_SIGMA_ARCSEC,
    midpoint_mjd_tai: ArrayLike | None = None,
    prior_matched: float = PRIOR_MATCHED,
) -> CrossMatches:
    """Match positions with every catalogue.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS]; a position that is not finite or not on the sphere matches nothing.
    sigma_arcsec : 1 sigma error of the positions on each axis, one or (n,).
    midpoint_mjd_tai : when the positions were measured [d, TAI], one or (n,), to which entries with proper motion are
        moved; None or a value that is no date leaves them at their own epoch.
    prior_matched : see `match_probability`.

    Returns
    -------
    The nearest entry of each catalogue within that catalogue's radius.
    """
    usable, at = usable_positions(ra_deg, dec_deg, midpoint_mjd_tai)
    sigma = np.broadcast_to(np.asarray(sigma_arcsec, dtype=np.float64), np.shape(ra_deg))[usable]
    found = [_nearest(catalogue, at, usable, sigma, prior_matched) for catalogue in catalogues]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(match.row for match in found)])
    order = np.argsort(rows, kind="stable")
    columns: dict[str, NDArray[np.generic]] = {"row": rows}
    for item in fields(CrossMatches)[1:]:
        empty = np.empty(0, dtype=object if item.name in {"catalogue", "source_id", "object_type"} else np.float64)
        columns[item.name] = np.concatenate([empty, *(getattr(match, item.name) for match in found)])
    return CrossMatches(**columns).take(order)  # type: ignore[arg-type, unused-ignore]


def match_alerts(catalogues: Sequence[Catalogue], columns: AlertColumns) -> CrossMatches:
    """Match alerts with every catalogue, moving stars to the time of each alert; see `crossmatch`."""
    return crossmatch(catalogues, columns.ra_deg, columns.dec_deg, midpoint_mjd_tai=columns.midpoint_mjd_tai)
