"""Writes packets as received and their normalised rows, exactly once whatever is killed or repeated.

Kafka's messages never change, so the rows of an offset are the same whenever they are written. A file claims a range of
offsets of one partition and one night, appears under its name as a whole, and is never changed; a replay writes only
what no file claims yet, however it is cut into batches. See `ingest.archive.layout` for the names.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graph.model import Survey
from graph.times import night_of_mjd_tai
from ingest.alerts.columns import AlertColumns, IntArray
from ingest.archive.layout import Claim, Compression, Night, missing_ranges
from ingest.archive.nights import find_files, landing_folder, landing_path
from ingest.archive.split import PacketSplitter
from ingest.archive.storage import Storage
from ingest.archive.table import (
    join_columns,
    normalised_table,
    open_writer,
    packet_table,
    source_table,
    write_rows,
)

logger = logging.getLogger(__name__)

NIGHTS_REMEMBERED = 32
"""Nights whose claims are kept in memory; alerts of an older night cost one more listing."""

DAMAGED_SUFFIX = ".damaged"
"""End of the names of files that were set aside; they also begin with a dot, so that no reader takes them."""


class ArchiveWriter:
    """Writes batches of one stream to the archive; kept for as long as the process.

    Not to be used from two threads at once. Several processes may write at once, each its own offsets; a task that is
    tried again by another process must cut its offsets into the same batches, as Spark does.
    """

    def __init__(self, root: str, compression: Compression = Compression.NONE, *, sync: bool = True) -> None:
        """Prepare to write; nothing is touched yet.

        Parameters
        ----------
        root : path or URI of the archive.
        compression : of the packets' bodies.
        sync : wait until the disk has each file, see `ingest.archive.storage.Storage`.
        """
        self._storage = Storage(root, sync=sync)
        self._compression = compression
        self._splitter = PacketSplitter()
        self._claims: dict[Night, dict[tuple[str, int], set[Claim]]] = {}
        self._next: dict[tuple[str, int], int] = {}

    def write(  # noqa: PLR0917 - a batch as its parts; all are always given
        self,
        topic: str,
        partition: IntArray,
        offset: IntArray,
        timestamp_ms: IntArray,
        messages: pa.Array,
        columns: AlertColumns,
    ) -> int:
        """Write the messages of a batch that could be decoded; return how many there are in the archive now.

        Parameters
        ----------
        topic : of all messages.
        partition, offset : (n,) where each message came from.
        timestamp_ms : (n,) Kafka's time of each [ms since 1970, UTC]; negative when it has none.
        messages : (n,) binary, the whole batch.
        columns : the m of them that could be decoded; ``columns.row`` says which.

        Raises
        ------
        ArchiveError : a file could not be written; the same call may be repeated.
        """
        row = columns.row
        if not len(row):
            return 0
        batch = _Batch(
            survey=columns.survey,
            messages=messages,
            row=row,
            offset=offset[row].astype(np.int64),
            night=night_of_mjd_tai(columns.midpoint_mjd_tai),
            described=join_columns(
                source_table(topic, partition[row], offset[row], timestamp_ms[row]), normalised_table(columns)
            ),
        )
        owner = partition[row]
        for number in np.unique(owner).tolist():
            # Refused messages are part of the claim: they will be refused again.
            whole = offset[partition == number]
            claim = Claim(topic, number, int(whole.min()), int(whole.max()))
            self._write_partition(claim, batch, np.flatnonzero(owner == number))
        return len(row)

    def _write_partition(self, claim: Claim, batch: _Batch, chosen: IntArray) -> None:
        """Write the rows of one partition, one file for each night."""
        place = (claim.topic, claim.partition)
        continued = self._next.pop(place, None) == claim.first_offset
        for number in np.unique(batch.night[chosen]).tolist():
            night = Night(batch.survey, number)
            if not continued or night not in self._claims:
                self._look(night)
            of_night = chosen[batch.night[chosen] == number]
            offsets = batch.offset[of_night]
            for first, last in missing_ranges(claim.first_offset, claim.last_offset, self._sound(night, claim)):
                part = of_night[(offsets >= first) & (offsets <= last)]
                if len(part):
                    wanted = Claim(*place, first, last)
                    self._write_file(landing_path(night, wanted), batch, part)
                    self._claims[night][place].add(wanted)
        self._next[place] = claim.last_offset + 1

    def _look(self, night: Night) -> None:
        """List what is there of a night: another process may have written some of it."""
        known: dict[tuple[str, int], set[Claim]] = defaultdict(set)
        found = find_files(self._storage, night)
        for claim in (*found.landing, *(found.compacted.claims if found.compacted else ())):
            known[claim.topic, claim.partition].add(claim)
        self._claims.pop(night, None)
        while len(self._claims) >= NIGHTS_REMEMBERED:
            del self._claims[next(iter(self._claims))]
        self._claims[night] = known

    def _sound(self, night: Night, wanted: Claim) -> list[Claim]:
        """Return the claims that overlap with a range and hold; put files that cannot be read out of the way."""
        of_partition = self._claims[night][wanted.topic, wanted.partition]
        overlapping = [
            claim
            for claim in of_partition
            if claim.first_offset <= wanted.last_offset and claim.last_offset >= wanted.first_offset
        ]
        for claim in tuple(overlapping):
            path = landing_path(night, claim)
            if not self._storage.exists(path) or self._is_whole(path):
                # What is there no more has been compacted since.
                continue
            logger.warning("The archive's file %s is damaged; its messages are written again.", path)
            self._storage.move(path, f"{landing_folder(night)}/.{claim.file_name}{DAMAGED_SUFFIX}")
            of_partition.discard(claim)
            overlapping.remove(claim)
        return overlapping

    def _is_whole(self, path: str) -> bool:
        """Return whether a file's footer can be read; power may fail after a file got its name."""
        try:
            with self._storage.open(path) as stream:
                return pq.ParquetFile(stream).metadata.num_rows > 0
        except (pa.ArrowException, OSError):
            return False

    def _write_file(self, path: str, batch: _Batch, part: IntArray) -> None:
        """Write some rows of a batch in order of their offsets, each offset once."""
        part = part[np.unique(batch.offset[part], return_index=True)[1]]
        described = batch.described if len(part) == len(batch.row) else batch.described.take(pa.array(part))
        table = join_columns(described, packet_table(self._splitter.split(batch.messages, batch.row[part])))
        with self._storage.create(path) as sink, open_writer(sink, table.schema, self._compression) as writer:
            write_rows(writer, table)


@dataclass(frozen=True, eq=False, slots=True)
class _Batch:
    """The m messages of a batch that could be decoded."""

    survey: Survey
    messages: pa.Array
    """(n,) all messages of the batch."""
    row: IntArray
    """(m,) which of them."""
    offset: IntArray
    night: IntArray
    described: pa.Table
    """(m,) source and normalised columns."""
