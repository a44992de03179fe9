"""Rewrites a finished night: sorted by sky cell, in files of good size, beside which the stream's files are dropped.

The new night is built in a folder that no reader looks into, read again, and put in its place by renaming folders.
Until then the old files count, from then on the new ones; what is left over after a crash is finished, or thrown away,
by the next compaction.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from graph.errors import ArchiveError, ConfigurationError
from ingest.alerts.columns import IntArray
from ingest.archive.layout import (
    BUILDING,
    CLAIMS,
    NIGHTS,
    OLD,
    READY,
    WORK,
    Compression,
    Night,
    cells_name,
    write_claims,
)
from ingest.archive.nights import find_files, landing_folder, landing_path, list_nights
from ingest.archive.reader import Part, night_parts, open_parquet, read_group, read_part
from ingest.archive.split import checksums, join_packets
from ingest.archive.storage import TEMPORARY_SUFFIX, Storage
from ingest.archive.table import open_writer, write_rows

FILE_BYTES = 128 * 2**20
"""Packets in one file of a compacted night [byte]; it is sorted in memory, and read at once by other tools."""

MAX_FILES_OPEN = 200
"""Files made at the same time; a larger night gets larger files instead. Systems allow 1,024 or more."""

_SORT_COLUMNS = ("healpix5", "packet_bytes", "topic", "partition", "offset")
"""What decides where a row goes."""

_SPILL = "spill"
"""Folder of the rows of each file before they are sorted."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did."""

    night: Night
    rows: int
    """Rows of the compacted night."""
    files: int
    """Files of the compacted night."""
    merged_files: int
    """Files of the stream that it took in; 0 when there was nothing to do."""


def finished_nights(storage: Storage) -> tuple[Night, ...]:
    """Return the nights of each survey before its newest one, which may still be going on."""
    nights = list_nights(storage)
    newest = {night.survey: night for night in nights}
    return tuple(night for night in nights if night != newest[night.survey])


def compact_night(
    storage: Storage, night: Night, compression: Compression = Compression.NONE, file_bytes: int = FILE_BYTES
) -> Compaction:
    """Bring all that is there of a night into the compacted form.

    Parameters
    ----------
    compression : of the packets' bodies.
    file_bytes : packets in one file [byte]; a row group at least is in one.

    Raises
    ------
    ArchiveError : a file is damaged or cannot be written; nothing has been removed.
    ConfigurationError : the archive's file system does not rename folders, as object stores do not.
    """
    if not storage.moves_folders:
        raise ConfigurationError("Nights are compacted on file systems that rename folders, not on object stores.")
    work = f"{WORK}/{night.folder}"
    _finish(storage, night)
    storage.delete_folder(work)
    files = find_files(storage, night)
    if files.landing:
        parts = night_parts(files)
        plan = _plan(storage, parts, file_bytes)
        names = _build(storage, parts, plan, work, compression)
        _check(storage, [f"{work}/{BUILDING}/{name}" for name in names], plan)
        claims = [*files.landing, *(files.compacted.claims if files.compacted else ())]
        with storage.create(f"{work}/{BUILDING}/{CLAIMS}") as stream:
            stream.write(write_claims(claims, len(plan.offset)))
        storage.move(f"{work}/{BUILDING}", f"{work}/{READY}")
        _finish(storage, night)
    _tidy(storage, night)
    compacted = find_files(storage, night).compacted
    if compacted is None:
        return Compaction(night, 0, 0, 0)
    return Compaction(night, compacted.rows, len(compacted.files), len(files.landing))


def _finish(storage: Storage, night: Night) -> None:
    """Put a finished compaction in its place; each step may be the first after a crash."""
    work, place = f"{WORK}/{night.folder}", f"{NIGHTS}/{night.folder}"
    if storage.exists(f"{work}/{READY}"):
        if storage.exists(place):
            storage.delete_folder(f"{work}/{OLD}")
            storage.move(place, f"{work}/{OLD}")
        storage.move(f"{work}/{READY}", place)
    files = find_files(storage, night)
    for claim in files.superseded:
        storage.delete_file(landing_path(night, claim))


def _tidy(storage: Storage, night: Night) -> None:
    """Remove what killed writers and compactions left."""
    storage.delete_folder(f"{WORK}/{night.folder}")
    folder = landing_folder(night)
    for name in storage.files(folder):
        if name.startswith(".") and name.endswith(TEMPORARY_SUFFIX):
            storage.delete_file(f"{folder}/{name}")


