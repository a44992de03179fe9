"""LSST packets of a night: the Confluent wire format, a schema id and an Avro datum without its schema."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from graph.times import SECONDS_PER_DAY, night_of_mjd_tai
from ingest.alerts.columns import BANDS
from ingest.simulate.alert_stream import AlertNames, NamedAlerts
from ingest.simulate.avro import (
    NULL_INT,
    Column,
    Piece,
    array_column,
    constant_piece,
    encode_records,
    join_pieces,
    record_column,
    record_piece,
    text_column,
)
from ingest.simulate.hashing import stable_random
from ingest.simulate.histories import make_histories
from ingest.simulate.schedule import camera_cells
from ingest.simulate.source_classes import SourceClass
from ingest.simulate.ztf_packets import rank_within

if TYPE_CHECKING:
    from ingest.simulate.cutouts import StampPool
    from ingest.simulate.lsst_schema import LsstSchema
    from ingest.simulate.observe import Observed
    from ingest.simulate.schedule import Schedule

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DETECTOR_ROWS, DETECTOR_COLUMNS = 14, 13
"""A rectangle of 182 detectors, about as many as the 189 of LSSTCam; Ivezic et al. 2019,
doi:10.3847/1538-4357/ab042c."""

OLDEST_D = 300.0
"""Age of the oldest records [d]: the public stream began in February 2026."""

GLINT_FLAGGED = 0.9
"""Share of glints that carry the survey's own flag ``glint_trail``; no published figure, a round number."""

EXPOSURE_S = 30.0
"""Length of a visit's exposure [s], which a streak is counted by; Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""

PROCESSING_D = 60.0 / 86400.0
"""From the exposure to the end of its processing [d]; the requirement is 60 s, LSST document LSE-61."""

_DETECTIONS_PER_DETECTOR = 5_000
"""Room in an identifier for the detections of one detector in one visit."""

_EARLIER_OBJECT_ID = 125_400_000_000_000_000
"""Identifiers of objects found before the history begin here: below those of any simulated visit."""

_BODY_ID = 21_163_000_000_000_000
"""``ssObjectId`` of body number 0; real ones are the designation packed into eight bytes, of this size."""

_BAND_TEXT = np.array([letter.encode() for letter in BANDS])


_CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


@dataclass(frozen=True, eq=False, slots=True)
class LsstPacker:
    """Names and encodes LSST's alerts."""

    stamps: StampPool | None
    """Stamps, each after its union's branch and its length; None for packets without cutouts."""
    schema: LsstSchema
    visit_id: IntArray
    """(v,) identifier of each visit of the schedule."""

    def name_field(self, seen: Observed, first_number: int) -> NamedAlerts:
        """Give the detections and sources of a field the identifiers that LSST would.

        Raises
        ------
        ValueError : one detector has more detections than its counter can number.
        """
        histories = make_histories(seen, oldest_d=OLDEST_D)
        image = (self.visit_id[seen.visit] - 2_000_000_000_000) * 1_000 + _detector(seen)[seen.source]
        rank = rank_within(image)
        if len(rank) and rank.max() >= _DETECTIONS_PER_DETECTOR:
            raise ValueError("too many alerts for so few visits: make the night longer")
        forced_id = image * _DETECTIONS_PER_DETECTOR + rank
        source_id = np.where(seen.detected, forced_id, NULL_INT)
        rows = np.flatnonzero(seen.detected)
        first = source_id[rows[np.searchsorted(rows, seen.point_start[:-1])]]
        earlier = _EARLIER_OBJECT_ID + first_number + np.arange(len(first))
        # A new object takes the identifier of its first detection, as in the stream.
        object_id = np.where(histories.earlier_detections > 0, earlier, first)
        object_id = np.where(seen.sources.body >= 0, NULL_INT, object_id)
        return NamedAlerts(seen, histories, source_id, forced_id, object_id, np.zeros(0, dtype=np.int64))

    def names(self, alerts: NamedAlerts) -> AlertNames:
        """Return the identifiers of alerts."""
        points = alerts.alert_points
        source = alerts.seen.source[points]
        object_id, body = alerts.object_number[source], _body_id(alerts)[source]
        # A moving body has no object: its alerts carry an empty identifier, as the decoded columns do.
        return AlertNames(
            alerts.detection_id[points],
            pa.array(np.where(object_id < 0, "", object_id.astype("U20")), pa.string()),
            pa.array(body.astype("U20"), pa.string(), mask=body == 0),
            self.visit_id[alerts.seen.visit[points]],
        )

    def pack(self, alerts: NamedAlerts, begin: int) -> pa.LargeBinaryArray:
        """Encode alerts; the points of their sources are encoded once each."""
        n, schema = len(alerts), self.schema
        values = _history_values(alerts, self) | _object_values(alerts, self)
        values["diaSourceId"] = alerts.detection_id[alerts.alert_points]
        fields = schema.alert["fields"]
        datum = encode_records(
            {**schema.alert, "fields": [field for field in fields if field["name"] not in _CUTOUTS]}, n, values
        )
        header = constant_piece(struct.pack(">bI", 0, schema.schema_id), n)
        order = [_CUTOUTS.index(field["name"]) for field in fields if field["name"] in _CUTOUTS]
        if self.stamps is None:
            return join_pieces([header, record_piece(datum), constant_piece(bytes(len(order)), n)])
        stamp = (np.arange(n) + begin) % self.stamps.start.shape[1]
        pool, start, stop = self.stamps
        cutouts = [Piece(pool, start[kind, stamp], stop[kind, stamp]) for kind in order]
        return join_pieces([header, record_piece(datum), *cutouts])


