"""How soon the coincidences of one notice at a time are told, over a graph of many objects.

Listener and coordinator are processes of their own; nothing else is on the topics. All times are Kafka's timestamps on
this machine: from a notice put onto its topic to the messages that it leads to.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from typing import Final

import numpy as np
import orjson
from confluent_kafka import Producer

from compose.bench.ingest_process import IngestProcess
from compose.bench.notice_probe import TOPIC, is_behind, put_objects, quantiles, swift_notice, wait_until
from compose.clock import utc_now
from compose.config import Settings
from compose.services import COORDINATOR_GROUP, prepare
from graph.bus import ADMIN_TIMEOUT_S, ensure_topics, read_all
from graph.connection import Connection
from graph.errors import StoreError
from graph.times import datetime_to_mjd_tai
from graph.topics import JOINT_EVENTS, NOTICES
from ingest.listen import GROUP
from ingest.simulate.events import EventKind, EventPlan
from ingest.simulate.gw_notices import TOPIC as GW_TOPIC
from ingest.simulate.gw_notices import gw_alert
from ingest.simulate.sky_maps import Banana

Progress = Callable[[str, int, int | None], None]

WINDOW_D: Final = 90.0
"""Days over which the objects were first detected, up to now [d]: the graph's hot window."""

RADII_DEG: Final = (1.0, 3.0, 5.0)
"""Error radii of the bursts [deg], in turn: Fermi GBM at its best and as usual. Swift's circles hold no object by
chance."""

FULL_SKY: Final = Banana(0.0, 0.0, ring_deg=90.0, azimuth_deg=0.0, width_deg=45.0, length_deg=120.0)
"""Shape of the widest map: what one detector alone says; nine tenths of it are some 20,000 deg2."""

DISTANCE_MPC: Final = 120.0
"""Mean distance of the mergers [Mpc]; objects without a host are matched on the sky alone."""

FAR_HZ: Final = 1e-10
"""False-alarm rate of the mergers [Hz]: significant ones."""

LATE_D: Final = 2.0
"""Age of the late notices [d]: a final position, an update of a map, when there are objects after the trigger too."""

TIME_LIMIT_S: Final = 300.0
"""Time allowed for one notice, and for both services to start [s]."""

PACKAGES: Final = ("neo4j", "confluent-kafka")
"""Packages whose versions stand in the report."""


class Kind(StrEnum):
    """Notices that are told apart in the report; a burst a minute old has no objects yet, a merger those before it."""

    GRB_CIRCLE_LATE = "grb_circle_late"
    GW_FULL_SKY = "gw_full_sky"
    GW_FULL_SKY_LATE = "gw_full_sky_late"


@dataclass(frozen=True, slots=True)
class ResponsePlan:
    """What is measured."""

    objects: int = 1_000_000
    bursts: int = 30
    """Notices of circles."""
    maps: int = 12
    """Notices of each kind of map."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one notice led to."""

    first_s: float
    """Until the first message [s]."""
    last_s: float
    pairs: int


