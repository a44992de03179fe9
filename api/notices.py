"""Who takes notices from the API, and who knows how their sources do: protocols, since both are other parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from graph.heartbeats import SourceState


@dataclass(frozen=True, slots=True)
class NoticeReceipt:
    """Where a notice lies now, for the listener to read."""

    notice_id: str
    """Identity of its bytes, under which the graph and the archive know it."""
    source: str
    """``topic/partition/offset``."""


class NoticeIntake(Protocol):
    """Takes notices for the listener, which alone reads them."""

    def put(self, payload: bytes, topic: str | None) -> NoticeReceipt:
        """Return when Kafka has the notice.

        Parameters
        ----------
        topic : topic to put it on; None lets its content decide what it is.

        Raises
        ------
        UnsupportedNoticeError : no parser is registered for the topic.
        PublishError : Kafka did not take it.
        """
        ...


class SourceWatch(Protocol):
    """Knows how the sources of notices do."""

    def sources(self) -> Sequence[SourceState]:
        """Return how each does now; raise `graph.errors.HeliographError` when it cannot be told."""
        ...
