"""Re-reads the whole archive and says what is damaged: file, row and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from graph.errors import ArchiveError
from graph.model import Survey
from graph.times import night_of_mjd_tai
from ingest.alerts.columns import BoolArray, IntArray
from ingest.alerts.decode import AlertDecoder
from ingest.archive.layout import Night
from ingest.archive.reader import PARQUET_ERRORS, ArchiveReader, Part, open_parquet, read_group, within
from ingest.archive.split import checksums, join_packets
from ingest.archive.table import SOURCE_COLUMNS, normalised_table

NO_ROW = -1
"""Row of damage to a file or a night as a whole."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the archive that is not as it was written."""

    path: str
    """File or folder below the archive's root."""
    row: int
    """Row of the file, `NO_ROW` for the whole."""
    source: str
    """Message of the row, ``topic/partition/offset``; empty where it cannot be told."""
    reason: str
    """One sentence."""


MAX_MESSAGE_BYTES = 2**30
"""Limit of a packet that is decoded again [byte]: none to speak of, for it was below the stream's limit once."""

Progress = Callable[[int, int], None]
"""Called with the files done and the files in all."""


def verify_archive(
    reader: ArchiveReader,
    progress: Progress | None = None,
    expected: Mapping[Night, int] | None = None,
    decoders: Mapping[Survey, AlertDecoder] | None = None,
) -> Iterator[Damage]:
    """Read every file and yield what is damaged.

    Parameters
    ----------
    expected : rows that each night must have: received less dead, as the ledger says. Nights that it does not name are
        not counted.
    decoders : what packets are decoded with again; needed where schemas were registered.

    Notes
    -----
    Of each row the checksum of the packet is taken anew, the packet is decoded again, and its normalised columns are
    compared with those stored. A message must be there once in the whole archive.
    """
    check = _Check(reader, decoders or {})
    nights: dict[Night, list[Part]] = {}
    for night in reader.nights():
        try:
            nights[night] = reader.parts(night.survey, night.night)
        except ArchiveError as error:
            yield Damage(night.folder, NO_ROW, "", str(error))
    total = sum(map(len, nights.values()))
    done = 0
    for night, parts in nights.items():
        rows = 0
        for part in parts:
            yield from check.file(night, part)
            rows += check.rows
            done += 1
            if progress is not None:
                progress(done, total)
        if expected is not None and rows != expected.get(night, rows):
            reason = f"The night has {rows} rows, the ledger says {expected[night]}."
            yield Damage(night.folder, NO_ROW, "", reason)
    for night in sorted(set(expected or {}) - set(nights)):
        if expected and expected[night]:
            yield Damage(night.folder, NO_ROW, "", f"The night is not there, the ledger says {expected[night]} rows.")
    yield from check.doubles()


