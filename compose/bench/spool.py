"""Packets made ahead: they lie in an Arrow file on disk, so that making them does not disturb a measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

PACKETS_PER_BATCH = 500
"""Packets in one record batch: about 30 MB of ZTF's, 55 MB of LSST's."""

_SCHEMA = pa.schema([("packet", pa.large_binary())])


def write_spool(path: Path, packets: Iterable[bytes]) -> tuple[int, int]:
    """Write packets to a file; return how many there were and how many bytes they have."""
    count = size = 0
    waiting = iter(packets)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, _SCHEMA) as writer:
        while batch := list(islice(waiting, PACKETS_PER_BATCH)):
            writer.write_batch(pa.record_batch([pa.array(batch, pa.large_binary())], schema=_SCHEMA))
            count += len(batch)
            size += sum(map(len, batch))
    return count, size


def read_spool(path: Path) -> Iterator[bytes]:
    """Yield the packets of a file in order, a batch of them in memory at a time."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield from batch.column(0).to_pylist()
