"""Every notice as received, for ever: what came, when and from where, and what became of it.

::

    <root>/notices/day=20261120/<first>-<writer>-<number>.parquet

The day is the UTC date of reception; the name begins with the time of the first row [us since 1970], so that names sort
by time. A file is there as a whole or not at all and never changes; `NoticeArchive.merge` puts those of a day into one.

Each reception is stored, so nothing that came can be lost by being taken for something else. A message that is
delivered again, as after a kill between archive and commit, is told by its place and its bytes, and read once. The same
bytes at another place are another message: the mission sent it twice.
"""

from __future__ import annotations

import heapq
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain, count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graph.errors import ArchiveError
from ingest.archive.reader import PARQUET_ERRORS
from ingest.archive.split import checksums
from ingest.archive.storage import TEMPORARY_SUFFIX, Storage
from ingest.archive.verify import NO_ROW, Damage
from ingest.notices.wire import notice_id

NOTICES = "notices"
"""Folder of received notices below the archive's root."""

ROWS_PER_GROUP = 32
"""Rows read at a time: sky maps of LVK have up to some MB each, all others some kB."""

SCHEMA = pa.schema(
    [
        ("received", pa.timestamp("us", tz="UTC")),
        ("topic", pa.string()),
        ("source", pa.string()),
        ("notice_id", pa.string()),
        ("event_key", pa.string()),
        ("refusal", pa.string()),
        ("payload", pa.binary()),
        ("payload_xxh64", pa.int64()),
    ]
)
"""Columns of a file, of standard types; the checksum is XXH64 with the archive's seed, read as a signed integer."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAME = re.compile(r"(\d{16})-[0-9a-f]{8}-\d{6}\.parquet")
_FOLDER = re.compile(r"day=(\d{8})")


@dataclass(frozen=True, slots=True)
class Reception:
    """One message as it was received."""

    payload: bytes
    received: datetime
    """When it was read here [UTC, us]."""
    topic: str | None
    """Topic that it came on; None for a file whose folder names none."""
    source: str
    """``topic/partition/offset``, or the name of the file."""
    event_key: str | None = None
    """Event that it tells of; None where it was refused."""
    refusal: str | None = None
    """Reason for which it was refused; None where it was understood."""

    @property
    def notice_id(self) -> str:
        """Identity of the bytes; the notice's, where it was understood."""
        return notice_id(self.payload)

    @property
    def day(self) -> int:
        """UTC date of reception, YYYYMMDD."""
        return int(self.received.astimezone(UTC).strftime("%Y%m%d"))


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of the files of a day."""

    day: int
    rows: int
    """Rows in the one file that is left; 0 when there was nothing to do."""
    merged_files: int
    """Files that it took in."""


class NoticeArchive:
    """Appends receptions and reads them back in their order; several processes may append at once."""

    def __init__(self, root: str, *, sync: bool = True) -> None:
        """Prepare; nothing is touched yet.

        Parameters
        ----------
        root : path or URI of the archive.
        sync : wait until the disk has each file, see `ingest.archive.storage.Storage`.
        """
        self._storage = Storage(root, sync=sync)
        self._writer = uuid.uuid4().hex[:8]
        self._numbers = count()

    def append(self, receptions: Sequence[Reception]) -> None:
        """Store receptions, in order of time; return when the disk has them.

        Raises
        ------
        ArchiveError : they could not be written; the same call may be repeated.
        """
        by_day: dict[int, list[Reception]] = defaultdict(list)
        for reception in receptions:
            by_day[reception.day].append(reception)
        for day, rows in sorted(by_day.items()):
            rows.sort(key=lambda one: one.received)
            self._write(day, rows)

    def days(self) -> tuple[int, ...]:
        """Return the days on which something was received, ascending."""
        found = (_FOLDER.fullmatch(name) for name in self._storage.folders(NOTICES))
        return tuple(sorted(int(one[1]) for one in found if one))

    def receptions(self, until: datetime | None = None, topics: Iterable[str] = ()) -> Iterator[Reception]:
        """Yield what was received, each message once, in the order of reception.

        Parameters
        ----------
        until : the last time that counts [UTC]; None for all.
        topics : only what came on these; all when empty.

        Raises
        ------
        ArchiveError : a file is damaged.
        """
        wanted = frozenset(topics)
        seen: set[bytes] = set()
        for day in self.days():
            for reception in self._of_day(day):
                if until is not None and reception.received > until:
                    return
                message = blake2b(f"{reception.source}\0{reception.notice_id}".encode(), digest_size=16).digest()
                if message not in seen:
                    seen.add(message)
                    if not wanted or reception.topic in wanted:
                        yield reception

    def merge(self, day: int) -> Merge:
        """Put the files of a day into one; killed, it may be called again, and nothing is there twice.

        Raises
        ------
        ArchiveError : a file is damaged or cannot be written; nothing has been removed.
        """
        folder = _folder(day)
        names = self._names(day)
        rows = 0
        if len(names) > 1:
            path = f"{folder}/{self._name(_first_us(names[0]))}"
            with self._storage.create(path) as sink, _open_writer(sink) as writer:
                for part in _chunks(_distinct(self._of_day(day))):
                    rows += len(part)
                    writer.write_table(_table(part))
            damaged = [*self._check(day, path)]
            if damaged:
                self._storage.delete_file(path)
                raise ArchiveError(f"The merged file {path} is damaged; nothing was removed.")
            for name in names:
                self._storage.delete_file(f"{folder}/{name}")
        for name in self._storage.files(folder):
            # What a killed writer left; its message was not acknowledged, so it came again.
            if name.startswith(".") and name.endswith(TEMPORARY_SUFFIX):
                self._storage.delete_file(f"{folder}/{name}")
        return Merge(day, rows, len(names) if rows else 0)

    def verify(self) -> Iterator[Damage]:
        """Read every file and yield what is damaged."""
        for day in self.days():
            for name in self._names(day):
                yield from self._check(day, f"{_folder(day)}/{name}")

    def _names(self, day: int) -> list[str]:
        """Return the files of a day in the order of their first rows."""
        return [name for name in self._storage.files(_folder(day)) if _NAME.fullmatch(name)]

    def _name(self, first_us: int) -> str:
        return f"{first_us:016d}-{self._writer}-{next(self._numbers):06d}.parquet"

    def _write(self, day: int, rows: list[Reception]) -> None:
        path = f"{_folder(day)}/{self._name((rows[0].received - _EPOCH) // _MICROSECOND)}"
        with self._storage.create(path) as sink, _open_writer(sink) as writer:
            for part in _chunks(rows):
                writer.write_table(_table(part))

    def _of_day(self, day: int) -> Iterator[Reception]:
        """Yield the rows of a day in order of time; a file is opened when its first row is due."""
        folder = _folder(day)
        # Time in us, number of the file, row number: no two entries compare beyond these.
        waiting: list[tuple[int, int, int, Reception | None]] = []
        rows: list[Iterator[Reception]] = []
        for number, name in enumerate(self._names(day)):
            rows.append(self._rows(f"{folder}/{name}"))
            waiting.append((_first_us(name), number, -1, None))
        heapq.heapify(waiting)
        while waiting:
            _, number, row, reception = heapq.heappop(waiting)
            if reception is not None:
                yield reception
            following = next(rows[number], None)
            if following is not None:
                due_us = (following.received - _EPOCH) // _MICROSECOND
                heapq.heappush(waiting, (due_us, number, row + 1, following))

    def _rows(self, path: str) -> Iterator[Reception]:
        """Yield the rows of a file."""
        with _open(self._storage, path) as file:
            for group in range(file.metadata.num_row_groups):
                yield from map(_reception, _read(file, path, group).to_pylist())

    def _check(self, day: int, path: str) -> Iterator[Damage]:
        """Yield the damage of a file."""
        last: datetime | None = None
        try:
            with _open(self._storage, path) as file:
                groups = (_read(file, path, group) for group in range(file.metadata.num_row_groups))
                for at, (row, is_intact) in enumerate(chain.from_iterable(map(_checked, groups))):
                    if not is_intact:
                        yield Damage(path, at, row.source, "The notice's bytes do not have their checksum.")
                    if row.day != day:
                        yield Damage(path, at, row.source, "The notice is of another day.")
                    if last is not None and row.received < last:
                        yield Damage(path, at, row.source, "The notice stands behind a later one.")
                    last = row.received
        except ArchiveError as error:
            yield Damage(path, NO_ROW, "", str(error))


def _folder(day: int) -> str:
    """Return the folder of a day; readers make a column of its name."""
    return f"{NOTICES}/day={day:08d}"


def _first_us(name: str) -> int:
    """Return the time of a file's first row [us since 1970]."""
    return int(name[:16])


