"""Light-curve features: one row of numbers for each alert, the same for both surveys.

Absent is NaN: a colour without a second band, a slope through one point. Counts are never absent. Times are
differences and fluxes keep their sign, so nothing here depends on a survey's epoch or on its zero point except the
two magnitudes and the mean flux.
"""

from __future__ import annotations

from dataclasses import dataclass

import erfa
import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from ingest.alerts.columns import BANDS, AlertColumns, LightCurves
from ingest.feature_kernel import WIDTH, fill_features

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a feature table."""

    name: str
    unit: str
    """``1`` for a pure number."""
    meaning: str


def _slope_features(band: str) -> tuple[Feature, ...]:
    """Return the four slope columns of one band."""
    return (
        Feature(f"rise_{band}_mag_d", "mag/d", f"weighted slope in {band} up to the maximum; negative brightens"),
        Feature(f"rise_{band}_err_mag_d", "mag/d", "its 1 sigma error"),
        Feature(f"fall_{band}_mag_d", "mag/d", f"weighted slope in {band} from the maximum on; positive fades"),
        Feature(f"fall_{band}_err_mag_d", "mag/d", "its 1 sigma error"),
    )


LIGHT_CURVE_FEATURES: tuple[Feature, ...] = (
    Feature("n_points", "1", "detections with a flux and an error"),
    *(Feature(f"n_points_{band}", "1", f"detections in {band}") for band in BANDS),
    Feature("n_upper_limits", "1", "visits that saw nothing"),
    Feature("time_span_d", "d", "from the first to the last detection"),
    Feature("since_first_d", "d", "from the first detection to the last visit"),
    Feature("since_peak_d", "d", "from the largest flux to the last visit"),
    Feature("last_limit_gap_d", "d", "from the last upper limit before the first detection to that detection"),
    Feature("peak_mag", "mag AB", "of the largest flux in any band; absent unless positive"),
    Feature("latest_mag", "mag AB", "of the last detection; absent unless positive"),
    Feature("max_snr", "1", "largest absolute flux over its error"),
    Feature("latest_snr", "1", "absolute flux over error of the last detection"),
    Feature("negative_fraction", "1", "share of detections fainter than the template"),
    Feature("mean_flux_njy", "nJy", "inverse-variance weighted, in the band with most detections, the main band"),
    Feature("mean_significance", "1", "weighted mean over its error, main band"),
    Feature("reduced_chi2", "1", "of a constant flux, main band"),
    Feature("excess_variance", "1", "variance beyond the errors over the mean square flux, main band"),
    Feature("amplitude_significance", "1", "largest minus smallest flux over the median error, main band"),
    Feature("amplitude_mag", "mag", "largest over smallest flux, main band; absent when one is not positive"),
    Feature("von_neumann", "1", "mean square step over variance, main band; 2 for noise, small for a trend"),
    Feature("skewness", "1", "third standardised moment of the fluxes, main band"),
    Feature("mad_relative", "1", "median absolute deviation over the absolute median flux, main band"),
    Feature("time_correlation", "1", "Pearson's correlation of flux and time, main band"),
    Feature("g_r_mag", "mag", "colour g-r of the two detections nearest in time, at most 2 d apart"),
    Feature("g_r_err_mag", "mag", "its 1 sigma error"),
    Feature("r_i_mag", "mag", "colour r-i of the two detections nearest in time, at most 2 d apart"),
    Feature("r_i_err_mag", "mag", "its 1 sigma error"),
    *_slope_features("g"),
    *_slope_features("r"),
    *_slope_features("i"),
)
"""The columns of `light_curve_features`, in the order in which the kernel writes them."""

CONTEXT_FEATURES: tuple[Feature, ...] = (
    Feature("star_galaxy_score", "1", "1 star to 0 galaxy of the nearest PS1 source"),
    Feature("nearest_source_arcsec", "arcsec", "distance of that source"),
    Feature("n_detections", "1", "detections so far as the survey counts"),
    Feature("age_d", "d", "from the first detection that the packet knows to this one"),
    Feature("galactic_latitude_deg", "deg", "absolute, of the alert"),
)
"""The columns of `context_features`."""


@dataclass(frozen=True, eq=False, slots=True)
class FeatureTable:
    """Named features of n alerts."""

    names: tuple[str, ...]
    """(k,) column names."""
    values: FloatArray
    """(n, k), NaN where absent; units as in `LIGHT_CURVE_FEATURES` and `CONTEXT_FEATURES`."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def select(self, names: tuple[str, ...]) -> FloatArray:
        """Return the named columns as (n, len(names)).

        Raises
        ------
        ModelError : a name is not in the table.
        """
        place = {name: column for column, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise ModelError(f"the feature table has no column {', '.join(missing)}")
        return self.values[:, [place[name] for name in names]]


def light_curve_features(curves: LightCurves) -> FeatureTable:
    """Compute the features of every light curve in one compiled pass.

    Parameters
    ----------
    curves : n light curves, points of a row in any order.

    Returns
    -------
    (n, 43) of `LIGHT_CURVE_FEATURES`.

    Notes
    -----
    Upper limits count and date a light curve; their depth is not used, because LSST packets carry none.
    """
    values = np.full((len(curves), WIDTH), np.nan)
    fill_features(
        np.ascontiguousarray(curves.offsets, dtype=np.int64),
        np.ascontiguousarray(curves.midpoint_mjd_tai, dtype=np.float64),
        np.ascontiguousarray(curves.band, dtype=np.int8),
        np.ascontiguousarray(curves.psf_flux_njy, dtype=np.float64),
        np.ascontiguousarray(curves.psf_flux_err_njy, dtype=np.float64),
        np.ascontiguousarray(curves.upper_limit_njy, dtype=np.float64),
        values,
    )
    return FeatureTable(names=tuple(feature.name for feature in LIGHT_CURVE_FEATURES), values=values)


def galactic_latitude_deg(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return the galactic latitude [deg] of ICRS positions [deg]; NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        _, latitude = erfa.icrs2g(np.radians(ra_deg), np.radians(dec_deg))
    return np.asarray(np.degrees(latitude), dtype=np.float64)


def context_features(columns: AlertColumns) -> FeatureTable:
    """Return what the packets say beside the light curve, (n, 5) of `CONTEXT_FEATURES`."""
    n_detections = columns.n_detections.astype(np.float64)
    values = np.column_stack(
        [
            columns.star_galaxy_score,
            columns.nearest_source_arcsec,
            np.where(n_detections < 0, np.nan, n_detections),
            columns.midpoint_mjd_tai - columns.first_midpoint_mjd_tai,
            np.abs(galactic_latitude_deg(columns.ra_deg, columns.dec_deg)),
        ]
    ).astype(np.float64)
    return FeatureTable(names=tuple(feature.name for feature in CONTEXT_FEATURES), values=values)


def alert_features(columns: AlertColumns) -> FeatureTable:
    """Return light-curve and context features of n alerts side by side, (n, 48)."""
    curves, context = light_curve_features(columns.light_curves), context_features(columns)
    return FeatureTable(names=curves.names + context.names, values=np.hstack([curves.values, context.values]))
