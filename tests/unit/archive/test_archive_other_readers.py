"""The archive as strangers read it: pandas and DuckDB, which know nothing of Heliograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from ingest.archive.compact import compact_night
from ingest.archive.layout import Compression
from ingest.archive.reader import ArchiveReader
from ingest.archive.storage import Storage
from ingest.archive.writer import ArchiveWriter


@pytest.fixture(params=["recent", "nights"])
def part(request: Any, ztf: Any, lsst: Any, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """An archive of two surveys, as the stream leaves it or compacted, and what lies in it by source."""
    expected: dict[str, bytes] = {}
    for recording in (ztf, lsst):
        recording.write(ArchiveWriter(str(tmp_path)), 0, len(recording.messages))
        expected |= recording.expected()
    if request.param == "nights":
        for night in ArchiveReader(str(tmp_path)).nights():
            compact_night(Storage(str(tmp_path)), night, Compression.NONE, 1 << 20)
    return tmp_path / request.param, expected


def test_duckdb_reads_every_packet(part: tuple[Path, dict[str, bytes]]) -> None:
    folder, expected = part
    found = duckdb.read_parquet(f"{folder}/*/*/*.parquet", hive_partitioning=True, union_by_name=True)
    rows = found.project("concat_ws('/', topic, partition, \"offset\"), header, body, survey, night").fetchall()
    assert {source: bytes(header) + bytes(body) for source, header, body, *_ in rows} == expected
    assert len(rows) == len(expected)
    assert {survey for *_, survey, _ in rows} == {"ztf", "lsst"}


def test_pandas_reads_columns_and_light_curves(part: tuple[Path, dict[str, bytes]]) -> None:
    folder, expected = part
    frame = pd.read_parquet(folder, columns=["topic", "ra_deg", "light_curve_midpoint_mjd_tai", "packet_bytes"])
    assert len(frame) == len(expected)
    assert frame["packet_bytes"].sum() == sum(map(len, expected.values()))
    assert frame["ra_deg"].between(0.0, 360.0).all()
    assert (frame["light_curve_midpoint_mjd_tai"].map(len) >= 1).all()
