"""From normalised columns to the rows of the graph and to the message about them."""

from __future__ import annotations

import numpy as np
import orjson

from graph.alert_store import AlertRows, MatchRows
from graph.sky import ang2pix
from ingest.alerts.columns import (
    AB_ZERO_POINT_NJY_MAG,
    BANDS,
    AlertColumns,
    FloatArray,
    LightCurves,
    TextArray,
)
from ingest.classify import Classifications
from ingest.crossmatch import CrossMatches

BAND_NAMES = np.array([*BANDS, ""], dtype=object)
"""Band letter by code; the last one answers code -1."""


def magnitude(flux_njy: FloatArray) -> FloatArray:
    """Return AB magnitudes of fluxes [nJy]; NaN where the flux is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(flux_njy > 0, AB_ZERO_POINT_NJY_MAG - 2.5 * np.log10(flux_njy), np.nan)


def last_limit_before(curves: LightCurves, first_midpoint_mjd_tai: FloatArray) -> FloatArray:
    """Return the time (n,) of the newest upper limit before each first detection [d, TAI]; NaN where there is none."""
    owner = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    is_limit = np.isfinite(curves.upper_limit_njy) & (curves.midpoint_mjd_tai < first_midpoint_mjd_tai[owner])
    newest = np.full(len(curves), -np.inf)
    np.maximum.at(newest, owner[is_limit], curves.midpoint_mjd_tai[is_limit])
    return np.where(np.isfinite(newest), newest, np.nan)


def alert_rows(columns: AlertColumns, classified: Classifications, source: TextArray) -> AlertRows:
    """Return the rows that `graph.alert_store.AlertStore` writes for these alerts."""
    return AlertRows(
        survey=columns.survey,
        object_id=columns.object_id,
        detection_id=columns.detection_id,
        source=source,
        ra_deg=columns.ra_deg,
        dec_deg=columns.dec_deg,
        healpix29=ang2pix(columns.ra_deg, columns.dec_deg),
        midpoint_mjd_tai=columns.midpoint_mjd_tai,
        first_midpoint_mjd_tai=columns.first_midpoint_mjd_tai,
        last_limit_mjd_tai=last_limit_before(columns.light_curves, columns.first_midpoint_mjd_tai),
        n_detections=columns.n_detections,
        band=BAND_NAMES[columns.band],
        psf_flux_njy=columns.psf_flux_njy,
        psf_flux_err_njy=columns.psf_flux_err_njy,
        mag_ab=magnitude(columns.psf_flux_njy),
        reliability=columns.reliability,
        top_class=classified.top_class,
        class_probability=classified.top_probability.astype(np.float64),
        std=classified.std.astype(np.float64),
        n_points=classified.n_points.astype(np.int64),
    )


def match_rows(matches: CrossMatches) -> MatchRows:
    """Return the rows of cross-matches with catalogues."""
    return MatchRows(
        row=matches.row,
        catalog=matches.catalogue,
        name=matches.source_id,
        object_type=matches.object_type,
        source_ra_deg=matches.ra_deg,
        source_dec_deg=matches.dec_deg,
        separation_arcsec=matches.separation_arcsec,
        probability=matches.probability,
    )


def objects_message(rows: AlertRows, classifier: str, version: str) -> bytes:
    """Return the message for ``heliograph.objects``: the newly written detections of one batch, as columns.

    Identifiers of detections are text: they do not fit into the doubles of most JSON readers.
    """
    columns = ("ra_deg", "dec_deg", "midpoint_mjd_tai", "first_midpoint_mjd_tai", "mag_ab", "class_probability")
    body: dict[str, object] = {
        "schema_version": 1,
        "survey": rows.survey.value,
        "classifier": classifier,
        "classifier_version": version,
        "object_id": rows.object_id.tolist(),
        "detection_id": rows.detection_id.astype(str).tolist(),
        "top_class": rows.top_class.tolist(),
        **{name: getattr(rows, name) for name in columns},
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
