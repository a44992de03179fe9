"""Numbers that describe how a light curve rises: nightly means, fits, colours of the common shape, history."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import BANDS, ragged_offsets
from ingest.classifiers.rise_fit import (
    N_PARAMETERS,
    SECOND_RADIATION_CONSTANT_NM_K,
    fit_common,
    fit_sigmoid,
    log_shape,
)
from ingest.features import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

WAVELENGTH_NM: Final[Mapping[Survey, tuple[float, ...]]] = {
    Survey.LSST: (367.0, 482.5, 622.2, 754.5, 869.1, 971.0),
    Survey.ZTF: (367.0, 474.7, 638.9, 793.0, 869.1, 971.0),
}
"""Effective wavelengths of u, g, r, i, z, y [nm]; SVO Filter Profile Service, doi:10.1051/0004-6361/202039106."""

WINDOW_D: Final = 100.0
"""Points up to this age are fitted [d]: the rise of a type Ia supernova at redshift 1 takes 40 d. Older ones say
whether the place varied before."""

NIGHT_D: Final = 0.5
"""Points of one band closer than this to the first of them are one nightly mean [d]."""

SAME_VISIT_D: Final = 0.01
"""A detection this close to a forced point of its band is the same visit [d]: visits are 30 s long."""

RELATIVE_ERROR: Final = 0.05
"""Added to the error of a nightly mean, in units of its flux: a supernova is a black body to some 5 to 10 %."""

LARGEST_FLUX_NJY: Final = 1e12
"""Fluxes beyond this are not believed [nJy]: magnitude 1.4."""

EWMA_WEIGHT: Final = 0.25
"""Weight of the newest step in the mean of steps: centre of mass 3, as in Leoni et al. 2022,
doi:10.1051/0004-6361/202243038."""

COLOUR_BANDS: Final = "ugrizy"
"""Colours are taken of neighbouring bands of these."""

SIGMOID_BANDS: Final[Mapping[Survey, str]] = {Survey.ZTF: "gr", Survey.LSST: ""}
"""Bands with a sigmoid of their own. LSST has too few nights in each band; the common fit takes its place."""

COMMON: Final[tuple[str, ...]] = (
    "rise_n_points",
    "rise_n_nights",
    "rise_signal_to_noise",
    "rise_log_time",
    "rise_log_time_err",
    "rise_phase_d",
    "rise_phase_err_d",
    "rise_fall_log_time",
    "rise_to_peak_d",
    "rise_log_temperature",
    "rise_log_temperature_err",
    "rise_cooling",
    "rise_peak_mag",
    "rise_chi2",
    "constant_chi2",
    "constant_points",
    "rise_gain",
    "drop_significance",
    "ewma_lowest",
    "lowest_significance",
    "last_step_significance",
    "quiet_gap_d",
    "quiet_flux",
    "earlier_n_points",
    "earlier_significance",
    "earlier_chi2",
)
"""Columns of the whole light curve, in the kernel's order."""

COLOURS: Final = tuple(f"shape_{blue}_{red}_mag" for blue, red in pairwise(COLOUR_BANDS))
"""Colours of the fluxes that the common shape has in each band."""

SIGMOIDS: Final = tuple(
    f"sigmoid_{name}_{band}" for band in SIGMOID_BANDS[Survey.ZTF] for name in ("a_d", "b_d", "c", "chi2", "nights")
)
"""Of the sigmoid in one band: steepness [1/d], time before the newest point [d], height over the brightest flux."""

NAMES: Final[tuple[str, ...]] = (*COMMON, *COLOURS, *SIGMOIDS)
"""Columns of `rise_features`."""


@dataclass(frozen=True, eq=False, slots=True)
class Visits:
    """Fluxes of n objects, detected or not, in one ragged array, each visit once, in order of time."""

    offsets: IntArray
    midpoint_mjd_tai: FloatArray
    band: NDArray[np.int8]
    psf_flux_njy: FloatArray
    psf_flux_err_njy: FloatArray
    newest_mjd_tai: FloatArray
    """(n,) newest detection [d, TAI]; NaN without one."""


