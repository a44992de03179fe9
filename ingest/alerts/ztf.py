"""ZTF: where its packets keep what we want, and how that becomes the normalised columns.

Field names and their meaning are those of schema 4.02 and earlier, https://github.com/ZwickyTransientFacility/ztf-avro-alert.
``fp_hists`` (from 4.0 on) holds forced photometry, which is no detection and is kept apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import SECONDS_PER_DAY, jd_utc_to_mjd_tai
from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG, BANDS, AlertColumns, Reject
from ingest.alerts.lightcurve import (
    Points,
    build_forced,
    build_light_curves,
    find_faults,
    is_believable_time,
    is_position,
)
from ingest.alerts.program import ABSENT_INT, ALERT, Column, Kind, Layout, Table
from ingest.alerts.slots import Decoded, Slots

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]

EXPOSURE_S = 30.0
"""Length of a survey exposure [s]; Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe. Histories do not state theirs."""

LONGEST_EXPOSURE_S = 3600.0
"""Longest exposure that is believed [s]; ZTF takes 30 s, rarely up to some minutes. Some packets state 0."""

SENTINEL = -999.0
"""What ZTF writes for a number that it has not; ``alert.avsc`` calls it so for each field."""

SOLAR_SYSTEM_ARCSEC = 5.0
"""Distance within which ZTF's nearest known moving body is taken as the source [arcsec]; ZTF's seeing is 2 arcsec,
its ephemerides are good to about 1, and the field is filled out to 30."""

FORCED_SENTINEL_DN = -99999.0
"""What ``fp_hists`` writes for a flux or an error that could not be measured [DN]; seen with procstatus 61."""

FORCED_GOOD = "0"
"""``procstatus`` of forced photometry without any warning; Masci et al. 2023, arXiv:2305.16279. Others are left out."""

CANDID_PER_EXPOSURE = 10**10
"""Candidates that an exposure numbers: the last ten digits of a candid begin with the readout quadrant, those before
are nights since the start of 2017 and the fraction of the day to 1e-5. Found on 957 recorded packets: with these digits
one exposure time is one number, and the next two digits are ``rcid``."""

FAINTEST_MAG = 40.0
"""Magnitudes beyond 0 to this are nonsense [mag, AB]; the telescope reaches 21."""

PUBLIC_PROGRAM = 1
"""``programid`` of alerts that are public at once."""

_BAND_OF_FID = np.array([-1, BANDS.index("g"), BANDS.index("r"), BANDS.index("i")], dtype=np.int8)

_SIGN_OF_LETTER = np.zeros(256)
_SIGN_OF_LETTER[[ord("t"), ord("1")]] = 1.0
_SIGN_OF_LETTER[[ord("f"), ord("0")]] = -1.0

_POINT = (
    Column("jd", Kind.FLOAT, ("jd",), required=True),
    Column("fid", Kind.INT, ("fid",), required=True),
    Column("candid", Kind.INT, ("candid",), required=True),
    Column("isdiffpos", Kind.TEXT, ("isdiffpos",), required=True),
    Column("magpsf", Kind.FLOAT, ("magpsf",), required=True),
    Column("sigmapsf", Kind.FLOAT, ("sigmapsf",)),
    Column("diffmaglim", Kind.FLOAT, ("diffmaglim",), required=True),
)

_FORCED = (
    Column("jd", Kind.FLOAT, ("jd",), required=True),
    Column("fid", Kind.INT, ("fid",), required=True),
    Column("exptime", Kind.FLOAT, ("exptime",)),
    Column("forcediffimflux", Kind.FLOAT, ("forcediffimflux",), required=True),
    Column("forcediffimfluxunc", Kind.FLOAT, ("forcediffimfluxunc",)),
    Column("magzpsci", Kind.FLOAT, ("magzpsci",), required=True),
    Column("procstatus", Kind.TEXT, ("procstatus",), required=True),
)

LAYOUT: Layout = (
    Table(
        ALERT,
        (
            Column("objectId", Kind.TEXT, ("objectId",), required=True),
            Column("candid", Kind.INT, ("candidate.candid", "candid"), required=True),
            Column("jd", Kind.FLOAT, ("candidate.jd",), required=True),
            Column("fid", Kind.INT, ("candidate.fid",), required=True),
            Column("ra", Kind.FLOAT, ("candidate.ra",), required=True),
            Column("dec", Kind.FLOAT, ("candidate.dec",), required=True),
            Column("isdiffpos", Kind.TEXT, ("candidate.isdiffpos",), required=True),
            Column("magpsf", Kind.FLOAT, ("candidate.magpsf",), required=True),
            Column("sigmapsf", Kind.FLOAT, ("candidate.sigmapsf",)),
            Column("exptime", Kind.FLOAT, ("candidate.exptime",)),
            Column("drb", Kind.FLOAT, ("candidate.drb",)),
            Column("rb", Kind.FLOAT, ("candidate.rb",)),
            Column("ssdistnr", Kind.FLOAT, ("candidate.ssdistnr",)),
            Column("ssnamenr", Kind.TEXT, ("candidate.ssnamenr",)),
            Column("programid", Kind.INT, ("candidate.programid",)),
            Column("ndethist", Kind.INT, ("candidate.ndethist",)),
            Column("jdstarthist", Kind.FLOAT, ("candidate.jdstarthist",)),
            Column("sgscore1", Kind.FLOAT, ("candidate.sgscore1",)),
            Column("distpsnr1", Kind.FLOAT, ("candidate.distpsnr1",)),
            Column("magnr", Kind.FLOAT, ("candidate.magnr",)),
            Column("distnr", Kind.FLOAT, ("candidate.distnr",)),
            Column("sgmag1", Kind.FLOAT, ("candidate.sgmag1",)),
            Column("srmag1", Kind.FLOAT, ("candidate.srmag1",)),
            Column("simag1", Kind.FLOAT, ("candidate.simag1",)),
            Column("szmag1", Kind.FLOAT, ("candidate.szmag1",)),
        ),
    ),
    Table(("prv_candidates",), _POINT),
    # An archive of 2021 has forced photometry in place of the candidates.
    Table(("fp_hists", "prv_candidates"), _FORCED),
)


def normalise(decoded: Decoded) -> tuple[AlertColumns, list[Reject]]:
    """Turn decoded ZTF packets into normalised columns; packets with impossible values are rejected."""
    alerts = decoded.alerts
    own = _points(alerts, _exposure_s(alerts))
    ra_deg, dec_deg = alerts.floats("ra"), alerts.floats("dec")
    candid = alerts.integers("candid")
    kept, rejects = find_faults(
        [
            (alerts.is_name("objectId"), "The packet has no usable objectId."),
            (candid >= 0, "The packet has no usable candid."),
            (is_position(ra_deg, dec_deg), "The packet's position is not on the sky."),
            (is_believable_time(own.midpoint_mjd_tai), "The packet's jd is not a time of the survey."),
            (own.band >= 0, "The packet's fid names no filter."),
            (np.isfinite(own.psf_flux_njy), "The packet's magpsf and isdiffpos give no flux."),
        ],
        decoded.row,
    )
    curves, first = build_light_curves(own, kept, *_history(decoded, candid))
    alerts = alerts.take(kept)
    began = jd_utc_to_mjd_tai(_present(alerts.floats("jdstarthist"))) + 0.5 * EXPOSURE_S / SECONDS_PER_DAY
    drb, rb = (_within(alerts.floats(name), 0.0, 1.0) for name in ("drb", "rb"))
    n_detections = alerts.integers("ndethist")
    columns = AlertColumns(
        survey=Survey.ZTF,
        row=decoded.row[kept],
        object_id=alerts.texts("objectId", np.ones(len(alerts), dtype=np.bool_)),
        detection_id=candid[kept],
        ra_deg=ra_deg[kept],
        dec_deg=dec_deg[kept],
        midpoint_mjd_tai=own.midpoint_mjd_tai[kept],
        band=own.band[kept],
        psf_flux_njy=own.psf_flux_njy[kept],
        psf_flux_err_njy=own.psf_flux_err_njy[kept],
        reliability=np.where(np.isfinite(drb), drb, rb),
        solar_system_id=_solar_system_id(alerts),
        is_public=alerts.integers("programid") == PUBLIC_PROGRAM,
        n_detections=np.where(n_detections >= 0, n_detections, -1),
        first_midpoint_mjd_tai=np.fmin(first, np.where(is_believable_time(began), began, np.inf)),
        star_galaxy_score=_within(alerts.floats("sgscore1"), 0.0, 1.0),
        nearest_source_arcsec=_within(alerts.floats("distpsnr1"), 0.0, np.inf),
        exposure_id=_exposure_id(candid[kept]),
        trail_length_arcsec=np.full(len(alerts), np.nan),
        is_streak=np.zeros(len(alerts), dtype=np.bool_),
        extendedness=np.full(len(alerts), np.nan),
        solar_system_separation_arcsec=_within(alerts.floats("ssdistnr"), 0.0, np.inf),
        template_mag=_magnitude(alerts, "magnr"),
        template_separation_arcsec=_within(alerts.floats("distnr"), 0.0, np.inf),
        neighbour_g_mag=_magnitude(alerts, "sgmag1"),
        neighbour_r_mag=_magnitude(alerts, "srmag1"),
        neighbour_i_mag=_magnitude(alerts, "simag1"),
        neighbour_z_mag=_magnitude(alerts, "szmag1"),
        light_curves=curves,
        forced=build_forced(kept, *_forced(decoded)),
    )
    return columns, rejects


def _exposure_s(slots: Slots) -> FloatArray:
    """Return how long exposures were [s]."""
    exposure_s = slots.floats("exptime")
    return np.where((exposure_s > 0.0) & (exposure_s <= LONGEST_EXPOSURE_S), exposure_s, EXPOSURE_S)


def _exposure_id(candid: IntArray) -> IntArray:
    """Return the part of a candid that is the same for a whole exposure, -1 where a candid has none."""
    return np.where(candid >= CANDID_PER_EXPOSURE, candid // CANDID_PER_EXPOSURE, -1)


def _forced(decoded: Decoded) -> tuple[Points, IntArray, NDArray[np.bool_]]:
    """Return the points of forced photometry, their limits, and which were measured without a warning."""
    forced = decoded.items[1]
    slots = forced.slots
    midpoint = jd_utc_to_mjd_tai(slots.floats("jd")) + 0.5 * _exposure_s(slots) / SECONDS_PER_DAY
    njy_per_dn = flux_of_mag(slots.floats("magzpsci"))
    flux_dn, error_dn = slots.floats("forcediffimflux"), slots.floats("forcediffimfluxunc")
    flux = np.where(np.isfinite(flux_dn) & (flux_dn != FORCED_SENTINEL_DN), flux_dn, np.nan) * njy_per_dn
    error = np.where(np.isfinite(error_dn) & (error_dn >= 0.0), error_dn, np.nan) * njy_per_dn
    points = Points(midpoint, _band(slots), flux, error, np.full(len(slots), np.nan))
    return points, forced.offsets, slots.letters("procstatus") == ord(FORCED_GOOD)


def _history(decoded: Decoded, candid: IntArray) -> tuple[Points, IntArray, NDArray[np.bool_]]:
    """Return the points of the histories, their limits, and which are not the alert itself."""
    history, offsets = decoded.items[0].slots, decoded.items[0].offsets
    points = _points(history, np.full(len(history), EXPOSURE_S))
    point_id = history.integers("candid")
    is_detection = point_id != ABSENT_INT
    limit = flux_of_mag(np.where(is_detection, np.nan, history.floats("diffmaglim")))
    points = Points(
        points.midpoint_mjd_tai,
        points.band,
        np.where(is_detection, points.psf_flux_njy, np.nan),
        np.where(is_detection, points.psf_flux_err_njy, np.nan),
        limit,
    )
    return points, offsets, point_id != np.repeat(candid, np.diff(offsets))


def _points(slots: Slots, exposure_s: FloatArray) -> Points:
    """Return the detections that rows describe."""
    midpoint = jd_utc_to_mjd_tai(slots.floats("jd")) + 0.5 * exposure_s / SECONDS_PER_DAY
    size = flux_of_mag(slots.floats("magpsf"))
    sign = _SIGN_OF_LETTER[slots.letters("isdiffpos")]
    sigma = _within(slots.floats("sigmapsf"), 0.0, FAINTEST_MAG)
    flux = np.where(sign == 0.0, np.nan, sign * size)
    return Points(midpoint, _band(slots), flux, size * sigma * (np.log(10.0) / 2.5), np.full(len(slots), np.nan))


def _band(slots: Slots) -> ByteArray:
    """Return the code of the filter, -1 where fid names none."""
    fid = slots.integers("fid")
    return _BAND_OF_FID[np.where((fid >= 1) & (fid < len(_BAND_OF_FID)), fid, 0)]


def flux_of_mag(mag: FloatArray) -> FloatArray:
    """Return the flux [nJy] of an AB magnitude; NaN for what is none, `SENTINEL` included."""
    return np.asarray(10.0 ** ((AB_ZERO_POINT_NJY_MAG - _within(mag, 0.0, FAINTEST_MAG)) / 2.5), dtype=np.float64)


def _magnitude(alerts: Slots, name: str) -> FloatArray:
    """Return a column of magnitudes, NaN for what is none."""
    return _within(alerts.floats(name), 0.0, FAINTEST_MAG)


def _present(values: FloatArray) -> FloatArray:
    """Return values with NaN for the sentinel."""
    return np.where(values == SENTINEL, np.nan, values)


def _within(values: FloatArray, low: float, high: float) -> FloatArray:
    """Return values with NaN for those out of range, which the sentinel is for every range used here."""
    return np.where((values >= low) & (values <= high) & np.isfinite(values), values, np.nan)


def _solar_system_id(alerts: Slots) -> NDArray[np.object_]:
    """Return the moving body that ZTF associated, empty where none is close enough."""
    distance = alerts.floats("ssdistnr")
    names = alerts.texts("ssnamenr", (distance >= 0.0) & (distance < SOLAR_SYSTEM_ARCSEC))
    names[np.isin(names, ("null", "None", "-999", "-999.0"))] = ""
    return names
