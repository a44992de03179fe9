"""LSST: where the versions of its packets keep what we want, and how that becomes the normalised columns.

Names are those of schema 11.1 first, then of earlier ones, back to that of the ELAsTiCC challenge;
https://github.com/lsst/alert_packet. ``prvDiaForcedSources`` is stepped over: forced photometry is no detection and
is to be kept apart.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import BANDS, AlertColumns, Reject, TextArray
from ingest.alerts.lightcurve import Points, build_light_curves, find_faults, is_believable_time, is_position
from ingest.alerts.program import Column, Kind, Layout, Table
from ingest.alerts.slots import Decoded, Slots

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_BAND_OF_LETTER = np.full(256, -1, dtype=np.int8)
_BAND_OF_LETTER[[ord(letter) for letter in BANDS]] = range(len(BANDS))
# ELAsTiCC writes the reddest band as a capital.
_BAND_OF_LETTER[ord("Y")] = BANDS.index("y")


def _source(prefix: str) -> tuple[Column, ...]:
    """Return the columns that a diaSource fills."""
    names = {
        "midpointMjdTai": (Kind.FLOAT, ("midpointMjdTai", "midPointTai")),
        "band": (Kind.TEXT, ("band", "filterName")),
        "psfFlux": (Kind.FLOAT, ("psfFlux", "psFlux")),
    }
    always = tuple(
        Column(name, kind, tuple(prefix + path for path in paths), required=True)
        for name, (kind, paths) in names.items()
    )
    return (*always, Column("psfFluxErr", Kind.FLOAT, (f"{prefix}psfFluxErr", f"{prefix}psFluxErr")))


LAYOUT: Layout = (
    Table(
        "",
        (
            *_source("diaSource."),
            Column("diaSourceId", Kind.INT, ("diaSource.diaSourceId", "diaSourceId", "alertId"), required=True),
            Column("ra", Kind.FLOAT, ("diaSource.ra",), required=True),
            Column("dec", Kind.FLOAT, ("diaSource.dec", "diaSource.decl"), required=True),
            Column("reliability", Kind.FLOAT, ("diaSource.reliability",)),
            Column("ssObjectId", Kind.INT, ("diaSource.ssObjectId", "ssSource.ssObjectId", "ssObject.ssObjectId")),
            Column("sourceObjectId", Kind.INT, ("diaSource.diaObjectId",)),
            Column("diaObjectId", Kind.INT, ("diaObject.diaObjectId",)),
            Column("nDiaSources", Kind.INT, ("diaObject.nDiaSources",)),
            Column("firstDiaSourceMjdTai", Kind.FLOAT, ("diaObject.firstDiaSourceMjdTai",)),
        ),
    ),
    Table(
        "prvDiaSources",
        (*_source(""), Column("diaSourceId", Kind.INT, ("diaSourceId",), required=True)),
    ),
)


def normalise(decoded: Decoded) -> tuple[AlertColumns, list[Reject]]:
    """Turn decoded LSST packets into normalised columns; packets with impossible values are rejected."""
    alerts = decoded.alerts
    own = _points(alerts)
    ra_deg, dec_deg = alerts.floats("ra"), alerts.floats("dec")
    source_id = alerts.integers("diaSourceId")
    stated = alerts.integers("diaObjectId")
    object_id = np.where(stated > 0, stated, alerts.integers("sourceObjectId"))
    body_id = alerts.integers("ssObjectId")
    kept, rejects = find_faults(
        [
            (source_id > 0, "The packet has no usable diaSourceId."),
            ((object_id > 0) | (body_id > 0), "The packet belongs to neither an object nor a moving body."),
            (is_position(ra_deg, dec_deg), "The packet's position is not on the sky."),
            (is_believable_time(own.midpoint_mjd_tai), "The packet's midpointMjdTai is not a time of the survey."),
            (own.band >= 0, "The packet's band is none of the survey."),
        ],
        decoded.row,
    )
    is_other = decoded.history.integers("diaSourceId") != np.repeat(source_id, np.diff(decoded.offsets))
    curves, first = build_light_curves(own, kept, _points(decoded.history), decoded.offsets, is_other)
    alerts = alerts.take(kept)
    began = alerts.floats("firstDiaSourceMjdTai")
    reliability = alerts.floats("reliability")
    n_detections = alerts.integers("nDiaSources")
    absent = np.full(len(alerts), np.nan)
    midpoint = own.midpoint_mjd_tai[kept]
    columns = AlertColumns(
        survey=Survey.LSST,
        row=decoded.row[kept],
        object_id=_decimal(object_id[kept]),
        detection_id=source_id[kept],
        ra_deg=ra_deg[kept],
        dec_deg=dec_deg[kept],
        midpoint_mjd_tai=midpoint,
        band=own.band[kept],
        psf_flux_njy=own.psf_flux_njy[kept],
        psf_flux_err_njy=own.psf_flux_err_njy[kept],
        reliability=np.where((reliability >= 0.0) & (reliability <= 1.0), reliability, np.nan),
        solar_system_id=_decimal(body_id[kept]),
        is_public=np.ones(len(alerts), dtype=np.bool_),
        n_detections=np.where(n_detections >= 0, n_detections, -1),
        first_midpoint_mjd_tai=np.minimum(
            np.minimum(first, midpoint), np.where(is_believable_time(began), began, np.inf)
        ),
        star_galaxy_score=absent,
        nearest_source_arcsec=absent.copy(),
        light_curves=curves,
    )
    return columns, rejects


def _points(slots: Slots) -> Points:
    """Return the detections that rows describe; infinite fluxes count as absent."""
    flux, error = slots.floats("psfFlux"), slots.floats("psfFluxErr")
    return Points(
        slots.floats("midpointMjdTai"),
        _BAND_OF_LETTER[slots.letters("band")],
        np.where(np.isfinite(flux), flux, np.nan),
        np.where(np.isfinite(error) & (error >= 0.0), error, np.nan),
        np.full(len(slots), np.nan),
    )


def _decimal(numbers: IntArray) -> TextArray:
    """Return identifiers as decimal text; those that are not positive are empty."""
    texts: TextArray = pa.array(numbers).cast(pa.string()).to_numpy(zero_copy_only=False)
    texts[numbers <= 0] = ""
    return texts
