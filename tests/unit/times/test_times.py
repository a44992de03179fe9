"""Time scales against astropy, and the properties that conversions must have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from graph import times

MICROSECOND_D = 1e-6 / 86400.0
MJDS = st.floats(41317.0, 62000.0)
MOMENTS = st.datetimes(datetime(1973, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants them so


@given(st.lists(MJDS, min_size=1, max_size=20))
def test_utc_to_tai_agrees_with_astropy(mjds: list[float]) -> None:
    # Within a day that ends in a leap second astropy stretches the day; such days are tested apart.
    dates = np.array(mjds)
    whole = times.tai_minus_utc_s(np.floor(dates)) == times.tai_minus_utc_s(np.floor(dates) + 1)
    expected = Time(dates, format="mjd", scale="utc").tai.mjd
    assert np.allclose(times.mjd_utc_to_tai(dates)[whole], expected[whole], rtol=0, atol=2 * MICROSECOND_D)


@given(MJDS)
def test_there_and_back(mjd: float) -> None:
    assert times.mjd_tai_to_utc(times.mjd_utc_to_tai(mjd)) == pytest.approx(mjd, abs=2 * MICROSECOND_D)


@given(st.lists(MJDS, min_size=2, max_size=50))
def test_tai_never_runs_backwards(mjds: list[float]) -> None:
    ordered = np.sort(np.array(mjds))
    assert (np.diff(times.mjd_utc_to_tai(ordered)) >= 0).all()


@pytest.mark.parametrize(
    ("date", "offset"),
    [("1972-01-01", 10), ("1998-12-31", 31), ("1999-01-01", 32), ("2016-12-31", 36), ("2017-01-01", 37)],
)
def test_known_offsets(date: str, offset: int) -> None:
    assert times.tai_minus_utc_s(Time(date).mjd) == offset


@given(MOMENTS)
def test_datetimes_survive_to_the_microsecond(moment: datetime) -> None:
    back = times.mjd_tai_to_datetime(times.datetime_to_mjd_tai(moment))
    assert abs(back - moment) <= timedelta(microseconds=2)


@given(MOMENTS, st.integers(-14, 14))
def test_the_zone_of_a_datetime_does_not_matter(moment: datetime, hours: int) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(hours=hours)))
    assert times.datetime_to_mjd_tai(elsewhere) == times.datetime_to_mjd_tai(moment)
    assert times.format_utc(elsewhere) == times.format_utc(moment)


@given(MOMENTS)
def test_text_is_read_back_as_written(moment: datetime) -> None:
    assert times.parse_utc(times.format_utc(moment)) == moment


def test_text_without_a_zone_is_utc_and_naive_datetimes_are_refused() -> None:
    assert times.parse_utc("2020-05-24T05:04:00.36") == datetime(2020, 5, 24, 5, 4, 0, 360_000, tzinfo=UTC)
    with pytest.raises(ValueError, match="no time scale"):
        times.datetime_to_mjd_tai(datetime(2020, 5, 24))  # noqa: DTZ001 - that is the point


@given(MJDS)
def test_the_night_is_the_date_twelve_hours_earlier(mjd_tai: float) -> None:
    utc = times.mjd_tai_to_datetime(mjd_tai)
    # On the edge of noon the two roundings may differ by a microsecond.
    if abs((utc - timedelta(hours=12)).timestamp() % 86400) > 1e-5:
        expected = (utc - timedelta(hours=12)).strftime("%Y%m%d")
        assert times.night_of_mjd_tai(np.array([mjd_tai]))[0] == int(expected)


def test_ztf_julian_dates() -> None:
    assert times.jd_utc_to_mjd_tai(2458451.5) == pytest.approx(58451.0 + 37 / 86400, abs=MICROSECOND_D)
