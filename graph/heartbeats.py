"""How a source of notices does: what the listener says on ``heliograph.heartbeat`` and operators ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from graph.errors import MalformedPacketError, UnknownSchemaError
from graph.times import format_utc, parse_utc

SCHEMA: Final = "heliograph/source-state/1"
"""Kind and version of the message."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """Whether the link to a source of notices lives, told by the heartbeats that it sends."""

    source: str
    """Who sends the heartbeats, e.g. ``gcn``."""
    last_heartbeat: datetime | None
    """Time that the newest heartbeat states itself [UTC]; None when it states none, or none has come."""
    last_received: datetime
    """When it came [UTC]; when the listener began to wait, if none has come."""
    gap_s: float
    """Time without a heartbeat [s]: the longer of the time since the last one came and of the time that passed at the
    source between the last two."""
    ok: bool
    """Whether the gap is below the limit."""


def to_bytes(state: SourceState) -> bytes:
    """Return a state as JSON with sorted keys."""
    last = state.last_heartbeat
    body = {
        "$schema": SCHEMA,
        "source": state.source,
        "last_heartbeat": None if last is None else format_utc(last),
        "last_received": format_utc(state.last_received),
        "gap_s": state.gap_s,
        "ok": state.ok,
    }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def from_bytes(value: bytes) -> SourceState:
    """Read a state.

    Raises
    ------
    UnknownSchemaError : the message is of another kind or version.
    MalformedPacketError : it is no such message.
    """
    try:
        body = orjson.loads(value)
        if body["$schema"] != SCHEMA:
            raise UnknownSchemaError("The message is not the state of a source.")
        last = body["last_heartbeat"]
        return SourceState(
            source=str(body["source"]),
            last_heartbeat=None if last is None else parse_utc(last),
            last_received=parse_utc(body["last_received"]),
            gap_s=float(body["gap_s"]),
            ok=bool(body["ok"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise MalformedPacketError("The message is not the state of a source.") from error
