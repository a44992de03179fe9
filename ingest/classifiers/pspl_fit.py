"""Fit a point lens before a point source to difference fluxes in all bands, and say how much it looks like one.

The magnification is Paczynski's (1986, doi:10.1086/164140), A(u) = (u2 + 2) / (u sqrt(u2 + 4)) with
u2 = u0^2 + ((t - t0) / tE)^2. Difference fluxes are scale (A - 1) + level in each band: the scale is the flux of the
source, the level what the template was wrong by. What is blended with the source was subtracted with the template, so
neither source nor blend has to be known; tE, u0 and scale trade against each other as they always do, and only tE
together with u0 is well measured by a bump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ingest.classifiers.pspl_diagnostics import (
    CHI2,
    CHI2_CONSTANT,
    DIAGNOSTICS_WIDTH,
    FITTED,
    IMPACT,
    PEAK,
    TIME,
    fill_fits,
)
from ingest.features import Feature, FeatureTable

if TYPE_CHECKING:
    from ingest.classifiers.measurements import Measurements

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DIAGNOSTICS: Final[tuple[Feature, ...]] = (
    Feature("log_delta_chi2", "1", "log10(1 + chi2 of constants less chi2 of the lens)"),
    Feature("log_lens_chi2", "1", "log10 of the lens's reduced chi2"),
    Feature("log_flat_chi2", "1", "log10 of the constants' reduced chi2"),
    Feature("explained", "1", "share of the constants' chi2 that the lens takes away"),
    Feature("log_einstein_time", "1", "natural logarithm of the Einstein time in days"),
    Feature("log_impact", "1", "natural logarithm of the impact parameter"),
    Feature("lens_place", "1", "time of the lens's maximum, 0 first to 1 last measurement"),
    Feature("log_n_rise", "1", "log(1 + measurements before the maximum above a tenth of it)"),
    Feature("log_n_fall", "1", "the same after the maximum"),
    Feature("log_n_core", "1", "log(1 + measurements above half of the maximum)"),
    Feature("log_n_outside", "1", "log(1 + measurements below a twentieth of the maximum)"),
    Feature("log_outside_chi2", "1", "log10 of the mean square residual of those, in errors"),
    Feature("log_bump_chi2", "1", "log10 of the mean square residual above a tenth of the maximum"),
    Feature("log_worst_chi2", "1", "log10 of the largest reduced chi2 of a band with five measurements"),
    Feature("side_significance", "1", "scale after the maximum less scale before it, over its error"),
    Feature("side_difference", "1", "the same over the scale"),
    Feature("shift_colour", "1", "log10 of the reduced chi2 of the bands' own times of maximum about the common one"),
    Feature("width_colour", "1", "log10 of the reduced chi2 of the bands' own durations about the common one"),
    Feature("residual_correlation", "1", "mean product of neighbouring residuals over their mean square"),
    Feature("second_bump", "1", "log(1 + most significant positive residual in 3, 20 or 100 d off the bump)"),
    Feature("dip", "1", "the same of negative residuals"),
    Feature("burst_gain", "1", "signed log(1 + |x|) of a burst's chi2 less the lens's; positive for a lens"),
    Feature("burst_asymmetry", "1", "natural logarithm of that burst's decline over its rise"),
    Feature("n_bright_bands", "1", "bands whose scale exceeds three errors"),
    Feature("n_flat_bands", "1", "bands with five measurements and no positive scale"),
    Feature("colour_slope", "1", "slope of log10(scale) with the number of the band"),
    Feature("log_g_r", "1", "log10 of the scale in r over that in g"),
    Feature("log_r_i", "1", "log10 of the scale in i over that in r"),
    Feature("lens_level", "1", "level over maximum, mean of the bands by weight"),
    Feature("log_signal", "1", "log10 of the largest fitted flux over error"),
    Feature("peak_gap", "1", "distance of the nearest measurement from the maximum, in Einstein times"),
)
"""What the fit says, in the order in which the kernel writes it."""

DIAGNOSTIC_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in DIAGNOSTICS)
"""Their names."""


@dataclass(frozen=True, eq=False, slots=True)
class LensFits:
    """Best lenses of n objects; NaN where there are too few measurements."""

    peak_mjd_tai: FloatArray
    """(n,) t0, time of the maximum [d, TAI]."""
    einstein_time_d: FloatArray
    """(n,) tE [d]."""
    impact_u0: FloatArray
    """(n,) u0 in Einstein radii."""
    chi2: FloatArray
    """(n,) of the lens, all bands with three measurements."""
    chi2_constant: FloatArray
    """(n,) of a constant in each of those bands."""
    n_fitted: IntArray
    """(n,) measurements in those bands."""
    diagnostics: FeatureTable
    """(n, 31) of `DIAGNOSTICS`."""

    @property
    def delta_chi2(self) -> FloatArray:
        """(n,) how much better than constants the lens is."""
        return self.chi2_constant - self.chi2

    @property
    def reduced_chi2(self) -> FloatArray:
        """(n,) chi2 of the lens over the degrees of freedom."""
        return np.asarray(10.0 ** self.diagnostics.select(("log_lens_chi2",))[:, 0], dtype=np.float64)


def fit_lenses(points: Measurements) -> LensFits:
    """Fit a lens to each of n objects.

    Notes
    -----
    The three parameters of the shape are searched from a coarse grid by the simplex of Nelder & Mead (1965,
    doi:10.1093/comjnl/7.4.308); scale and level of each band are linear and solved inside (Golub & Pereyra 1973,
    doi:10.1137/0710036). Scales are not negative. Weak priors on tE and u0 keep a few points from running away.
    """
    values = np.full((len(points), FITTED + DIAGNOSTICS_WIDTH), np.nan)
    n_fitted = np.zeros(len(points), dtype=np.int64)
    fill_fits(points.starts, points.time, points.flux, points.err, n_fitted, values)
    return LensFits(
        peak_mjd_tai=values[:, PEAK],
        einstein_time_d=values[:, TIME],
        impact_u0=values[:, IMPACT],
        chi2=values[:, CHI2],
        chi2_constant=values[:, CHI2_CONSTANT],
        n_fitted=n_fitted,
        diagnostics=FeatureTable(DIAGNOSTIC_NAMES, values[:, FITTED:]),
    )
