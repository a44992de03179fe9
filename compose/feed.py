"""Recorded or simulated messages onto their topics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from compose.config import Settings
from compose.services import UNRECOGNISED_TOPIC
from graph.bus import ensure_topics
from graph.errors import SkyMapError, WireError
from graph.model import Survey
from graph.sender import KafkaSender
from ingest.notices.registry import parse_notice, topic_of

MESSAGES_BETWEEN_CALLS = 100
"""How many messages pass between two calls of the progress function and two looks at the clock."""


def alert_topic(settings: Settings, survey: Survey) -> str:
    """Return the topic that a survey's alerts come on."""
    return settings.ingest.topic_ztf if survey is Survey.ZTF else settings.ingest.topic_lsst


def feed_alerts(
    settings: Settings,
    messages: Iterable[tuple[Survey, bytes]],
    on_sent: Callable[[int], None] = lambda _: None,
    rate: float | None = None,
) -> int:
    """Send alert packets to their topics and return how many.

    Parameters
    ----------
    rate : messages a second; None for as fast as Kafka takes them.
    """
    sender = KafkaSender(settings.kafka)
    ensure_topics(settings.kafka, [alert_topic(settings, survey) for survey in Survey])
    start = time.monotonic()
    sent = 0
    for survey, packet in messages:
        sender.send(alert_topic(settings, survey), None, packet)
        sent += 1
        if sent % MESSAGES_BETWEEN_CALLS == 0 or (rate is not None and rate < MESSAGES_BETWEEN_CALLS):
            on_sent(sent)
            if rate is not None:
                time.sleep(max(0.0, start + sent / rate - time.monotonic()))
    sender.flush()
    on_sent(sent)
    return sent


def recognised_topic(payload: bytes) -> str:
    """Return the topic that a notice would have come on, told by its content."""
    try:
        return topic_of(parse_notice(payload)) or UNRECOGNISED_TOPIC
    except (WireError, SkyMapError):
        return UNRECOGNISED_TOPIC


def feed_notices(settings: Settings, notices: Iterable[tuple[str | None, Path, bytes]]) -> Counter[str]:
    """Send notices to the topics that they would have come on and return how many went to each."""
    collected = [(topic or recognised_topic(payload), payload) for topic, _, payload in notices]
    counts = Counter(topic for topic, _ in collected)
    ensure_topics(settings.kafka, counts)
    sender = KafkaSender(settings.kafka)
    for topic, payload in collected:
        sender.send(topic, None, payload)
    sender.flush()
    return counts
