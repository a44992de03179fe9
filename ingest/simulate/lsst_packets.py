"""LSST packets of a night: the Confluent wire format, a schema id and an Avro datum without its schema."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from graph.times import night_of_mjd_tai
from ingest.alerts.columns import BANDS
from ingest.simulate.avro import (
    NULL_INT,
    Column,
    array_column,
    bytes_column,
    encode_records,
    record_column,
    text_column,
)
from ingest.simulate.hashing import stable_random
from ingest.simulate.light_curves import SourceClass
from ingest.simulate.population import ASTEROID_RATE_DEG_D

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.simulate.cutouts import StampTriple
    from ingest.simulate.histories import Histories
    from ingest.simulate.lsst_schema import LsstSchema
    from ingest.simulate.observe import Observed
    from ingest.simulate.schedule import Schedule

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CHUNK_ALERTS = 256
"""Alerts encoded at a time: about 30 MB of packets."""

N_DETECTORS = 189
"""Science detectors of LSSTCam; Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""

PROCESSING_D = 60.0 / 86400.0
"""From the exposure to the end of its processing [d]; the requirement is 60 s, LSST document LSE-61."""

_DETECTIONS_PER_DETECTOR = 5_000
"""Room in an identifier for the detections of one detector in one visit."""

_EARLIER_OBJECT_ID = 125_400_000_000_000_000
"""Identifiers of objects found before the history begin here: below those of any simulated visit."""

_BODY_ID = 21_163_000_000_000_000
"""``ssObjectId`` of body number 0; real ones are the designation packed into eight bytes, of this size."""

_BAND_TEXT = np.array([letter.encode() for letter in BANDS])


