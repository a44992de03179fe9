"""A storm of repeated notices, fresh bursts in its midst, and their retraction: how soon each is told.

Listener and coordinator are processes of their own. All times are Kafka's timestamps on this machine: from a notice put
onto its topic to the messages that it leads to.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Final

import numpy as np
import orjson
from confluent_kafka import KafkaError, Message, Producer

from compose.bench.ingest_process import IngestProcess
from compose.bench.notice_probe import TOPIC, is_behind, put_objects, quantiles, swift_notice, wait_until
from compose.clock import utc_now
from compose.config import Settings
from compose.services import COORDINATOR_GROUP, prepare
from graph.bus import ADMIN_TIMEOUT_S, ensure_topics, read_all
from graph.connection import Connection
from graph.errors import StoreError
from graph.model import ScienceCase
from graph.times import datetime_to_mjd_tai
from graph.topics import JOINT_EVENTS, NOTICES, RETRACTIONS, list_topic
from ingest.listen import GROUP

Progress = Callable[[str, int, int | None], None]

STORM_RATE_PER_S: Final = 1000.0
"""Notices a second: a mission that repeats itself without end, a thousand times what a busy hour brings."""

STORM_OBJECTS: Final = 20_000
"""Objects in the graph that are nobody's counterpart: what ZTF finds in a night or two."""

REPEATED_EVENTS: Final = 50
"""Events that the storm is about."""

REVISED_EVERY: Final = 20
"""Every so many messages of the storm one differs from all before it, by its number and time."""

OBJECTS_PER_BURST: Final = 2
"""Objects at the place of each burst."""

WARM_UP_S: Final = 60.0
"""Time allowed for both services to start and to handle a first burst [s]."""

DRAIN_S: Final = 300.0
"""Time allowed after the storm for all of it to be done [s]."""

PACKAGES: Final = ("neo4j", "confluent-kafka", "gcn-kafka")
"""Packages whose versions stand in the report."""


@dataclass(frozen=True, slots=True)
class StormPlan:
    """What is measured."""

    rate_per_s: float = STORM_RATE_PER_S
    duration_s: float = 30.0
    """Length of the storm [s]."""
    bursts: int = 20
    """Fresh bursts in its midst; each is retracted half of the storm later."""
    warm_ups: int = 20
    """Bursts before the storm that are not counted: a Neo4j that has just started takes ten times as long."""
    warm_up_s: float = 15.0
    """Length of a storm before the storm, without bursts, for the same reason [s]."""
    objects: int = STORM_OBJECTS
    seed: int = 1


@dataclass(slots=True)
class _Sent:
    """What was put onto the topic."""

    messages: int = 0
    distinct: int = 0
    initial_ms: dict[str, int] = field(default_factory=dict)
    """When the notice of each burst was put there [ms], by event_id."""
    retraction_ms: dict[str, int] = field(default_factory=dict)
    end_ms: int = 0
    """When the last message was put there [ms]."""