@dataclass(frozen=True, eq=False, slots=True)
class _Plan:
    """Where each row goes; rows in the order in which the parts are read."""

    file: IntArray
    """(n,) number of the file."""
    cell: IntArray
    topic: IntArray
    """(n,) number of the topic in alphabetical order."""
    partition: IntArray
    offset: IntArray

    def order(self) -> IntArray:
        """Return the rows in the order of the compacted night."""
        return np.lexsort((self.offset, self.partition, self.topic, self.cell))


def _plan(storage: Storage, parts: list[Part], file_bytes: int) -> _Plan:
    """Cut the night, in order of cells, into files of about the same size."""
    tables = [table for part in parts for table in read_part(storage, part, _SORT_COLUMNS, {})]
    table = pa.concat_tables(tables)
    _, topic = np.unique(np.array(table["topic"].to_pylist(), dtype=object), return_inverse=True)
    cell, size, partition, offset = (
        table[name].to_numpy() for name in ("healpix5", "packet_bytes", "partition", "offset")
    )
    plan = _Plan(np.zeros(len(table), dtype=np.int64), cell, topic, partition, offset)
    order = plan.order()
    filled = np.cumsum(size[order], dtype=np.int64)
    room = max(file_bytes, -(-int(filled[-1]) // MAX_FILES_OPEN))
    plan.file[order] = (filled - 1) // room
    return plan


def _build(storage: Storage, parts: list[Part], plan: _Plan, work: str, compression: Compression) -> list[str]:
    """Write the files of a night; return their names."""
    spilled = f"{work}/{_SPILL}"
    _spill(storage, parts, plan, spilled)
    names = []
    for number in range(int(plan.file.max()) + 1):
        rows = np.flatnonzero(plan.file == number)
        with storage.open(f"{spilled}/{number}") as stream:
            table = pa.ipc.open_stream(stream).read_all().unify_dictionaries()
        # The spilled rows are in the order of the plan.
        order = np.lexsort((plan.offset[rows], plan.partition[rows], plan.topic[rows], plan.cell[rows]))
        name = cells_name(int(plan.cell[rows].min()), int(plan.cell[rows].max()), number)
        with (
            storage.create(f"{work}/{BUILDING}/{name}") as sink,
            open_writer(sink, table.schema, compression) as writer,
        ):
            write_rows(writer, table.take(pa.array(order)))
        storage.delete_file(f"{spilled}/{number}")
        names.append(name)
    return names


def _spill(storage: Storage, parts: list[Part], plan: _Plan, folder: str) -> None:
    """Hand every row to the file that it belongs to, in one pass over the night."""
    schema = _joint_schema(storage, parts)
    at = 0
    with ExitStack() as stack:
        writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        for part in parts:
            for table in read_part(storage, part, schema.names, {}):
                file = plan.file[at : at + len(table)]
                at += len(table)
                for number in np.unique(file).tolist():
                    if number not in writers:
                        sink = stack.enter_context(storage.create(f"{folder}/{number}"))
                        writers[number] = stack.enter_context(pa.ipc.new_stream(sink, schema))
                    rows = pa.array(np.flatnonzero(file == number))
                    writers[number].write_table(table.take(rows).cast(schema).combine_chunks())


def _joint_schema(storage: Storage, parts: list[Part]) -> pa.Schema:
    """Return the columns of all files; newer versions add some."""
    schemas = []
    for part in parts:
        with open_parquet(storage, part.path) as file:
            schemas.append(file.schema_arrow.remove_metadata())
    try:
        schema = pa.unify_schemas(schemas)
    except pa.ArrowException as error:
        raise ArchiveError("The files of a night have columns of one name and different types.") from error
    # More than 2 GiB of packets fit into one column only with wide offsets.
    return schema.set(schema.get_field_index("body"), pa.field("body", pa.large_binary()))


def _check(storage: Storage, paths: list[str], plan: _Plan) -> None:
    """Read what was written.

    Raises
    ------
    ArchiveError : a packet's checksum is wrong, or a row is missing.
    """
    order = plan.order()
    at = 0
    for path in paths:
        with open_parquet(storage, path) as file:
            for group in range(file.metadata.num_row_groups):
                table = read_group(file, path, group, ("partition", "offset", "header", "body", "packet_xxh64"))
                rows = order[at : at + len(table)]
                at += len(table)
                same = (
                    len(rows) == len(table)
                    and np.array_equal(table["offset"].to_numpy(), plan.offset[rows])
                    and np.array_equal(table["partition"].to_numpy(), plan.partition[rows])
                    and np.array_equal(
                        checksums(join_packets(table["header"], table["body"])), table["packet_xxh64"].to_numpy()
                    )
                )
                if not same:
                    raise ArchiveError(f"The compacted file {path} does not hold what was read; nothing was removed.")
    if at != len(order):
        raise ArchiveError(f"The compacted night holds {at} rows instead of {len(order)}; nothing was removed.")
