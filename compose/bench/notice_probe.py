"""What the measurements of notices share: objects in the graph, a mission's notice, waiting and quantiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from compose.bench.ingest_process import IngestProcess
from compose.config import Settings
from graph.alert_store import AlertRows, AlertStore, MatchRows
from graph.bus import ADMIN_TIMEOUT_S
from graph.connection import Connection
from graph.errors import StoreError
from graph.model import Survey
from graph.sky import FloatArray, ang2pix
from ingest.rows import classification_rows

TOPIC: Final = "gcn.notices.swift.bat.guano"
"""Topic of `swift_notice`."""

SCHEMA: Final = "https://gcn.nasa.gov/schema/main/gcn/notices/swift/bat/Guano.schema.json"
"""``$schema`` of its notices."""

RADIUS_DEG: Final = 0.5
"""Error radius of every notice [deg]."""

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Quantiles reported."""

OBJECTS_AT_A_TIME: Final = 10_000
"""Objects written in one transaction; bounds its memory."""

NO_MATCHES: Final = MatchRows(*(np.array([], dtype=kind) for kind in (np.int64, object, object, object, *(float,) * 8)))
"""Cross-matches of none."""


def put_objects(
    connection: Connection,
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    first_midpoint_mjd_tai: FloatArray,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write objects of one detection each, as the alert stream does, without classes.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS].
    first_midpoint_mjd_tai : (n,) [d].
    progress : is told how many are written.
    """
    store = AlertStore(connection)
    for start in range(0, len(ra_deg), OBJECTS_AT_A_TIME):
        part = slice(start, start + OBJECTS_AT_A_TIME)
        rows = _rows(ra_deg[part], dec_deg[part], first_midpoint_mjd_tai[part], start)
        store.write(rows, NO_MATCHES, classification_rows(()))
        progress(start + len(rows))


def _rows(ra_deg: FloatArray, dec_deg: FloatArray, first: FloatArray, start: int) -> AlertRows:
    """Return detections whose numbers begin at ``start``."""
    n = len(ra_deg)
    flat = np.ones(n)
    names = np.array([f"ZTF{number:09d}" for number in range(start, start + n)], dtype=object)
    empty = np.full(n, "", dtype=object)
    return AlertRows(
        survey=Survey.ZTF,
        object_id=names,
        detection_id=np.arange(start + 1, start + n + 1),
        source=np.array([f"bench/0/{number}" for number in range(start, start + n)], dtype=object),
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        healpix29=ang2pix(ra_deg, dec_deg),
        midpoint_mjd_tai=first,
        first_midpoint_mjd_tai=first,
        first_mag=23.9 * flat,
        first_band=np.full(n, "r", dtype=object),
        last_limit_mjd_tai=first - 1.0,
        last_limit_mag=24.5 * flat,
        last_limit_band=np.full(n, "r", dtype=object),
        n_detections=np.full(n, 1),
        band=np.full(n, "r", dtype=object),
        psf_flux_njy=1000.0 * flat,
        psf_flux_err_njy=50.0 * flat,
        mag_ab=23.9 * flat,
        reliability=0.9 * flat,
        top_class=empty,
        class_probability=np.nan * flat,
        host_distance_mpc=np.nan * flat,
        host_distance_err_mpc=np.nan * flat,
        flare_flux_ratio=np.nan * flat,
    )


def swift_notice(
    event_id: str,
    place: tuple[float, float],
    kind: str,
    number: int,
    made: datetime,
    *,
    trigger: datetime | None = None,
    radius_deg: float = RADIUS_DEG,
) -> bytes:
    """Return a notice as Swift sends it.

    Parameters
    ----------
    kind : ``initial``, ``update`` or ``retraction``.
    trigger : time of the burst; 20 s before the notice was made where it is left out.
    radius_deg : error radius, 90 per cent [deg].
    """
    trigger = trigger or made - timedelta(seconds=20)
    body: dict[str, object] = {
        "$schema": SCHEMA,
        "mission": "Swift",
        "instrument": "BAT-GUANO",
        "messenger": "EM",
        "record_number": number,
        "alert_datetime": made.isoformat().replace("+00:00", "Z"),
        "alert_tense": "current",
        "alert_type": kind,
        "trigger_time": trigger.isoformat().replace("+00:00", "Z"),
        "id": [event_id],
    }
    if kind != "retraction":
        ra_deg, dec_deg = place
        body |= {"ra": ra_deg, "dec": dec_deg, "ra_dec_error": radius_deg, "containment_probability": 0.9}
        body |= {"systematic_included": True, "classification": {"GRB": 1}}
    return orjson.dumps(body)


def wait_until(is_done: Callable[[], bool], timeout_s: float, what: str, *services: IngestProcess) -> None:
    """Return when something is done.

    Raises
    ------
    StoreError : it was not in time, or a service ended.
    """
    until_s = time.perf_counter() + timeout_s
    while not is_done():
        for service in services:
            service.check()
        if time.perf_counter() > until_s:
            raise StoreError(f"The services did not {what} in {timeout_s:g} s.")
        time.sleep(0.2)


def is_behind(settings: Settings, group: str, topic: str) -> bool:
    """Return whether a consumer group has not committed all of a topic, or a young group's broker cannot say yet."""
    probe = Consumer({**settings.kafka.client_config(), "group.id": group, "log_level": 0})
    try:
        partitions = probe.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic].partitions
        places = probe.committed([TopicPartition(topic, number) for number in partitions], timeout=ADMIN_TIMEOUT_S)
        ends = [probe.get_watermark_offsets(place, timeout=ADMIN_TIMEOUT_S)[1] for place in places]
        return any(end > max(place.offset, 0) for end, place in zip(ends, places, strict=True))
    except KafkaException as error:
        if error.args[0].retriable() or error.args[0].code() == KafkaError.NOT_COORDINATOR:
            return True
        raise StoreError(f"Kafka does not say how far {group} is: {error.args[0].str()}.") from error
    finally:
        probe.close()


def quantiles(late_s: Iterable[float]) -> dict[str, float | None]:
    """Return quantiles of delays [s] in milliseconds' precision, None where there is none."""
    values = np.array(list(late_s))
    return {name: round(float(np.quantile(values, q)), 3) if len(values) else None for name, q in QUANTILES.items()}
