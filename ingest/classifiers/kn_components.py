"""Fit principal components of kilonova light curves to early points, and the rate at which they fade.

The components are data: `ingest.training.kilonova` derives them from models and keeps them in the sidecar. Each band
is fitted alone, and all bands are fitted together, because a survey's first days hold a point or two in each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from ingest.alerts.columns import BANDS
from ingest.classifiers.early_points import compiled
from ingest.classifiers.kn_rates import fill_before, fill_fall, fill_rise, slope
from ingest.features import FeatureTable

if TYPE_CHECKING:
    from ingest.classifiers.early_points import EarlyPoints

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]

N_COMPONENTS = 3
"""Components of a fit; Biswas et al. 2023, doi:10.1051/0004-6361/202245340."""

FIRST_D, STEP_D, N_BINS = -2.0, 0.25, 89
"""First bin, width and number of bins [d] around the largest flux: a kilonova takes a day to rise, and after twenty it
is gone in all bands. Bins as in the same source, whose window of 50 d either side is mostly empty."""

BOUND = 2.0
"""Largest coefficient: the first lies in [0, 2], the others in [-2, 2]; same source."""

MODEL_SCATTER = 0.05
"""Scatter of real kilonovae about any three components, relative to the largest flux: what the fourth holds."""

FIT_SWEEPS = 12
"""Rounds of coordinate descent: three unknowns in a box settle to 1e-3 within."""

PHASES_D = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0])
"""Ages of the largest observed flux after the true maximum that the fit of all bands tries [d]: a survey that returns
after some days meets a kilonova on its way down."""

FAST_MAG_D = 0.3
"""Rate above which a fading source is fast [mag/d]; Andreoni et al. 2021, doi:10.3847/1538-4357/ac0bc7."""


@dataclass(frozen=True, eq=False, slots=True)
class Components:
    """Principal components on the bins of `FIRST_D`, `STEP_D`."""

    bands: tuple[int, ...]
    """(b,) codes of the bands that are fitted."""
    alone: FloatArray
    """(6, 3, t) of each band, as a share of that band's largest flux; zero for a band without components."""
    together: FloatArray
    """(6, 3, t) of all bands, as a share of the largest flux in any; zero for a band without components."""

    @classmethod
    def parse(cls, raw: Any) -> Components:  # noqa: ANN401 - part of a sidecar
        """Read the components of a sidecar.

        Raises
        ------
        ModelError : the numbers are not there or do not have the shape.
        """
        try:
            bands = tuple(BANDS.index(letter) for letter in raw["bands"])
            given = [np.array(raw[name], dtype=np.float64) for name in ("alone", "together")]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the components of kilonovae cannot be read: {error}") from error
        shape = (len(bands), N_COMPONENTS, N_BINS)
        if not bands or any(one.shape != shape or not np.isfinite(one).all() for one in given):
            raise ModelError("the components of kilonovae do not have the shape of their bands")
        spread = np.zeros((2, len(BANDS), N_COMPONENTS, N_BINS))
        spread[:, list(bands)] = given
        return cls(bands, spread[0], spread[1])

    def dump(self) -> dict[str, Any]:
        """Return the components for a sidecar, to a ten-thousandth of the largest flux."""
        chosen = list(self.bands)
        return {
            "bands": "".join(BANDS[code] for code in chosen),
            "alone": np.round(self.alone[chosen], 4).tolist(),
            "together": np.round(self.together[chosen], 4).tolist(),
        }


FIT_FEATURES = ("c1", "c2", "c3", "residual", "relative_flux", "n_fitted")
"""What is kept of the fit of a band; ``residual`` is the root mean square as a share of the largest flux."""

JOINT_FEATURES = (
    "joint_c1",
    "joint_c2",
    "joint_c3",
    "joint_chi2",
    "joint_phase_d",
    "log_best_snr",
    "quiet_gap_d",
    "quiet_rise_mag_d",
    "fade_rate_mag_d",
    "fade_rate_err_mag_d",
    "fade_excess",
    "limit_fade_mag_d",
    "before_snr",
    "before_chi2",
)
"""What is kept of all bands together, see `component_features`."""


