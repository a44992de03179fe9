"""Names of the internal and published topics: what parts say to each other and to the world."""

from __future__ import annotations

from graph.model import ScienceCase

NOTICES = "heliograph.notices"
"""Canonical notices, one JSON message each, keyed by event_key; `graph.codec`."""

OBJECTS = "heliograph.objects"
"""Classified detections as they enter the graph, one JSON message for each written batch of rows."""

JOINT_EVENTS = "heliograph.joint-events"
"""Coincidences of an object and an event and pairs of two events, keyed by event_key, one message for each state."""

RETRACTIONS = "heliograph.retractions"
"""Withdrawn coincidences and pairs of events, keyed by event_key."""

VOEVENT = "heliograph.voevent"
"""Every state of a coincidence as VOEvent 2.0 XML, keyed by event_key: opened, changed and withdrawn."""

HEARTBEAT = "heliograph.heartbeat"
"""Whether the link to each source of notices lives, keyed by source, at every change and now and then between."""

DEAD_LETTERS = "heliograph.dead-letters"
"""Refused messages as received; headers stage, reason, message, source; key ``topic/partition/offset``."""

DEAD_LETTER_MARGIN = 1_048_576
"""Room that a dead letter needs beyond the largest message, for its headers [bytes]."""


def list_topic(case: ScienceCase) -> str:
    """Return the topic of the follow-up list of one science case."""
    return f"heliograph.lists.{case.value}"


def avro_topic(topic: str) -> str:
    """Return the topic of the Avro twins of a topic's messages."""
    return f"{topic}.avro"


PUBLISHED = (
    NOTICES,
    OBJECTS,
    JOINT_EVENTS,
    RETRACTIONS,
    VOEVENT,
    HEARTBEAT,
    DEAD_LETTERS,
    *(list_topic(case) for case in ScienceCase),
)
"""Every topic that Heliograph itself creates."""

AVRO_TWINS = tuple(avro_topic(topic) for topic in (JOINT_EVENTS, RETRACTIONS, *(list_topic(c) for c in ScienceCase)))
"""Topics that it creates beside them when Avro twins are wanted."""