class _Check:
    """Checks files one after the other and remembers which messages it has seen."""

    def __init__(self, reader: ArchiveReader, decoders: Mapping[Survey, AlertDecoder]) -> None:
        self._reader = reader
        self._decoders = dict(decoders)
        self._paths: list[str] = []
        self._seen: dict[tuple[str, int], list[tuple[IntArray, int]]] = {}
        self.rows = 0
        """Rows of the file that was checked last."""

    def file(self, night: Night, part: Part) -> Iterator[Damage]:
        """Yield the damage of a file."""
        self.rows = 0
        self._paths.append(part.path)
        try:
            with open_parquet(self._reader.storage, part.path) as file:
                at = 0
                for group in range(file.metadata.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    try:
                        table = read_group(file, part.path, group, None)
                        yield from self._group(night, part, table, at)
                    except ArchiveError as error:
                        yield Damage(part.path, at, "", str(error))
                    except PARQUET_ERRORS:
                        yield Damage(part.path, at, "", f"Row group {group} does not hold the archive's columns.")
                    at += size
        except ArchiveError as error:
            yield Damage(part.path, NO_ROW, "", str(error))

    def _group(self, night: Night, part: Part, table: pa.Table, at: int) -> Iterator[Damage]:
        """Yield the damage of a row group whose first row has number ``at``."""
        rows = np.arange(at, at + len(table))
        if part.ranges is not None:
            counts = within(table["offset"], part.ranges).to_numpy()
            table, rows = table.filter(pa.array(counts)), rows[counts]
        self.rows += len(table)
        sources = self._note(table)
        for reason, wrong in self._faults(night, part, table):
            for i in np.flatnonzero(wrong).tolist():
                yield Damage(part.path, int(rows[i]), sources[i], reason)

    def _note(self, table: pa.Table) -> list[str]:
        """Remember the messages of some rows; return their names."""
        topic, partition, offset = (table[name].to_pylist() for name in SOURCE_COLUMNS)
        places = {*zip(topic, partition, strict=True)}
        for place in places:
            chosen = np.array([one == place for one in zip(topic, partition, strict=True)])
            known = self._seen.setdefault(place, [])
            known.append((table["offset"].to_numpy()[chosen], len(self._paths) - 1))
        return [f"{t}/{p}/{o}" for t, p, o in zip(topic, partition, offset, strict=True)]

    def _faults(self, night: Night, part: Part, table: pa.Table) -> Iterator[tuple[str, BoolArray]]:
        """Yield what may be wrong with rows, and with which it is."""
        packets = join_packets(table["header"], table["body"])
        wrong = checksums(packets) != table["packet_xxh64"].to_numpy()
        yield "The packet's bytes do not have their checksum.", wrong
        if part.claim is not None:
            claim = part.claim
            inside = within(table["offset"], [(claim.first_offset, claim.last_offset)]).to_numpy()
            inside &= pc.and_(
                pc.equal(table["topic"], claim.topic), pc.equal(table["partition"], claim.partition)
            ).to_numpy()
            yield "The message is not one that the file's name claims.", ~inside
        if part.cells is not None:
            yield (
                "The cell is not one that the file's name claims.",
                ~within(table["healpix5"], [part.cells]).to_numpy(),
            )
        # A packet that is damaged says nothing about its row.
        intact = np.flatnonzero(~wrong)
        if night.survey not in self._decoders:
            self._decoders[night.survey] = AlertDecoder(night.survey, max_message_bytes=MAX_MESSAGE_BYTES)
        columns, _ = self._decoders[night.survey].decode([packets[i] for i in intact.tolist()])
        unread = np.zeros(len(table), dtype=bool)
        unread[np.delete(intact, columns.row)] = True
        yield "The packet can no longer be decoded.", unread
        read = intact[columns.row]
        misplaced = np.zeros(len(table), dtype=bool)
        misplaced[read] = night_of_mjd_tai(columns.midpoint_mjd_tai) != night.night
        yield "The alert is of another night.", misplaced
        stored, again = table.take(pa.array(read)), normalised_table(columns)
        for name in again.column_names:
            if name in stored.column_names:
                differs = np.zeros(len(table), dtype=bool)
                differs[read] = _differ(stored[name], again[name])
                yield f"The column {name} is not what the packet says.", differs

    def doubles(self) -> Iterator[Damage]:
        """Yield the messages that are there more than once."""
        for (topic, partition), known in sorted(self._seen.items()):
            offsets = np.concatenate([part for part, _ in known])
            paths = np.repeat([path for _, path in known], [len(part) for part, _ in known])
            order = np.argsort(offsets, kind="stable")
            again = order[1:][np.diff(offsets[order]) == 0]
            for i in again.tolist():
                source = f"{topic}/{partition}/{offsets[i]}"
                yield Damage(self._paths[paths[i]], NO_ROW, source, "The message is in the archive more than once.")


def _differ(stored: pa.ChunkedArray, again: pa.ChunkedArray) -> BoolArray:
    """Return which values of two columns differ; two nulls do not."""
    left, right = stored.combine_chunks(), again.combine_chunks()
    if pa.types.is_list(left.type):
        if left.cast(right.type).equals(right):
            return np.zeros(len(left), dtype=bool)
        return np.array([one != other for one, other in zip(left.to_pylist(), right.to_pylist(), strict=True)])
    unequal = pc.not_equal(left, right.cast(left.type)).fill_null(False)
    return pc.or_(unequal, pc.xor(left.is_null(), right.is_null())).to_numpy(zero_copy_only=False)