def visit_ids(schedule: Schedule) -> IntArray:
    """Return for each visit the night as YYYYMMDD followed by a count within it."""
    night = night_of_mjd_tai(schedule.midpoint_mjd_tai)
    order = np.lexsort((schedule.midpoint_mjd_tai, night))
    count = np.empty(len(night), dtype=np.int64)
    count[order] = np.arange(len(night)) - np.searchsorted(night[order], night[order])
    return np.asarray(night * 100_000 + count + 1)


def _detector(seen: Observed) -> IntArray:
    """Return the detector that sees each source."""
    places = seen.sources.ra_deg, seen.sources.dec_deg
    return camera_cells(seen.schedule, seen.sources.field, places, DETECTOR_ROWS, DETECTOR_COLUMNS)


def _body_id(night: NamedAlerts) -> IntArray:
    """Return ``ssObjectId`` of each source, 0 where no known body is."""
    body = night.seen.sources.body
    return np.where(body >= 0, _BODY_ID + body, 0)


def _history_values(night: NamedAlerts, packer: LsstPacker) -> dict[str, Column]:
    """Return the triggering detection, those before it and the forced photometry of each alert."""
    seen, points = night.seen, night.alert_points
    source = seen.source[points]
    first, moving = seen.point_start[source], seen.sources.body[source] >= 0
    detected = np.flatnonzero(seen.detected)
    detections = encode_records(
        packer.schema.record("diaSource"), len(detected), _source_columns(night, packer, detected)
    )
    forced = encode_records(
        packer.schema.record("prvDiaForcedSources"), len(seen.visit), _forced_columns(night, packer)
    )
    before = np.concatenate([[0], np.cumsum(seen.detected)]).astype(np.int64)
    earlier = np.where(moving | (before[points] == before[first]), -1, before[first])
    # Forced photometry of the past is made the day after the discovery.
    old = night.histories.first_mjd_tai[source] < seen.midpoint_mjd_tai[points] - 1.0
    return {
        "diaSource": record_column(detections, before[points]),
        "prvDiaSources": array_column(detections, earlier, before[points]),
        "prvDiaForcedSources": array_column(forced, np.where(moving, -1, first), np.where(old, points, first)),
    }


def _object_values(night: NamedAlerts, packer: LsstPacker) -> dict[str, Column]:
    """Return what each alert is of: an object, or a moving body with its orbit."""
    schema, alerts = packer.schema, night.alert_points
    moving = night.seen.sources.body[night.seen.source[alerts]] >= 0
    fixed, bodies = np.flatnonzero(~moving), np.flatnonzero(moving)
    objects = encode_records(schema.record("diaObject"), len(fixed), _object_columns(night, alerts[fixed]))
    bodies_seen = encode_records(schema.record("ssSource"), len(bodies), _body_columns(night, alerts[bodies]))
    orbits = encode_records(schema.record("mpc_orbits"), len(bodies), _orbit_columns(night, alerts[bodies]))
    place = np.where(moving, np.cumsum(moving) - 1, np.cumsum(~moving) - 1)
    return {
        "diaObject": record_column(objects, np.where(moving, -1, place)),
        "ssSource": record_column(bodies_seen, np.where(moving, place, -1)),
        "mpc_orbits": record_column(orbits, np.where(moving, place, -1)),
    }


