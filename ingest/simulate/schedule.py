"""Where and when a survey looked: fields, the visits of the night and those of the month before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import SECONDS_PER_DAY
from ingest.simulate.light_curves import magnitude_to_njy

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HISTORY_D = 29.0
"""Length of the history before the night [d]; ZTF packets carry 30 d, Masci et al. 2019,
doi:10.1088/1538-3873/aae8ac."""

MJD_J2000 = 51544.5
"""MJD of the epoch J2000.0 [d]."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a survey observes; figures from Bellm et al. 2019 (ZTF) and Ivezic et al. 2019 (LSST)."""

    survey: Survey
    depth_mag: tuple[float, ...]
    """5 sigma depth of one visit in u to y [mag]; doi:10.1088/1538-3873/aaecbe, doi:10.3847/1538-4357/ab042c."""
    band_pairs: tuple[tuple[int, int], ...]
    """Bands of the two visits of a night, in turn."""
    visit_s: float
    """From one exposure to the next [s]."""
    field_radius_deg: float
    """Radius of a disc about as large as the camera's field [deg]."""
    night_gap_d: int
    """Nights between two looks at a field [d]."""
    dec_range_deg: tuple[float, float]


ZTF_STRATEGY = Strategy(
    survey=Survey.ZTF,
    depth_mag=(20.0, 20.8, 20.6, 19.9, 19.0, 18.5),
    band_pairs=((1, 2), (2, 1)),
    visit_s=40.0,
    field_radius_deg=3.8,
    night_gap_d=2,
    dec_range_deg=(-25.0, 75.0),
)
"""The public survey: 47 square degrees, g and r, every second night."""

LSST_STRATEGY = Strategy(
    survey=Survey.LSST,
    depth_mag=(23.9, 25.0, 24.7, 24.0, 23.3, 22.1),
    band_pairs=((1, 2), (2, 3), (3, 4), (0, 1), (4, 5)),
    visit_s=37.0,
    field_radius_deg=1.75,
    night_gap_d=3,
    dec_range_deg=(-65.0, 5.0),
)
"""Wide, fast, deep: 9.6 square degrees, pairs of visits in neighbouring bands."""


@dataclass(frozen=True, eq=False, slots=True)
class Schedule:
    """The fields of one survey and their visits; visits are in order of (field, time)."""

    strategy: Strategy
    field_ra_deg: FloatArray
    field_dec_deg: FloatArray
    galactic_latitude_deg: FloatArray
    ecliptic_latitude_deg: FloatArray
    visit_start: IntArray
    """(f + 1,) visits ``visit_start[i]`` to ``visit_start[i + 1]`` are of field i."""
    field: IntArray
    """(v,) field of each visit."""
    midpoint_mjd_tai: FloatArray
    """(v,) middle of the exposure [d, TAI]."""
    band: IntArray
    limit_njy: FloatArray
    """(v,) 5 sigma limiting flux [nJy]."""
    tonight: IntArray
    """(v,) 0, 1, ... for the visits of the night, -1 for those before."""

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.field_ra_deg)


def antisolar_ra_deg(mjd: float) -> float:
    """Return the right ascension that culminates at midnight [deg], to a degree.

    References
    ----------
    Low-precision Sun of the Astronomical Almanac, section C.
    """
    days = mjd - MJD_J2000
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly))
    ra = np.degrees(np.arctan2(np.cos(np.radians(23.44)) * np.sin(longitude), np.cos(longitude)))
    return float((ra + 180.0) % 360.0)


