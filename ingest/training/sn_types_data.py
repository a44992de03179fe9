"""What the network for supernova types is fitted on and judged with: light curves, observed anew, cut and spoilt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves, ragged_offsets
from ingest.training.examples import DEPTH_MAG, DEPTH_SCATTER_MAG, HISTORY_D, PEAK_MAG_RANGE, VISIT_PROBABILITY
from ingest.training.histories import flux_from_magnitude, ztf_packets, ztf_supernovae
from ingest.training.labelled import Labelled, concatenate, from_histories
from ingest.training.nonsense import NONSENSE
from ingest.training.resimulate import (
    Emitter,
    Observed,
    Visits,
    emitter,
    lent_visits,
    observe,
    redshift_for,
    ztf_visits,
)
from ingest.training.sources import plasticc, spcc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

SUPERNOVAE: Final = ("SN Ia", "SN II", "SN Ibc", "SLSN")
"""Classes of the network, in the order of its columns."""

MINIMUM_POINTS: Final = 4
"""Detections below which the network is not asked: fewer have no rise, fall and colour together."""

REDSHIFT_SPREAD: Final = 0.35
"""Supernovae are moved by up to this in the logarithm of their redshift: far enough for other colours and stretches,
near enough that brightness and redshift keep the relation that a spectroscopic sample has."""

DIMMING: Final = 0.12
"""Scatter of the flux beside that of the distance, in its natural logarithm: supernovae of one type differ so."""

DETECTION_SNR: Final = 5.0
"""Signal to noise of a detection in both surveys."""

REAL_CLASSES: Final[Mapping[str, str]] = {
    **{name: name for name in ("AGN", "TDE", "EB", "RRL", "LPV", "CEP", "DSCT", "YSO")},
    **{name: name for name in (*SUPERNOVAE, "SN")},
    "SNIa": "SN Ia",
    "SNII": "SN II",
    "SNIbc": "SN Ibc",
    "ROT/RSCVn": "ROT",
    "CV/Nova": "CV",
    "M-dwarf": "M-dwarf flare",
}
"""Class in the tables of real ZTF objects -> ours."""


def supernovae(labelled: Labelled) -> BoolArray:
    """Return (n,) which objects are supernovae of the network's classes."""
    return np.isin(labelled.label, SUPERNOVAE)


def collections(data_dir: Path) -> tuple[Labelled, FloatArray]:
    """Return all simulated objects and their true redshifts (n,), 0 where they have none."""
    labelled = concatenate([plasticc(data_dir), spcc(data_dir)])
    folder = data_dir / "lightcurves"
    tables = [
        pd.read_csv(folder / f"plasticc_{part}_meta.csv", usecols=["object_id", "true_z"]).set_axis(["id", "z"], axis=1)
        for part in ("train", "test")
    ]
    tables.append(pd.read_csv(folder / "spcc_dev_meta.csv", usecols=["snid", "sim_z"]).set_axis(["id", "z"], axis=1))
    table = pd.concat(tables)
    known = dict(zip(table["id"].astype(str), table["z"].astype(float), strict=True))
    return labelled, np.array([known[str(name)] for name in labelled.object_id])


def _real(data_dir: Path) -> Labelled:
    """Return the labelled ZTF packets, one row for each alert."""
    table = pd.read_csv(data_dir / "labels" / "ztf_alert_object_labels_dev.csv")
    known = dict(zip(table["objectId"].astype(str), table["class"].map(REAL_CLASSES), strict=True))
    chosen = [item for item in ztf_packets(data_dir) if isinstance(known.get(item.object_id), str)]
    return from_histories(chosen, [known[item.object_id] for item in chosen])


def real_others(data_dir: Path) -> Labelled:
    """Return what is no supernova among recorded ZTF alerts; the newest alert of each object."""
    alerts = _real(data_dir)
    alerts = alerts.take(~np.isin(alerts.label, (*SUPERNOVAE, "SN")))
    return alerts.take(_newest(alerts))


