"""Time scales and formats: the only place where they are converted.

Notices and the API speak aware UTC datetimes; detections speak MJD in TAI. The two scales differ by the
leap seconds (37 s since 2017), which is wider than a GRB-GW coincidence window: they never mix elsewhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

SECONDS_PER_DAY = 86400.0
"""Seconds in one day of TAI [s]."""

MJD_ZERO_JD = 2400000.5
"""Julian date of MJD 0 [d]; IAU definition."""

MJD_UNIX_EPOCH = 40587.0
"""MJD of 1970-01-01T00:00 [d]."""

MJD_J2000 = 51544.5
"""MJD of J2000.0 [d, TT]; IAU definition."""

DAYS_PER_JULIAN_YEAR = 365.25
"""Days in one Julian year [d]; IAU definition."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def _leap_table() -> tuple[FloatArray, FloatArray]:
    """Return the UTC MJD at which each TAI-UTC offset begins, and the offset [s], from ERFA."""
    table = erfa.leap_seconds.get()
    table = table[table["year"] >= 1972]
    starts = np.array(
        [(datetime(int(row["year"]), int(row["month"]), 1, tzinfo=UTC) - _EPOCH).days for row in table],
        dtype=np.float64,
    )
    return starts + MJD_UNIX_EPOCH, table["tai_utc"].astype(np.float64)


def tai_minus_utc_s(mjd_utc: ArrayLike) -> FloatArray:
    """Return TAI-UTC [s] for UTC dates of 1972 or later; earlier dates get the offset of 1972.

    Parameters
    ----------
    mjd_utc : any shape [d, UTC].
    """
    starts, offsets = _leap_table()
    row = np.searchsorted(starts, np.asarray(mjd_utc, dtype=np.float64), side="right") - 1
    return offsets[np.clip(row, 0, len(offsets) - 1)]


def mjd_utc_to_tai(mjd_utc: ArrayLike) -> FloatArray:
    """Convert MJD [d] from UTC to TAI."""
    utc = np.asarray(mjd_utc, dtype=np.float64)
    return utc + tai_minus_utc_s(utc) / SECONDS_PER_DAY


def mjd_tai_to_utc(mjd_tai: ArrayLike) -> FloatArray:
    """Convert MJD [d] from TAI to UTC; inside a leap second the later UTC day begins early."""
    tai = np.asarray(mjd_tai, dtype=np.float64)
    starts, offsets = _leap_table()
    row = np.searchsorted(starts + offsets / SECONDS_PER_DAY, tai, side="right") - 1
    return tai - offsets[np.clip(row, 0, len(offsets) - 1)] / SECONDS_PER_DAY


def jd_utc_to_mjd_tai(jd_utc: ArrayLike) -> FloatArray:
    """Convert a Julian date in UTC (ZTF's ``jd``) to MJD in TAI [d]."""
    return mjd_utc_to_tai(np.asarray(jd_utc, dtype=np.float64) - MJD_ZERO_JD)


def mjd_tai_to_julian_year(mjd_tai: ArrayLike) -> FloatArray:
    """Convert MJD in TAI [d] to the Julian year (J2000.0 is 2000.0); the 32 s between TAI and TT are left out."""
    return (np.asarray(mjd_tai, dtype=np.float64) - MJD_J2000) / DAYS_PER_JULIAN_YEAR + 2000.0


def datetime_to_mjd_tai(moment: datetime) -> float:
    """Convert an aware datetime to MJD in TAI [d].

    Raises
    ------
    ValueError : the datetime is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no time scale")
    delta = moment.astimezone(UTC) - _EPOCH
    mjd_utc = MJD_UNIX_EPOCH + delta.days + (delta.seconds + delta.microseconds * 1e-6) / SECONDS_PER_DAY
    return float(mjd_utc_to_tai(mjd_utc))


# A message about a pair says the same time several times over.
@lru_cache(maxsize=4096)
def mjd_tai_to_datetime(mjd_tai: float) -> datetime:
    """Convert MJD in TAI [d] to an aware UTC datetime, to the microsecond of a float64 MJD (about 1 us)."""
    days = float(mjd_tai_to_utc(mjd_tai)) - MJD_UNIX_EPOCH
    return _EPOCH + timedelta(microseconds=round(days * SECONDS_PER_DAY * 1e6))


def parse_utc(text: str) -> datetime:
    """Read an ISO 8601 time as aware UTC; a time without zone is taken as UTC, as GCN notices mean it.

    Raises
    ------
    ValueError : the text is not a time.
    """
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_utc(moment: datetime) -> str:
    """Write an aware datetime as ISO 8601 UTC with microseconds and ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def night_of_mjd_tai(mjd_tai: ArrayLike) -> NDArray[np.int64]:
    """Return the observing night as YYYYMMDD integers, from the UTC date at noon before.

    Notes
    -----
    Both surveys observe from the Americas: their nights fall inside one UTC noon-to-noon interval shifted by
    half a day, so the night is the UTC calendar date of (time - 12 h), as Rubin's ``dayobs`` counts it.
    """
    days = np.floor(mjd_tai_to_utc(mjd_tai) - 0.5 - MJD_UNIX_EPOCH)
    dates = days.astype("datetime64[D]")
    years = dates.astype("datetime64[Y]")
    months = dates.astype("datetime64[M]")
    year = years.astype(np.int64) + 1970
    month = (months - years.astype("datetime64[M]")).astype(np.int64) + 1
    day = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    return np.asarray(year * 10000 + month * 100 + day, dtype=np.int64)
