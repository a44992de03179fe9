"""Checks and light curves that are the same for all surveys once units are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from graph.errors import MalformedPacketError
from ingest.alerts.columns import ForcedPhotometry, LightCurves, Reject

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]

EARLIEST_MJD_TAI = 50000.0
"""Earliest believable time of a visit [d, TAI]: October 1995, before the precursor surveys of both telescopes."""

LATEST_MJD_TAI = 80000.0
"""Latest believable time of a visit [d, TAI]: 2077, beyond both surveys; fake packets carry seconds for days."""


@dataclass(frozen=True, eq=False, slots=True)
class Points:
    """Measurements of visits, of one alert each or of histories."""

    midpoint_mjd_tai: FloatArray
    band: ByteArray
    """Code, -1 when there is none."""
    psf_flux_njy: FloatArray
    psf_flux_err_njy: FloatArray
    upper_limit_njy: FloatArray

    def usable(self) -> BoolArray:
        """Return which points have a believable time, a band, and a flux or a limit."""
        has_value = np.isfinite(self.psf_flux_njy) | np.isfinite(self.upper_limit_njy)
        return is_believable_time(self.midpoint_mjd_tai) & (self.band >= 0) & has_value


def is_believable_time(mjd_tai: FloatArray) -> BoolArray:
    """Return which times [d, TAI] a survey's visit can have; NaN is none."""
    return (mjd_tai >= EARLIEST_MJD_TAI) & (mjd_tai <= LATEST_MJD_TAI)


