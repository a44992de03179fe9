"""Reads the archive: nights, rows by cell and column, single packets; no row twice, whatever is under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graph.errors import ArchiveError, NotFoundError
from graph.model import Survey
from ingest.archive.layout import Claim, Night, missing_ranges, parse_cells_name
from ingest.archive.nights import NightFiles, find_files, landing_path, list_nights
from ingest.archive.storage import Storage
from ingest.archive.table import PACKET_COLUMNS

PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError)
"""What Arrow raises for a damaged file."""

Bounds = Mapping[str, tuple[int, int]]
"""Column -> least and largest value wanted, inclusive."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a night, and which of its rows count."""

    path: str
    ranges: tuple[tuple[int, int], ...] | None = None
    """Inclusive ranges of offsets that no other file holds; None for all of them."""
    cells: tuple[int, int] | None = None
    """First and last cell, where the name says so."""
    claim: Claim | None = None
    """What the file claims, where the name says so."""


def night_parts(files: NightFiles) -> list[Part]:
    """Return the files of a night with the rows of each that no file before it holds."""
    seen: list[Claim] = []
    parts: list[Part] = []
    if files.compacted is not None:
        seen += files.compacted.claims
        folder = files.compacted.folder
        parts += [Part(f"{folder}/{name}", cells=parse_cells_name(name)) for name in files.compacted.files]
    for claim in files.landing:
        same = [one for one in seen if (one.topic, one.partition) == (claim.topic, claim.partition)]
        ranges = missing_ranges(claim.first_offset, claim.last_offset, same)
        whole = ranges == [(claim.first_offset, claim.last_offset)]
        parts.append(Part(landing_path(files.night, claim), None if whole else tuple(ranges), claim=claim))
        seen.append(claim)
    return parts


@contextmanager
def open_parquet(storage: Storage, path: str) -> Iterator[pq.ParquetFile]:
    """Open a file of the archive; headers stay references to few values.

    Raises
    ------
    ArchiveError : it is not there, or damaged.
    """
    with storage.open(path) as stream:
        try:
            file = pq.ParquetFile(stream, read_dictionary=["header"])
        except PARQUET_ERRORS as error:
            raise ArchiveError(f"The archive's file {path} is damaged: its footer cannot be read.") from error
        yield file


def read_group(file: pq.ParquetFile, path: str, group: int, columns: Sequence[str] | None) -> pa.Table:
    """Read one row group.

    Raises
    ------
    ArchiveError : it is damaged.
    """
    try:
        return file.read_row_group(group, columns=None if columns is None else list(columns), use_threads=False)
    except PARQUET_ERRORS as error:
        raise ArchiveError(f"The archive's file {path} is damaged in row group {group}.") from error


def may_hold(file: pq.ParquetFile, group: int, bounds: Bounds) -> bool:
    """Return whether the statistics of a row group leave room for what is wanted."""
    row_group = file.metadata.row_group(group)
    for i in range(row_group.num_columns):
        column = row_group.column(i)
        wanted = bounds.get(column.path_in_schema)
        if wanted is None or column.statistics is None or not column.statistics.has_min_max:
            continue
        if column.statistics.max < wanted[0] or column.statistics.min > wanted[1]:
            return False
    return True


def read_part(
    storage: Storage,
    part: Part,
    columns: Sequence[str] | None,
    bounds: Bounds,
    cells: Sequence[int] | None = None,
) -> Iterator[pa.Table]:
    """Yield the rows of a file that count, by row group; those that the bounds rule out may be among them.

    Columns that a file of an older version lacks are null.

    Parameters
    ----------
    cells : row groups without any of them are passed over; what the stream writes has no order that statistics show.
    """
    needed = None if columns is None else dict.fromkeys((*columns, *(("offset",) if part.ranges is not None else ())))
    with open_parquet(storage, part.path) as file:
        names = set(file.schema_arrow.names)
        present = None if needed is None else [name for name in needed if name in names]
        for group in range(file.metadata.num_row_groups):
            if not may_hold(file, group, bounds):
                continue
            if cells is not None:
                here = read_group(file, part.path, group, ["healpix5"])
                if not pc.any(_is_in(here, cells)).as_py():
                    continue
            table = read_group(file, part.path, group, present)
            if part.ranges is not None:
                table = table.filter(within(table["offset"], part.ranges))
            for name in columns or ():
                if name not in names:
                    table = table.append_column(name, pa.nulls(len(table)))
            if len(table):
                yield table if columns is None else table.select(list(columns))


def within(values: pa.ChunkedArray, ranges: Sequence[tuple[int, int]]) -> pa.ChunkedArray:
    """Return for each value whether one of the inclusive ranges holds it."""
    found = pa.chunked_array([np.zeros(len(values), dtype=bool)])
    for first, last in ranges:
        found = pc.or_(found, pc.and_(pc.greater_equal(values, first), pc.less_equal(values, last)))
    return found


