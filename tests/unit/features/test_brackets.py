"""First detections and the visits before them that saw nothing, against a plain reading of the points."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.alerts.columns import BANDS, ForcedPhotometry, LightCurves, no_forced
from ingest.brackets import Brackets, brackets_of

Point = tuple[float, int, float, float]
"""Day, band, flux or NaN, limit or NaN; of forced photometry flux and error [nJy]."""

NAN = math.nan


def curves(rows: list[list[Point]]) -> LightCurves:
    offsets, flat = ragged(rows)
    return LightCurves(offsets, flat[:, 0], flat[:, 1].astype(np.int8), flat[:, 2], flat[:, 2] / 10.0, flat[:, 3])


def forced(rows: list[list[Point]]) -> ForcedPhotometry:
    offsets, flat = ragged(rows)
    return ForcedPhotometry(offsets, flat[:, 0], flat[:, 1].astype(np.int8), flat[:, 2], flat[:, 3])


def ragged(rows: list[list[Point]]) -> tuple[np.ndarray, np.ndarray]:
    ordered = [sorted(row, key=lambda point: point[0]) for row in rows]
    flat = np.array([point for row in ordered for point in row], dtype=np.float64).reshape(-1, 4)
    return np.cumsum([0, *map(len, ordered)]).astype(np.int64), flat


def mag(flux_njy: float) -> float:
    return 31.4 - 2.5 * math.log10(flux_njy)


def read(found: Brackets, row: int = 0) -> tuple[object, ...]:
    columns = (found.first_mag, found.first_band, found.last_limit_mjd_tai, found.last_limit_mag, found.last_limit_band)
    return tuple(column.tolist()[row] for column in columns)


def test_the_newest_limit_before_the_first_detection_stands() -> None:
    seen = [(10.0, 1, 1000.0, NAN), (12.0, 2, 3000.0, NAN)]
    limits = [(7.0, 1, NAN, 900.0), (9.0, 2, NAN, 400.0), (11.0, 1, NAN, 300.0)]
    found = read(brackets_of(curves([seen + limits]), no_forced(1), np.array([10.0])))
    assert found == (mag(1000.0), "g", 9.0, mag(400.0), "r")


def test_forced_photometry_without_a_flux_is_a_visit_that_saw_nothing() -> None:
    seen = [(10.0, 3, 1000.0, NAN)]
    # 2 sigma, 8 sigma, 1 sigma without an error, 4 sigma below zero, and 1 sigma after the first detection.
    points = [
        (6.0, 1, 80.0, 40.0),
        (7.0, 2, 320.0, 40.0),
        (8.0, 2, 5.0, NAN),
        (9.0, 2, -160.0, 40.0),
        (11.0, 1, 1.0, 9.0),
    ]
    found = read(brackets_of(curves([seen]), forced([points]), np.array([10.0])))
    assert found == (mag(1000.0), "i", 6.0, mag(200.0), "g")


def test_what_the_packet_no_longer_has_is_absent() -> None:
    seen = [(10.0, 1, 1000.0, NAN), (8.0, 1, NAN, 500.0)]
    found = read(brackets_of(curves([seen]), no_forced(1), np.array([5.0])))
    assert [value == "" or math.isnan(float(str(value))) for value in found] == [True] * 5


def test_the_surveys_record_may_be_milliseconds_off() -> None:
    seen = [(10.0, 1, 1000.0, NAN), (9.999, 1, NAN, 400.0)]
    for first in (10.0 - 0.002 / 86400.0, 10.0 + 0.002 / 86400.0):
        assert read(brackets_of(curves([seen]), no_forced(1), np.array([first])))[:3] == (mag(1000.0), "g", 9.999)


def test_a_first_detection_that_faded_has_no_magnitude() -> None:
    first_mag, first_band, *_ = read(brackets_of(curves([[(10.0, 1, -500.0, NAN)]]), no_forced(1), np.array([10.0])))
    assert math.isnan(float(str(first_mag)))
    assert first_band == "g"


days = st.integers(0, 12).map(float)
fluxes = st.floats(-500.0, 5000.0)
errors = st.floats(1.0, 500.0)
detections = st.tuples(days, st.integers(0, 5), fluxes, st.just(NAN))
stated = st.tuples(days, st.integers(0, 5), st.just(NAN), errors)
measured = st.tuples(days, st.integers(0, 5), fluxes, errors)
objects = st.tuples(
    st.lists(detections, min_size=1, max_size=4), st.lists(stated, max_size=4), st.lists(measured, max_size=5)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(objects, min_size=1, max_size=6))
def test_many_objects_at_once_are_read_as_one_by_one(told: list[tuple[list[Point], list[Point], list[Point]]]) -> None:
    first = np.array([min(point[0] for point in seen) for seen, _, _ in told])
    found = brackets_of(
        curves([seen + limits for seen, limits, _ in told]), forced([points for *_, points in told]), first
    )
    for row, (_, limits, points) in enumerate(told):
        unseen = [(day, limit) for day, _, _, limit in limits]
        unseen += [(day, 5.0 * err) for day, _, flux, err in points if abs(flux) < 3.0 * err]
        before = [(day, limit) for day, limit in unseen if day < first[row]]
        newest = max((day for day, _ in before), default=NAN)
        assert np.array_equal(found.last_limit_mjd_tai[row], newest, equal_nan=True)
        if before:
            assert any(math.isclose(found.last_limit_mag[row], mag(limit)) for day, limit in before if day == newest)
            assert found.last_limit_band[row] in BANDS