def bench_response(settings: Settings, plan: ResponsePlan, progress: Progress) -> dict[str, object]:
    """Send notices one at a time and return JSON-ready figures; `docs/cli.md` names them.

    Parameters
    ----------
    settings : of an installation with an empty graph and an empty bus.
    """
    rng = np.random.default_rng(plan.seed)
    kinds = [kind for kind in Kind for _ in range(plan.bursts if "circle" in kind else plan.maps)]
    rng.shuffle(kinds)
    # The first of each kind warms the services up and is told of apart.
    kinds = [*Kind, *kinds]
    with prepare(settings) as connection:
        ensure_topics(settings.kafka, (TOPIC, GW_TOPIC))
        filled_s = _fill(connection, rng, plan.objects, progress)
        with IngestProcess(settings, "listen") as listen, IngestProcess(settings, "coordinate") as coordinate:
            producer = Producer(settings.kafka.client_config())
            sent_ms: dict[str, int] = {}
            for number, kind in enumerate(kinds):
                progress("notices answered", number, len(kinds))
                event_id, at_ms = _send(producer, rng, kind, number)
                sent_ms[event_id] = at_ms
                _settle(settings, listen, coordinate)
    answers = _answers(settings, sent_ms)
    of_kind: dict[Kind, list[str]] = defaultdict(list)
    for kind, event_id in zip(kinds, sent_ms, strict=True):
        of_kind[kind].append(event_id)
    return {
        "latency_s": {kind.value: _figures(answers, event_ids[1:]) for kind, event_ids in sorted(of_kind.items())},
        "cold_s": {
            kind.value: round(answers[event_ids[0]].last_s, 3)
            for kind, event_ids in sorted(of_kind.items())
            if event_ids[0] in answers
        },
        "fill_s": round(filled_s, 1),
        "n": {"objects": plan.objects, "bursts": plan.bursts, "maps": plan.maps},
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _fill(connection: Connection, rng: np.random.Generator, n: int, progress: Progress) -> float:
    """Write objects all over the sky, evenly in time; return how long it took [s]."""
    start = time.perf_counter()
    ra_deg, dec_deg = rng.uniform(0.0, 360.0, n), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    first = datetime_to_mjd_tai(utc_now()) - np.sort(rng.uniform(0.0, WINDOW_D, n))[::-1]
    put_objects(connection, ra_deg, dec_deg, first, lambda done: progress("objects to the graph", done, n))
    return time.perf_counter() - start


def _send(producer: Producer, rng: np.random.Generator, kind: Kind, number: int) -> tuple[str, int]:
    """Send a notice; return its event and when it was put onto its topic [ms]."""
    now = utc_now()
    trigger = now - (timedelta(days=LATE_D) if kind.endswith("_late") else timedelta(seconds=60))
    ra_deg, dec_deg = float(rng.uniform(0.0, 360.0)), float(np.degrees(np.arcsin(rng.uniform(-1.0, 1.0))))
    if kind.startswith("gw"):
        event_id = f"S{trigger:%y%m%d}{'abcdefghijklmnopqrstuvwxyz'[number % 26]}{number}"
        body, topic = _merger(event_id, trigger, (ra_deg, dec_deg), now), GW_TOPIC
    else:
        event_id, radius_deg = f"burst{number}", RADII_DEG[number % len(RADII_DEG)]
        place = (ra_deg, dec_deg)
        body = swift_notice(event_id, place, "initial", 0, now, trigger=trigger, radius_deg=radius_deg)
        topic = TOPIC
    times: list[int] = []

    def delivered(error: object, message: object) -> None:
        if error is None:
            times.append(message.timestamp()[1])  # type: ignore[attr-defined]

    producer.produce(topic, body, on_delivery=delivered)
    producer.flush(ADMIN_TIMEOUT_S)
    if not times:
        raise StoreError("Kafka did not take a notice.")
    return event_id, times[0]


def _merger(event_id: str, trigger: datetime, place: tuple[float, float], now: datetime) -> bytes:
    """Return a notice with a map of most of the sky."""
    event = EventPlan(EventKind.LVK, "LVK", event_id, trigger, *place, DISTANCE_MPC, None)
    shape = replace(FULL_SKY, pole_ra_deg=place[0], pole_dec_deg=place[1])
    return gw_alert(event, "PRELIMINARY", (now - trigger).total_seconds(), FAR_HZ, shape).payload


def _settle(settings: Settings, listen: IngestProcess, coordinate: IngestProcess) -> None:
    """Wait until both services have done all there is."""
    for topic in (TOPIC, GW_TOPIC):
        done = _is_done(settings, GROUP, topic)
        wait_until(done, TIME_LIMIT_S, f"handle a notice on {topic}", listen, coordinate)
    done = _is_done(settings, COORDINATOR_GROUP, NOTICES)
    wait_until(done, TIME_LIMIT_S, "match a notice", listen, coordinate)


def _is_done(settings: Settings, group: str, topic: str) -> Callable[[], bool]:
    return lambda: not is_behind(settings, group, topic)


def _answers(settings: Settings, sent_ms: Mapping[str, int]) -> dict[str, _Answer]:
    """Return what each notice led to, by event_id; none for one without coincidences."""
    times: dict[str, list[int]] = defaultdict(list)
    for message in read_all(settings.kafka, JOINT_EVENTS):
        event_id = str(orjson.loads(message.value()).get("event_key", "")).partition(":")[2]
        if event_id in sent_ms:
            times[event_id].append(message.timestamp()[1])
    return {
        event_id: _Answer(
            (min(found) - sent_ms[event_id]) / 1000.0, (max(found) - sent_ms[event_id]) / 1000.0, len(found)
        )
        for event_id, found in times.items()
    }


def _figures(answers: Mapping[str, _Answer], event_ids: Sequence[str]) -> dict[str, object]:
    """Return quantiles of the time to the last message, and of that to the first."""
    told = [answers[event_id] for event_id in event_ids if event_id in answers]
    return {
        **quantiles(answer.last_s for answer in told),
        "first": quantiles(answer.first_s for answer in told),
        "notices": len(event_ids),
        "told": len(told),
        "pairs_each": round(float(np.mean([answer.pairs for answer in told])), 1) if told else 0.0,
    }
