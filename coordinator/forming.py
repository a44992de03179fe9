"""What the coordinator keeps while it works: an event whose coincidences are being settled, and counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from graph.event_store import StoredPairs
from graph.model import Coincidence, Event

Due = dict[tuple[str, str], tuple[Coincidence, str]]
"""(object_key, event_key) -> pair and digest of its state."""


@dataclass(slots=True)
class CoordinatorReport:
    """What the coordinator did since it started."""

    events_formed: int = 0
    notices_repeated: int = 0
    """Notices that were settled already, or waiting, when they came again."""
    notices_delayed: dict[str, int] = field(default_factory=dict)
    """Notices beyond the rate of their mission, by mission: they waited in the slowest lane."""
    failures: int = 0
    """Slices of work that failed and were begun again."""
    objects_matched: int = 0
    pairs_written: int = 0
    pairs_published: int = 0
    lists_published: int = 0


@dataclass(slots=True)
class Forming:
    """An event while its coincidences are being settled."""

    event: Event
    handled: set[str] = field(default_factory=set)
    """Objects whose pair with this revision is written."""
    due: Due = field(default_factory=dict)
    """Pairs to be published, with their digests."""
    stored: StoredPairs = field(default_factory=dict)
    """What the graph had of them before."""