class ArchiveReader:
    """Reads an archive that others may be writing to."""

    def __init__(self, root: str) -> None:
        """Open the archive at a path or URI; an absent one is empty."""
        self.storage = Storage(root)

    def nights(self) -> tuple[Night, ...]:
        """Return every survey and night that has rows, in order."""
        return list_nights(self.storage)

    def parts(self, survey: Survey, night: int) -> list[Part]:
        """Return the files of a night as they stand now."""
        return night_parts(find_files(self.storage, Night(survey, night)))

    def scan(
        self, survey: Survey, night: int, cells: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a night, each once.

        Parameters
        ----------
        night : YYYYMMDD.
        cells : nested HEALPix cells of order 5; None for the whole sky. Files and row groups without them are not read.
        columns : wanted columns, see ``docs/archive.md``; None for all.

        Raises
        ------
        ArchiveError : a file is damaged, or was compacted while it was read; in that case read again.
        """
        if cells is not None and not len(cells):
            return
        bounds = {} if cells is None else {"healpix5": (min(cells), max(cells))}
        wanted = None if columns is None else list(dict.fromkeys((*columns, *bounds)))
        for part in self.parts(survey, night):
            if cells is not None and part.cells is not None and not _meets(part.cells, cells):
                continue
            for table in read_part(self.storage, part, wanted, bounds, cells):
                kept = table if cells is None else table.filter(_is_in(table, cells))
                yield from (kept if columns is None else kept.select(list(columns))).to_batches()

    def packet(self, survey: Survey, night: int, source: str) -> bytes:
        """Return one packet as it was received.

        Parameters
        ----------
        source : ``topic/partition/offset``.

        Raises
        ------
        NotFoundError : the archive does not have it.
        """
        topic, partition, offset = (*source.rsplit("/", 2), "", "")[:3]
        if not (topic and partition.isdecimal() and offset.isdecimal()) or len(partition) > 9 or len(offset) > 18:
            raise NotFoundError("A packet's source is written topic/partition/offset.")
        bounds = {"partition": (int(partition),) * 2, "offset": (int(offset),) * 2}
        return self._packet(survey, night, bounds, {"topic": topic}, f"message {source}")

    def packet_of_detection(self, survey: Survey, night: int, detection_id: int, cell: int | None = None) -> bytes:
        """Return a packet with a triggering detection; they are the same if the survey sent several.

        Parameters
        ----------
        cell : nested HEALPix cell of order 5 of the detection, spares reading where it is known.

        Raises
        ------
        NotFoundError : the archive does not have it.
        """
        bounds = {"detection_id": (detection_id, detection_id)}
        if cell is not None:
            bounds["healpix5"] = (cell, cell)
        return self._packet(survey, night, bounds, {}, f"alert of detection {detection_id}")

    def _packet(self, survey: Survey, night: int, bounds: Bounds, equal: Mapping[str, str], what: str) -> bytes:
        """Return the packet of the first row that fits; its bytes are read only where it is."""
        cells = bounds.get("healpix5")
        offsets = bounds.get("offset")
        for part in self.parts(survey, night):
            if cells is not None and part.cells is not None and not part.cells[0] <= cells[0] <= part.cells[1]:
                continue
            if offsets and part.claim and not part.claim.first_offset <= offsets[0] <= part.claim.last_offset:
                continue
            found = self._find(part, bounds, equal)
            if found is not None:
                return found
        raise NotFoundError(f"There is no {what} of {survey.value} in the archive's night {night}.")

    def _find(self, part: Part, bounds: Bounds, equal: Mapping[str, str]) -> bytes | None:
        with open_parquet(self.storage, part.path) as file:
            for group in range(file.metadata.num_row_groups):
                if not may_hold(file, group, bounds):
                    continue
                table = read_group(file, part.path, group, [*bounds, *equal])
                fits = np.ones(len(table), dtype=bool)
                for name, (least, most) in bounds.items():
                    fits &= within(table[name], [(least, most)]).fill_null(False).to_numpy()
                for name, value in equal.items():
                    fits &= pc.equal(table[name], value).fill_null(False).to_numpy()
                if fits.any():
                    packet = read_group(file, part.path, group, PACKET_COLUMNS).slice(int(np.argmax(fits)), 1)
                    header, body = (packet[name].to_pylist()[0] or b"" for name in PACKET_COLUMNS)
                    return bytes(header + body)
        return None


def _is_in(table: pa.Table, cells: Sequence[int]) -> pa.ChunkedArray:
    """Return which rows lie in some cells."""
    return pc.is_in(table["healpix5"], pa.array(cells, pa.int32()))


def _meets(held: tuple[int, int], cells: Sequence[int]) -> bool:
    """Return whether a file's range of cells has one of those wanted."""
    return any(held[0] <= cell <= held[1] for cell in cells)
