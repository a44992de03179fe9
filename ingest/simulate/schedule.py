"""Where and when a survey looked: fields, the visits of the night and those of the month before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import SECONDS_PER_DAY
from ingest.simulate.source_classes import magnitude_to_njy

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HISTORY_D = 29.0
"""Length of the history before the night [d]; ZTF packets carry 30 d, Masci et al. 2019,
doi:10.1088/1538-3873/aae8ac."""

PASS_FIELDS = 50
"""Fields looked at before the first of them is looked at again: about half an hour, the gap that tells what moves;
30 to 60 min for both surveys, Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe, Ivezic et al. 2019,
doi:10.3847/1538-4357/ab042c."""

LEAST_STEP_D = 1.1e-5
"""Least time between two visits [d]: ZTF names an image by the hundred thousandth of the day in which it began."""

MJD_J2000 = 51544.5
"""MJD of the epoch J2000.0 [d]."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a survey observes; figures from Bellm et al. 2019 (ZTF) and Ivezic et al. 2019 (LSST)."""

    survey: Survey
    depth_mag: tuple[float, ...]
    """5 sigma depth of one visit in u to y [mag]; doi:10.1088/1538-3873/aaecbe, doi:10.3847/1538-4357/ab042c."""
    band_pairs: tuple[tuple[int, int], ...]
    """Bands of the first two visits of a night, in turn; a third repeats the first."""
    third_every: int
    """One field of so many is looked at a third time, 0 for none."""
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
    third_every=3,
    visit_s=40.0,
    field_radius_deg=3.8,
    night_gap_d=2,
    dec_range_deg=(-25.0, 75.0),
)
"""The public survey: 47 square degrees, g and r, every second night, two looks or three."""

LSST_STRATEGY = Strategy(
    survey=Survey.LSST,
    depth_mag=(23.9, 25.0, 24.7, 24.0, 23.3, 22.1),
    band_pairs=((1, 2), (2, 3), (3, 4), (0, 1), (4, 5)),
    third_every=0,
    visit_s=39.0,
    field_radius_deg=1.75,
    night_gap_d=3,
    dec_range_deg=(-65.0, 5.0),
)
"""Wide, fast, deep: 9.6 square degrees, pairs of visits in neighbouring bands, one each 39 s with the slew."""


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

    @property
    def visits_tonight(self) -> IntArray:
        """(w,) visits of the night in order of time."""
        rows = np.flatnonzero(self.tonight >= 0)
        return rows[np.argsort(self.midpoint_mjd_tai[rows], kind="stable")]

    def visits_of(self, field: int) -> IntArray:
        """Return the visits of one field in the night, in order of time."""
        rows = np.arange(self.visit_start[field], self.visit_start[field + 1])
        return rows[self.tonight[rows] >= 0]


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
    span: tuple[float, float],
    centres_deg: tuple[FloatArray, FloatArray],
    n_late: int = 0,
) -> Schedule:
    """Choose fields and visits: each field twice or more in the night and on several nights of the month before.

    Parameters
    ----------
    span : start of the night's observing [d, TAI] and its length [s].
    centres_deg : right ascension and declination of fields that must be among them [deg, ICRS].
    n_late : so many of those, the first ones, are not looked at in the first quarter of a long night.
    """
    start_mjd_tai, duration_s = span
    wanted_ra, wanted_dec = centres_deg
    passes = 2.0 + (1.0 / strategy.third_every if strategy.third_every else 0.0)
    n_fields = max(len(wanted_ra), int(np.ceil(duration_s / strategy.visit_s / passes)), 1)
    n_free = n_fields - len(wanted_ra)
    low, high = np.sin(np.radians(strategy.dec_range_deg))
    ra = np.concatenate([wanted_ra, np.mod(antisolar_ra_deg(start_mjd_tai) + rng.uniform(-60.0, 60.0, n_free), 360.0)])
    dec = np.concatenate([wanted_dec, np.degrees(np.arcsin(rng.uniform(low, high, n_free)))])
    sky = SkyCoord(ra * units.deg, dec * units.deg)
    turn = _order_of_fields(rng, n_fields, min(n_late, n_fields))
    parts = [_tonight(strategy, start_mjd_tai, duration_s / SECONDS_PER_DAY, turn)]
    parts.append(_before(rng, strategy, parts[0]))
    field, midpoint, band, tonight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # One telescope looks at one field at a time.
    order = np.argsort(midpoint, kind="stable")
    steps = LEAST_STEP_D * np.arange(len(order))
    midpoint[order] = np.maximum.accumulate(midpoint[order] - steps) + steps
    order = np.lexsort((midpoint, field))
    field, midpoint, band, tonight = field[order], midpoint[order], band[order], tonight[order]
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


