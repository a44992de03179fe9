"""Labelled light curves in columns: what recipes fit on and judge with."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves, no_forced, ragged_offsets
from ingest.classifiers.contract import Batch, batch_of
from ingest.crossmatch import crossmatch
from ingest.training.histories import History, pack_light_curves, split_fraction

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

TRAIN_BELOW = 0.5
"""Objects with a `split_fraction` below this are fitted on."""

TEST_BELOW = 0.7
"""Objects from `TRAIN_BELOW` to this are judged on; the rest is left for judges outside of this code."""


@dataclass(frozen=True, eq=False, slots=True)
class Labelled:
    """n labelled objects, or the state of n objects at the times of n alerts."""

    object_id: TextArray
    label: TextArray
    """(n,) class, a name of `graph.taxonomy`."""
    source: TextArray
    """(n,) collection that the object is from, e.g. ``plasticc``."""
    curves: LightCurves
    """Detections and, where the source has them, upper limits."""
    forced: ForcedPhotometry
    """All fluxes, detected or not, where the source has them; empty light curves otherwise."""
    ra_deg: FloatArray
    dec_deg: FloatArray
    redshift: FloatArray
    """(n,) of the host as an observer would know it (photometric); NaN when absent."""
    redshift_err: FloatArray
    peak_mjd_tai: FloatArray
    """(n,) true time of maximum light [d, TAI]; NaN when unknown or without meaning."""

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.object_id)

    @property
    def is_train(self) -> BoolArray:
        """(n,) objects to fit on."""
        return _fractions(self.object_id) < TRAIN_BELOW

    @property
    def is_test(self) -> BoolArray:
        """(n,) objects to judge on, never fitted on."""
        fraction = _fractions(self.object_id)
        return (fraction >= TRAIN_BELOW) & (fraction < TEST_BELOW)

    def take(self, chosen: BoolArray | IntArray) -> Labelled:
        """Return the rows that a mask or row numbers choose; a row may be chosen more than once."""
        return Labelled(
            **{
                item.name: value.take(chosen) if item.name in {"curves", "forced"} else value[chosen]
                for item in fields(self)
                for value in [getattr(self, item.name)]
            }
        )

    def until(self, end_mjd_tai: FloatArray, *, since_d: float = np.inf) -> Labelled:
        """Return what was known at a time: points up to ``end_mjd_tai`` (n,), none older than ``since_d`` before it."""
        return replace(
            self,
            curves=_cut(self.curves, end_mjd_tai, since_d),
            forced=_cut(self.forced, end_mjd_tai, since_d),
        )


def from_histories(
    histories: Sequence[History], label: Sequence[str], peak_mjd_tai: FloatArray | None = None
) -> Labelled:
    """Return histories as columns, without forced photometry.

    Parameters
    ----------
    peak_mjd_tai : (n,) true time of maximum light [d, TAI]; unknown where it is left out.
    """
    n = len(histories)
    absent = np.full(n, np.nan)
    return Labelled(
        object_id=np.array([history.object_id for history in histories], dtype=object),
        label=np.array(label, dtype=object),
        source=np.array([history.source for history in histories], dtype=object),
        curves=pack_light_curves(histories),
        forced=no_forced(n),
        ra_deg=absent,
        dec_deg=absent,
        redshift=absent,
        redshift_err=absent,
        peak_mjd_tai=absent if peak_mjd_tai is None else peak_mjd_tai,
    )


Points = TypeVar("Points", LightCurves, ForcedPhotometry)


def _cut(points: Points, end_mjd_tai: FloatArray, since_d: float) -> Points:
    """Return the points from ``since_d`` before to the end of each row."""
    owner = np.repeat(np.arange(len(points)), np.diff(points.offsets))
    age = end_mjd_tai[owner] - points.midpoint_mjd_tai
    kept = (age >= 0.0) & (age <= since_d)
    offsets = ragged_offsets(owner[kept], len(points))
    rest = {item.name: getattr(points, item.name)[kept] for item in fields(points) if item.name != "offsets"}
    return type(points)(offsets=offsets, **rest)


def _fractions(object_id: TextArray) -> FloatArray:
    return np.array([split_fraction(str(name)) for name in object_id], dtype=np.float64)


def concatenate(parts: Sequence[Labelled]) -> Labelled:
    """Join collections."""

    def joined(name: str) -> Any:  # noqa: ANN401 - arrays and ragged arrays alike
        values = [getattr(part, name) for part in parts]
        if name not in {"curves", "forced"}:
            return np.concatenate(values)
        lengths = np.concatenate([np.diff(points.offsets) for points in values])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rest = [item.name for item in fields(values[0]) if item.name != "offsets"]
        return type(values[0])(
            offsets=offsets, **{item: np.concatenate([getattr(points, item) for points in values]) for item in rest}
        )

    return Labelled(**{item.name: joined(item.name) for item in fields(Labelled)})


def detection_times(labelled: Labelled) -> tuple[IntArray, FloatArray]:
    """Return owner (p,) and time (p,) [d, TAI] of all detections: the moments at which alerts were sent."""
    curves = labelled.curves
    owner = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    seen = np.isfinite(curves.psf_flux_njy)
    return owner[seen], curves.midpoint_mjd_tai[seen]


def as_batch(labelled: Labelled, survey: Survey) -> Batch:
    """Return light curves as the batch that classifiers read, without context and matches.

    The newest detection of a row stands for its alert; a row without one has no time and no flux.
    """
    n, curves = len(labelled), labelled.curves
    owner = np.repeat(np.arange(n), np.diff(curves.offsets))
    seen = np.flatnonzero(np.isfinite(curves.psf_flux_njy))
    last, first = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    last[owner[seen]] = seen
    first[owner[seen][::-1]] = seen[::-1]

    def at(values: FloatArray, place: IntArray) -> FloatArray:
        return np.where(place >= 0, values[place], np.nan) if len(values) else np.full(n, np.nan)

    absent, empty = np.full(n, np.nan), np.full(n, "", dtype=object)
    columns = AlertColumns(
        survey=survey,
        row=np.arange(n),
        object_id=labelled.object_id,
        detection_id=np.arange(n),
        ra_deg=labelled.ra_deg,
        dec_deg=labelled.dec_deg,
        midpoint_mjd_tai=at(curves.midpoint_mjd_tai, last),
        band=np.where(last >= 0, curves.band[last], -1).astype(np.int8)
        if len(curves.band)
        else np.full(n, -1, np.int8),
        psf_flux_njy=at(curves.psf_flux_njy, last),
        psf_flux_err_njy=at(curves.psf_flux_err_njy, last),
        reliability=absent,
        solar_system_id=empty,
        is_public=np.ones(n, np.bool_),
        n_detections=np.bincount(owner[seen], minlength=n).astype(np.int64),
        first_midpoint_mjd_tai=at(curves.midpoint_mjd_tai, first),
        star_galaxy_score=absent,
        nearest_source_arcsec=absent,
        exposure_id=np.full(n, -1, np.int64),
        trail_length_arcsec=absent,
        is_streak=np.zeros(n, np.bool_),
        extendedness=absent,
        solar_system_separation_arcsec=absent,
        template_mag=absent,
        template_separation_arcsec=absent,
        neighbour_g_mag=absent,
        neighbour_r_mag=absent,
        neighbour_i_mag=absent,
        neighbour_z_mag=absent,
        light_curves=curves,
        forced=labelled.forced,
    )
    return batch_of(columns, crossmatch((), labelled.ra_deg, labelled.dec_deg))
