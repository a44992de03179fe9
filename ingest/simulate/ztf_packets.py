"""ZTF packets of a night: one Avro object container file for each alert, as the survey sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.times import MJD_ZERO_JD, SECONDS_PER_DAY, mjd_tai_to_utc
from ingest.alerts import ztf_schema
from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG
from ingest.alerts.container import write_varint
from ingest.simulate.alert_stream import AlertNames, NamedAlerts
from ingest.simulate.avro import (
    NULL_INT,
    Column,
    Encoded,
    Piece,
    array_column,
    constant_piece,
    encode_records,
    join_pieces,
    record_column,
    record_piece,
    text_column,
    varint_piece,
)
from ingest.simulate.hashing import stable_random
from ingest.simulate.histories import make_histories
from ingest.simulate.schedule import camera_cells
from ingest.simulate.source_classes import SourceClass, njy_to_magnitude

if TYPE_CHECKING:
    from ingest.simulate.cutouts import StampPool
    from ingest.simulate.observe import Observed

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.bytes_]

EXPOSURE_S = 30.0
"""Length of an exposure [s]; ``jd`` is its beginning. Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe."""

NIGHT_ZERO_JD = 2457754.5
"""Julian date from which ZTF counts nights: 2017-01-01 UTC."""

ZERO_POINT_MAG = 26.3
"""Typical zero point of an image [mag]; r band of the public stream."""

POSITION_ERROR_DEG = 0.08 / 3600.0
"""Error of a detection's position along each axis [deg]: 0.08 arcsec, a round number of ZTF's size."""

MAGNITUDE_ERROR = 1.0857362
"""sigma(m) / (sigma(F) / F) [mag]: 2.5 / ln 10."""

EXPOSURE_OF_CANDID = 10**10
"""A ``candid`` without its last ten digits names the exposure: night and hundred thousandths of the day; of the rest
the first two digits are the quadrant. So in all 200 real packets looked at, 2018 to 2025."""

READOUT_ROWS = 8
"""Rows and columns of the camera's 64 quadrants; Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe."""

STREAK_FWHM_ARCSEC = 2.0
"""Width of a point on the image [arcsec], by which the elongation of a streak is counted; same source."""

_DETECTIONS_OF_IMAGE = 5_000
"""Room in an identifier for the detections of one sign in one quadrant."""

_SYNC = bytes(range(16))
"""Sync marker of our files; any 16 bytes will do, Avro 1.11 specification, object container files."""

_ABSENT = -999.0
"""ZTF's own sentinel in ``ssdistnr`` and ``ssmagnr``."""


