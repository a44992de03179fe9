"""A notice of the simulated night and the clock notations of its JSON kinds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class SimulatedNotice:
    """One message, as a consumer of the topic would get it."""

    topic: str
    payload: bytes
    alert_time: datetime
    """When it is sent, UTC."""
    mission: str
    event_id: str
    file_name: str
    """Name for the message as a file: sorts in the order of sending."""


def stamp_json(moment: datetime, digits: int = 6) -> str:
    """Return a UTC time with ``Z``, cut to so many digits of the second."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return (text[: 20 + digits] if digits else text[:19]) + "Z"


def json_bytes(fields: dict[str, Any]) -> bytes:
    """Write a JSON message."""
    return json.dumps(fields, indent=2).encode()


def file_name(moment: datetime, what: str, suffix: str) -> str:
    """Return a name that sorts by the time of sending."""
    return f"{moment.astimezone(UTC).strftime('%Y%m%dT%H%M%S%f')}_{what}.{suffix}"
