"""Statistics of whole light curves and of their first derivatives: what tells one smooth bump from stars that vary.

The method is that of Godines et al. 2019 (doi:10.1016/j.ascom.2019.100298), written anew for difference fluxes. The
band in which the object varies most gives the statistics, a second one says whether the colour stays. None depends on
the scale of the flux or on the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ingest.classifiers.object_kernel import BESIDE_WIDTH, SERIES_WIDTH, fill_statistics
from ingest.features import Feature, FeatureTable

if TYPE_CHECKING:
    from ingest.classifiers.measurements import Measurements

SERIES: Final[tuple[tuple[str, str], ...]] = (
    ("skewness", "third standardised moment"),
    ("kurtosis", "fourth standardised moment less 3"),
    ("von_neumann", "mean square step over variance"),
    ("lag_correlation", "mean product of neighbours in standard units"),
    ("time_asymmetry", "mean of step times both neighbours in standard units"),
    ("cusum_range", "range of the cumulated standard units over the number of points"),
    ("middle_20", "range of the middle 20 % of the values over that of the middle 90 %"),
    ("middle_35", "the same of the middle 35 %"),
    ("middle_50", "the same of the middle 50 %"),
    ("middle_65", "the same of the middle 65 %"),
    ("middle_80", "the same of the middle 80 %"),
    ("percentile_skew", "how far the 3rd and 97th percentile lie off the median, over their distance"),
    ("half_ratio", "log10 of the 95th percentile's distance from the median over the 5th's"),
    ("entropy", "of the values in ten bins of equal width [nat]"),
    ("above_1", "share of points more than 1 error above the median"),
    ("above_3", "the same of 3 errors"),
    ("above_5", "the same of 5 errors"),
    ("below_1", "share of points more than 1 error below the median"),
    ("below_3", "the same of 3 errors"),
    ("below_5", "the same of 5 errors"),
    ("stetson_j", "signed log(1 + |J|) of neighbours about the median"),
    ("stetson_k", "mean over root mean square of the absolute distances in errors"),
    ("bumps", "runs of at least three points more than 3 errors above the median"),
    ("log_chi2", "log10 of the reduced chi2 of a constant at the median"),
    ("longest_above", "longest run above the median over the number of points"),
    ("longest_below", "longest run below the median over the number of points"),
    ("crossings", "crossings of the mean over the number of points"),
    ("peaks", "points higher than both neighbours over the number of points"),
    ("rises", "share of steps that go up"),
    ("trend", "Pearson's correlation with time"),
    ("peak_place", "time of the maximum, 0 first to 1 last"),
    ("half_mass_place", "time at which half of what exceeds the 10th percentile has come, 0 first to 1 last"),
    ("high_share", "share of points above the middle of median and maximum"),
    ("high_width", "time from the first to the last of them over the whole time"),
    ("symmetry", "mean product of the values as long before and after the maximum in standard units"),
    ("log_anderson_darling", "log10 of the Anderson-Darling statistic of normality"),
    ("tail_ratio", "standard deviation over that of a normal distribution with the same median deviation"),
    ("log_amplitude", "log10 of the maximum's distance from the median over the median error"),
)
"""Name and meaning of the statistics of one series, in the order in which the kernel writes them."""

BESIDE: Final[tuple[tuple[str, str], ...]] = (
    ("log_points", "log10 of the measurements in the main band"),
    ("log_span_d", "log10 of the time from its first to its last measurement [d]"),
    ("log_wait_d", "log10 of the median time between its nights [d]"),
    ("n_bands", "bands with enough measurements"),
    ("band_correlation", "Pearson's correlation of the two bands that vary most, night by night"),
    ("log_band_chi2", "log10 of the reduced chi2 of a straight line between their fluxes"),
    ("log_band_ratio", "log10 of the redder amplitude over the bluer"),
    ("level", "median flux of the main band over its amplitude: 0 for a bump on a quiet template"),
)
"""Numbers beside, in the order in which the kernel writes them."""

STATISTICS: Final[tuple[Feature, ...]] = (
    *(Feature(name, "1", meaning) for name, meaning in SERIES),
    *(Feature(f"slope_{name}", "1", f"of the slope between nights: {meaning}") for name, meaning in SERIES),
    *(Feature(name, "1", meaning) for name, meaning in BESIDE),
)
"""The columns of `object_statistics`; all are absent where no band has ten measurements."""

STATISTIC_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in STATISTICS)
"""Their names."""


def object_statistics(points: Measurements) -> FeatureTable:
    """Return the statistics of n objects, (n, 84) of `STATISTICS`, NaN where absent.

    Notes
    -----
    The number of measurements of a band has to be 10; the derivative is taken between nights and needs six of them.

    References
    ----------
    Godines et al. 2019, Astronomy and Computing 28, 100298, doi:10.1016/j.ascom.2019.100298.
    """
    values = np.full((len(points), 2 * SERIES_WIDTH + BESIDE_WIDTH), np.nan)
    fill_statistics(points.starts, points.time, points.flux, points.err, values)
    return FeatureTable(STATISTIC_NAMES, values)