@dataclass(frozen=True, eq=False, slots=True)
class ZtfPacker:
    """Names and encodes ZTF's alerts."""

    stamps: StampPool | None
    """Gzipped stamps, each with its length; None for packets without cutouts."""

    def name_field(self, seen: Observed, first_number: int) -> NamedAlerts:
        """Give the detections and sources of a field the identifiers that ZTF would.

        Raises
        ------
        ValueError : one image has more detections than its counter can number.
        """
        histories = make_histories(seen)
        jd = _jd(seen.midpoint_mjd_tai)
        readout = camera_cells(seen.schedule, seen.sources.field, _places(seen), READOUT_ROWS)[seen.source]
        # The identifier of an image: night, hundred thousandths of the day, quadrant, and 15 for the difference image.
        pid = np.floor((jd - NIGHT_ZERO_JD) * 1e5).astype(np.int64) * 10_000 + readout * 100 + 15
        positive = seen.flux_njy > 0.0
        rows = np.flatnonzero(seen.detected)
        rank = rank_within(pid[rows] * 2 + positive[rows])
        if len(rank) and rank.max() >= _DETECTIONS_OF_IMAGE:
            raise ValueError("too many alerts for so few exposures: make the night longer")
        candid = np.full(len(pid), NULL_INT, dtype=np.int64)
        candid[rows] = pid[rows] * 1_000_000 + np.where(positive[rows], 15_000, 10_000) + rank
        number = first_number + np.arange(len(seen.sources))
        return NamedAlerts(seen, histories, candid, pid, number, np.zeros(0, dtype=np.int64))

    def names(self, alerts: NamedAlerts) -> AlertNames:
        """Return the identifiers of alerts."""
        points = alerts.alert_points
        source = alerts.seen.source[points]
        body = alerts.seen.sources.body[source]
        candid = alerts.detection_id[points]
        return AlertNames(
            candid,
            pa.array(object_names(alerts)[source].astype("U12"), pa.string()),
            pa.array(body.astype("U8"), pa.string(), mask=body < 0),
            candid // EXPOSURE_OF_CANDID,
        )

    def pack(self, alerts: NamedAlerts, begin: int) -> pa.LargeBinaryArray:
        """Encode alerts; the points of their sources are encoded once each."""
        seen, points = alerts.seen, alerts.alert_points
        n = len(points)
        everything = np.arange(len(seen.visit))
        history = encode_records(ztf_schema.PRV_CANDIDATE, len(everything), _detection_columns(alerts, everything))
        forced = encode_records(ztf_schema.FP_HIST, len(everything), _forced_columns(alerts))
        candidate = encode_records(ztf_schema.CANDIDATE, n, _candidate_columns(alerts, points))
        first = seen.point_start[seen.source[points]]
        # A new object without any visit behind it has null, not an empty list.
        behind = np.where(points > first, first, -1)
        values: dict[str, Column] = {
            "schemavsn": ztf_schema.ZTF_SCHEMA_VERSION,
            "publisher": "Heliograph simulation",
            "objectId": text_column(object_names(alerts), seen.source[points]),
            "candid": alerts.detection_id[points],
            "candidate": record_column(candidate, np.arange(n)),
            "prv_candidates": array_column(history, behind, points),
            "fp_hists": array_column(forced, behind, points),
        }
        datum = encode_records(ztf_schema.WITHOUT_CUTOUTS, n, values)
        return _files(datum, self._cutouts(alerts.detection_id[points], begin))

    def _cutouts(self, candid: IntArray, begin: int) -> list[Piece]:
        """Return the three cutouts of each alert: a file name, and a stamp from the pool."""
        if self.stamps is None:
            return [constant_piece(bytes(3), len(candid))]
        stamp = (np.arange(len(candid)) + begin) % self.stamps.start.shape[1]
        prefix = np.char.add(b"candid", candid.astype("S19"))
        pieces = []
        for kind, suffix in enumerate((b"_targ_sci.fits.gz", b"_ref.fits.gz", b"_targ_scimref.fits.gz")):
            name = {"fileName": text_column(np.char.add(prefix, suffix))}
            pieces.append(record_piece(encode_records(ztf_schema.CUTOUT_NAME, len(candid), name)))
            pieces.append(Piece(self.stamps.data, self.stamps.start[kind, stamp], self.stamps.stop[kind, stamp]))
        return pieces


