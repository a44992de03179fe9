"""Opaque cursors: where a page of events ended, so that the next one begins there whatever has arrived since."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from graph.errors import QueryRefusedError

AFTER_EVERY_TIME = "~"
"""Sorts after every ISO 8601 time, which begins with a digit."""

AFTER_EVERY_KEY = "\uffff"
"""Sorts after every event key."""

MAX_CURSOR_CHARACTERS = 1024
"""Longest cursor that is looked at [characters]; keys are much shorter."""


@dataclass(frozen=True, slots=True)
class EventCursor:
    """The last event of a page."""

    trigger_time: str | None
    """As stored; None once the events with a trigger time are used up."""
    event_key: str

    def encode(self) -> str:
        """Return the cursor as URL-safe text."""
        body = json.dumps([self.trigger_time, self.event_key], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str | None) -> EventCursor:
        """Read a cursor; None is the place before the newest event.

        Raises
        ------
        QueryRefusedError : the text was not made by `encode`.
        """
        if text is None:
            return cls(AFTER_EVERY_TIME, AFTER_EVERY_KEY)
        try:
            return cls._read(text)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise QueryRefusedError("This cursor was not given out by this service.") from error

    @classmethod
    def _read(cls, text: str) -> EventCursor:
        """Read a cursor; raises whatever is wrong with it."""
        if len(text) > MAX_CURSOR_CHARACTERS:
            raise ValueError(text)
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        body = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(body, list):
            raise TypeError(body)
        trigger_time, event_key = body
        # Half of a surrogate pair is a string here but cannot be sent to the graph: encode says so.
        event_key.encode()
        if trigger_time is not None:
            trigger_time.encode()
        return cls(trigger_time, event_key)