class _Visits(NamedTuple):
    """Field, midpoint [d, TAI], band and place in the night of visits."""

    field: IntArray
    midpoint: FloatArray
    band: IntArray
    tonight: IntArray


def _n_blocks(n_fields: int) -> int:
    """Return in how many blocks the fields are taken, each looked at twice before the next."""
    return -(-n_fields // PASS_FIELDS)


def _order_of_fields(rng: np.random.Generator, n_fields: int, n_late: int) -> IntArray:
    """Return the fields in the order of the night, the late ones not in its first quarter where there are blocks."""
    n_blocks = _n_blocks(n_fields)
    early = (n_blocks // 4 + 1) * -(-n_fields // n_blocks) if n_blocks > 1 else 0
    early = min(early, n_fields - n_late)
    free = n_late + rng.permutation(n_fields - n_late)
    rest = rng.permutation(np.concatenate([np.arange(n_late), free[early:]]))
    return np.concatenate([free[:early], rest]).astype(np.int64)


def _tonight(strategy: Strategy, start: float, duration_d: float, turn: IntArray) -> _Visits:
    """Return the visits of the night: block by block, and a block's fields once, again, and some of them once more."""
    pairs = np.array(strategy.band_pairs, dtype=np.int64)
    field: list[IntArray] = []
    place: list[IntArray] = []
    for block in np.array_split(turn, _n_blocks(len(turn))):
        again = [block, block] + ([block[block % strategy.third_every == 0]] if strategy.third_every else [])
        field.extend(again)
        place.extend(np.full(len(fields), k) for k, fields in enumerate(again))
    fields, tonight = np.concatenate(field), np.concatenate(place)
    step = max(duration_d / len(fields), LEAST_STEP_D)
    midpoint: FloatArray = start + (np.arange(len(fields), dtype=np.float64) + 0.5) * step
    return _Visits(fields, midpoint, pairs[fields % len(pairs), tonight % 2], tonight)


def _before(rng: np.random.Generator, strategy: Strategy, night: _Visits) -> _Visits:
    """Return the visits of the month before, in pairs some half an hour apart."""
    pairs = np.array(strategy.band_pairs, dtype=np.int64)
    first = np.flatnonzero(night.tonight == 0)
    field, at = night.field[first], night.midpoint[first]
    nights = np.arange(1, int(HISTORY_D) + 1)
    looks = (nights[None, :] + field[:, None]) % strategy.night_gap_d == 0
    # A quarter of the nights is lost to clouds; the same nights for all fields, as on a real site.
    looks &= (rng.random(len(nights)) > 0.25)[None, :]
    row, night_index = np.nonzero(looks)
    n_seen = len(row)
    evening = at[row] - nights[night_index] + rng.uniform(-0.01, 0.01, n_seen)
    pair = pairs[(field[row] + nights[night_index]) % len(pairs)]
    return _Visits(
        np.concatenate([field[row], field[row]]),
        np.concatenate([evening, evening + rng.uniform(0.02, 0.05, n_seen)]),
        np.concatenate([pair[:, 0], pair[:, 1]]),
        np.full(2 * n_seen, -1, np.int64),
    )


def camera_cells(
    schedule: Schedule, field: IntArray, places_deg: tuple[FloatArray, FloatArray], rows: int, columns: int = 0
) -> IntArray:
    """Return which part of the camera sees each place: row by row in a rectangle about the field's disc.

    Parameters
    ----------
    field : (n,) field of each place.
    places_deg : right ascension and declination, (n,) each [deg, ICRS].
    columns : as many as rows where it is 0.
    """
    columns = columns or rows
    ra, dec = places_deg
    east = (np.mod(ra - schedule.field_ra_deg[field] + 180.0, 360.0) - 180.0) * np.cos(np.radians(dec))
    side = 2.0 * schedule.strategy.field_radius_deg
    column = np.clip((columns * (east / side + 0.5)).astype(np.int64), 0, columns - 1)
    row = np.clip((rows * ((dec - schedule.field_dec_deg[field]) / side + 0.5)).astype(np.int64), 0, rows - 1)
    return np.asarray(row * columns + column)
