"""Values as they stand on the wire, read strictly: absent is None, wrong is a `MalformedPacketError`, never a guess."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from graph.errors import MalformedPacketError
from graph.model import Circle, SystematicError
from graph.times import parse_utc

MAX_TEXT_CHARACTERS = 4096
"""Longest text kept of one field [characters]; the longest real one, an ``additional_info``, has some hundred."""

MAX_NAME_CHARACTERS = 128
"""Longest identifier [characters]; keys of the graph are made of it, real ones stay below 40."""

EARLIEST_EVENT = datetime(1990, 1, 1, tzinfo=UTC)
"""Events before this are garbage [UTC]: the oldest mission that GCN ever relayed, CGRO, flew in 1991."""

LATEST_EVENT = datetime(2100, 1, 1, tzinfo=UTC)
"""Events after this are garbage [UTC]; real clocks fail by decades, not by years."""

SECONDS_PER_YEAR = 365.25 * 86400.0
"""Julian year [s]; IceCube, HAWC and AMON state false-alarm rates per year."""

ALL_SKY_RADIUS_DEG = 180.0
"""Largest radius that is one [deg]; SNEWS writes 360 for 'anywhere'."""

SMALLEST_RADIUS_DEG = 1e-6
"""Smallest radius that is one [deg], 4 mas: no mission measures so well, smaller ones are zeros that were rounded."""


def notice_id(payload: bytes) -> str:
    """Return the identity of a message: the sha256 of its bytes, first 32 hex digits."""
    return hashlib.sha256(payload).hexdigest()[:32]


def number(value: object, name: str) -> float | None:
    """Read a finite number from a number or its text; None when absent or empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise MalformedPacketError(f"{name} is not a number")
    try:
        result = float(value)
    except (ValueError, OverflowError):
        raise MalformedPacketError(f"{name} is not a number") from None
    if not math.isfinite(result):
        raise MalformedPacketError(f"{name} is not finite")
    return result


def whole(value: object, name: str) -> int | None:
    """Read an integer of at most 63 bits; None when absent or empty."""
    result = number(value, name)
    if result is None:
        return None
    if result != math.floor(result) or abs(result) >= 2.0**63:
        raise MalformedPacketError(f"{name} is not an integer")
    return int(result)


def rate(value: object, name: str) -> float | None:
    """Read a rate, which is not negative, in its own unit."""
    result = number(value, name)
    if result is not None and result < 0.0:
        raise MalformedPacketError(f"{name} is negative")
    return result


def probability(value: object, name: str) -> float | None:
    """Read a probability; a last digit above 1 is rounding and becomes 1."""
    result = number(value, name)
    if result is None:
        return None
    if not -1e-6 <= result <= 1.0 + 1e-6:
        raise MalformedPacketError(f"{name} is not between 0 and 1")
    return min(max(result, 0.0), 1.0)


def flag(value: object, name: str) -> bool | None:
    """Read true or false from a JSON boolean, its text, or 0 and 1; None when absent or empty."""
    if value is None or isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "1": True, "0": False, "": None}
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise MalformedPacketError(f"{name} is neither true nor false") from None


def identifier(value: object, name: str) -> str | None:
    """Read an identifier: printable text or an integer; None when absent or empty."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise MalformedPacketError(f"{name} is not an identifier")
    result = str(value).strip()
    if len(result) > MAX_NAME_CHARACTERS or not result.isprintable():
        raise MalformedPacketError(f"{name} is not an identifier")
    return result or None


def text(value: object, name: str) -> str | None:
    """Read a short text; None when absent or empty."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        raise MalformedPacketError(f"{name} is not a short text")
    return value.strip() or None


def moment(value: object, name: str) -> datetime | None:
    """Read a time as aware UTC; without a zone it is UTC. None when absent or empty.

    Raises
    ------
    MalformedPacketError : the value is no time, or none within the age of GCN.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise MalformedPacketError(f"{name} is not a time")
    leap = ":60" in value[16:19]
    try:
        # A datetime has no second 60: the leap second becomes the first second of the next day.
        result = parse_utc(value[:16] + ":59" + value[19:]) + timedelta(seconds=1) if leap else parse_utc(value)
    except (ValueError, OverflowError):
        raise MalformedPacketError(f"{name} is not a time") from None
    if not EARLIEST_EVENT <= result <= LATEST_EVENT:
        raise MalformedPacketError(f"{name} is a date outside 1990 to 2100")
    return result


def fallback_id(trigger_time: datetime | None) -> str:
    """Return an identifier for an event that has none: its trigger time to the millisecond.

    Raises
    ------
    MalformedPacketError : there is no time either.
    """
    if trigger_time is None:
        raise MalformedPacketError("the notice names neither an event nor a time")
    return trigger_time.strftime("%Y%m%dT%H%M%S.") + f"{trigger_time.microsecond // 1000:03d}"


def circle(
    ra_deg: float | None,
    dec_deg: float | None,
    radius_deg: float | None,
    containment_probability: float,
    *,
    systematic_included: bool,
    systematic: SystematicError | None = None,
) -> Circle | None:
    """Return the circle of a stated position, or None where the numbers are a mission's way to say that there is none.

    Parameters
    ----------
    ra_deg, dec_deg, radius_deg : as on the wire [deg]; FK5 and ICRS differ by less than any radius.

    Notes
    -----
    Known ways: nothing, (0, 0) or (-1, -1), a radius of 0 or below, a radius beyond
    the sky.

    Raises
    ------
    MalformedPacketError : the position is not on the sky.
    """
    if ra_deg is None or dec_deg is None or (ra_deg, dec_deg) in {(0.0, 0.0), (-1.0, -1.0)}:
        return None
    check_position(ra_deg, dec_deg)
    if radius_deg is None or not SMALLEST_RADIUS_DEG <= radius_deg <= ALL_SKY_RADIUS_DEG:
        return None
    return Circle(
        ra_deg=ra_deg % 360.0,
        dec_deg=dec_deg,
        error_radius_deg=radius_deg,
        containment_probability=containment_probability,
        systematic_included=systematic_included,
        systematic=None if systematic_included else systematic,
    )


def check_position(ra_deg: float, dec_deg: float) -> None:
    """Refuse a position [deg] that is not on the sky."""
    if not 0.0 <= ra_deg <= 360.0 or not -90.0 <= dec_deg <= 90.0:
        raise MalformedPacketError("the position is not on the sky")


def probabilities(value: object, name: str) -> dict[str, float]:
    """Read a mapping from class to probability; absent is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise MalformedPacketError(f"{name} is not a table of probabilities")
    result = {}
    for key, entry in value.items():
        share = probability(entry, f"{name} of {str(key)[:MAX_NAME_CHARACTERS]}")
        if share is not None:
            result[str(key)[:MAX_NAME_CHARACTERS]] = share
    return result


def json_ready(value: object) -> object:
    """Return a copy without long texts, bytes and numbers that are not finite, fit to be kept beside a notice."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(entry) for key, entry in value.items() if _keepable(entry)}
    if isinstance(value, list | tuple):
        return [json_ready(entry) for entry in value if _keepable(entry)]
    return value


def _keepable(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, bytes) and not (isinstance(value, str) and len(value) > MAX_TEXT_CHARACTERS)
