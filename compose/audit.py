"""Does it add up? Counts from the topics, the graph and the ledger, held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from compose.config import Settings
from graph.bus import message_counts, read_all
from graph.connection import Connection
from graph.model import CoincidenceState, ScienceCase
from graph.reader import GraphReader
from graph.topics import DEAD_LETTERS, JOINT_EVENTS

ALL_NIGHTS = 100_000
"""Nights in more than two centuries: the whole ledger."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts of one installation, each from the place that holds the truth of it."""

    alerts_received: int
    """Messages on the alert topics."""
    alerts_loaded: int
    """Sum of ``loaded`` over the ledger."""
    alerts_filtered: int
    """Sum over ``filtered_by_reason``."""
    filtered_by_reason: dict[str, int]
    alerts_classified: int
    """Sum of ``classified`` over the ledger."""
    alerts_archived: int | None
    """Sum of ``archived`` over the ledger, None where no archive was ever on."""
    alerts_duplicate: int
    alerts_dead: int
    """Distinct messages that the decoder put on the dead letters topic."""
    dead_letters: int
    """Distinct messages on the dead letters topic, notices too."""
    objects: int
    detections: int
    notices_received: int
    notices_parsed: int
    events: int
    coincidences: int
    joint_events: int
    """Events whose newest message on ``heliograph.joint-events`` for some object is an open coincidence."""
    lists: dict[str, int]
    ledger_balanced: bool
    """Every night adds up, the archive holds what is readable where it was on, and the sums agree with the topics and
    with the detections in the graph."""


def audit(settings: Settings, notice_topics: Iterable[str]) -> Audit:
    """Count everything; ``notice_topics`` are those that notices came in on."""
    ingest, kafka = settings.ingest, settings.kafka
    alert_topics = (ingest.topic_ztf, ingest.topic_lsst)
    on_topics = message_counts(kafka, (*alert_topics, *notice_topics))
    received = sum(on_topics[topic] for topic in alert_topics)
    dead_stages = _dead_letter_stages(settings)
    with GraphReader.open(settings.graph) as reader:
        nights = reader.ledger(ALL_NIGHTS)
    filtered: Counter[str] = Counter()
    for night in nights:
        filtered.update(night.filtered)
    with Connection.open(settings.graph) as connection:
        in_graph = connection.read("count_alerts")[0]
        events = connection.read("count_events")[0]
        on_lists = {row["case"]: row["n_targets"] for row in connection.read("count_lists")}
    loaded = sum(night.loaded for night in nights)
    dead = sum(night.dead for night in nights)
    balanced = (
        all(night.balanced for night in nights)
        and received == sum(night.received for night in nights)
        and loaded == in_graph["detections"]
        and dead == dead_stages["decode"]
    )
    return Audit(
        alerts_received=received,
        alerts_loaded=loaded,
        alerts_filtered=filtered.total(),
        filtered_by_reason=dict(sorted(filtered.items())),
        alerts_classified=sum(night.classified for night in nights),
        alerts_archived=_sum_known([night.archived for night in nights]),
        alerts_duplicate=sum(night.duplicates for night in nights),
        alerts_dead=dead_stages["decode"],
        dead_letters=sum(dead_stages.values()),
        objects=in_graph["objects"],
        detections=in_graph["detections"],
        notices_received=sum(on_topics.values()) - received,
        notices_parsed=events["notices"],
        events=events["events"],
        coincidences=events["coincidences"],
        joint_events=_open_joint_events(settings),
        lists={case.value: on_lists.get(case.value, 0) for case in ScienceCase},
        ledger_balanced=balanced,
    )


def _sum_known(numbers: Iterable[int | None]) -> int | None:
    """Return the sum of the numbers that are known, None when none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _dead_letter_stages(settings: Settings) -> Counter[str]:
    """Return the number of distinct dead letters for each stage; a replay may have buried some twice."""
    seen: dict[bytes, str] = {}
    for message in read_all(settings.kafka, DEAD_LETTERS):
        headers = dict(message.headers() or [])
        seen[message.key() or b""] = headers.get("stage", b"").decode()
    return Counter(seen.values())


def _open_joint_events(settings: Settings) -> int:
    newest: dict[tuple[str, str, str], str] = {}
    for message in read_all(settings.kafka, JOINT_EVENTS):
        body = orjson.loads(message.value())
        if "object_id" not in body:
            continue
        newest[body["survey"], body["object_id"], body["event_key"]] = body["state"]
    return len({key[2] for key, state in newest.items() if state == CoincidenceState.OPEN.value})
