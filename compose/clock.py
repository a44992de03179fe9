"""The calendar, for what is about the service and not about the sky."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time [UTC] at which a notice came or a heartbeat did not; it reaches no event and no list."""
    return datetime.now(UTC)
