"""Names of the archive's folders and files, and what a file claims to hold.

::

    <root>/recent/survey=ztf/night=20261120/<topic>-<partition>-<first>-<last>.parquet   as the stream writes them
    <root>/nights/survey=ztf/night=20261120/cells-<first>-<last>-<part>.parquet          compacted, sorted by cell
    <root>/nights/survey=ztf/night=20261120/_claims.json                                 what was compacted
    <root>/.work/survey=ztf/night=20261120/{building,ready,old}                          compactions under way

A claim is a range of offsets of one partition within one night: the file, or the compacted night, holds every message
of that range that could be decoded and belongs to that night. Claims of one night never overlap, so no row is there
twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import StrEnum

import orjson

from graph.errors import ArchiveError
from graph.model import Survey

RECENT = "recent"
"""Folder of what the stream writes."""

NIGHTS = "nights"
"""Folder of compacted nights."""

WORK = ".work"
"""Folder of compactions under way; readers of folders pass over names with a leading dot."""

BUILDING, READY, OLD = "building", "ready", "old"
"""A compaction that may be incomplete; one that is complete and counts; the night that it has taken the place of."""

CLAIMS = "_claims.json"
"""File that names what a compacted night holds; readers of folders pass over names with a leading underscore."""

CELL_ORDER = 5
"""HEALPix order of the cells that compacted nights are sorted by: 12,288 cells of 3.4 deg2, below a camera's field."""

CLAIMS_VERSION = 1
"""Version of the file of claims."""

_LANDING = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249})-(\d{1,10})-(\d{1,19})-(\d{1,19})\.parquet")
_CELLS = re.compile(r"cells-(\d{1,5})-(\d{1,5})-(\d{1,9})\.parquet")
_FOLDER = re.compile(r"night=(\d{1,8})")


class Compression(StrEnum):
    """How packets are compressed in Parquet."""

    NONE = "none"
    ZSTD = "zstd"
    LZ4 = "lz4"


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A range of offsets of one partition."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    """Inclusive."""

    @property
    def file_name(self) -> str:
        """Name of the file that the stream writes for it; names of one partition sort by offset."""
        return f"{self.topic}-{self.partition}-{self.first_offset:012d}-{self.last_offset:012d}.parquet"


@dataclass(frozen=True, slots=True, order=True)
class Night:
    """One night of one survey."""

    survey: Survey
    night: int
    """YYYYMMDD."""

    @property
    def folder(self) -> str:
        """Path below `RECENT`, `NIGHTS` or `WORK`; readers make columns of its names."""
        return f"survey={self.survey.value}/night={self.night:08d}"


def parse_landing_name(name: str) -> Claim | None:
    """Return what a file of the stream claims, None for any other file."""
    found = _LANDING.fullmatch(name)
    if found is None:
        return None
    claim = Claim(found[1], int(found[2]), int(found[3]), int(found[4]))
    return claim if claim.first_offset <= claim.last_offset else None


def cells_name(first_cell: int, last_cell: int, part: int) -> str:
    """Return the name of a compacted file that holds the cells of a range."""
    return f"cells-{first_cell:05d}-{last_cell:05d}-{part:04d}.parquet"


def parse_cells_name(name: str) -> tuple[int, int] | None:
    """Return the first and the last cell of a compacted file, None for any other file."""
    found = _CELLS.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2]))


def parse_night(name: str) -> int | None:
    """Return the night of a folder's name, None for any other folder."""
    found = _FOLDER.fullmatch(name)
    return None if found is None else int(found[1])


def missing_ranges(first: int, last: int, claims: Iterable[Claim]) -> list[tuple[int, int]]:
    """Return the inclusive ranges of ``first`` to ``last`` that no claim covers, ascending.

    Parameters
    ----------
    claims : of the same partition.
    """
    missing = []
    for claim in sorted(claims):
        if claim.last_offset < first:
            continue
        if claim.first_offset > last:
            break
        if claim.first_offset > first:
            missing.append((first, claim.first_offset - 1))
        first = claim.last_offset + 1
    if first <= last:
        missing.append((first, last))
    return missing


def merge_claims(claims: Iterable[Claim]) -> list[Claim]:
    """Return the same offsets in as few claims as can be."""
    merged: list[Claim] = []
    for claim in sorted(claims):
        previous = merged[-1] if merged else None
        if (
            previous is not None
            and (previous.topic, previous.partition) == (claim.topic, claim.partition)
            and claim.first_offset <= previous.last_offset + 1
        ):
            last = max(previous.last_offset, claim.last_offset)
            merged[-1] = Claim(claim.topic, claim.partition, previous.first_offset, last)
        else:
            merged.append(claim)
    return merged


def covered(claim: Claim, claims: Iterable[Claim]) -> bool:
    """Return whether every offset of a claim is in others."""
    same = (one for one in claims if (one.topic, one.partition) == (claim.topic, claim.partition))
    return not missing_ranges(claim.first_offset, claim.last_offset, same)


def write_claims(claims: Iterable[Claim], rows: int) -> bytes:
    """Return the file of claims of a compacted night with its number of rows."""
    body = {"version": CLAIMS_VERSION, "rows": rows, "claims": [astuple(one) for one in merge_claims(claims)]}
    return orjson.dumps(body) + b"\n"


def read_claims(text: bytes) -> tuple[list[Claim], int]:
    """Read a file of claims: the claims and the number of rows.

    Raises
    ------
    ArchiveError : the file is damaged or of another version.
    """
    try:
        body = orjson.loads(text)
        version, rows = int(body["version"]), int(body["rows"])
        claims = [Claim(str(topic), int(p), int(first), int(last)) for topic, p, first, last in body["claims"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"The file {CLAIMS} of a compacted night is damaged.") from error
    if version != CLAIMS_VERSION:
        raise ArchiveError(f"The file {CLAIMS} of a compacted night has version {version}, which is not known.")
    return claims, rows