def is_position(ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
    """Return which pairs are places on the sky [deg, ICRS]; 360 counts as 0."""
    return (ra_deg >= 0.0) & (ra_deg <= 360.0) & (np.abs(dec_deg) <= 90.0)


def find_faults(checks: list[tuple[BoolArray, str]], row: IntArray) -> tuple[BoolArray, list[Reject]]:
    """Return which rows pass all checks, and a reject with the first fault of each that does not.

    Parameters
    ----------
    checks : what holds (n,) and the sentence where it does not.
    row : (n,) index of each message in its batch.
    """
    passed = np.logical_and.reduce([holds for holds, _ in checks])
    sentences = [sentence for _, sentence in checks]
    rejects = []
    for i in np.flatnonzero(~passed):
        first = next(sentence for (holds, _), sentence in zip(checks, sentences, strict=True) if not holds[i])
        rejects.append(Reject(int(row[i]), MalformedPacketError.reason, first))
    return passed, rejects


def build_light_curves(
    own: Points, kept: BoolArray, history: Points, offsets: IntArray, used: BoolArray
) -> tuple[LightCurves, FloatArray]:
    """Join each alert's own point with its history, in order of time.

    Parameters
    ----------
    own : (n,) the alerts' own points.
    kept : (n,) alerts that get a light curve, the others are left out.
    history : (p,) points of all histories.
    offsets : (n + 1,) points ``offsets[i]`` to ``offsets[i + 1]`` are the history of alert i.
    used : (p,) history points that count; the others are left out.

    Returns
    -------
    The light curves of the kept alerts, and (kept,) the time of the first detection of each [d, TAI].
    """
    times = np.concatenate([history.midpoint_mjd_tai, own.midpoint_mjd_tai])
    usable = np.concatenate([used & history.usable(), own.usable()])
    flux = np.concatenate([history.psf_flux_njy, own.psf_flux_njy])
    limits, order = arrange(offsets, kept, usable, times)
    curves = LightCurves(
        offsets=limits,
        midpoint_mjd_tai=times[order],
        band=np.concatenate([history.band, own.band])[order],
        psf_flux_njy=flux[order],
        psf_flux_err_njy=np.concatenate([history.psf_flux_err_njy, own.psf_flux_err_njy])[order],
        upper_limit_njy=np.concatenate([history.upper_limit_njy, own.upper_limit_njy])[order],
    )
    return curves, earliest(limits, curves.midpoint_mjd_tai, np.isfinite(curves.psf_flux_njy))


def build_forced(kept: BoolArray, points: Points, offsets: IntArray, used: BoolArray) -> ForcedPhotometry:
    """Return the forced photometry of alerts in order of time.

    Parameters
    ----------
    kept : (n,) alerts to keep.
    points : (p,) of all alerts.
    offsets : (n + 1,) points ``offsets[i]`` to ``offsets[i + 1]`` are those of alert i.
    used : (p,) points that count.
    """
    times = points.midpoint_mjd_tai
    # The alerts' own points take part in the ordering of light curves; here they are never usable.
    absent = np.zeros(len(kept), dtype=np.bool_)
    usable = np.concatenate([used & points.usable(), absent])
    limits, order = arrange(offsets, kept, usable, np.concatenate([times, np.zeros(len(kept))]))
    return ForcedPhotometry(
        offsets=limits,
        midpoint_mjd_tai=times[order],
        band=points.band[order],
        psf_flux_njy=points.psf_flux_njy[order],
        psf_flux_err_njy=points.psf_flux_err_njy[order],
    )


def join_histories(
    first: Points, first_offsets: IntArray, second: Points, second_offsets: IntArray
) -> tuple[Points, IntArray, IntArray]:
    """Put two histories of the same n alerts into one.

    Parameters
    ----------
    first, second : points of all alerts; ``offsets[i]`` to ``offsets[i + 1]`` are those of alert i.

    Returns
    -------
    The points of both, each alert's together, their offsets (n + 1,), and the order in which they were taken out of
    the first points followed by the second.
    """
    offsets = first_offsets + second_offsets
    if len(second.band) == 0:
        return first, offsets, np.arange(len(first.band))
    alert = np.arange(len(offsets) - 1)
    owner = np.concatenate([np.repeat(alert, np.diff(first_offsets)), np.repeat(alert, np.diff(second_offsets))])
    order = np.argsort(owner, kind="stable")
    return (
        Points(
            np.concatenate([first.midpoint_mjd_tai, second.midpoint_mjd_tai])[order],
            np.concatenate([first.band, second.band])[order],
            np.concatenate([first.psf_flux_njy, second.psf_flux_njy])[order],
            np.concatenate([first.psf_flux_err_njy, second.psf_flux_err_njy])[order],
            np.concatenate([first.upper_limit_njy, second.upper_limit_njy])[order],
        ),
        offsets,
        order,
    )


@njit(nogil=True, cache=True)
def arrange(offsets: IntArray, kept: BoolArray, usable: BoolArray, times: FloatArray) -> tuple[IntArray, IntArray]:
    """Return new limits and the order of points: by alert, then by time, an alert's own point last of equals.

    Parameters
    ----------
    offsets : (n + 1,) limits of the histories.
    kept : (n,) alerts to keep.
    usable, times : (p + n,) the history points, then the alerts' own.
    """
    n = len(kept)
    n_history = len(times) - n
    limits = np.zeros(np.sum(kept) + 1, dtype=np.int64)
    order = np.empty(len(times), dtype=np.int64)
    at = 0
    k = 0
    for i in range(n):
        if not kept[i]:
            continue
        start = at
        is_sorted = True
        for q in range(offsets[i], offsets[i + 1] + 1):
            point = q if q < offsets[i + 1] else n_history + i
            if usable[point]:
                if at > start and times[order[at - 1]] > times[point]:
                    is_sorted = False
                order[at] = point
                at += 1
        if not is_sorted:
            found = order[start:at].copy()
            order[start:at] = found[np.argsort(times[found], kind="mergesort")]
        k += 1
        limits[k] = at
    return limits, order[:at]


@njit(nogil=True, cache=True)
def earliest(limits: IntArray, times: FloatArray, chosen: BoolArray) -> FloatArray:
    """Return the time of the first chosen point of each light curve; infinite when there is none."""
    first = np.full(len(limits) - 1, np.inf)
    for i in range(len(first)):
        for q in range(limits[i], limits[i + 1]):
            if chosen[q]:
                first[i] = times[q]
                break
    return first