@compiled
def _template(parts: FloatArray, late: float, out: FloatArray) -> None:
    """Interpolate components (3, t) at a time since the largest flux [d]; zero outside."""
    place = (late - FIRST_D) / STEP_D
    left = math.floor(place)
    for part in range(N_COMPONENTS):
        if left < 0 or left >= N_BINS - 1:
            out[part] = 0.0
        else:
            share = place - left
            out[part] = (1.0 - share) * parts[part, int(left)] + share * parts[part, int(left) + 1]


@compiled
def _solve(matrix: FloatArray, right: FloatArray, coefficient: FloatArray) -> None:
    """Minimise c A c - 2 b c in the box of `BOUND` by coordinate descent."""
    for part in range(N_COMPONENTS):
        coefficient[part] = 1.0 if part == 0 else 0.0
    for _ in range(FIT_SWEEPS):
        for part in range(N_COMPONENTS):
            rest = right[part]
            for other in range(N_COMPONENTS):
                if other != part:
                    rest -= matrix[part, other] * coefficient[other]
            best = rest / matrix[part, part] if matrix[part, part] > 0.0 else 0.0
            coefficient[part] = min(max(best, 0.0 if part == 0 else -BOUND), BOUND)


@compiled
def _outside(band: int, wanted: int, late: float) -> bool:
    """Tell whether a point is of another band than wanted (-1 for any) or outside the components' bins."""
    return (wanted >= 0 and band != wanted) or late < FIRST_D or late > FIRST_D + STEP_D * (N_BINS - 1)


@compiled
def _accumulate(  # noqa: PLR0917 - compiled functions take their arrays by position
    parts: FloatArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    wanted: int,
    zero_d: float,
    scale: float,
    matrix: FloatArray,
    right: FloatArray,
) -> tuple[float, float, int]:
    """Add the points to the normal equations; return their chi2 of zero, their least error and their number."""
    n, total, best_err, at = 0, 0.0, math.inf, np.empty(3)
    for point in range(len(time)):
        late = time[point] - zero_d
        if _outside(band[point], wanted, late):
            continue
        _template(parts[band[point]], late, at)
        # A band without components says nothing.
        if wanted < 0 and not at.any():
            continue
        value, sigma = flux[point] / scale, math.hypot(err[point] / scale, MODEL_SCATTER)
        best_err = min(best_err, sigma)
        weight = 1.0 / (sigma * sigma)
        total += weight * value * value
        for row in range(N_COMPONENTS):
            right[row] += weight * at[row] * value
            for column in range(N_COMPONENTS):
                matrix[row, column] += weight * at[row] * at[column]
        n += 1
    return total, best_err, n


@compiled
def _fit(  # noqa: PLR0917 - compiled functions take their arrays by position
    parts: FloatArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    wanted: int,
    zero_d: float,
    scale: float,
    out: FloatArray,
) -> tuple[float, float, int]:
    """Fit components (6, 3, t) to fluxes; return penalised chi2, sum of squared residuals, and points in the window.

    ``wanted`` is a band, or -1 for all; ``out`` takes the coefficients. The penalty on the second and third
    coefficient weighs as much as one more point with the error of the largest flux.
    """
    matrix, right, at = np.zeros((3, 3)), np.zeros(3), np.empty(3)
    total, best_err, n = _accumulate(parts, time, band, flux, err, wanted, zero_d, scale, matrix, right)
    if n == 0:
        return math.nan, math.nan, 0
    for row in range(1, N_COMPONENTS):
        matrix[row, row] += 1.0 / (best_err * best_err)
    _solve(matrix, right, out)
    chi2 = total
    for row in range(N_COMPONENTS):
        chi2 -= 2.0 * right[row] * out[row]
        for column in range(N_COMPONENTS):
            chi2 += out[row] * matrix[row, column] * out[column]
    squares = 0.0
    for point in range(len(time)):
        late = time[point] - zero_d
        if _outside(band[point], wanted, late):
            continue
        _template(parts[band[point]], late, at)
        model = at[0] * out[0] + at[1] * out[1] + at[2] * out[2]
        squares += (flux[point] / scale - model) ** 2
    return max(chi2, 0.0), squares, n