@contextmanager
def _open(storage: Storage, path: str) -> Iterator[pq.ParquetFile]:
    """Open a file."""
    with storage.open(path) as stream:
        try:
            file = pq.ParquetFile(stream)
        except PARQUET_ERRORS as error:
            raise ArchiveError(f"The archive's file {path} is damaged: its footer cannot be read.") from error
        yield file


def _read(file: pq.ParquetFile, path: str, group: int) -> pa.Table:
    """Read some rows, with the types of `SCHEMA`."""
    try:
        return file.read_row_group(group, columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
    except PARQUET_ERRORS as error:
        raise ArchiveError(f"The archive's file {path} is damaged: its row group {group} cannot be read.") from error


def _reception(row: Mapping[str, Any]) -> Reception:
    """Return a row as what it tells of."""
    return Reception(row["payload"], row["received"], row["topic"], row["source"], row["event_key"], row["refusal"])


def _checked(table: pa.Table) -> Iterator[tuple[Reception, bool]]:
    """Yield rows, and whether their bytes are those that were written."""
    rows = table.to_pylist()
    taken = checksums([row["payload"] for row in rows]).tolist()
    for row, checksum in zip(rows, taken, strict=True):
        reception = _reception(row)
        yield reception, checksum == row["payload_xxh64"] and reception.notice_id == row["notice_id"]


def _open_writer(sink: pa.NativeFile) -> pq.ParquetWriter:
    """Return a writer of files; VOEvents shrink to a fifth, repeated ones to nothing."""
    return pq.ParquetWriter(
        sink, SCHEMA, compression="zstd", use_dictionary=["topic"], write_statistics=["received"], store_schema=False
    )


def _table(rows: Sequence[Reception]) -> pa.Table:
    """Return receptions as columns."""
    values = {
        "received": [one.received for one in rows],
        "topic": [one.topic for one in rows],
        "source": [one.source for one in rows],
        "notice_id": [one.notice_id for one in rows],
        "event_key": [one.event_key for one in rows],
        "refusal": [one.refusal for one in rows],
        "payload": [one.payload for one in rows],
        "payload_xxh64": checksums([one.payload for one in rows]),
    }
    return pa.table(values, schema=SCHEMA)


def _chunks(rows: Iterable[Reception]) -> Iterator[list[Reception]]:
    """Yield rows in groups of `ROWS_PER_GROUP`."""
    part: list[Reception] = []
    for row in rows:
        part.append(row)
        if len(part) == ROWS_PER_GROUP:
            yield part
            part = []
    if part:
        yield part


def _distinct(rows: Iterable[Reception]) -> Iterator[Reception]:
    """Leave out rows that are there twice because a merge was killed; they stand together, for their time is one."""
    at: datetime | None = None
    of_moment: set[Reception] = set()
    for row in rows:
        if row.received != at:
            at, of_moment = row.received, set()
        if row not in of_moment:
            of_moment.add(row)
            yield row
