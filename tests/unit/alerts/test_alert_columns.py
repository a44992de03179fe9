"""Choosing alerts takes all that belongs to them, as a loop over alerts would."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves
from ingest.alerts.lightcurve import Points, build_forced, join_histories


def _ragged(kind: Any, lengths: list[int], rng: np.random.Generator) -> Any:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    names = [field.name for field in fields(kind) if field.name != "offsets"]
    return kind(offsets, **{name: rng.normal(size=offsets[-1]) for name in names})


def _columns(curves: list[int], forced: list[int], seed: int) -> AlertColumns:
    rng = np.random.default_rng(seed)
    ragged = {
        "light_curves": _ragged(LightCurves, curves, rng),
        "forced": _ragged(ForcedPhotometry, forced, rng),
    }
    flat = [field.name for field in fields(AlertColumns) if field.name not in (*ragged, "survey")]
    values: dict[str, Any] = {name: rng.normal(size=len(curves)) for name in flat}
    return AlertColumns(survey=Survey.ZTF, **values, **ragged)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_chosen_alerts_keep_their_points(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 7))
    lengths = st.lists(st.integers(0, 4), min_size=n, max_size=n)
    columns = _columns(data.draw(lengths), data.draw(lengths), data.draw(st.integers(0, 99)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.bool_)
    for chosen in (columns.take(mask), columns.take(np.flatnonzero(mask))):
        assert len(chosen) == len(chosen.light_curves) == len(chosen.forced) == mask.sum()
        for new, old in enumerate(np.flatnonzero(mask)):
            assert chosen.exposure_id[new] == columns.exposure_id[old]
            for ours, whole in ((chosen.light_curves, columns.light_curves), (chosen.forced, columns.forced)):
                for field in fields(ours)[1:]:
                    np.testing.assert_array_equal(
                        getattr(ours, field.name)[ours.offsets[new] : ours.offsets[new + 1]],
                        getattr(whole, field.name)[whole.offsets[old] : whole.offsets[old + 1]],
                    )


def _points(times: list[list[float]], seed: int) -> tuple[Points, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in times])]).astype(np.int64)
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, offsets[-1]))
    flat = np.array([time for part in times for time in part], dtype=np.float64)
    return Points(flat, rng.integers(0, 6, offsets[-1]).astype(np.int8), *values), offsets


_TIMES = st.floats(55000.0, 60000.0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_joined_histories_hold_both(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 5))
    lists = st.lists(st.lists(_TIMES, max_size=4), min_size=n, max_size=n)
    (first, begins), (second, ends) = _points(data.draw(lists), 1), _points(data.draw(lists), 2)
    joined, offsets, order = join_histories(first, begins, second, ends)
    both = np.concatenate([first.psf_flux_njy, second.psf_flux_njy])
    np.testing.assert_array_equal(both[order], joined.psf_flux_njy)
    for i in range(n):
        expected = [*first.midpoint_mjd_tai[begins[i] : begins[i + 1]], *second.midpoint_mjd_tai[ends[i] : ends[i + 1]]]
        assert joined.midpoint_mjd_tai[offsets[i] : offsets[i + 1]].tolist() == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_forced_photometry_is_in_order_of_time(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 5))
    times = data.draw(st.lists(st.lists(_TIMES | st.just(np.nan), max_size=5), min_size=n, max_size=n))
    points, offsets = _points(times, 3)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.bool_)
    used = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(points.band), max_size=len(points.band))), dtype=np.bool_
    )
    forced = build_forced(kept, points, offsets, used)
    for row, i in enumerate(np.flatnonzero(kept)):
        chosen = [k for k in range(offsets[i], offsets[i + 1]) if used[k] and not np.isnan(points.midpoint_mjd_tai[k])]
        chosen.sort(key=lambda k: points.midpoint_mjd_tai[k])
        part = slice(forced.offsets[row], forced.offsets[row + 1])
        np.testing.assert_array_equal(forced.psf_flux_njy[part], points.psf_flux_njy[chosen])
        np.testing.assert_array_equal(forced.band[part], points.band[chosen])