def visits_of(curves: LightCurves, forced: ForcedPhotometry) -> Visits:
    """Join detections, upper limits and forced points of n objects.

    Notes
    -----
    An upper limit is a flux of 0 with a fifth of the limit as error. Points without a finite time, flux and positive
    error are left out, and a detection or a limit of a visit with a forced point too.
    """
    n = len(curves)
    limit = np.isnan(curves.psf_flux_njy) & (curves.upper_limit_njy > 0.0)
    flux = np.concatenate([np.where(limit, 0.0, curves.psf_flux_njy), forced.psf_flux_njy])
    err = np.concatenate(
        [np.where(limit, curves.upper_limit_njy / 5.0, curves.psf_flux_err_njy), forced.psf_flux_err_njy]
    )
    time = np.concatenate([curves.midpoint_mjd_tai, forced.midpoint_mjd_tai])
    band = np.concatenate([curves.band, forced.band]).astype(np.int8)
    owner = np.concatenate(
        [np.repeat(np.arange(n), np.diff(curves.offsets)), np.repeat(np.arange(n), np.diff(forced.offsets))]
    )
    is_forced = np.zeros(len(owner), np.bool_)
    is_forced[len(curves.midpoint_mjd_tai) :] = True
    detected = np.concatenate([~limit, np.zeros(len(forced.midpoint_mjd_tai), np.bool_)])
    good = np.isfinite(time) & (np.abs(time) < 1e7) & (np.abs(flux) < LARGEST_FLUX_NJY)
    good &= (err > 0.0) & (err < LARGEST_FLUX_NJY) & (band >= 0) & (band < len(BANDS))
    newest = np.full(n, -np.inf)
    np.maximum.at(newest, owner[good & detected], time[good & detected])
    good &= time <= newest[owner]
    place = np.flatnonzero(good)
    # Visits of one object and band in order of time: a detection is dropped beside a forced point.
    place = place[np.lexsort((time[place], band[place], owner[place]))]
    same = (owner[place][1:] == owner[place][:-1]) & (band[place][1:] == band[place][:-1])
    same &= np.diff(time[place]) < SAME_VISIT_D
    twin = np.zeros(len(place), np.bool_)
    twin[1:] |= same & is_forced[place][:-1]
    twin[:-1] |= same & is_forced[place][1:]
    place = place[is_forced[place] | ~twin]
    place = place[np.lexsort((flux[place], band[place], time[place], owner[place]))]
    offsets = ragged_offsets(owner[place], n)
    return Visits(
        offsets, time[place], band[place], flux[place], err[place], np.where(np.isfinite(newest), newest, np.nan)
    )


def rise_features(columns: AlertColumns) -> FeatureTable:
    """Return the numbers (n, k) of `NAMES` on the light curves of n alerts."""
    return light_curve_rise(columns.light_curves, columns.forced, columns.survey)


def light_curve_rise(curves: LightCurves, forced: ForcedPhotometry, survey: Survey) -> FeatureTable:
    """Return the numbers (n, k) of `NAMES` on n light curves, NaN where absent.

    Parameters
    ----------
    curves : n light curves.
    forced : their forced photometry, or n empty ones.
    """
    visits = visits_of(curves, forced)
    values = np.full((len(curves), len(NAMES)), np.nan)
    _fill(
        visits.offsets,
        visits.midpoint_mjd_tai,
        visits.band,
        visits.psf_flux_njy,
        visits.psf_flux_err_njy,
        visits.newest_mjd_tai,
        SECOND_RADIATION_CONSTANT_NM_K / np.array(WAVELENGTH_NM[survey]),
        np.array([BANDS.index(name) for name in SIGMOID_BANDS[survey]], dtype=np.int64),
        values,
    )
    return FeatureTable(NAMES, values)


@njit(nogil=True, cache=True, error_model="numpy")
def _fill(  # noqa: PLR0917
    offsets: IntArray,
    time: FloatArray,
    band: NDArray[np.int8],
    flux: FloatArray,
    err: FloatArray,
    newest: FloatArray,
    x: FloatArray,
    sigmoid_codes: IntArray,
    out: FloatArray,
) -> None:
    """Fill the rows of all objects."""
    for i in range(len(offsets) - 1):
        first, last = offsets[i], offsets[i + 1]
        if last == first:
            continue
        split = first
        while split < last and time[split] < newest[i] - WINDOW_D:
            split += 1
        age = time[split:last] - newest[i]
        night, code, mean, sigma = nightly(age, band[split:last], flux[split:last], err[split:last])
        _history(flux[first:split], err[first:split], out[i, 23:26])
        out[i, 0] = float(last - split)
        _common(night, code, mean, sigma, x, out[i])
        top = mean.max() if len(mean) else 0.0
        for s in range(len(sigmoid_codes)):
            _one_band(night, mean, sigma, code == sigmoid_codes[s], top, out[i, 31 + 5 * s : 36 + 5 * s])


