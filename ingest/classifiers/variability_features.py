"""Features that tell variable stars, active nuclei and what bursts or moves from one another.

Fluxes are differences and keep their sign: a star that varies is as often fainter than its template as brighter. What
the source shines with in quiescence is taken from the template or from PS1, where the packet states it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG, BANDS
from ingest.classifiers.variability_kernel import WIDTH, fill_variability
from ingest.features import Feature, FeatureTable

if TYPE_CHECKING:
    from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves

FloatArray = NDArray[np.float64]

SAME_SOURCE_ARCSEC = 1.5
"""Distance within which the template's source is the one that varies [arcsec]: ZTF's own radius for detections of one
object, Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

_LAGS = ("within a night", "one night", "some nights", "some weeks", "longer")

RHYTHM_FEATURES: tuple[Feature, ...] = (
    Feature("n_nights", "1", "nights with detections"),
    Feature("points_per_night", "1", "detections in a night, mean"),
    Feature("detected_share", "1", "detections among detections and upper limits"),
    Feature("sign_changes", "1", "share of successive detections on different sides of the template"),
    Feature("night_step_sigma", "1", "largest step within a night in one band over its error"),
    *(
        Feature(f"structure_{place}", "1", f"half mean square difference of scaled points, {lag} apart")
        for place, lag in enumerate(_LAGS)
    ),
    Feature("walk_log_tau_d", "log10 d", "time scale of the damped random walk that fits best"),
    Feature("walk_gain", "1", "its log likelihood for each point above that of white noise"),
    Feature("log_period_d", "log10 d", "of the largest Lomb-Scargle power, all bands scaled to one"),
    Feature("period_power", "1", "that power, share of the variance, 0 to 1"),
    Feature("short_period_excess", "1", "largest power below 1.2 d less that beyond 3 d"),
    Feature("stetson_j", "1", "mean signed root of products of successive residuals in one night"),
    Feature("stetson_k", "1", "mean over root mean square of absolute residuals"),
    Feature("amplitude_ratio_gr_mag", "mag", "scatter of flux in r over that in g, as a magnitude"),
    Feature("correlation_gr", "1", "Pearson's correlation of g and r in one night"),
    Feature("difference_gr_mag", "mag", "colour g-r of the absolute difference flux"),
    Feature("difference_ri_mag", "mag", "colour r-i of the absolute difference flux"),
    Feature("outburst_contrast", "log10", "1 plus largest flux above the median over the median deviation, main band"),
    Feature("outburst_width_d", "d", "time that the main band stays above half of its range around the maximum"),
    Feature("outburst_rise_d", "1/d", "share of the range gained since the point before the maximum, per day"),
    Feature("outburst_fall_d", "1/d", "share of the range lost to the point after the maximum, per day"),
    Feature("relative_max", "1", "largest difference flux over the source's flux in quiescence"),
    Feature("relative_min", "1", "smallest, likewise"),
    Feature("relative_scatter", "1", "standard deviation, likewise"),
    Feature("relative_latest", "1", "newest, likewise"),
)
"""Columns of `rhythm_features`, in the order in which the kernel writes them."""

SOURCE_FEATURES: tuple[Feature, ...] = (
    Feature("template_mag", "mag AB", "of the source in the template"),
    Feature("template_separation_arcsec", "arcsec", "its distance"),
    Feature("neighbour_r_mag", "mag AB", "r of the nearest PS1 source"),
    Feature("neighbour_gr_mag", "mag", "its colour g-r"),
    Feature("neighbour_ri_mag", "mag", "its colour r-i"),
    Feature("neighbour_iz_mag", "mag", "its colour i-z"),
    Feature("template_excess_mag", "mag", "template less PS1 in the band of the alert"),
)
"""Columns of `source_features`."""