def bench_notices(settings: Settings, plan: StormPlan, progress: Progress) -> dict[str, object]:
    """Send a storm with fresh bursts in it and return JSON-ready figures; `docs/cli.md` names them.

    Parameters
    ----------
    settings : of an installation with an empty graph and an empty bus.
    """
    start = utc_now()
    rng = np.random.default_rng(plan.seed)
    with prepare(settings) as connection:
        ensure_topics(settings.kafka, (TOPIC,))
        places = _places(rng, plan.bursts + plan.warm_ups)
        _put_objects(connection, rng, plan, places, start)
        with IngestProcess(settings, "listen") as listen, IngestProcess(settings, "coordinate") as coordinate:
            producer = Producer({**settings.kafka.client_config(), "linger.ms": 1})
            sent = _Sent()
            groups = ((GROUP, TOPIC), (COORDINATOR_GROUP, NOTICES))
            repeated = _send_first(producer, sent)
            for number in range(plan.bursts, plan.bursts + plan.warm_ups):
                _send_burst(producer, sent, number, places[number], "initial")
            wait_until(lambda: bool(_joint_events(settings)), WARM_UP_S, "handle a first burst", listen, coordinate)
            warm_up = replace(plan, duration_s=plan.warm_up_s, bursts=0)
            _storm(producer, warm_up, places, repeated, sent=sent, progress=progress)
            wait_until(
                lambda: not any(is_behind(settings, *one) for one in groups),
                WARM_UP_S,
                "settle down",
                listen,
                coordinate,
            )
            before = sent.messages
            storm_ms = _storm(producer, plan, places, repeated, sent=sent, progress=progress)
            done_ms = [0, 0]
            for place, (group, topic) in enumerate(groups):
                wait_until(
                    lambda group=group, topic=topic: not is_behind(settings, group, topic),  # type: ignore[misc]
                    DRAIN_S,
                    f"handle all of {topic}",
                    listen,
                    coordinate,
                )
                done_ms[place] = int(utc_now().timestamp() * 1000)
            wait_until(lambda: not _named(settings, sent), DRAIN_S, "withdraw the lists", listen, coordinate)
        in_graph = int(connection.read("count_notices")[0]["n"])
    told = _told(settings, sent)
    return {
        "latency_s": quantiles(told["coincidence"].values()),
        "retraction_s": {name: quantiles(told[name].values()) for name in ("message", "list")},
        "notices_per_s": round((sent.messages - before) / max((done_ms[0] - storm_ms) / 1000.0, 1e-3), 1),
        "behind_s": round(max(done_ms[1] - sent.end_ms, 0) / 1000.0, 3),
        "bursts_before_the_end": sum(
            sent.initial_ms[name] + 1000.0 * late <= sent.end_ms for name, late in told["coincidence"].items()
        ),
        "lost": sent.distinct - in_graph,
        "untold": plan.bursts - len(told["coincidence"]),
        "n": {"messages": sent.messages, "distinct": sent.distinct, "bursts": plan.bursts, "objects": plan.objects},
        "rate_per_s": plan.rate_per_s,
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _places(rng: np.random.Generator, n: int) -> list[tuple[float, float]]:
    """Return positions at the equator [deg, ICRS], far from each other."""
    return [(float(360.0 * place / n), float(rng.uniform(-20.0, 20.0))) for place in range(n)]


def _put_objects(
    connection: Connection,
    rng: np.random.Generator,
    plan: StormPlan,
    places: Sequence[tuple[float, float]],
    start: datetime,
) -> None:
    """Write the objects that the bursts will coincide with, and others in the south that they will not."""
    near = np.repeat(np.array(places), OBJECTS_PER_BURST, axis=0)
    near = near + rng.uniform(-0.05, 0.05, near.shape)
    others = np.stack((rng.uniform(0.0, 360.0, plan.objects), rng.uniform(-89.0, -40.0, plan.objects)), axis=1)
    sky = np.concatenate((near, others))
    first = datetime_to_mjd_tai(start) + rng.uniform(0.02, 2.0, len(sky))
    put_objects(connection, sky[:, 0] % 360.0, sky[:, 1], first)


def _send_burst(producer: Producer, sent: _Sent, number: int, place: tuple[float, float], kind: str) -> None:
    """Send the notice of a burst, or its retraction."""
    event_id = f"fresh{number}"
    times = sent.retraction_ms if kind == "retraction" else sent.initial_ms

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise StoreError(f"Kafka did not take a notice: {error.str()}.")
        times[event_id] = message.timestamp()[1]

    made = utc_now()
    producer.produce(TOPIC, swift_notice(event_id, place, kind, int(kind == "retraction"), made), on_delivery=delivered)
    producer.flush(ADMIN_TIMEOUT_S)
    sent.messages += 1
    sent.distinct += 1


def _send_first(producer: Producer, sent: _Sent) -> list[bytes]:
    """Send the notices that the storm repeats for the first time."""
    made = utc_now()
    repeated = [swift_notice(f"again{number}", (0.0, 60.0), "initial", 0, made) for number in range(REPEATED_EVENTS)]
    for payload in repeated:
        producer.produce(TOPIC, payload)
    producer.flush(ADMIN_TIMEOUT_S)
    sent.messages += REPEATED_EVENTS
    sent.distinct += REPEATED_EVENTS
    return repeated


def _storm(
    producer: Producer,
    plan: StormPlan,
    places: Sequence[tuple[float, float]],
    repeated: Sequence[bytes],
    *,
    sent: _Sent,
    progress: Progress,
) -> int:
    """Send the storm with the bursts in its midst; return when it began [ms]."""
    made = utc_now()
    began_ms = int(made.timestamp() * 1000)
    step_s = 0.4 * plan.duration_s / max(plan.bursts, 1)
    due = [(0.05 * plan.duration_s + number * step_s, number, "initial") for number in range(plan.bursts)]
    due += [(at_s + 0.5 * plan.duration_s, number, "retraction") for at_s, number, _ in due]
    due.sort()
    total, start_s, stormed = round(plan.rate_per_s * plan.duration_s), time.perf_counter(), 0
    while stormed < total or due:
        now_s = time.perf_counter() - start_s
        while due and due[0][0] <= now_s:
            _, number, kind = due.pop(0)
            _send_burst(producer, sent, number, places[number], kind)
        for place in range(stormed, min(total, int(now_s * plan.rate_per_s))):
            payload = repeated[place % REPEATED_EVENTS]
            if place % REVISED_EVERY == REVISED_EVERY - 1:
                name = f"again{place // REVISED_EVERY % REPEATED_EVENTS}"
                later = made + timedelta(milliseconds=place)
                payload = swift_notice(name, (0.0, 60.0), "update", place, later)
                sent.distinct += 1
            producer.produce(TOPIC, payload)
            stormed = place + 1
        producer.poll(0)
        progress("notices sent", stormed, total)
        time.sleep(0.002)
    producer.flush(ADMIN_TIMEOUT_S)
    sent.messages += stormed
    sent.end_ms = int(utc_now().timestamp() * 1000)
    return began_ms


def _joint_events(settings: Settings) -> list[Message]:
    return list(read_all(settings.kafka, JOINT_EVENTS))


def _named(settings: Settings, sent: _Sent) -> set[str]:
    """Return the retracted bursts that the newest list still names."""
    lists = [orjson.loads(message.value()) for message in read_all(settings.kafka, list_topic(ScienceCase.GRB))]
    targets = max(lists, key=lambda one: int(one["version"]))["targets"] if lists else []
    return {str(target["event_key"]).partition(":")[2] for target in targets} & set(sent.retraction_ms)


def _told(settings: Settings, sent: _Sent) -> dict[str, dict[str, float]]:
    """Return after what time [s] each burst was told, was told to be retracted, and was off the list, by event_id."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, topic, sent_ms in (
        ("coincidence", JOINT_EVENTS, sent.initial_ms),
        ("message", RETRACTIONS, sent.retraction_ms),
    ):
        times: dict[str, int] = {}
        for message in read_all(settings.kafka, topic):
            body = orjson.loads(message.value())
            event_id = str(body.get("event_key", "")).partition(":")[2]
            if event_id in sent_ms and (name == "message" or body["alert_type"] == "initial"):
                # The last of its pairs counts.
                times[event_id] = max(times.get(event_id, 0), message.timestamp()[1])
        found[name] = {
            event_id: (told_ms - sent_ms[event_id]) / 1000.0
            for event_id, told_ms in times.items()
            if event_id in sent.retraction_ms
        }
    found["list"] = {}
    for message in sorted(read_all(settings.kafka, list_topic(ScienceCase.GRB)), key=lambda one: one.timestamp()[1]):
        listed = {str(one["event_key"]).partition(":")[2] for one in orjson.loads(message.value())["targets"]}
        for event_id, began_ms in sent.retraction_ms.items():
            if event_id not in listed and message.timestamp()[1] >= began_ms:
                found["list"].setdefault(event_id, (message.timestamp()[1] - began_ms) / 1000.0)
    return found
