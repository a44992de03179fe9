"""What a catalogue service said about positions, in columns: a status for each, and a label only where one matched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
StatusArray = NDArray[np.int8]
TextArray = NDArray[np.object_]


class MatchStatus(IntEnum):
    """What is known of a position; only the first two are answers of the service."""

    MATCHED = 0
    """The catalogue has an entry within the radius."""
    NO_MATCH = 1
    """The service answered, and the catalogue has no entry there."""
    FAILED = 2
    """The service was asked and gave no answer that can be trusted."""
    NOT_ASKED = 3
    """The service was left alone, or the position is not on the sky."""


class FailReason(StrEnum):
    """Why there is no answer; short, stable names."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    BUSY = "busy"
    REFUSED = "refused"
    """The service calls the request wrong: an unknown catalogue, say. The same request fails again."""
    NOT_UNDERSTOOD = "not_understood"
    """Bytes that are no table, such as a proxy's page."""
    UNKNOWN_COLUMNS = "unknown_columns"
    """A table without the columns that name an entry. The same request fails again."""
    INCOMPLETE = "incomplete"
    OVERFLOW = "overflow"
    """More rows than the service returns. The same request fails again."""
    FOREIGN_ROWS = "foreign_rows"
    """Rows for positions that were not asked for, or beyond the radius."""
    BREAKER_OPEN = "breaker_open"
    """The service failed so often that it is left alone for a while."""
    OFF_SKY = "off_sky"
    """The position is not finite or beyond a pole."""

    @property
    def worth_retrying(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self not in _FINAL


_FINAL = frozenset(
    {FailReason.REFUSED, FailReason.UNKNOWN_COLUMNS, FailReason.OVERFLOW, FailReason.BREAKER_OPEN, FailReason.OFF_SKY}
)


@dataclass(frozen=True, eq=False, slots=True)
class EntryColumns:
    """Nearest entries of some positions; at most one row for each position."""

    row: IntArray
    """(m,) index of the position; ascending."""
    label: TextArray
    """(m,) object type as the catalogue writes it; empty where it states none."""
    source_name: TextArray
    """(m,) the catalogue's name of the entry."""
    separation_arcsec: FloatArray

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.row)


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class XMatchColumns:
    """One row for each position that was given, in the same order.

    Has no text of its own: asyncio prints the result of a main task when it puts signal handlers back.
    """

    row: IntArray
    """(n,) index of the position."""
    status: StatusArray
    """(n,) values of `MatchStatus`."""
    reason: TextArray
    """(n,) values of `FailReason`; empty where the service answered."""
    label: TextArray
    """(n,) object type as the catalogue writes it; empty unless matched, and where the catalogue states none."""
    separation_arcsec: FloatArray
    """(n,) NaN unless matched."""
    source_name: TextArray
    """(n,) the catalogue's name of the entry; empty unless matched."""
    asked_unix_s: FloatArray
    """(n,) when the service answered [s since 1970 UTC], also for answers kept in the cache; NaN without an answer."""
    catalogue_id: str
    """The catalogue as the service names it."""
    version: str
    """Version of the catalogue."""

    def __len__(self) -> int:
        """Return the number of positions."""
        return len(self.status)

    @property
    def answered(self) -> BoolArray:
        """(n,) where the service answered: matched, or known to match nothing."""
        return self.status <= MatchStatus.NO_MATCH

    def count(self, status: MatchStatus) -> int:
        """Return how many positions have a status."""
        return int(np.count_nonzero(self.status == status))


def unasked(n: int, catalogue_id: str, version: str) -> XMatchColumns:
    """Return columns of n positions, none of them on the sky, to be filled by `fill`."""
    return XMatchColumns(
        row=np.arange(n),
        status=np.full(n, MatchStatus.NOT_ASKED, dtype=np.int8),
        reason=np.full(n, FailReason.OFF_SKY.value, dtype=object),
        label=np.full(n, "", dtype=object),
        separation_arcsec=np.full(n, np.nan),
        source_name=np.full(n, "", dtype=object),
        asked_unix_s=np.full(n, np.nan),
        catalogue_id=catalogue_id,
        version=version,
    )


def fill_answers(columns: XMatchColumns, rows: IntArray, found: EntryColumns, asked_unix_s: FloatArray | float) -> None:
    """Write what the service answered about some rows: the entries found, and no match for the others.

    Parameters
    ----------
    rows : (k,) rows that were answered.
    found : entries whose ``row`` counts within ``rows``.
    asked_unix_s : (k,) or one for all.
    """
    columns.status[rows] = MatchStatus.NO_MATCH
    columns.reason[rows] = ""
    columns.asked_unix_s[rows] = asked_unix_s
    matched = rows[found.row]
    columns.status[matched] = MatchStatus.MATCHED
    columns.label[matched] = found.label
    columns.source_name[matched] = found.source_name
    columns.separation_arcsec[matched] = found.separation_arcsec


def fill_failure(columns: XMatchColumns, rows: IntArray, reason: FailReason) -> None:
    """Write why some rows have no answer."""
    unasked_for = reason is FailReason.BREAKER_OPEN or reason is FailReason.OFF_SKY
    columns.status[rows] = MatchStatus.NOT_ASKED if unasked_for else MatchStatus.FAILED
    columns.reason[rows] = reason.value


def take_rows(columns: XMatchColumns, source: XMatchColumns, rows: IntArray, from_rows: IntArray) -> None:
    """Copy rows of other columns."""
    for name in ("status", "reason", "label", "separation_arcsec", "source_name", "asked_unix_s"):
        getattr(columns, name)[rows] = getattr(source, name)[from_rows]