def _source_columns(night: NamedAlerts, packer: LsstPacker, points: IntArray) -> dict[str, Column]:
    """Return the fields of detections."""
    seen = night.seen
    source, visit = seen.source[points], seen.visit[points]
    flux, error = seen.flux_njy[points], seen.error_njy[points]
    phase = seen.sources.phase[source]
    bogus = seen.sources.is_of(SourceClass.BOGUS)[source]
    chance = stable_random(phase, visit)
    wobble_deg = 0.03 / 3600.0
    dec = seen.sources.dec_deg[source] + wobble_deg * 2.0 * (stable_random(phase, visit + 0.75) - 0.5)
    east = wobble_deg * 2.0 * (stable_random(phase, visit + 0.25) - 0.5) / np.cos(np.radians(dec))
    template = _template_njy(seen)[source]
    midpoint = seen.midpoint_mjd_tai[points]
    flags = [
        field["name"] for field in packer.schema.record("diaSource")["fields"] if field["type"] == ["null", "boolean"]
    ]
    marked: dict[str, Column] = {
        "glint_trail": seen.sources.is_of(SourceClass.GLINT)[source] & (stable_random(phase, 6.0) < GLINT_FLAGGED)
    }
    return {
        **dict.fromkeys(flags, False),
        **{name: column for name, column in marked.items() if name in flags},
        "diaSourceId": night.detection_id[points],
        "visit": packer.visit_id[visit],
        "detector": _detector(seen)[source],
        "diaObjectId": night.object_number[source],
        "ssObjectId": _body_id(night)[source],
        "parentDiaSourceId": 0,
        "midpointMjdTai": midpoint,
        "ra": np.mod(seen.sources.ra_deg[source] + east, 360.0),
        "raErr": 8e-6,
        "dec": dec,
        "decErr": 8e-6,
        "x": 4000.0 * stable_random(phase, 7.0),
        "y": 4000.0 * stable_random(phase, 8.0),
        "apFlux": flux + 0.5 * error * (chance - 0.5),
        "apFluxErr": 1.5 * error,
        "isNegative": (flux < 0.0).astype(np.int64),
        "snr": np.abs(flux) / error,
        "psfFlux": flux,
        "psfFluxErr": error,
        "psfChi2": 1650.0 + 100.0 * chance,
        "psfNdata": 1681,
        "trailNdata": 0,
        "dipoleNdata": 0,
        "bboxSize": 33,
        "trailLength": seen.sources.rate_deg_d[source] * 3600.0 * EXPOSURE_S / SECONDS_PER_DAY,
        "scienceFlux": flux + template,
        "scienceFluxErr": 1.1 * error,
        "templateFlux": template,
        "templateFluxErr": 0.3 * error,
        "ixx": 0.5 + 0.3 * chance,
        "iyy": 0.5 + 0.3 * chance,
        "ixy": 0.03 * (chance - 0.5),
        "extendedness": np.where(bogus, 0.6, 0.1) * chance,
        "reliability": np.where(bogus, 0.05 + 0.4 * chance, 0.6 + 0.4 * chance),
        "band": text_column(_BAND_TEXT, seen.schedule.band[visit]),
        "timeProcessedMjdTai": midpoint + PROCESSING_D,
    }


def _forced_columns(night: NamedAlerts, packer: LsstPacker) -> dict[str, Column]:
    """Return forced photometry at the place of the object, detected or not."""
    seen = night.seen
    source, midpoint = seen.source, seen.midpoint_mjd_tai
    object_id = night.object_number[source]
    return {
        "diaForcedSourceId": night.image_id,
        # Moving bodies have no forced photometry; their rows are never referred to.
        "diaObjectId": np.where(object_id == NULL_INT, 0, object_id),
        "ra": seen.sources.ra_deg[source],
        "dec": seen.sources.dec_deg[source],
        "visit": packer.visit_id[seen.visit],
        "detector": _detector(seen)[source],
        "psfFlux": seen.flux_njy,
        "psfFluxErr": seen.error_njy,
        "midpointMjdTai": midpoint,
        "scienceFlux": seen.flux_njy + _template_njy(seen)[source],
        "scienceFluxErr": 1.1 * seen.error_njy,
        "band": text_column(_BAND_TEXT, seen.schedule.band[seen.visit]),
        "timeProcessedMjdTai": midpoint + PROCESSING_D,
    }


