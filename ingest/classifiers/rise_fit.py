"""Compiled least-squares fits of rising light curves: a sigmoid in one band, and one rise and temperature in all bands.

The sigmoid is c / (1 + exp(-a (t - b))). The common fit is a Bazin rise and fall times a black body whose temperature
changes steadily, with priors wide enough for any supernova, so that three points have an answer too; Bazin et al. 2009,
doi:10.1051/0004-6361/200911847, and for the common temperature Russeil et al. 2024, doi:10.1051/0004-6361/202348158.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

N_PARAMETERS: Final = 6
"""Of the common fit: log flux at the reference wavelength, log rise time, time of the rise, log fall time, log
temperature at time 0, its slope."""

PRIOR_MEAN: Final = (0.0, 1.4, 0.0, 3.4, 9.1, -0.05)
"""In units of the brightest flux, ln d, d, ln d, ln K, 1/(10 d): a rise of 4 d, a fall of 30 d, 9000 K. The time of the
rise is counted from a first guess. A choice of ours from the simulated supernovae of PLAsTiCC."""

PRIOR_STD: Final = (1.5, 0.8, 15.0, 0.7, 0.5, 0.15)
"""As wide as supernovae differ, redshift included; a choice of ours."""

LOWEST: Final = (-6.0, -2.3, -150.0, 0.7, 7.4, -0.8)
"""Lower bounds: 0.1 d, 2 d, 1600 K; nothing beyond is told apart by nightly points in the optical."""

HIGHEST: Final = (6.0, 4.6, 150.0, 6.0, 11.2, 0.8)
"""Upper bounds: 100 d, 400 d, 73,000 K."""

REFERENCE_WAVELENGTH_NM: Final = 620.0
"""Wavelength of the fitted flux [nm]: the r band, which has most points in both surveys."""

SECOND_RADIATION_CONSTANT_NM_K: Final = 1.438776877e7
"""h c / k [nm K]; CODATA 2018, exact."""

COOLING_UNIT_D: Final = 10.0
"""Time in which the log temperature changes by the last parameter [d]."""

ITERATIONS: Final = 30
"""Most steps of a fit; most end after ten."""

TOLERANCE: Final = 1e-5
"""Relative gain of a step below which a fit ends; far below what changes a feature."""

SIGMOID_TOLERANCE: Final = 1e-12
"""The same of the sigmoid, whose parameters have no prior to hold them."""


@njit(nogil=True, cache=True, error_model="numpy")
def solve_symmetric(matrix: FloatArray, right: FloatArray, damping: float) -> bool:
    """Solve (M + damping diag M) x = r by Cholesky, x in place of r; False where M is not positive."""
    n = len(right)
    low = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j] * (1.0 + damping) if i == j else matrix[i, j]
            for k in range(j):
                total -= low[i, k] * low[j, k]
            if i != j:
                low[i, j] = total / low[j, j]
            elif total > 0.0:
                low[i, i] = np.sqrt(total)
            else:
                return False
    for i in range(n):
        for k in range(i):
            right[i] -= low[i, k] * right[k]
        right[i] /= low[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= low[k, i] * right[k]
        right[i] /= low[i, i]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def sigmoid(t: float, a: float, b: float) -> float:
    """Return 1 / (1 + exp(-a (t - b)))."""
    x = min(max(-a * (t - b), -500.0), 500.0)
    return 1.0 / (1.0 + np.exp(x))


@njit(nogil=True, cache=True, error_model="numpy")
def _sigmoid_normal(  # noqa: PLR0917
    time: FloatArray, flux: FloatArray, err: FloatArray, p: FloatArray, matrix: FloatArray, right: FloatArray
) -> float:
    """Fill the normal equations of the sigmoid at (ln a, b, c) and return chi2."""
    matrix[:] = 0.0
    right[:] = 0.0
    slope = np.empty(3)
    chi2 = 0.0
    a = np.exp(p[0])
    for i in range(len(time)):
        value = sigmoid(time[i], a, p[1])
        steep = p[2] * value * (1.0 - value) * a
        slope[0] = steep * (time[i] - p[1]) / err[i]
        slope[1] = -steep / err[i]
        slope[2] = value / err[i]
        residual = (flux[i] - p[2] * value) / err[i]
        chi2 += residual * residual
        for j in range(3):
            right[j] += slope[j] * residual
            for k in range(3):
                matrix[j, k] += slope[j] * slope[k]
    return chi2


@njit(nogil=True, cache=True, error_model="numpy")
def fit_sigmoid(time: FloatArray, flux: FloatArray, err: FloatArray, answer: FloatArray) -> bool:
    """Fit c / (1 + exp(-a (t - b))) by Levenberg-Marquardt.

    Parameters
    ----------
    time, flux, err : (p,) [d], any unit, 1 sigma; finite, errors positive, at least four points.
    answer : (4,) filled with a [1/d], b [d], c and chi2.

    Returns
    -------
    Whether there was an answer; b lies within 60 d of the points and a between 0.005 and 20 per day.
    """
    first, last = time.min(), time.max()
    top = np.abs(flux).max()
    if len(time) < 4 or not last > first or not top > 0.0:
        return False
    lowest = np.array([np.log(0.005), first - 60.0, -20.0 * top])
    highest = np.array([np.log(20.0), last + 60.0, 20.0 * top])
    p = np.array([np.log(4.0 / (last - first)), 0.5 * (first + last), flux[np.argmax(np.abs(flux))]])
    p = np.minimum(np.maximum(p, lowest), highest)
    matrix, right, trial_matrix, trial_right = np.empty((3, 3)), np.empty(3), np.empty((3, 3)), np.empty(3)
    chi2 = _sigmoid_normal(time, flux, err, p, matrix, right)
    damping = 1e-2
    for _ in range(8 * ITERATIONS):
        step = right.copy()
        solved = solve_symmetric(matrix + 1e-12 * np.eye(3), step, damping)
        trial = np.minimum(np.maximum(p + step, lowest), highest) if solved else p
        trial_chi2 = _sigmoid_normal(time, flux, err, trial, trial_matrix, trial_right)
        if solved and trial_chi2 < chi2:
            gain = chi2 - trial_chi2
            p, chi2 = trial, trial_chi2
            matrix[:], right[:] = trial_matrix, trial_right
            damping = max(damping * 0.2, 1e-9)
            if gain <= SIGMOID_TOLERANCE * chi2:
                break
        else:
            damping *= 5.0
            if damping > 1e12:
                break
    answer[0], answer[1], answer[2], answer[3] = np.exp(p[0]), p[1], p[2], chi2
    return bool(np.isfinite(chi2))


@njit(nogil=True, cache=True, error_model="numpy")
def log_shape(p: FloatArray, t: float, x: float, slope: FloatArray) -> float:
    """Return the log of the common model at a time, and its slopes in all parameters.

    Parameters
    ----------
    p : (6,) see `N_PARAMETERS`.
    t : [d] in the frame of the parameters.
    x : h c / (k wavelength) [K].
    slope : (6,) filled.
    """
    rise, fall = np.exp(p[1]), np.exp(p[3])
    since = t - p[2]
    z = min(max(-since / rise, -500.0), 500.0)
    soft = z if z > 40.0 else np.log1p(np.exp(z))
    share = 1.0 / (1.0 + np.exp(-z))
    log_t = p[4] + p[5] * t / COOLING_UNIT_D
    kept = log_t > LOWEST[4] and log_t < HIGHEST[4]
    log_t = min(max(log_t, LOWEST[4]), HIGHEST[4])
    temperature = np.exp(log_t)
    here = x / temperature
    there = SECOND_RADIATION_CONSTANT_NM_K / REFERENCE_WAVELENGTH_NM / temperature
    warm, warm_there = -np.expm1(-here), -np.expm1(-there)
    body = 3.0 * np.log(here / there) + there + np.log(warm_there) - here - np.log(warm)
    by_temperature = here / warm - there / warm_there if kept else 0.0
    slope[0] = 1.0
    slope[1] = share * z
    slope[2] = 1.0 / fall - share / rise
    slope[3] = since / fall
    slope[4] = by_temperature
    slope[5] = by_temperature * t / COOLING_UNIT_D
    return p[0] - since / fall - soft + body


@njit(nogil=True, cache=True, error_model="numpy")
def _common_normal(  # noqa: PLR0917
    time: FloatArray,
    x: FloatArray,
    flux: FloatArray,
    err: FloatArray,
    p: FloatArray,
    mean: FloatArray,
    matrix: FloatArray,
    right: FloatArray,
) -> tuple[float, float]:
    """Fill the normal equations of the common fit, priors included, and return chi2 of the points and of the priors."""
    matrix[:] = 0.0
    slope = np.empty(N_PARAMETERS)
    chi2, prior = 0.0, 0.0
    for j in range(N_PARAMETERS):
        weight = 1.0 / PRIOR_STD[j] ** 2
        matrix[j, j] = weight
        right[j] = (mean[j] - p[j]) * weight
        prior += (mean[j] - p[j]) ** 2 * weight
    for i in range(len(time)):
        value = np.exp(min(log_shape(p, time[i], x[i], slope), 50.0))
        residual = (flux[i] - value) / err[i]
        scale = value / err[i]
        chi2 += residual * residual
        for j in range(N_PARAMETERS):
            right[j] += scale * slope[j] * residual
            for k in range(j + 1):
                matrix[j, k] += scale * slope[j] * scale * slope[k]
    for j in range(N_PARAMETERS):
        for k in range(j):
            matrix[k, j] = matrix[j, k]
    return chi2, prior


@njit(nogil=True, cache=True, error_model="numpy")
def fit_common(  # noqa: PLR0917
    time: FloatArray, x: FloatArray, flux: FloatArray, err: FloatArray, guess_d: float, p: FloatArray, std: FloatArray
) -> float:
    """Fit the common model by Levenberg-Marquardt and return chi2 of the points, NaN where it fails.

    Parameters
    ----------
    time : (p,) [d].
    x : (p,) h c / (k wavelength) of each point's band [K].
    flux, err : (p,) in units of the brightest flux, finite, errors positive.
    guess_d : where the prior of the rise's time is centred [d].
    p, std : (6,) filled with the parameters and their 1 sigma errors, priors included.
    """
    mean = np.array(PRIOR_MEAN)
    mean[2] = guess_d
    lowest, highest = np.array(LOWEST), np.array(HIGHEST)
    now = np.minimum(np.maximum(mean, lowest), highest)
    shape = (N_PARAMETERS, N_PARAMETERS)
    matrix, right, trial_matrix, trial_right = np.empty(shape), np.empty(6), np.empty(shape), np.empty(6)
    chi2, prior = _common_normal(time, x, flux, err, now, mean, matrix, right)
    damping = 1e-2
    for _ in range(ITERATIONS):
        step = right.copy()
        solved = solve_symmetric(matrix, step, damping)
        trial = np.minimum(np.maximum(now + step, lowest), highest) if solved else now
        trial_chi2, trial_prior = _common_normal(time, x, flux, err, trial, mean, trial_matrix, trial_right)
        gain = chi2 + prior - trial_chi2 - trial_prior
        if solved and gain > 0.0:
            now, chi2, prior = trial, trial_chi2, trial_prior
            matrix[:], right[:] = trial_matrix, trial_right
            damping = max(damping * 0.2, 1e-6)
            if gain <= TOLERANCE * (1.0 + chi2 + prior):
                break
        else:
            damping *= 5.0
            if damping > 1e8:
                break
    p[:] = now
    for j in range(N_PARAMETERS):
        unit = np.zeros(N_PARAMETERS)
        unit[j] = 1.0
        std[j] = np.sqrt(unit[j]) if solve_symmetric(matrix, unit, 0.0) and unit[j] > 0.0 else np.nan
    return chi2 if np.isfinite(chi2) else np.nan
