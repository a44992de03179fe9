"""Which topics notices come in on."""

from __future__ import annotations

import re

from ingest.heartbeats import HEARTBEAT_TOPICS
from ingest.notices.registry import TOPICS

UNRECOGNISED_TOPIC = "heliograph.unrecognised-notices"
"""Topic to which notices go when no GCN topic can be told from their content, or none is named with them."""

NOTICE_TOPICS = (r"^gcn\.(classic|notices)\..*", r"^igwn\.gwalert$", f"^{re.escape(UNRECOGNISED_TOPIC)}$")
"""Patterns of the topics on our own bus that notices come in on; a topic made later is found by its name."""


def listened_topics(source: str, *, heartbeats: bool) -> tuple[str, ...]:
    """Return the topics, or patterns of them, that the listener subscribes to.

    Parameters
    ----------
    source : ``gcn`` or ``kafka``, our own bus.
    heartbeats : with those that heartbeats come on.
    """
    beats = tuple(HEARTBEAT_TOPICS) if heartbeats else ()
    if source == "gcn":
        return (*TOPICS, *beats)
    return (*NOTICE_TOPICS, *(f"^{re.escape(topic)}$" for topic in beats))


def is_listened_to(topic: str) -> bool:
    """Return whether a listener on our own bus reads notices on a topic."""
    return any(re.match(pattern, topic) for pattern in NOTICE_TOPICS)