def rank_within(group: IntArray) -> IntArray:
    """Return the count of each element within those of the same value, in their order."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    return rank


def object_names(alerts: NamedAlerts) -> TextArray:
    """Return ``ZTF``, the year of the first detection and seven letters that count the sources."""
    days = np.floor(mjd_tai_to_utc(alerts.histories.first_mjd_tai) - 40587.0).astype("datetime64[D]")
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    number = alerts.object_number + 26**6
    letters = (number[:, None] // 26 ** np.arange(6, -1, -1, dtype=np.int64)) % 26 + ord("a")
    digits = np.stack([year // 10 % 10, year % 10], axis=1) + ord("0")
    prefix = np.tile(np.frombuffer(b"ZTF", dtype=np.uint8), (len(year), 1))
    columns = np.concatenate([prefix, digits.astype(np.uint8), letters.astype(np.uint8)], axis=1)
    return np.ascontiguousarray(columns).view("S12")[:, 0]


def _jd(midpoint_mjd_tai: FloatArray) -> FloatArray:
    """Return the start of an exposure [d, UTC]."""
    return np.round(mjd_tai_to_utc(midpoint_mjd_tai) - 0.5 * EXPOSURE_S / SECONDS_PER_DAY + MJD_ZERO_JD, 7)


def _places(seen: Observed) -> tuple[FloatArray, FloatArray]:
    return seen.sources.ra_deg, seen.sources.dec_deg


def _files(datum: Encoded, cutouts: list[Piece]) -> pa.LargeBinaryArray:
    """Wrap each record as an object container file of one block with one record."""
    schema = ztf_schema.schema_json()
    metadata = b"".join(write_varint(len(part)) + part for part in (b"avro.schema", schema, b"avro.codec", b"null"))
    header = b"Obj\x01" + write_varint(2) + metadata + b"\x00" + _SYNC + write_varint(1)
    body = [record_piece(datum), *cutouts]
    size = sum((piece.stop - piece.start for piece in body), start=np.zeros(len(datum), dtype=np.int64))
    return join_pieces(
        [constant_piece(header, len(datum)), varint_piece(size), *body, constant_piece(_SYNC, len(datum))]
    )


def _image_columns(night: NamedAlerts, points: IntArray) -> dict[str, Column]:
    """Return the fields that describe the image of a point."""
    seen, visit = night.seen, night.seen.visit[points]
    readout = night.image_id[points] // 100 % 100
    return {
        "jd": _jd(seen.midpoint_mjd_tai[points]),
        "fid": seen.schedule.band[visit],
        "pid": night.image_id[points],
        "diffmaglim": njy_to_magnitude(seen.schedule.limit_njy)[visit],
        "programid": 1,
        "rcid": readout,
        "field": 200 + seen.schedule.field[visit] % 700,
        "magzpsci": ZERO_POINT_MAG + 0.05 * (stable_random(readout.astype(np.float64), visit) - 0.5),
        "magzpsciunc": 4e-6,
        "magzpscirms": 0.03,
        "clrcoeff": -0.05,
        "clrcounc": 6e-6,
    }


def _detection_columns(night: NamedAlerts, points: IntArray) -> dict[str, Column]:
    """Return the fields that a detection has in the alert and in the history; null for upper limits."""
    seen, histories = night.seen, night.histories
    detected, source = seen.detected[points], seen.source[points]
    flux, error = np.abs(seen.flux_njy[points]), seen.error_njy[points]
    phase, visit = seen.sources.phase[source], seen.visit[points]
    chance = stable_random(phase, visit)

    def of_detection(values: FloatArray) -> FloatArray:
        return np.where(detected, values, np.nan)

    magnitude = njy_to_magnitude(flux)
    bogus = seen.sources.is_of(SourceClass.BOGUS)[source]
    position = 2.0 * (stable_random(phase, visit + 0.25) - 0.5), 2.0 * (stable_random(phase, visit + 0.75) - 0.5)
    dec = seen.sources.dec_deg[source] + POSITION_ERROR_DEG * position[1]
    ra = np.mod(seen.sources.ra_deg[source] + POSITION_ERROR_DEG * position[0] / np.cos(np.radians(dec)), 360.0)
    streak = seen.sources.rate_deg_d[source] * 3600.0 * EXPOSURE_S / SECONDS_PER_DAY / STREAK_FWHM_ARCSEC
    sign = np.where(detected, (seen.flux_njy[points] > 0.0).astype(np.int64), -1)
    return {
        **_image_columns(night, points),
        "programpi": "Kulkarni",
        "candid": night.detection_id[points],
        "isdiffpos": text_column(np.array([b"f", b"t"]), sign),
        "tblid": np.where(detected, night.detection_id[points] % 5_000, NULL_INT),
        "nid": night.image_id[points] // 1_000_000_000,
        "xpos": of_detection(50.0 + 2900.0 * stable_random(phase, 7.0)),
        "ypos": of_detection(50.0 + 2900.0 * stable_random(phase, 8.0)),
        "ra": of_detection(ra),
        "dec": of_detection(dec),
        "magpsf": of_detection(magnitude),
        "sigmapsf": of_detection(MAGNITUDE_ERROR * error / flux),
        "chipsf": of_detection(0.5 + chance),
        "magap": of_detection(magnitude + 0.1 * (chance - 0.5)),
        "sigmagap": of_detection(2.0 * error / flux),
        "distnr": of_detection(histories.neighbour_arcsec[source]),
        "magnr": of_detection(_reference_mag(seen)[source]),
        "sigmagnr": of_detection(np.full(len(points), 0.03)),
        "chinr": of_detection(0.5 + chance),
        "sharpnr": of_detection(0.1 * (chance - 0.5)),
        "sky": of_detection(chance - 0.5),
        "magdiff": of_detection(0.1 * (chance - 0.5)),
        "fwhm": of_detection(1.5 + 2.0 * chance),
        "classtar": of_detection(np.where(bogus, 0.4 * chance, 0.8 + 0.2 * chance)),
        "mindtoedge": of_detection(np.full(len(points), 50.0)),
        "magfromlim": of_detection(njy_to_magnitude(seen.schedule.limit_njy)[visit] - magnitude),
        "seeratio": of_detection(1.0 + chance),
        "aimage": of_detection((0.7 + 0.3 * chance) * (1.0 + streak)),
        "bimage": of_detection(0.6 + 0.3 * chance),
        "elong": of_detection(1.05 + np.where(bogus, 0.8, 0.2) * chance + streak),
        "nneg": np.where(detected, np.where(bogus, 8, 2), NULL_INT),
        "nbad": np.where(detected, 0, NULL_INT),
        "rb": of_detection(np.where(bogus, 0.1 + 0.4 * chance, 0.55 + 0.45 * chance)),
        "sumrat": of_detection(np.where(bogus, 0.5 + 0.4 * chance, 0.95 + 0.05 * chance)),
        "magapbig": of_detection(magnitude),
        "sigmagapbig": of_detection(2.5 * error / flux),
        "ranr": of_detection(seen.sources.ra_deg[source]),
        "decnr": of_detection(seen.sources.dec_deg[source]),
        "scorr": of_detection(flux / error),
        "rbversion": "t17_f5_c3",
    }


def _reference_mag(seen: Observed) -> FloatArray:
    """Return the magnitude of what the reference image shows at each source."""
    return np.clip(njy_to_magnitude(seen.sources.peak_njy), 12.0, 22.5)


def _candidate_columns(night: NamedAlerts, points: IntArray) -> dict[str, Column]:
    """Return the fields of the detection that triggered an alert."""
    seen, histories = night.seen, night.histories
    source = seen.source[points]
    phase, body = seen.sources.phase[source], seen.sources.body[source]
    moving = body >= 0
    bogus = seen.sources.is_of(SourceClass.BOGUS)[source]
    chance = stable_random(phase, seen.visit[points] + 0.5)
    first_jd = mjd_tai_to_utc(histories.first_mjd_tai[source]) - 0.5 * EXPOSURE_S / SECONDS_PER_DAY + MJD_ZERO_JD
    score, distance = histories.neighbour_score[source], histories.neighbour_arcsec[source]
    neighbour_mag = _reference_mag(seen)[source]
    return {
        **_detection_columns(night, points),
        "ssdistnr": np.where(moving, 0.1 + 0.6 * chance, _ABSENT),
        "ssmagnr": np.where(moving, njy_to_magnitude(seen.sources.peak_njy)[source], _ABSENT),
        # ZTF writes the word where no body is near.
        "ssnamenr": text_column(np.where(moving, body.astype("S8"), b"null")),
        "sgmag1": neighbour_mag + 0.4,
        "srmag1": neighbour_mag,
        "simag1": neighbour_mag - 0.2,
        "szmag1": neighbour_mag - 0.3,
        "sgscore1": score,
        "distpsnr1": distance,
        "objectidps1": (1e17 * (1.0 + phase)).astype(np.int64),
        "sgscore2": 0.5,
        "distpsnr2": distance + 6.0,
        "sgscore3": 0.5,
        "distpsnr3": distance + 12.0,
        "ndethist": histories.detections[points],
        "ncovhist": 3 * histories.detections[points] + 20,
        "jdstarthist": np.minimum(first_jd, _jd(seen.midpoint_mjd_tai[points])),
        "jdendhist": _jd(seen.midpoint_mjd_tai[points]),
        "tooflag": 0,
        "nmtchps": (20.0 * chance).astype(np.int64),
        "rfid": 410_120_228,
        "jdstartref": 2_458_160.733241,
        "jdendref": 2_458_437.877639,
        "nframesref": 15,
        "dsnrms": 10.0,
        "ssnrms": 20.0,
        "dsdiff": -10.0,
        "nmatches": 1200,
        "zpclrcov": -3e-6,
        "zpmed": 26.3,
        "clrmed": 0.65,
        "clrrms": 0.18,
        "neargaia": distance,
        "neargaiabright": 40.0,
        "maggaia": neighbour_mag,
        "maggaiabright": 12.5,
        "exptime": EXPOSURE_S,
        "drb": np.where(bogus, 0.4 * chance, 0.85 + 0.15 * chance),
        "drbversion": "d6_m7",
    }


def _forced_columns(night: NamedAlerts) -> dict[str, Column]:
    """Return forced photometry in counts of the image."""
    seen = night.seen
    counts = 10.0 ** (0.4 * (ZERO_POINT_MAG - AB_ZERO_POINT_NJY_MAG))
    source = seen.source
    return {
        **_image_columns(night, np.arange(len(source))),
        "magzpsci": ZERO_POINT_MAG,
        "rfid": 410_120_228,
        "sciinpseeing": 2.0,
        "scibckgnd": 200.0,
        "scisigpix": 8.5,
        "exptime": EXPOSURE_S,
        "adpctdif1": 0.05,
        "adpctdif2": 0.06,
        "forcediffimflux": counts * seen.flux_njy,
        "forcediffimfluxunc": counts * seen.error_njy,
        "procstatus": "0",
        "distnr": night.histories.neighbour_arcsec[source],
        "ranr": seen.sources.ra_deg[source],
        "decnr": seen.sources.dec_deg[source],
        "magnr": _reference_mag(seen)[source],
        "sigmagnr": 0.03,
        "chinr": 1.0,
        "sharpnr": 0.0,
    }
