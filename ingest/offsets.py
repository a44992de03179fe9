"""Which messages a micro-batch consists of, read from Spark's own offset log.

Spark plans each micro-batch from Kafka's offsets and writes the plan to its checkpoint before the batch runs; after a
crash it runs the same plan again. Our executors fetch those ranges themselves (`ingest.fetch`), because a packet of
60 kB costs eight times as much when it goes through the Java machine, see docs/adr/0008-executors-fetch.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from graph.errors import StoreError

Offsets = Mapping[str, Mapping[int, int]]
"""Topic -> partition -> offset of the next message."""

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
    # A partition that the start does not know is new, and is read from its beginning.
    ranges = [
        OffsetRange(topic, partition, start.get(topic, {}).get(partition, 0), until)
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
        return {
            topic: {int(partition): int(offset) for partition, offset in partitions.items()}
            for topic, partitions in json.loads(lines[-1]).items()
        }
    except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise StoreError(f"Spark's offset log {path} cannot be read: {error}.") from error


def cut_blocks(ranges: Sequence[OffsetRange], max_offsets: int) -> list[OffsetRange]:
    """Cut ranges into blocks of nearly equal size, of at most ``max_offsets``.

    A block is what a worker looks at as a whole, so it must not depend on how many workers there are: the same plan,
    run again after a crash, has the same blocks.
    """
    blocks: list[OffsetRange] = []
    for one in ranges:
        n = -(-len(one) // max_offsets)
        edges = [one.offset_from + len(one) * k // n for k in range(n + 1)]
        blocks += [replace(one, offset_from=first, offset_until=until) for first, until in pairwise(edges)]
    return blocks


def share_blocks(blocks: Sequence[OffsetRange], shares: int) -> list[list[OffsetRange]]:
    """Deal blocks out in order, one share for each task; there are never more shares than blocks."""
    n = min(shares, len(blocks))
    edges = [len(blocks) * k // n for k in range(n + 1)] if n else []
    return [list(blocks[first:until]) for first, until in pairwise(edges)]
