"""Which messages a micro-batch consists of, read from Spark's own offset log.

Spark plans each micro-batch from Kafka's offsets and writes the plan to its checkpoint before the batch runs; after a
crash it runs the same plan again. Our executors fetch those ranges themselves (`ingest.fetch`), because a packet of
60 kB costs eight times as much when it goes through the Java machine, see docs/adr/0008-executors-fetch.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from graph.errors import StoreError

Offsets = Mapping[str, Mapping[str, int]]
"""Topic -> partition as text -> offset of the next message; the form of Spark's Kafka source."""

LOG_VERSION = "v1"
"""First line of a file of Spark's offset log, which has been the same since Spark 2.1; another one is refused."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Messages of one partition."""

    topic: str
    partition: int
    offset_from: int
    """First offset."""
    offset_until: int
    """Offset after the last."""

    def __len__(self) -> int:
        """Return the number of offsets; where messages were compacted or aborted there are fewer messages."""
        return self.offset_until - self.offset_from


def planned_ranges(checkpoint: Path, batch_id: int) -> list[OffsetRange]:
    """Return what Spark planned for a micro-batch, in order of topic and partition; empty ranges are left out.

    Parameters
    ----------
    checkpoint : folder of the query; ``batch_id`` is the one that runs now.

    Raises
    ------
    StoreError : the offset log is not there or not of a version that we read.
    """
    end = _read_log(checkpoint / "offsets" / str(batch_id))
    if batch_id > 0:
        start = _read_log(checkpoint / "offsets" / str(batch_id - 1))
    else:
        start = _read_log(checkpoint / "sources" / "0" / "0")
    ranges = [
        OffsetRange(topic, int(partition), int(start.get(topic, {}).get(partition, 0)), int(until))
        for topic, partitions in end.items()
        for partition, until in partitions.items()
    ]
    ranges.sort(key=lambda one: (one.topic, one.partition))
    return [one for one in ranges if len(one) > 0]


def _read_log(path: Path) -> Offsets:
    """Return the Kafka offsets that stand in the last line of a file of Spark's log."""
    try:
        # The oldest files of a source begin with a zero byte, for readers of Spark 2.0.
        lines = path.read_text("utf-8").lstrip("\0").splitlines()
        if lines[0] != LOG_VERSION:
            raise StoreError(f"Spark's offset log {path} has version {lines[0]!r}, not {LOG_VERSION!r}.")
        offsets: Offsets = json.loads(lines[-1])
    except (OSError, ValueError, IndexError) as error:
        raise StoreError(f"Spark's offset log {path} cannot be read: {error}.") from error
    return offsets


def share_ranges(ranges: Sequence[OffsetRange], shares: int, min_offsets: int) -> list[list[OffsetRange]]:
    """Cut ranges into equal shares, one for each task.

    Parameters
    ----------
    shares : wanted number, that of the cores; fewer are made where a share would be smaller than ``min_offsets``.

    Returns
    -------
    Shares of one or several ranges each; together they are the ranges that were given.
    """
    total = sum(map(len, ranges))
    n = max(1, min(shares, total // min_offsets))
    edges = [total * k // n for k in range(1, n + 1)]
    made: list[list[OffsetRange]] = [[] for _ in edges]
    at, share = 0, 0
    for one in ranges:
        first = one.offset_from
        while first < one.offset_until:
            until = min(one.offset_until, first + edges[share] - at)
            made[share].append(replace(one, offset_from=first, offset_until=until))
            at += until - first
            first = until
            share += at == edges[share] and share < n - 1
    return made
