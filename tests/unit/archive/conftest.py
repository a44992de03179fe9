"""A short night of both surveys, decoded, and a way to write stretches of it to an archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.archive.reader import ArchiveReader
from ingest.archive.writer import ArchiveWriter
from ingest.simulate import simulate_night

FIRST_OFFSET = 1000
"""Offset of the first message of each topic: an old topic does not begin at 0."""


@dataclass(frozen=True)
class Recording:
    """A topic as Kafka holds it: messages by offset, some of them nonsense."""

    survey: Survey
    messages: list[bytes]
    decoder: AlertDecoder

    @property
    def topic(self) -> str:
        return f"alerts.{self.survey.value}"

    def write(self, writer: ArchiveWriter, start: int, stop: int, partitions: int = 1) -> int:
        """Write messages ``start`` to ``stop`` as one batch; message i is in partition i modulo ``partitions``."""
        batch = pa.array(self.messages[start:stop], pa.binary())
        columns, _ = self.decoder.decode(batch)
        number = np.arange(start, stop)
        times = 1_795_000_000_000 + number
        offset = FIRST_OFFSET + number // partitions
        return writer.write(self.topic, number % partitions, offset, times, batch, columns)

    def write_cut(self, writer: ArchiveWriter, places: Sequence[int]) -> None:
        """Write the messages between the first and the last place, a batch between each two."""
        for start, stop in pairwise(places):
            self.write(writer, start, stop)

    def expected(self, start: int = 0, stop: int | None = None, partitions: int = 1) -> dict[str, bytes]:
        """Return the readable packets by source."""
        stop = len(self.messages) if stop is None else stop
        columns, _ = self.decoder.decode(pa.array(self.messages[start:stop], pa.binary()))
        return {
            f"{self.topic}/{i % partitions}/{FIRST_OFFSET + i // partitions}": self.messages[i]
            for i in (columns.row + start).tolist()
        }


def _stored(root: Path) -> dict[str, bytes]:
    reader = ArchiveReader(str(root))
    found: dict[str, bytes] = {}
    for night in reader.nights():
        for batch in reader.scan(night.survey, night.night, columns=("topic", "partition", "offset", "header", "body")):
            for row in batch.to_pylist():
                source = f"{row['topic']}/{row['partition']}/{row['offset']}"
                assert source not in found
                found[source] = row["header"] + row["body"]
    return found


class Killed(BaseException):
    """Stands for kill -9: nothing in the code under test may catch it."""


@pytest.fixture(scope="session")
def stored() -> Callable[[Path], dict[str, bytes]]:
    """Return what reads every packet of an archive by source and fails if one is there twice."""
    return _stored


@pytest.fixture(scope="session")
def killed() -> type[BaseException]:
    return Killed


@pytest.fixture(scope="session")
def killer() -> Callable[[int], Callable[[str], None]]:
    """Return what makes a hook that lets ``at`` steps pass and kills at the next one."""

    def at_step(at: int) -> Callable[[str], None]:
        steps = iter(range(at + 1))

        def step(_: str) -> None:
            if next(steps, None) == at:
                raise Killed

        return step

    return at_step


def _recording(survey: Survey, packets: list[bytes]) -> Recording:
    messages = [packets[0], b"", b"Obj\x01 nonsense", *packets[1:], packets[5][:-40], b"\x00\x00\x00\x00\x07"]
    return Recording(survey, messages, AlertDecoder(survey))


@pytest.fixture(scope="session")
def recordings() -> dict[Survey, Recording]:
    """Return both topics: 60 ZTF alerts of two nights, 30 of LSST, and a few messages that are none."""
    # The observing night changes at noon UTC.
    night = simulate_night(11, 60, 30, datetime(2026, 11, 20, 11, 30, tzinfo=UTC), 3600.0)
    packets = {Survey.ZTF: list(night.ztf), Survey.LSST: list(night.lsst)}
    return {survey: _recording(survey, packets[survey]) for survey in Survey}


@pytest.fixture(scope="session")
def ztf(recordings: dict[Survey, Recording]) -> Recording:
    return recordings[Survey.ZTF]


@pytest.fixture(scope="session")
def lsst(recordings: dict[Survey, Recording]) -> Recording:
    return recordings[Survey.LSST]