@dataclass(frozen=True, eq=False, slots=True)
class LsstNight:
    """All alerts of a night, with their identifiers; packets are encoded when iterated."""

    seen: Observed
    histories: Histories
    stamps: list[StampTriple]
    schema: LsstSchema
    visit_id: IntArray
    """(v,) identifier of each visit of the schedule."""
    source_id: IntArray
    """(p,) diaSourceId, `NULL_INT` where nothing was detected."""
    forced_id: IntArray
    """(p,) diaForcedSourceId."""
    object_id: IntArray
    """(n,) diaObjectId, `NULL_INT` for a moving body."""
    body_id: IntArray
    """(n,) ssObjectId, 0 for what does not move."""
    alert_points: IntArray
    """(a,) points of the alerts, in order of time."""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.alert_points)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the packets in order of time."""
        for begin in range(0, len(self), CHUNK_ALERTS):
            yield from _encode(self.select(np.arange(begin, min(begin + CHUNK_ALERTS, len(self)))), begin)

    def select(self, alerts: IntArray) -> LsstNight:
        """Return some of the alerts with their sources only."""
        chosen = self.alert_points[alerts]
        rows = np.unique(self.seen.source[chosen])
        points = self.seen.points_of(rows)
        return replace(
            self,
            seen=self.seen.select(rows),
            histories=self.histories.select(rows, points),
            source_id=self.source_id[points],
            forced_id=self.forced_id[points],
            object_id=self.object_id[rows],
            body_id=self.body_id[rows],
            # The chosen points are still in the order of the table.
            alert_points=np.searchsorted(points, chosen),
        )


def make_lsst_night(seen: Observed, histories: Histories, stamps: list[StampTriple], schema: LsstSchema) -> LsstNight:
    """Give every detection and source the identifiers that LSST would.

    Raises
    ------
    ValueError : one detector has more detections than its counter can number.
    """
    visit_id = _visit_ids(seen.schedule)
    detector = _detector(seen)
    image = (visit_id[seen.visit] - 2_000_000_000_000) * 1_000 + detector
    forced_id = image * _DETECTIONS_PER_DETECTOR + _rank(image)
    source_id = np.where(seen.detected, forced_id, NULL_INT)
    rows = np.flatnonzero(seen.detected)
    first = source_id[rows[np.searchsorted(rows, seen.point_start[:-1])]]
    # A new object takes the identifier of its first detection, as in the stream.
    object_id = np.where(histories.earlier_detections > 0, _EARLIER_OBJECT_ID + np.arange(len(first)), first)
    moving = seen.sources.body >= 0
    return LsstNight(
        seen,
        histories,
        stamps,
        schema,
        visit_id,
        source_id,
        forced_id,
        np.where(moving, NULL_INT, object_id),
        np.where(moving, _BODY_ID + seen.sources.body, 0),
        seen.alert_points,
    )


def _visit_ids(schedule: Schedule) -> IntArray:
    """Return the night as YYYYMMDD followed by a count within it."""
    night = night_of_mjd_tai(schedule.midpoint_mjd_tai)
    order = np.lexsort((schedule.midpoint_mjd_tai, night))
    count = np.empty(len(night), dtype=np.int64)
    count[order] = np.arange(len(night)) - np.searchsorted(night[order], night[order])
    return np.asarray(night * 100_000 + count + 1)


def _detector(seen: Observed) -> IntArray:
    phase = seen.sources.phase[seen.source]
    return np.asarray((N_DETECTORS * stable_random(phase, 5.0)).astype(np.int64))


def _rank(image: IntArray) -> IntArray:
    """Return the count of each point within its image."""
    order = np.argsort(image, kind="stable")
    rank = np.empty(len(image), dtype=np.int64)
    rank[order] = np.arange(len(image)) - np.searchsorted(image[order], image[order])
    if len(rank) and rank.max() >= _DETECTIONS_PER_DETECTOR:
        raise ValueError("too many alerts for so few visits: make the night longer")
    return rank


def _encode(night: LsstNight, begin: int) -> Iterator[bytes]:
    """Yield the messages of a few alerts; the points of their sources are encoded once each."""
    seen, schema, alerts = night.seen, night.schema, night.alert_points
    source = seen.source[alerts]
    first = seen.point_start[source]
    detected = np.flatnonzero(seen.detected)
    detections = encode_records(schema.record("diaSource"), len(detected), _source_columns(night, detected))
    forced = encode_records(schema.record("prvDiaForcedSources"), len(seen.visit), _forced_columns(night))
    before = np.concatenate([[0], np.cumsum(seen.detected)]).astype(np.int64)
    moving = seen.sources.body[source] >= 0
    stamp = (np.arange(len(alerts)) + begin) % len(night.stamps)
    earlier = np.where(moving | (before[alerts] == before[first]), -1, before[first])
    # Forced photometry of the past is made the day after the discovery.
    old = night.histories.first_mjd_tai[source] < seen.midpoint_mjd_tai[alerts] - 1.0
    fixed, bodies = np.flatnonzero(~moving), np.flatnonzero(moving)
    objects = encode_records(schema.record("diaObject"), len(fixed), _object_columns(night, alerts[fixed]))
    bodies_seen = encode_records(schema.record("ssSource"), len(bodies), _body_columns(night, alerts[bodies]))
    orbits = encode_records(schema.record("mpc_orbits"), len(bodies), _orbit_columns(night, alerts[bodies]))
    place = np.where(moving, np.cumsum(moving) - 1, np.cumsum(~moving) - 1)
    values: dict[str, Column] = {
        "diaSourceId": night.source_id[alerts],
        "diaSource": record_column(detections, before[alerts]),
        "prvDiaSources": array_column(detections, earlier, before[alerts]),
        "prvDiaForcedSources": array_column(forced, np.where(moving, -1, first), np.where(old, alerts, first)),
        "diaObject": record_column(objects, np.where(moving, -1, place)),
        "ssSource": record_column(bodies_seen, np.where(moving, place, -1)),
        "mpc_orbits": record_column(orbits, np.where(moving, place, -1)),
        "cutoutScience": bytes_column([triple.science for triple in night.stamps], stamp),
        "cutoutTemplate": bytes_column([triple.template for triple in night.stamps], stamp),
        "cutoutDifference": bytes_column([triple.difference for triple in night.stamps], stamp),
    }
    packets = encode_records(schema.alert, len(alerts), values)
    header = struct.pack(">bI", 0, schema.schema_id)
    data = packets.view()
    for start, stop in zip(packets.offsets[:-1].tolist(), packets.offsets[1:].tolist(), strict=True):
        yield b"".join((header, data[start:stop]))


def _source_columns(night: LsstNight, points: IntArray) -> dict[str, Column]:
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
        field["name"] for field in night.schema.record("diaSource")["fields"] if field["type"] == ["null", "boolean"]
    ]
    return {
        **dict.fromkeys(flags, False),
        "diaSourceId": night.source_id[points],
        "visit": night.visit_id[visit],
        "detector": _detector(seen)[points],
        "diaObjectId": night.object_id[source],
        "ssObjectId": night.body_id[source],
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
        "trailLength": np.where(seen.sources.body[source] >= 0, ASTEROID_RATE_DEG_D * 3600.0 * 30.0 / 86400.0, 0.0),
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


def _forced_columns(night: LsstNight) -> dict[str, Column]:
    """Return forced photometry at the place of the object, detected or not."""
    seen = night.seen
    source, midpoint = seen.source, seen.midpoint_mjd_tai
    object_id = night.object_id[source]
    return {
        "diaForcedSourceId": night.forced_id,
        # Moving bodies have no forced photometry; their rows are never referred to.
        "diaObjectId": np.where(object_id == NULL_INT, 0, object_id),
        "ra": seen.sources.ra_deg[source],
        "dec": seen.sources.dec_deg[source],
        "visit": night.visit_id[seen.visit],
        "detector": _detector(seen),
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
    absent = seen.sources.is_of(SourceClass.ASTEROID, SourceClass.BOGUS)
    return np.where(absent, 0.0, seen.sources.peak_njy)


def _object_columns(night: LsstNight, points: IntArray) -> dict[str, Column]:
    """Return the record of each alert's object with means over the detections so far."""
    seen, histories = night.seen, night.histories
    source = seen.source[points]
    values: dict[str, Column] = {
        "diaObjectId": night.object_id[source],
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


def _body_columns(night: LsstNight, points: IntArray) -> dict[str, Column]:
    """Return what is known of each alert's moving body at the time of the exposure."""
    seen = night.seen
    source = seen.source[points]
    sky = SkyCoord(seen.sources.ra_deg[source] * units.deg, seen.sources.dec_deg[source] * units.deg)
    ecliptic = sky.barycentrictrueecliptic
    return {
        "diaSourceId": night.source_id[points],
        "ssObjectId": night.body_id[source],
        "designation": text_column(seen.sources.body[source].astype("S8")),
        "eclLambda": ecliptic.lon.deg,
        "eclBeta": ecliptic.lat.deg,
        "galLon": sky.galactic.l.deg,
        "galLat": sky.galactic.b.deg,
        "ephRa": seen.sources.ra_deg[source],
        "ephDec": seen.sources.dec_deg[source],
        "ephOffset": 0.1,
        "ephRate": ASTEROID_RATE_DEG_D,
        "topoRange": 1.6,
        "helioRange": 2.5,
        "phaseAngle": 8.0,
    }


def _orbit_columns(night: LsstNight, points: IntArray) -> dict[str, Column]:
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
