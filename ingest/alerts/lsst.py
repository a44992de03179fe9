"""LSST: where the versions of its packets keep what we want, and how that becomes the normalised columns.

Names are those of schema 11.1 first, then of earlier ones, back to that of the ELAsTiCC challenge;
https://github.com/lsst/alert_packet. ``prvDiaForcedSources`` is no detection and is kept apart. The limits of visits
that saw nothing, which packets state before 8.0, are points of the light curve, as ZTF's are.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG, BANDS, LIMIT_SIGMA, AlertColumns, Reject, TextArray
from ingest.alerts.lightcurve import (
    Points,
    build_forced,
    build_light_curves,
    find_faults,
    is_believable_time,
    is_position,
    join_histories,
)
from ingest.alerts.program import ALERT, Column, Kind, Layout, Table
from ingest.alerts.slots import Decoded, Slots

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DETECTORS_PER_VISIT = 1000
"""Numbers that a visit has for its detectors in ccdVisitId (before 7.0): the camera's 205 need three digits."""

ARCSEC_PER_DEG = 3600.0
"""[arcsec/deg]."""

_BAND_OF_LETTER = np.full(256, -1, dtype=np.int8)
_BAND_OF_LETTER[[ord(letter) for letter in BANDS]] = range(len(BANDS))
# ELAsTiCC writes the reddest band as a capital.
_BAND_OF_LETTER[ord("Y")] = BANDS.index("y")


def _source(prefix: str) -> tuple[Column, ...]:
    """Return the columns that a diaSource fills."""
    return (
        *_visit(prefix),
        Column("psfFlux", Kind.FLOAT, (f"{prefix}psfFlux", f"{prefix}psFlux"), required=True),
        Column("psfFluxErr", Kind.FLOAT, (f"{prefix}psfFluxErr", f"{prefix}psFluxErr")),
    )


def _visit(prefix: str) -> tuple[Column, ...]:
    """Return the columns that say when and in which band."""
    return (
        Column("midpointMjdTai", Kind.FLOAT, (f"{prefix}midpointMjdTai", f"{prefix}midPointTai"), required=True),
        Column("band", Kind.TEXT, (f"{prefix}band", f"{prefix}filterName"), required=True),
    )


LAYOUT: Layout = (
    Table(
        ALERT,
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
            Column("visit", Kind.INT, ("diaSource.visit",)),
            Column("ccdVisitId", Kind.INT, ("diaSource.ccdVisitId",)),
            Column("trailLength", Kind.FLOAT, ("diaSource.trailLength",)),
            Column("glint_trail", Kind.INT, ("diaSource.glint_trail",)),
            Column("extendedness", Kind.FLOAT, ("diaSource.extendedness",)),
            Column("templateFlux", Kind.FLOAT, ("diaSource.templateFlux",)),
            Column("ephOffset", Kind.FLOAT, ("ssSource.ephOffset",)),
            Column("residualRa", Kind.FLOAT, ("ssSource.residualRa",)),
            Column("residualDec", Kind.FLOAT, ("ssSource.residualDec",)),
        ),
    ),
    Table(("prvDiaSources",), (*_source(""), Column("diaSourceId", Kind.INT, ("diaSourceId",), required=True))),
    Table(("prvDiaForcedSources",), _source("")),
    Table(("prvDiaNondetectionLimits",), (*_visit(""), Column("diaNoise", Kind.FLOAT, ("diaNoise",), required=True))),
)


