"""How well a young light curve agrees with kinds of fast and slow transients: evidence of linear models in magnitudes.

Every kind is a straight line in magnitudes against time, or against the logarithm of the time since an unknown onset,
with a power-law spectrum, and Gaussian priors on slope and spectral index: so all evidences have closed forms. The
onset of an afterglow is marginalised over the bracket between the last quiet visit and the first detection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ingest.classifiers.early_points import compiled

if TYPE_CHECKING:
    from ingest.classifiers.early_points import EarlyPoints

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]

KINDS: Final = ("GRB afterglow", "M-dwarf flare", "CV", "KN", "SN")
"""Kinds in the order of the columns; the first is the power law. ``SN`` stands for all that is slow."""

SLOPE: Final = np.array([[1.1, 0.45], [20.0, 20.0], [-0.1, 0.7], [0.7, 0.6], [-0.05, 0.15]])
"""(kind, 2) mean and scatter of the slope: for an afterglow the index of its decay, Sari, Piran & Narayan 1998,
doi:10.1086/311269, and scatter of real ones, Kann et al. 2010, doi:10.1088/0004-637X/720/2/1513; for the others the
rate of fading [mag/d]: flares fade in hours, Davenport et al. 2014, doi:10.1088/0004-637X/797/2/122; dwarf novae rise
in a day and stay; AT2017gfo faded by 0.5 to 1.5 mag/d in g and r; supernovae rise and fade by tenths."""

SPECTRUM: Final = np.array([[0.75, 0.35], [-1.2, 1.2], [-0.1, 0.7], [2.2, 1.5], [0.6, 1.2]])
"""(kind, 2) mean and scatter of the index beta of f ~ nu^-beta: 0.5 to 1 for synchrotron light, same source; blue for
the 10,000 K of a flare; white for the disc of a dwarf nova; kilonovae redden in a day; supernovae lie in between."""

SCATTER_MAG: Final = np.array([0.06, 0.3, 0.2, 0.2, 0.1])
"""(kind,) scatter of real light curves about these models [mag]: breaks and flares of afterglows, the two decays of a
stellar flare, the bend of an outburst, of a cooling kilonova and of a rise; choices of ours."""

RISE_SCALE_MAG_D: Final = np.array([40.0, 60.0, 2.0, 4.0, 0.8])
"""(kind,) scale of an exponential distribution of the least rate at which it rose from the last quiet visit [mag/d]:
minutes for afterglows and flares, a day for outbursts and kilonovae, days for supernovae."""

OFFSET_SCATTER_MAG: Final = 5.0
"""Prior scatter of the brightness about the mean of the points [mag]; the same for all kinds."""

ONSETS: Final = 8
"""Onsets in a bracket; denser near the first detection, where a power law is steep."""

LONGEST_BRACKET_D: Final = 4.0
"""Bracket that is taken when no visit, or only an earlier one, was quiet [d]: an afterglow stays above a survey's depth
for a day or two."""

LATEST_ONSET_D: Final = 1e-3
"""Shortest time from onset to first detection [d]: the afterglow itself takes a minute to begin."""

MOST_POINTS: Final = 40
"""Detections of a light curve that are read; of more, every second, third and so on."""

QUIET_SIGMA: Final = 3.0
"""Significance of a forced flux below which a visit was quiet."""

QUIET_SCATTER: Final = 0.4
"""Relative error of a model's flux at a visit that saw nothing."""

LEAST_QUIET: Final = -20.0
"""Least logarithm of the likelihood of all later quiet visits together: one bad frame must not decide."""