@njit(nogil=True, cache=True, error_model="numpy")
def nightly(
    time: FloatArray, band: NDArray[np.int8], flux: FloatArray, err: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
    """Return time, band, weighted mean flux and its error of each band's nights, in order of their first points.

    Parameters
    ----------
    time, band, flux, err : (p,) in order of time.
    """
    n = len(time)
    night, code = np.empty(n), np.empty(n, np.int64)
    total, weight, start = np.zeros(n), np.zeros(n), np.empty(n)
    current = np.full(8, -1)
    m = 0
    for i in range(n):
        b = band[i]
        k = current[b]
        if k < 0 or time[i] - start[k] > NIGHT_D:
            k = m
            m += 1
            current[b] = k
            code[k], start[k], night[k] = b, time[i], 0.0
        w = 1.0 / err[i] ** 2
        night[k] += w * (time[i] - start[k])
        total[k] += w * flux[i]
        weight[k] += w
    return night[:m] / weight[:m] + start[:m], code[:m], total[:m] / weight[:m], 1.0 / np.sqrt(weight[:m])


@njit(nogil=True, cache=True, error_model="numpy")
def _history(flux: FloatArray, err: FloatArray, out: FloatArray) -> None:
    """Describe the points before the window: their number, largest significance and reduced chi2 about 0."""
    out[0] = float(len(flux))
    if len(flux):
        ratio = flux / err
        out[1] = np.abs(ratio).max()
        out[2] = min(float(np.mean(ratio**2)), 1e6)


@njit(nogil=True, cache=True, error_model="numpy")
def _common(  # noqa: PLR0917
    time: FloatArray, code: IntArray, flux: FloatArray, sigma: FloatArray, x: FloatArray, row: FloatArray
) -> None:
    """Fit the common shape and describe the nights of the window."""
    n = len(time)
    best = int(np.argmax(flux)) if n else 0
    row[1] = float(n)
    if n == 0 or not flux[best] > 0.0:
        return
    top = flux[best]
    row[2] = top / sigma[best]
    scaled = flux / top
    err = np.hypot(sigma / top, RELATIVE_ERROR * np.abs(scaled))
    constant, freedom = _constant(code, scaled, sigma / top)
    row[14] = min(constant / freedom, 1e6) if freedom else np.nan
    row[15] = float(freedom)
    p, std = np.empty(N_PARAMETERS), np.empty(N_PARAMETERS)
    of_point = x[code]
    chi2 = fit_common(time, of_point, scaled, err, time[best] - 8.0, p, std)
    _steps(time, code, flux, sigma, row)
    if np.isnan(chi2):
        return
    rise, fall = np.exp(p[1]), np.exp(p[3])
    row[3], row[4] = p[1], std[1]
    row[5], row[6] = -p[2], std[2]
    row[7] = p[3]
    row[8] = p[2] + rise * np.log(fall / rise - 1.0) if fall > 1.001 * rise else np.nan
    row[9], row[10], row[11] = p[4], std[4], p[5]
    row[12] = 31.4 - 2.5 * np.log10(top) - 1.0857 * p[0]
    row[13] = chi2 / n
    softened, freedom = _constant(code, scaled, err)
    row[16] = (softened - chi2) / n
    _colours(time, code, scaled, err, x, p, row[26:31])


@njit(nogil=True, cache=True, error_model="numpy")
def _constant(code: IntArray, flux: FloatArray, err: FloatArray) -> tuple[float, float]:
    """Return chi2 of a constant flux in each band, and its degrees of freedom."""
    chi2, freedom = 0.0, 0.0
    for b in range(6):
        total, weight, square, count = 0.0, 0.0, 0.0, 0
        for i in range(len(flux)):
            if code[i] == b:
                w = 1.0 / err[i] ** 2
                total += w * flux[i]
                weight += w
                square += w * flux[i] ** 2
                count += 1
        if count > 1:
            chi2 += max(square - total**2 / weight, 0.0)
            freedom += count - 1.0
    return chi2, freedom


@njit(nogil=True, cache=True, error_model="numpy")
def _steps(  # noqa: C901
    time: FloatArray, code: IntArray, flux: FloatArray, sigma: FloatArray, row: FloatArray
) -> None:
    """Describe the steps from night to night: the largest drop, the smoothed lowest, the newest; and what was quiet."""
    drop, ewma_lowest, lowest, newest_step = 0.0, np.inf, np.inf, np.nan
    quiet_time, quiet_flux = np.nan, np.nan
    first_seen = np.inf
    for i in range(len(time)):
        if flux[i] > 5.0 * sigma[i]:
            first_seen = min(first_seen, time[i])
    for b in range(6):
        high, high_sigma, before, ewma = -np.inf, 0.0, -1, np.nan
        for i in range(len(time)):
            if code[i] != b:
                continue
            lowest = min(lowest, flux[i] / sigma[i])
            if time[i] < first_seen and not quiet_time > time[i]:
                quiet_time, quiet_flux = time[i], (flux[i] + sigma[i]) / flux.max()
            if before >= 0:
                step = (flux[i] - flux[before]) / np.hypot(sigma[i], sigma[before])
                ewma = step if np.isnan(ewma) else EWMA_WEIGHT * step + (1.0 - EWMA_WEIGHT) * ewma
                ewma_lowest = min(ewma_lowest, ewma)
                if time[i] > -1.0:
                    newest_step = step if np.isnan(newest_step) else max(newest_step, step)
            if high > -np.inf:
                drop = max(drop, (high - flux[i]) / np.hypot(sigma[i], high_sigma))
            if flux[i] > high:
                high, high_sigma = flux[i], sigma[i]
            before = i
    row[17] = min(drop, 1e4)
    row[18] = max(min(ewma_lowest, 1e4), -1e4) if ewma_lowest < np.inf else np.nan
    row[19] = max(lowest, -1e4)
    row[20] = max(min(newest_step, 1e4), -1e4) if not np.isnan(newest_step) else np.nan
    row[21] = first_seen - quiet_time if first_seen < np.inf else np.nan
    row[22] = quiet_flux


@njit(nogil=True, cache=True, error_model="numpy")
def _colours(  # noqa: PLR0917
    time: FloatArray, code: IntArray, flux: FloatArray, err: FloatArray, x: FloatArray, p: FloatArray, out: FloatArray
) -> None:
    """Fill the colours of neighbouring bands: each band's flux is what it has of the common shape.

    A flux below its error counts as its error: the colour is a limit then. Colours beyond 4 mag are not told apart.
    """
    level = np.full(6, np.nan)
    slope = np.empty(N_PARAMETERS)
    for b in range(6):
        product, square = 0.0, 0.0
        for i in range(len(time)):
            if code[i] == b:
                shape = np.exp(min(log_shape(p, time[i], x[b], slope), 50.0))
                product += shape * flux[i] / err[i] ** 2
                square += shape * shape / err[i] ** 2
        if square > 0.0:
            body = np.exp(log_shape(p, 0.0, x[b], slope))
            level[b] = max(product / square, 1.0 / np.sqrt(square)) * body
    for b in range(5):
        ratio = level[b] / level[b + 1]
        if ratio > 0.0 and ratio < np.inf:
            out[b] = min(max(-2.5 * np.log10(ratio), -4.0), 4.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _one_band(  # noqa: PLR0917
    time: FloatArray, flux: FloatArray, sigma: FloatArray, mine: NDArray[np.bool_], top: float, out: FloatArray
) -> None:
    """Fit the sigmoid to one band's nights."""
    t, f, e = time[mine], flux[mine], sigma[mine]
    out[4] = float(len(t))
    answer = np.empty(4)
    if len(t) < 4 or not top > 0.0 or not (f / e).max() > 3.0:
        return
    scaled = f / top
    err = np.hypot(e / top, RELATIVE_ERROR * np.abs(scaled))
    if fit_sigmoid(t, scaled, err, answer):
        out[0], out[1], out[2], out[3] = answer[0], answer[1], answer[2], answer[3] / len(t)