def offset_positions(
    ra_deg: FloatArray, dec_deg: FloatArray, distance_deg: FloatArray, angle_deg: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the positions at a distance and position angle from given ones, on the sphere.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS].
    distance_deg, angle_deg : (n,) great-circle distance and angle from north through east [deg].
    """
    dec, far, angle = np.radians(dec_deg), np.radians(distance_deg), np.radians(angle_deg)
    sin_dec = np.clip(np.sin(dec) * np.cos(far) + np.cos(dec) * np.sin(far) * np.cos(angle), -1.0, 1.0)
    along = np.arctan2(np.sin(angle) * np.sin(far) * np.cos(dec), np.cos(far) - np.sin(dec) * sin_dec)
    return np.mod(ra_deg + np.degrees(along), 360.0), np.degrees(np.arcsin(sin_dec))


def plan_night(
    rng: np.random.Generator,
    strategy: Strategy,
    start_mjd_tai: float,
    duration_s: float,
    centres_deg: tuple[FloatArray, FloatArray],
) -> Schedule:
    """Choose fields and visits: each field twice in the night and on several nights of the month before.

    Parameters
    ----------
    start_mjd_tai : start of the night's observing [d, TAI].
    duration_s : its length [s].
    centres_deg : right ascension and declination of fields that must be among them [deg, ICRS].
    """
    wanted_ra, wanted_dec = centres_deg
    n_fields = max(len(wanted_ra), int(np.ceil(duration_s / strategy.visit_s / 2.0)), 1)
    n_free = n_fields - len(wanted_ra)
    low, high = np.sin(np.radians(strategy.dec_range_deg))
    ra = np.concatenate([wanted_ra, np.mod(antisolar_ra_deg(start_mjd_tai) + rng.uniform(-60.0, 60.0, n_free), 360.0)])
    dec = np.concatenate([wanted_dec, np.degrees(np.arcsin(rng.uniform(low, high, n_free)))])
    sky = SkyCoord(ra * units.deg, dec * units.deg)
    visits = _visits(rng, strategy, start_mjd_tai, duration_s / SECONDS_PER_DAY, n_fields)
    order = np.lexsort((visits[1], visits[0]))
    field, midpoint, band, tonight = visits[0][order], visits[1][order], visits[2][order], visits[3][order]
    depth = np.array(strategy.depth_mag)[band] + rng.normal(0.0, 0.2, len(band))
    return Schedule(
        strategy=strategy,
        field_ra_deg=ra,
        field_dec_deg=dec,
        galactic_latitude_deg=sky.galactic.b.deg,
        ecliptic_latitude_deg=sky.barycentrictrueecliptic.lat.deg,
        visit_start=np.searchsorted(field, np.arange(n_fields + 1)).astype(np.int64),
        field=field,
        midpoint_mjd_tai=midpoint,
        band=band,
        limit_njy=magnitude_to_njy(depth),
        tonight=tonight,
    )


def _visits(
    rng: np.random.Generator, strategy: Strategy, start: float, duration_d: float, n_fields: int
) -> tuple[IntArray, FloatArray, IntArray, IntArray]:
    """Return field, midpoint, band and place in the night of every visit, unordered."""
    pairs = np.array(strategy.band_pairs, dtype=np.int64)
    spacing = duration_d / (2 * n_fields)
    turn = rng.permutation(n_fields)
    fields = np.arange(n_fields)
    first = start + (turn + 0.5) * spacing
    parts = [
        (fields, first, pairs[fields % len(pairs), 0], np.zeros(n_fields, np.int64)),
        (fields, first + n_fields * spacing, pairs[fields % len(pairs), 1], np.ones(n_fields, np.int64)),
    ]
    nights = np.arange(1, int(HISTORY_D) + 1)
    looks = (nights[None, :] + fields[:, None]) % strategy.night_gap_d == 0
    # A quarter of the nights is lost to clouds; the same nights for all fields, as on a real site.
    looks &= (rng.random(len(nights)) > 0.25)[None, :]
    seen_field, night = np.nonzero(looks)
    n_seen = len(seen_field)
    evening = first[seen_field] - nights[night] + rng.uniform(-0.01, 0.01, n_seen)
    pair = pairs[(seen_field + nights[night]) % len(pairs)]
    before = np.full(n_seen, -1, np.int64)
    parts.append((seen_field, evening, pair[:, 0], before))
    parts.append((seen_field, evening + rng.uniform(0.02, 0.05, n_seen), pair[:, 1], before))
    return (
        np.concatenate([part[0] for part in parts]).astype(np.int64),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
    )