NOT_SENT = ("template_separation_arcsec", *(f"neighbour_{band}_mag" for band in "griz"))
"""Columns of which LSST's packets say nothing."""


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
    curves, first = build_light_curves(own, kept, *_history(decoded, source_id))
    forced = _points(decoded.items[1].slots)
    alerts = alerts.take(kept)
    began = alerts.floats("firstDiaSourceMjdTai")
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
        reliability=_within_unity(alerts.floats("reliability")),
        solar_system_id=_decimal(body_id[kept]),
        is_public=np.ones(len(alerts), dtype=np.bool_),
        n_detections=np.where(n_detections >= 0, n_detections, -1),
        first_midpoint_mjd_tai=np.minimum(
            np.minimum(first, midpoint), np.where(is_believable_time(began), began, np.inf)
        ),
        star_galaxy_score=absent,
        nearest_source_arcsec=absent.copy(),
        exposure_id=_exposure_id(alerts),
        trail_length_arcsec=_not_negative(alerts.floats("trailLength")),
        is_streak=alerts.integers("glint_trail") == 1,
        extendedness=_within_unity(alerts.floats("extendedness")),
        solar_system_separation_arcsec=_separation_arcsec(alerts, dec_deg[kept]),
        template_mag=_magnitude(alerts.floats("templateFlux")),
        **{name: absent.copy() for name in NOT_SENT},
        light_curves=curves,
        forced=build_forced(kept, forced, decoded.items[1].offsets, np.ones(len(forced.band), dtype=np.bool_)),
    )
    return columns, rejects


def _history(decoded: Decoded, source_id: IntArray) -> tuple[Points, IntArray, NDArray[np.bool_]]:
    """Return detections and limits of the histories, their limits, and which are not the alert itself."""
    seen, unseen = decoded.items[0], decoded.items[2]
    is_other = seen.slots.integers("diaSourceId") != np.repeat(source_id, np.diff(seen.offsets))
    limits = _limits(unseen.slots)
    points, offsets, order = join_histories(_points(seen.slots), seen.offsets, limits, unseen.offsets)
    used = np.concatenate([is_other, np.ones(len(limits.band), dtype=np.bool_)])
    return points, offsets, used[order]


def _limits(slots: Slots) -> Points:
    """Return the upper limits that rows describe."""
    noise = slots.floats("diaNoise")
    absent = np.full(len(slots), np.nan)
    # diaNoise is the 1 sigma noise of the visit at the object.
    limit = np.where(np.isfinite(noise) & (noise > 0.0), LIMIT_SIGMA * noise, np.nan)
    return Points(slots.floats("midpointMjdTai"), _BAND_OF_LETTER[slots.letters("band")], absent, absent, limit)


def _exposure_id(alerts: Slots) -> IntArray:
    """Return the visit, -1 where a packet states none."""
    visit, ccd_visit = alerts.integers("visit"), alerts.integers("ccdVisitId")
    older = np.where(ccd_visit >= DETECTORS_PER_VISIT, ccd_visit // DETECTORS_PER_VISIT, -1)
    return np.where(visit > 0, visit, older)


def _separation_arcsec(alerts: Slots, dec_deg: FloatArray) -> FloatArray:
    """Return how far the associated moving body was predicted [arcsec]; NaN where none is."""
    across, along = alerts.floats("residualRa") * np.cos(np.radians(dec_deg)), alerts.floats("residualDec")
    stated = _not_negative(alerts.floats("ephOffset"))
    return np.where(np.isfinite(stated), stated, _not_negative(np.hypot(across, along) * ARCSEC_PER_DEG))


def _magnitude(flux_njy: FloatArray) -> FloatArray:
    """Return AB magnitudes of fluxes [nJy]; NaN for those that are not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = AB_ZERO_POINT_NJY_MAG - 2.5 * np.log10(flux_njy)
    return np.where((flux_njy > 0.0) & np.isfinite(mag), mag, np.nan)


def _not_negative(values: FloatArray) -> FloatArray:
    """Return values with NaN for those that are negative or not finite."""
    return np.where((values >= 0.0) & np.isfinite(values), values, np.nan)


def _within_unity(values: FloatArray) -> FloatArray:
    """Return values with NaN for those out of 0 to 1."""
    return np.where((values >= 0.0) & (values <= 1.0), values, np.nan)


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