def real_supernovae(data_dir: Path) -> Labelled:
    """Return the real supernovae: those of recorded ZTF alerts, the newest of each object, and ALeRCE's thirty."""
    alerts = _real(data_dir)
    alerts = alerts.take(np.isin(alerts.label, (*SUPERNOVAE, "SN")))
    return concatenate([alerts.take(_newest(alerts)), published_supernovae(data_dir)])


def published_supernovae(data_dir: Path) -> Labelled:
    """Return the real ZTF light curves of thirty supernovae that ALeRCE published."""
    histories = list(ztf_supernovae(data_dir))
    table = pd.read_parquet(data_dir / "lightcurves" / "alerce_30_sne_lc.parquet", columns=["objectId", "classALeRCE"])
    known = dict(zip(table["objectId"], table["classALeRCE"].map(REAL_CLASSES), strict=True))
    return from_histories(histories, [known[item.object_id] for item in histories])


def _newest(alerts: Labelled) -> IntArray:
    """Return the row of each object's newest alert, ascending."""
    end = alerts.curves.midpoint_mjd_tai[alerts.curves.offsets[1:] - 1]
    order = np.lexsort((-end, alerts.object_id.astype(str)))
    _, first = np.unique(alerts.object_id[order].astype(str), return_index=True)
    return np.sort(order[first])


def _part(points: LightCurves | ForcedPhotometry, row: int) -> slice:
    return slice(int(points.offsets[row]), int(points.offsets[row + 1]))


def _peak(labelled: Labelled, row: int) -> float:
    """Return the time of the brightest sure point of an object [d, TAI]; NaN where there is none."""
    forced, part = labelled.forced, _part(labelled.forced, row)
    flux, err = forced.psf_flux_njy[part], forced.psf_flux_err_njy[part]
    good = flux > DETECTION_SNR * err
    if not good.any():
        return float("nan")
    return float(forced.midpoint_mjd_tai[part][int(np.argmax(np.where(good, flux - err, -np.inf)))])


def emitters(labelled: Labelled, redshift: FloatArray) -> tuple[list[Emitter | None], list[Visits]]:
    """Return a model of what each object emitted, None where there is none, and the visits to each of the others."""
    models: list[Emitter | None] = []
    visits: list[Visits] = []
    forced = labelled.forced
    for row in range(len(labelled)):
        part, peak = _part(forced, row), _peak(labelled, row)
        time, band = forced.midpoint_mjd_tai[part] - peak, forced.band[part]
        flux, err = forced.psf_flux_njy[part], forced.psf_flux_err_njy[part]
        model = emitter(time, band, flux, err, float(redshift[row])) if np.isfinite(peak) else None
        models.append(model)
        if model is not None:
            # The sky's noise without the object's own: what calibration adds to bright points grows with the flux.
            noise = np.minimum(err, np.median(err[flux < DETECTION_SNR * err]) if (flux < 5 * err).any() else err)
            visits.append(Visits(time, band, noise))
    return models, visits


def resimulate(
    labelled: Labelled,
    seen_from: tuple[Sequence[Emitter | None], Sequence[Visits]],
    survey: Survey,
    rng: np.random.Generator,
    *,
    copies: int = 1,
) -> Labelled:
    """Return supernovae as the survey would see them at other redshifts; those hardly detected are left out.

    Parameters
    ----------
    seen_from : as `emitters` returns it: models of the objects, and for LSST the places to observe from.
    copies : attempts with each object.
    """
    models, visits = seen_from
    rows: list[int] = []
    seen: list[Observed] = []
    for row, model in enumerate(models):
        for _ in range(copies if model is not None else 0):
            if model is None:
                continue
            if survey is Survey.LSST:
                redshift = model.redshift * float(np.exp(rng.uniform(-REDSHIFT_SPREAD, REDSHIFT_SPREAD)))
                place = lent_visits(visits, rng)
                new = observe(model, redshift, place, rng, dim=float(np.exp(rng.normal(0.0, DIMMING))))
            else:
                peak = flux_from_magnitude(rng.triangular(*PEAK_MAG_RANGE, PEAK_MAG_RANGE[1], size=1))[0]
                redshift = redshift_for(model, float(peak))
                place = ztf_visits(rng, chance=VISIT_PROBABILITY, depth_mag=DEPTH_MAG, scatter_mag=DEPTH_SCATTER_MAG)
                new = observe(model, redshift, place, rng)
            if (new.flux_njy > DETECTION_SNR * new.flux_err_njy).sum() >= MINIMUM_POINTS:
                rows.append(row)
                seen.append(new)
    return _pack(labelled.take(np.array(rows, dtype=np.int64)), seen, survey)