WAVELENGTH_NM: Final = np.array([367.0, 480.0, 622.0, 755.0, 869.0, 971.0])
"""Effective wavelengths of the bands u to y [nm]; Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""

COLOUR_MAG: Final = 2.5 * np.log10(WAVELENGTH_NM / WAVELENGTH_NM[2])
"""Magnitude minus that in r of f ~ nu^-beta, for each beta of -1 [mag]."""

SPREADS: Final = np.array([1.0, 0.5, 2.0])
"""Factors of `SCATTER_MAG` that are tried: the first gives the answer, the others how it depends on that choice."""

SUMMARY: Final = (
    "decay_index",
    "decay_index_err",
    "spectral_index",
    "spectral_index_err",
    "onset_bracket_d",
    "quiet_rise_mag_d",
    "reduced_chi2",
)
"""Columns of the summary: the afterglow's index and spectrum with errors; the bracket; the least rate of rise from the
last quiet visit; chi2 of the kind that fits best, over the number of points."""

LOG_2PI = math.log(2.0 * math.pi)
"""Of the normal distribution."""


@dataclass(frozen=True, eq=False, slots=True)
class DecayFits:
    """Fits of n alerts."""

    log_evidence: FloatArray
    """(n, s, 5) natural logarithm for each of the first `SPREADS` and `KINDS`; NaN with fewer than two points."""
    summary: FloatArray
    """(n, 7) of `SUMMARY`; NaN where absent."""
    n_points: IntArray
    """(n,) detections read."""


@compiled
def _solve_three(matrix: FloatArray, right: FloatArray, inverse: FloatArray) -> float:
    """Invert a symmetric positive 3 x 3 matrix into ``inverse``, ``right`` into the solution; return log det."""
    a, b, c = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    d, e, f = matrix[1, 1], matrix[1, 2], matrix[2, 2]
    inverse[0, 0], inverse[0, 1], inverse[0, 2] = d * f - e * e, c * e - b * f, b * e - c * d
    inverse[1, 1], inverse[1, 2], inverse[2, 2] = a * f - c * c, b * c - a * e, a * d - b * b
    inverse[1, 0], inverse[2, 0], inverse[2, 1] = inverse[0, 1], inverse[0, 2], inverse[1, 2]
    determinant = a * inverse[0, 0] + b * inverse[0, 1] + c * inverse[0, 2]
    inverse /= determinant
    first, second, third = right[0], right[1], right[2]
    for row in range(3):
        right[row] = inverse[row, 0] * first + inverse[row, 1] * second + inverse[row, 2] * third
    return math.log(determinant)


@compiled
def log_evidence(  # noqa: PLR0917 - compiled functions take their arrays by position
    clock: FloatArray,
    colour: FloatArray,
    magnitude: FloatArray,
    variance: FloatArray,
    slope: FloatArray,
    spectrum: FloatArray,
    scatter: float,
    fitted: FloatArray,
    inverse: FloatArray,
) -> tuple[float, float]:
    """Return the logarithm of the evidence of m = a + slope clock - beta colour, and its chi2 at the best parameters.

    Parameters
    ----------
    clock : (p,) time [d], or 2.5 log10 of the time since the onset.
    colour : (p,) of `COLOUR_MAG`.
    magnitude, variance : (p,) relative to any zero, and its squared error.
    slope, spectrum : (2,) prior mean and scatter.
    fitted : (3,) takes a, slope and beta.
    inverse : (3, 3) takes their covariance.
    """
    n = len(clock)
    zero = 0.0
    for point in range(n):
        zero += magnitude[point] / n
    matrix = np.zeros((3, 3))
    scatters = np.array([OFFSET_SCATTER_MAG, slope[1], spectrum[1]])
    log_prior = 0.0
    for row in range(3):
        matrix[row, row] = 1.0 / scatters[row] ** 2
        log_prior += math.log(scatters[row])
    fitted[:] = 0.0
    squares, log_noise = 0.0, 0.0
    at = np.empty(3)
    for point in range(n):
        weight = 1.0 / (variance[point] + scatter * scatter)
        at[0], at[1], at[2] = 1.0, clock[point], -colour[point]
        rest = magnitude[point] - zero - slope[0] * at[1] - spectrum[0] * at[2]
        squares += weight * rest * rest
        log_noise += math.log(weight)
        for row in range(3):
            fitted[row] += weight * at[row] * rest
            for column in range(3):
                matrix[row, column] += weight * at[row] * at[column]
    right = fitted.copy()
    log_det = _solve_three(matrix, fitted, inverse)
    gain = right[0] * fitted[0] + right[1] * fitted[1] + right[2] * fitted[2]
    chi2 = max(squares - gain, 0.0)
    fitted[0] += zero
    fitted[1] += slope[0]
    fitted[2] += spectrum[0]
    return -0.5 * chi2 - 0.5 * log_det - log_prior + 0.5 * log_noise - 0.5 * n * LOG_2PI, chi2


@compiled
def _quiet_term(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    onset: float,
    is_power: bool,
    fitted: FloatArray,
) -> float:
    """Return how likely the later visits are that saw nothing, against a model that is as faint as they say."""
    total = 0.0
    for point in range(len(time)):
        if detected[point] or time[point] <= 0.0 or flux[point] > QUIET_SIGMA * err[point]:
            continue
        clock = 2.5 * math.log10(time[point] - onset) if is_power else time[point]
        model = 10.0 ** (-0.4 * (fitted[0] + fitted[1] * clock - fitted[2] * COLOUR_MAG[band[point]]))
        noise = err[point] ** 2
        wide = noise + (QUIET_SCATTER * model) ** 2
        # A rate that was fitted to minutes says nothing of days, but no model gains more than by being gone.
        total += -0.5 * (model - max(flux[point], 0.0)) ** 2 / wide - 0.5 * math.log(wide / noise)
    return max(total, LEAST_QUIET)


@compiled
def _bracket(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, detected: BoolArray, out: FloatArray
) -> float:
    """Fill bracket and least rise of a summary; return the bracket to marginalise over [d]."""
    first = -1
    for point in range(len(time)):
        if detected[point] and first < 0:
            first = point
    gap = math.nan
    for point in range(first):
        ceiling = max(flux[point], 0.0) + QUIET_SIGMA * err[point]
        wait = time[first] - time[point]
        quiet = not detected[point] and flux[point] < QUIET_SIGMA * err[point]
        if quiet and ceiling < flux[first] and wait > 0.0:
            gap = wait
            if band[point] == band[first]:
                least = 2.5 * math.log10(flux[first] / ceiling) / max(wait, 0.01)
                out[5] = least if math.isnan(out[5]) else max(out[5], least)
    out[4] = gap
    return min(max(gap, 2.0 * LATEST_ONSET_D), LONGEST_BRACKET_D) if gap == gap else LONGEST_BRACKET_D  # noqa: PLR0124


@compiled
def _power_law(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    late: FloatArray,
    colour: FloatArray,
    magnitude: FloatArray,
    variance: FloatArray,
    bracket: float,
    scatter: float,
    out: FloatArray,
) -> tuple[float, float]:
    """Marginalise over the onset; fill index, spectrum and their errors; return log evidence and least chi2."""
    fitted, inverse = np.empty(3), np.empty((3, 3))
    logs, moments = np.empty(ONSETS), np.empty((ONSETS, 4))
    clock = np.empty(len(late))
    least = math.inf
    for place in range(ONSETS):
        share = (place + 0.5) / ONSETS
        onset = -max(bracket * share * share, LATEST_ONSET_D)
        for point in range(len(late)):
            clock[point] = 2.5 * math.log10(late[point] - onset)
        value, chi2 = log_evidence(clock, colour, magnitude, variance, SLOPE[0], SPECTRUM[0], scatter, fitted, inverse)
        value += _quiet_term(time, band, flux, err, detected, onset, True, fitted)
        logs[place] = value + math.log((2.0 * place + 1.0) / (ONSETS * ONSETS))
        moments[place, 0], moments[place, 1] = fitted[1], inverse[1, 1]
        moments[place, 2], moments[place, 3] = fitted[2], inverse[2, 2]
        least = min(least, chi2)
    top = logs.max()
    weights = np.exp(logs - top)
    total = weights.sum()
    weights /= total
    for part in range(2):
        mean = (weights * moments[:, 2 * part]).sum()
        spread = (weights * (moments[:, 2 * part + 1] + (moments[:, 2 * part] - mean) ** 2)).sum()
        out[2 * part], out[2 * part + 1] = mean, math.sqrt(spread)
    return top + math.log(total), least


@compiled
def _fit_one(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    evidence: FloatArray,
    summary: FloatArray,
) -> int:
    """Fill the evidences (s, 5) and the summary of one alert; return the number of detections read."""
    table, n, seen = np.empty((4, MOST_POINTS)), 0, 0
    step = detected.sum() // MOST_POINTS + 1
    for point in range(len(time)):
        seen += detected[point]
        if detected[point] and flux[point] > 0.0 and n < MOST_POINTS and seen % step == 0:
            table[0, n] = time[point]
            table[1, n] = COLOUR_MAG[band[point]]
            table[2, n] = -2.5 * math.log10(flux[point])
            table[3, n] = min((1.0857362 * err[point] / flux[point]) ** 2, 4.0) + 1e-4
            n += 1
    if n < 2:
        return n
    late, colour, magnitude, variance = table[0, :n], table[1, :n], table[2, :n], table[3, :n]
    late = np.maximum(late, 0.0)
    bracket = _bracket(time, band, flux, err, detected, summary)
    rise = 0.0 if math.isnan(summary[5]) else summary[5]
    fitted, inverse, unused = np.empty(3), np.empty((3, 3)), np.empty(len(SUMMARY))
    for spread in range(len(evidence) - 1, -1, -1):
        least = math.inf
        for kind in range(len(KINDS)):
            scatter = SPREADS[spread] * SCATTER_MAG[kind]
            if kind == 0:
                target = summary if spread == 0 else unused
                value, chi2 = _power_law(
                    time, band, flux, err, detected, late, colour, magnitude, variance, bracket, scatter, target
                )
            else:
                value, chi2 = log_evidence(
                    late, colour, magnitude, variance, SLOPE[kind], SPECTRUM[kind], scatter, fitted, inverse
                )
                value += _quiet_term(time, band, flux, err, detected, 0.0, False, fitted)
            least = min(least, chi2)
            evidence[spread, kind] = value - rise / RISE_SCALE_MAG_D[kind]
        if spread == 0:
            summary[6] = least / n
    return n


@compiled
def _fit_all(  # noqa: PLR0917 - compiled functions take their arrays by position
    offsets: IntArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    evidence: FloatArray,
    summary: FloatArray,
    n_points: IntArray,
) -> None:
    for row in range(len(offsets) - 1):
        mine = slice(offsets[row], offsets[row + 1])
        n_points[row] = _fit_one(
            time[mine], band[mine], flux[mine], err[mine], detected[mine], evidence[row], summary[row]
        )


def fit_decays(points: EarlyPoints, *, spreads: int = len(SPREADS)) -> DecayFits:
    """Fit all kinds to n alerts, with the first ``spreads`` of `SPREADS`."""
    n = len(points)
    evidence = np.full((n, spreads, len(KINDS)), np.nan)
    summary = np.full((n, len(SUMMARY)), np.nan)
    n_points = np.zeros(n, dtype=np.int64)
    arrays = (points.time_d, points.band, points.flux_njy, points.flux_err_njy, points.detected)
    _fit_all(points.offsets, *(np.ascontiguousarray(one) for one in arrays), evidence, summary, n_points)
    return DecayFits(evidence, summary, n_points)
