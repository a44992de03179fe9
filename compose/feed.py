"""Recorded or simulated messages onto their topics."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from compose.config import Settings
from compose.notice_topics import UNRECOGNISED_TOPIC, is_listened_to
from graph.bus import ensure_topics
from graph.errors import SkyMapError, WireError
from graph.model import Survey
from graph.sender import KafkaSender
from graph.times import SECONDS_PER_DAY, format_utc
from ingest.alerts.decode import AlertDecoder
from ingest.archive.notices import Reception
from ingest.notices.registry import parse_notice, topic_of

MESSAGES_BETWEEN_CALLS = 100
"""How many messages pass between two calls of the progress function."""

MESSAGES_DECODED_AT_ONCE = 100
"""How many messages are read ahead to learn their times: few enough to keep in memory, many enough to be quick."""


class Pace:
    """Holds messages back until they are due: so many a second, or as far apart as they were, times a factor."""

    def __init__(
        self,
        rate: float | None = None,
        speed: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start at the first message; without rate and speed nothing waits.

        Parameters
        ----------
        rate : messages a second.
        speed : how many times faster than the sky; messages without a usable time follow the one before.
        clock, sleep : seconds that pass [s], and how to let them pass.
        """
        self._rate = rate
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._started: float | None = None
        self._first_mjd_tai: float | None = None
        self._passed = 0

    def wait(self, midpoint_mjd_tai: float = math.nan) -> None:
        """Return when the next message is due; at once if it is late.

        Parameters
        ----------
        midpoint_mjd_tai : time of the message's own measurement [d, TAI], NaN if not known.
        """
        if self._started is None:
            self._started = self._clock()
        due = self._started
        if self._rate is not None:
            due += self._passed / self._rate
        self._passed += 1
        if self._speed is not None and math.isfinite(midpoint_mjd_tai):
            if self._first_mjd_tai is None:
                self._first_mjd_tai = midpoint_mjd_tai
            due += (midpoint_mjd_tai - self._first_mjd_tai) * SECONDS_PER_DAY / self._speed
        left = due - self._clock()
        if left > 0.0:
            self._sleep(left)


def with_midpoints(messages: Iterable[tuple[Survey, bytes]]) -> Iterator[tuple[Survey, bytes, float]]:
    """Yield alerts with the time of their measurement [d, TAI], NaN for those that cannot be decoded."""
    decoders = {survey: AlertDecoder(survey) for survey in Survey}
    remaining = iter(messages)
    while block := list(islice(remaining, MESSAGES_DECODED_AT_ONCE)):
        midpoints = [math.nan] * len(block)
        for survey, decoder in decoders.items():
            places = [place for place, (found, _) in enumerate(block) if found is survey]
            columns, _ = decoder.decode([block[place][1] for place in places])
            for row, midpoint in zip(columns.row, columns.midpoint_mjd_tai, strict=True):
                midpoints[places[row]] = float(midpoint)
        for (survey, packet), midpoint in zip(block, midpoints, strict=True):
            yield survey, packet, midpoint


def alert_topic(settings: Settings, survey: Survey) -> str:
    """Return the topic that a survey's alerts come on."""
    return settings.ingest.topic_ztf if survey is Survey.ZTF else settings.ingest.topic_lsst


def feed_alerts(
    settings: Settings,
    messages: Iterable[tuple[Survey, bytes]],
    on_sent: Callable[[int], None] = lambda _: None,
    rate: float | None = None,
    speed: float | None = None,
) -> int:
    """Send alert packets to their topics and return how many.

    Parameters
    ----------
    rate : messages a second; None for as fast as Kafka takes them.
    speed : times real time between the alerts' own times; None for no heed of them. One that is earlier than those
        before it goes out at once.
    """
    sender = KafkaSender(settings.kafka)
    ensure_topics(settings.kafka, [alert_topic(settings, survey) for survey in Survey])
    pace = Pace(rate, speed)
    is_paced = rate is not None or speed is not None
    timed = ((*message, math.nan) for message in messages) if speed is None else with_midpoints(messages)
    sent = 0
    for survey, packet, midpoint_mjd_tai in timed:
        if is_paced:
            pace.wait(midpoint_mjd_tai)
        sender.send(alert_topic(settings, survey), None, packet)
        sent += 1
        if sent % MESSAGES_BETWEEN_CALLS == 0 or is_paced:
            on_sent(sent)
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


def feed_receptions(settings: Settings, receptions: Iterable[Reception]) -> Counter[str]:
    """Send notices of an archive to the topics that they came on, in their order, and return how many went to each.

    Those from files, and from topics that no listener here reads, go where their content says. Notices of one event
    share a partition, so they are read in this order too; the header ``received`` says when each had come.
    """
    sender = KafkaSender(settings.kafka)
    counts: Counter[str] = Counter()
    for one in receptions:
        came_on = one.topic
        topic = came_on if came_on is not None and is_listened_to(came_on) else recognised_topic(one.payload)
        if topic not in counts:
            ensure_topics(settings.kafka, (topic,))
        sender.send(topic, one.event_key, one.payload, {"received": format_utc(one.received)})
        counts[topic] += 1
    sender.flush()
    return counts