def _pack(objects: Labelled, seen: Sequence[Observed], survey: Survey) -> Labelled:
    """Return new light curves in place of the old ones; days count from MJD 60000 at the brightest night."""
    lengths = np.array([len(item.time_d) for item in seen], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    time = np.concatenate([item.time_d for item in seen]) + 60_000.0
    band = np.concatenate([item.band for item in seen])
    flux = np.concatenate([item.flux_njy for item in seen])
    err = np.concatenate([item.flux_err_njy for item in seen])
    owner = np.repeat(np.arange(len(seen)), lengths)
    order = np.lexsort((time, owner))
    time, band, flux, err = time[order], band[order], flux[order], err[order]
    detected = flux > DETECTION_SNR * err
    forced = ForcedPhotometry(offsets, time, band, flux, err)
    if survey is Survey.ZTF:
        curves = LightCurves(
            offsets,
            time,
            band,
            np.where(detected, flux, np.nan),
            np.where(detected, err, np.nan),
            np.where(detected, np.nan, DETECTION_SNR * err),
        )
        none = np.empty(0)
        forced = ForcedPhotometry(np.zeros(len(seen) + 1, np.int64), none, np.empty(0, np.int8), none, none)
    else:
        kept = ragged_offsets(owner[detected], len(seen))
        curves = LightCurves(
            kept, time[detected], band[detected], flux[detected], err[detected], np.full(detected.sum(), np.nan)
        )
    return replace(objects, curves=curves, forced=forced, peak_mjd_tai=np.full(len(seen), 60_000.0))


Points = TypeVar("Points", LightCurves, ForcedPhotometry)


def keep_points(points: Points, kept: BoolArray) -> Points:
    """Return ragged points without those that a mask (p,) drops."""
    owner = np.repeat(np.arange(len(points)), np.diff(points.offsets))
    offsets = ragged_offsets(owner[kept], len(points))
    names = [name for name in points.__slots__ if name != "offsets"]
    return type(points)(offsets=offsets, **{name: getattr(points, name)[kept] for name in names})


def detections(labelled: Labelled) -> tuple[IntArray, IntArray]:
    """Return places (d,) of all detections among the points and offsets (n + 1,) of the objects among them."""
    curves = labelled.curves
    place = np.flatnonzero(np.isfinite(curves.psf_flux_njy))
    owner = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    offsets = ragged_offsets(owner[place], len(curves))
    return place, offsets


def cut(labelled: Labelled, survey: Survey, rng: np.random.Generator, *, full: float = 0.0) -> Labelled:
    """Return what one random alert of each object would have shown; objects with too few detections are left out.

    Parameters
    ----------
    full : share of objects that are left whole instead.

    Notes
    -----
    Half of the alerts are drawn evenly from all detections, half evenly in the logarithm of their number: early ones
    are what follow-up needs.
    """
    labelled = labelled.take(np.flatnonzero(np.diff(detections(labelled)[1]) >= MINIMUM_POINTS))
    place, offsets = detections(labelled)
    most = np.diff(offsets)
    span = most - MINIMUM_POINTS + 1
    even = np.floor(rng.random(len(most)) * span)
    early = np.floor(MINIMUM_POINTS * (most / MINIMUM_POINTS) ** rng.random(len(most))) - MINIMUM_POINTS
    number = np.clip(np.where(rng.random(len(most)) < 0.5, even, early), 0, span - 1).astype(np.int64)
    newest = place[offsets[:-1] + MINIMUM_POINTS - 1 + number]
    whole = rng.random(len(most)) < full
    return until(
        labelled,
        np.where(whole, np.inf, labelled.curves.midpoint_mjd_tai[newest]),
        np.where(whole, np.inf, HISTORY_D[survey]),
    )


def until(labelled: Labelled, end: FloatArray, since_d: FloatArray) -> Labelled:
    """Return the points up to a time and none older than ``since_d`` (n,) before it."""

    def kept(points: LightCurves | ForcedPhotometry) -> BoolArray:
        owner = np.repeat(np.arange(len(points)), np.diff(points.offsets))
        age = end[owner] - points.midpoint_mjd_tai
        return np.asarray((age >= 0.0) & (age <= since_d[owner]))

    return replace(
        labelled,
        curves=keep_points(labelled.curves, kept(labelled.curves)),
        forced=keep_points(labelled.forced, kept(labelled.forced)),
    )


def thin(labelled: Labelled, rng: np.random.Generator) -> Labelled:
    """Return light curves that lack what real ones may lack: forced photometry, limits, some points, the end bands."""
    n = len(labelled)
    loss = rng.uniform(0.0, 0.35, n) * (rng.random(n) < 0.6)
    without_forced, without_limits = rng.random(n) < 0.45, rng.random(n) < 0.4
    without_u, without_y = rng.random(n) < 0.15, rng.random(n) < 0.15

    def kept(points: LightCurves | ForcedPhotometry) -> BoolArray:
        owner = np.repeat(np.arange(n), np.diff(points.offsets))
        stays = rng.random(len(owner)) >= loss[owner]
        stays &= ~(without_u[owner] & (points.band == 0)) & ~(without_y[owner] & (points.band == 5))
        if isinstance(points, ForcedPhotometry):
            return np.asarray(stays & ~without_forced[owner])
        return np.asarray(stays & ~(without_limits[owner] & np.isnan(points.psf_flux_njy)))

    return replace(
        labelled,
        curves=keep_points(labelled.curves, kept(labelled.curves)),
        forced=keep_points(labelled.forced, kept(labelled.forced)),
    )


def spoil(labelled: Labelled, kind: str, rng: np.random.Generator) -> Labelled:
    """Return light curves made nonsense: a kind of `ingest.training.nonsense`, a ``sine``, or ``swapped`` bands."""
    if kind == "swapped":
        last = int(labelled.curves.band.max(initial=0)) + int(labelled.curves.band.min(initial=5))
        curves, forced = labelled.curves, labelled.forced
        return replace(
            labelled,
            curves=replace(curves, band=(last - curves.band).astype(np.int8)),
            forced=replace(forced, band=np.clip(last - forced.band, 0, 5).astype(np.int8)),
        )
    if kind == "sine":
        n, curves = len(labelled), labelled.curves
        owner = np.repeat(np.arange(n), np.diff(curves.offsets))
        seen = np.isfinite(curves.psf_flux_njy)
        total = np.bincount(owner[seen], np.abs(curves.psf_flux_njy[seen]), minlength=n)
        mean = total / np.maximum(np.bincount(owner[seen], minlength=n), 1)
        wave = (mean, 10.0 ** rng.uniform(0.6, 1.9, n), rng.uniform(0.0, 1.0, n), rng.uniform(0.3, 1.0, n))
        return replace(labelled, curves=_sine(curves, *wave), forced=_sine(labelled.forced, *wave))
    make = NONSENSE[kind]
    return replace(labelled, curves=make(labelled.curves, rng), forced=make(labelled.forced, rng))  # type: ignore[arg-type]


def _sine(points: Points, mean: FloatArray, period_d: FloatArray, phase: FloatArray, depth: FloatArray) -> Points:
    """Replace fluxes by sines about the mean flux of the detections; all parameters (n,)."""
    mine = np.repeat(np.arange(len(points)), np.diff(points.offsets))
    turn = points.midpoint_mjd_tai / period_d[mine] + phase[mine]
    wave = mean[mine] * (1.0 + depth[mine] * np.sin(2.0 * np.pi * turn))
    return replace(points, psf_flux_njy=np.where(np.isfinite(points.psf_flux_njy), wave, points.psf_flux_njy))