def rhythm_features(points: LightCurves | ForcedPhotometry, reference_njy: FloatArray) -> FeatureTable:
    """Compute the features of every light curve in one compiled pass.

    Parameters
    ----------
    points : n light curves, points of a row in any order.
    reference_njy : (n, 6) flux of the source in quiescence in each of `BANDS` [nJy]; NaN when unknown.

    Returns
    -------
    (n, 29) of `RHYTHM_FEATURES`, NaN where absent.
    """
    values = np.full((len(points), WIDTH), np.nan)
    flux = np.ascontiguousarray(points.psf_flux_njy, dtype=np.float64)
    limits = getattr(points, "upper_limit_njy", None)
    fill_variability(
        np.ascontiguousarray(points.offsets, dtype=np.int64),
        np.ascontiguousarray(points.midpoint_mjd_tai, dtype=np.float64),
        np.ascontiguousarray(points.band, dtype=np.int8),
        flux,
        np.ascontiguousarray(points.psf_flux_err_njy, dtype=np.float64),
        np.full(len(flux), np.nan) if limits is None else np.ascontiguousarray(limits, dtype=np.float64),
        np.ascontiguousarray(reference_njy, dtype=np.float64),
        values,
    )
    # Sums of hostile fluxes overflow.
    values[~np.isfinite(values)] = np.nan
    return FeatureTable(tuple(feature.name for feature in RHYTHM_FEATURES), values)


def reference_flux_njy(columns: AlertColumns) -> FloatArray:
    """Return the flux of each alert's source in quiescence, (n, 6) by band [nJy]; NaN where no packet states it.

    Notes
    -----
    ZTF: PS1 in g, r, i, z and the template in the alert's own band, each where its source is within
    `SAME_SOURCE_ARCSEC`. LSST: the template in the alert's own band.
    """
    mag = np.full((len(columns), len(BANDS)), np.nan)
    with np.errstate(invalid="ignore"):
        near = columns.nearest_source_arcsec < SAME_SOURCE_ARCSEC
        here = columns.template_separation_arcsec < SAME_SOURCE_ARCSEC
    if columns.survey is Survey.LSST:
        here = np.ones(len(columns), dtype=np.bool_)
    for name in "griz":
        mag[:, BANDS.index(name)] = np.where(near, getattr(columns, f"neighbour_{name}_mag"), np.nan)
    row = np.flatnonzero(here & np.isfinite(columns.template_mag) & (columns.band >= 0))
    mag[row, columns.band[row]] = columns.template_mag[row]
    return np.asarray(10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - mag)), dtype=np.float64)


def source_features(columns: AlertColumns) -> FeatureTable:
    """Return what packets say of the source in quiescence, (n, 7) of `SOURCE_FEATURES`; NaN where absent."""
    g, r, i, z = (getattr(columns, f"neighbour_{name}_mag") for name in "griz")
    own = np.select([columns.band == BANDS.index(name) for name in "griz"], [g, r, i, z], np.nan)
    with np.errstate(invalid="ignore"):
        near = columns.nearest_source_arcsec < SAME_SOURCE_ARCSEC
        in_template = near & (columns.template_separation_arcsec < SAME_SOURCE_ARCSEC)
    values = (
        columns.template_mag,
        columns.template_separation_arcsec,
        r,
        g - r,
        r - i,
        i - z,
        np.where(in_template, columns.template_mag - own, np.nan),
    )
    names = tuple(feature.name for feature in SOURCE_FEATURES)
    return FeatureTable(names, np.column_stack(values).reshape(-1, len(names)).astype(np.float64))


def variability_features(columns: AlertColumns, known: FeatureTable) -> FeatureTable:
    """Return all features of n alerts: those of `ingest.features` and those of this module.

    Parameters
    ----------
    known : (n, k) of `ingest.features.alert_features` for the same alerts.

    Returns
    -------
    (n, k + 65): `RHYTHM_FEATURES` of the detections, the same of the forced photometry with ``forced_`` before their
    names, `SOURCE_FEATURES`.
    """
    reference = reference_flux_njy(columns)
    own, forced = rhythm_features(columns.light_curves, reference), rhythm_features(columns.forced, reference)
    source = source_features(columns)
    return FeatureTable(
        (*known.names, *own.names, *(f"forced_{name}" for name in forced.names), *source.names),
        np.hstack([known.values, own.values, forced.values, source.values]),
    )
