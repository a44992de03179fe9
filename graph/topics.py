"""Names of the internal and published topics: what parts say to each other and to the world."""

from __future__ import annotations

from graph.model import ScienceCase

NOTICES = "heliograph.notices"
"""Canonical notices, one JSON message each, keyed by event_key; `graph.codec`."""

OBJECTS = "heliograph.objects"
"""Classified detections as they enter the graph, one JSON message for each written batch of rows."""

JOINT_EVENTS = "heliograph.joint-events"
"""Coincidences of an object and an event, keyed by event_key, one message for each new revision."""

RETRACTIONS = "heliograph.retractions"
"""Withdrawn coincidences, keyed by event_key."""

DEAD_LETTERS = "heliograph.dead-letters"
"""Refused messages as received; headers stage, reason, message, source; key ``topic/partition/offset``."""

DEAD_LETTER_MARGIN = 1_048_576
"""Room that a dead letter needs beyond the largest message, for its headers [bytes]."""


def list_topic(case: ScienceCase) -> str:
    """Return the topic of the follow-up list of one science case."""
    return f"heliograph.lists.{case.value}"


PUBLISHED = (NOTICES, OBJECTS, JOINT_EVENTS, RETRACTIONS, DEAD_LETTERS, *(list_topic(c) for c in ScienceCase))
"""Every topic that Heliograph itself creates."""