def _template_njy(seen: Observed) -> FloatArray:
    """Return what the template shows at each source: nothing where a body passes or an artefact lies."""
    absent = seen.sources.is_of(SourceClass.ASTEROID, SourceClass.STREAK, SourceClass.GLINT, SourceClass.BOGUS)
    return np.where(absent, 0.0, seen.sources.peak_njy)


def _object_columns(night: NamedAlerts, points: IntArray) -> dict[str, Column]:
    """Return the record of each alert's object with means over the detections so far."""
    seen, histories = night.seen, night.histories
    source = seen.source[points]
    values: dict[str, Column] = {
        "diaObjectId": night.object_number[source],
        "validityStartMjdTai": seen.midpoint_mjd_tai[points] + PROCESSING_D,
        "ra": seen.sources.ra_deg[source],
        "raErr": 5e-6,
        "dec": seen.sources.dec_deg[source],
        "decErr": 5e-6,
        "firstDiaSourceMjdTai": histories.first_mjd_tai[source],
        "lastDiaSourceMjdTai": seen.midpoint_mjd_tai[points],
        "nDiaSources": histories.detections[points],
    }
    start = seen.point_start[source]
    for code, letter in enumerate(BANDS):
        of_band = seen.detected & (seen.schedule.band[seen.visit] == code)
        count = np.concatenate([[0], np.cumsum(of_band)])
        total = np.concatenate([[0.0], np.cumsum(np.where(of_band, seen.flux_njy, 0.0))])
        n = count[points + 1] - count[start]
        sums = total[points + 1] - total[start]
        values[f"{letter}_psfFluxMean"] = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
        values[f"{letter}_psfFluxNdata"] = n
    return values


def _body_columns(night: NamedAlerts, points: IntArray) -> dict[str, Column]:
    """Return what is known of each alert's moving body at the time of the exposure."""
    seen = night.seen
    source = seen.source[points]
    sky = SkyCoord(seen.sources.ra_deg[source] * units.deg, seen.sources.dec_deg[source] * units.deg)
    ecliptic = sky.barycentrictrueecliptic
    return {
        "diaSourceId": night.detection_id[points],
        "ssObjectId": _body_id(night)[source],
        "designation": text_column(seen.sources.body[source].astype("S8")),
        "eclLambda": ecliptic.lon.deg,
        "eclBeta": ecliptic.lat.deg,
        "galLon": sky.galactic.l.deg,
        "galLat": sky.galactic.b.deg,
        "ephRa": seen.sources.ra_deg[source],
        "ephDec": seen.sources.dec_deg[source],
        "ephOffset": 0.1,
        "ephRate": seen.sources.rate_deg_d[source],
        "topoRange": 1.6,
        "helioRange": 2.5,
        "phaseAngle": 8.0,
    }


def _orbit_columns(night: NamedAlerts, points: IntArray) -> dict[str, Column]:
    """Return a main-belt orbit for each alert's moving body."""
    seen = night.seen
    source = seen.source[points]
    body, phase = seen.sources.body[source], seen.sources.phase[source]
    name = text_column(body.astype("S8"))
    return {
        "id": body,
        "designation": name,
        "packed_primary_provisional_designation": name,
        "unpacked_primary_provisional_designation": name,
        "a": 2.1 + 1.1 * phase,
        "e": 0.3 * stable_random(phase, 9.0),
        "i": 20.0 * stable_random(phase, 10.0),
        "node": 360.0 * stable_random(phase, 11.0),
        "argperi": 360.0 * stable_random(phase, 12.0),
        "epoch_mjd": np.floor(seen.midpoint_mjd_tai[points]),
        "h": 15.0 + 3.0 * phase,
        "g": 0.15,
    }