@compiled
def _one_band(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    wanted: int,
    largest: float,
    alone: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `FIT_FEATURES` of one band."""
    top, coefficient = -1, np.zeros(3)
    for point in range(len(time)):
        if detected[point] and band[point] == wanted and (top < 0 or flux[point] > flux[top]):
            top = point
    out[5] = 0.0
    if top < 0 or not flux[top] > 0.0:
        return
    _, squares, n = _fit(alone, time, band, flux, err, wanted, time[top], flux[top], coefficient)
    if n >= 2:
        out[0:3] = coefficient
        out[3] = math.sqrt(squares / n)
    out[4] = math.log10(flux[top] / largest)
    out[5] = n


@compiled
def _one(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    bands: IntArray,
    alone: FloatArray,
    together: FloatArray,
    out: FloatArray,
) -> None:
    """Fill the features of one alert."""
    n_bands, width = len(bands), 6
    peak = -1
    for point in range(len(time)):
        if detected[point] and (peak < 0 or flux[point] > flux[peak]):
            peak = point
    joint = out[n_bands * width :]
    if peak < 0 or not flux[peak] > 0.0:
        return
    coefficient = np.zeros(3)
    for place in range(n_bands):
        _one_band(time, band, flux, err, detected, bands[place], flux[peak], alone, out[place * width :])
    best = math.inf
    for phase in PHASES_D:
        chi2, _, n = _fit(together, time, band, flux, err, -1, time[peak] - phase, flux[peak], coefficient)
        if n >= 2 and chi2 < best:
            best = chi2
            joint[0:3] = coefficient
            joint[3] = chi2 / n
            joint[4] = phase
    joint[5] = math.log10(max(flux[peak] / err[peak], 1e-3))
    fill_fall(time, band, flux, err, detected, joint)
    fill_rise(time, band, flux, err, detected, peak, joint)
    fill_before(time, flux, err, joint)
    rate, rate_err = slope(time, band, flux, err, detected, True)
    joint[8], joint[9] = rate, rate_err
    if not math.isnan(rate):
        joint[10] = 0.5 * math.erfc((FAST_MAG_D - rate) / (math.sqrt(2.0) * rate_err))


@compiled
def _fill(  # noqa: PLR0917 - compiled functions take their arrays by position
    offsets: IntArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    bands: IntArray,
    alone: FloatArray,
    together: FloatArray,
    out: FloatArray,
) -> None:
    for row in range(len(offsets) - 1):
        mine = slice(offsets[row], offsets[row + 1])
        _one(time[mine], band[mine], flux[mine], err[mine], detected[mine], bands, alone, together, out[row])


def component_features(points: EarlyPoints, components: Components) -> FeatureTable:
    """Fit the components to n alerts.

    Returns
    -------
    (n, 6 b + 14): for each band `FIT_FEATURES`, e.g. ``g_c1``; ``relative_flux`` is the logarithm of its largest flux
    over the largest in any band. Then `JOINT_FEATURES`: the fit of all bands at the phase of least chi2; the decimal
    logarithm of the best signal-to-noise; significance of the mean flux in the days before the first detection and chi2
    for each point of nothing before it; time from the last quiet visit to the first detection [d]; the least rate
    of rise from a quiet visit in the same band and of fall to one [mag/d]; the rate of fading, its error [mag/d] and
    the probability that it exceeds `FAST_MAG_D`. NaN where there are too few points.
    """
    names = (*(f"{BANDS[code]}_{kind}" for code in components.bands for kind in FIT_FEATURES), *JOINT_FEATURES)
    out = np.full((len(points), len(names)), np.nan)
    bands = np.array(components.bands, dtype=np.int64)
    arrays = (points.time_d, points.band, points.flux_njy, points.flux_err_njy, points.detected)
    _fill(
        points.offsets,
        *(np.ascontiguousarray(one) for one in arrays),
        bands,
        components.alone,
        components.together,
        out,
    )
    return FeatureTable(names, out)
