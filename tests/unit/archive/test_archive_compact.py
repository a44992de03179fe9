"""Compacted nights: the same rows whatever is killed, sorted and pruned by cell."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from graph.errors import ArchiveError, NotFoundError
from graph.model import Survey
from ingest.archive import reader as reading
from ingest.archive.compact import compact_night, finished_nights
from ingest.archive.layout import Claim, merge_claims, parse_cells_name, read_claims
from ingest.archive.nights import list_nights
from ingest.archive.reader import ArchiveReader
from ingest.archive.storage import Storage
from ingest.archive.writer import ArchiveWriter

SMALL_FILE_BYTES = 600_000
"""Ten packets of ZTF."""


def filled(root: Path, recording: Any, steps: tuple[int, ...] = (0, 10, 25, 65), partitions: int = 2) -> Storage:
    writer = ArchiveWriter(str(root), sync=False)
    for start, stop in pairwise(steps):
        recording.write(writer, start, stop, partitions)
    return Storage(str(root), sync=False)


def compact_all(storage: Storage, file_bytes: int = SMALL_FILE_BYTES) -> None:
    for night in list_nights(storage):
        compact_night(storage, night, file_bytes=file_bytes)


def test_compaction_keeps_every_row_and_drops_the_sources(tmp_path: Path, ztf: Any, stored: Any) -> None:
    storage = filled(tmp_path, ztf)
    compact_all(storage)
    assert stored(tmp_path) == ztf.expected(partitions=2)
    assert not list((tmp_path / "recent").rglob("*.parquet"))
    assert not [path for path in (tmp_path / ".work").rglob("*") if path.is_file()]
    assert len(list((tmp_path / "nights").rglob("*.parquet"))) > 4


def test_files_are_sorted_by_cell_and_say_which(tmp_path: Path, ztf: Any) -> None:
    compact_all(filled(tmp_path, ztf))
    for folder in (tmp_path / "nights").rglob("night=*"):
        cells = []
        for path in sorted(folder.glob("*.parquet"), key=lambda path: path.name.rpartition("-")[2]):
            held = pq.read_table(path, columns=["healpix5"], partitioning=None)["healpix5"].to_pylist()
            assert parse_cells_name(path.name) == (held[0], held[-1])
            cells += held
        assert cells == sorted(cells)


def test_other_tools_read_all_nights_at_once(tmp_path: Path, ztf: Any, lsst: Any) -> None:
    filled(tmp_path, ztf)
    compact_all(filled(tmp_path, lsst))
    frame = pd.read_parquet(tmp_path / "nights")
    assert len(frame) == len(ztf.expected()) + len(lsst.expected())
    packets = {*(frame["header"] + frame["body"])}
    assert packets == {*ztf.expected().values(), *lsst.expected().values()}
    assert set(frame["survey"]) == {"ztf", "lsst"}
    cell = int(frame["healpix5"].iloc[0])
    some = pd.read_parquet(tmp_path / "nights", columns=["healpix5"], filters=[("healpix5", "==", cell)])
    assert len(some) == (frame["healpix5"] == cell).sum()
    # What has no types of its own, like SQL, must find plain ones.
    kinds = {str(field.type) for field in pa.dataset.dataset(tmp_path / "nights", format="parquet").schema}
    plain = {"binary", "string", "int32", "int64", "double", "bool", "timestamp[ms, tz=UTC]"}
    assert kinds <= plain | {f"list<element: {kind}>" for kind in plain}


def test_cells_choose_rows_and_spare_files(tmp_path: Path, ztf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compact_all(filled(tmp_path, ztf))
    reader = ArchiveReader(str(tmp_path))
    opened: list[str] = []
    honest = reading.open_parquet
    monkeypatch.setattr(reading, "open_parquet", lambda storage, path: (opened.append(path), honest(storage, path))[1])
    for night in reader.nights():
        every = [c for b in reader.scan(night.survey, night.night, columns=("healpix5",)) for c in b[0].to_pylist()]
        n_files = len(opened)
        opened.clear()
        for cell in {every[0], every[-1]}:
            found = reader.scan(night.survey, night.night, cells=[cell], columns=("healpix5", "object_id"))
            assert sum(len(batch) for batch in found) == every.count(cell)
            assert len(opened) < n_files
            opened.clear()
        assert not list(reader.scan(night.survey, night.night, cells=[]))


@pytest.mark.parametrize("at", range(18))
def test_killed_anywhere_and_called_again_the_rows_are_the_same(
    tmp_path: Path, ztf: Any, stored: Any, killer: Any, killed: type[BaseException], at: int
) -> None:
    writer = ArchiveWriter(str(tmp_path), sync=False)
    ztf.write(writer, 0, 30)
    night = list_nights(Storage(str(tmp_path)))[0]
    compact_night(Storage(str(tmp_path), sync=False), night)
    # A second compaction has an older night to take the place of.
    ztf.write(writer, 30, len(ztf.messages))
    expected = ztf.expected()
    storage = Storage(str(tmp_path), sync=False)
    storage.on_step = killer(at)
    with pytest.raises(killed):
        compact_all(storage, file_bytes=2**27)
    assert stored(tmp_path) == expected
    # The stream comes back first, cut otherwise, and then the compaction.
    ztf.write(ArchiveWriter(str(tmp_path), sync=False), 0, len(ztf.messages))
    assert stored(tmp_path) == expected
    compact_all(Storage(str(tmp_path), sync=False))
    assert stored(tmp_path) == expected
    assert not list((tmp_path / "recent").rglob("*.parquet"))
    frame = pd.read_parquet(tmp_path / "nights", columns=["offset"])
    assert len(frame) == frame["offset"].nunique() == len(expected)


def test_a_replay_after_compaction_writes_nothing(tmp_path: Path, ztf: Any) -> None:
    compact_all(filled(tmp_path, ztf, partitions=1))
    ztf.write(ArchiveWriter(str(tmp_path), sync=False), 0, len(ztf.messages))
    assert not list((tmp_path / "recent").rglob("*.parquet"))


def test_a_writer_that_goes_on_does_not_notice(tmp_path: Path, ztf: Any, stored: Any) -> None:
    writer = ArchiveWriter(str(tmp_path), sync=False)
    ztf.write(writer, 0, 30)
    compact_all(Storage(str(tmp_path), sync=False))
    ztf.write(writer, 20, len(ztf.messages))
    assert stored(tmp_path) == ztf.expected()


def test_rows_that_two_streams_wrote_count_once(tmp_path: Path, ztf: Any, stored: Any) -> None:
    for steps in ((0, 30, 63), (0, 40, 63)):
        one = tmp_path / f"from-{steps[1]}"
        filled(one, ztf, steps, partitions=1)
        shutil.copytree(one, tmp_path / "both", dirs_exist_ok=True)
    expected = ztf.expected(0, 63)
    assert stored(tmp_path / "both") == expected
    compact_all(Storage(str(tmp_path / "both"), sync=False))
    assert stored(tmp_path / "both") == expected
    assert len(pd.read_parquet(tmp_path / "both" / "nights", columns=["offset"])) == len(expected)


def test_a_damaged_source_is_not_removed(tmp_path: Path, ztf: Any) -> None:
    storage = filled(tmp_path, ztf)
    before = sorted((tmp_path / "recent").rglob("*.parquet"))
    broken = before[0]
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(ArchiveError):
        compact_all(storage)
    assert {broken} <= {*(tmp_path / "recent").rglob("*.parquet")}
    assert not list((tmp_path / "nights" / broken.parent.relative_to(tmp_path / "recent")).glob("*"))


def test_files_of_an_older_version_are_taken_in(tmp_path: Path, ztf: Any, stored: Any) -> None:
    storage = filled(tmp_path, ztf)
    old = min((tmp_path / "recent").rglob("*.parquet"))
    table = pq.read_table(old, partitioning=None)
    pq.write_table(table.drop_columns(["reliability"]), old, store_schema=False)
    reader = ArchiveReader(str(tmp_path))
    rows = [
        row
        for night in reader.nights()
        for batch in reader.scan(night.survey, night.night, columns=("offset", "reliability"))
        for row in batch.to_pylist()
    ]
    assert sum(row["reliability"] is None for row in rows) >= len(table)
    compact_all(storage)
    assert stored(tmp_path) == ztf.expected(partitions=2)


def test_the_newest_night_of_a_survey_is_not_finished(tmp_path: Path, ztf: Any, lsst: Any) -> None:
    filled(tmp_path, lsst)
    storage = filled(tmp_path, ztf)
    nights = list_nights(storage)
    assert {night.survey for night in nights} == set(Survey)
    newest = {survey: max(night.night for night in nights if night.survey is survey) for survey in Survey}
    assert set(finished_nights(storage)) == {night for night in nights if night.night < newest[night.survey]}


def test_single_packets_are_found_before_and_after(tmp_path: Path, ztf: Any) -> None:
    storage = filled(tmp_path, ztf)
    reader = ArchiveReader(str(tmp_path))
    columns, _ = ztf.decoder.decode(pa.array(ztf.messages, pa.binary()))
    for _ in range(2):
        for source, packet in list(ztf.expected(partitions=2).items())[::9]:
            found = []
            for night in reader.nights():
                try:
                    found.append(reader.packet(Survey.ZTF, night.night, source))
                except NotFoundError:
                    continue
            assert found == [packet]
        by_id = dict(zip(columns.detection_id.tolist(), columns.row.tolist(), strict=True))
        night = reader.nights()[0]
        ids = [i for b in reader.scan(night.survey, night.night, columns=("detection_id",)) for i in b[0].to_pylist()]
        for detection_id in ids[::5]:
            packet = reader.packet_of_detection(Survey.ZTF, night.night, detection_id)
            assert packet == ztf.messages[by_id[detection_id]]
        compact_all(storage)


@pytest.mark.parametrize("source", ["", "a/b", "alerts.ztf/0/99999", "a/b/c", "alerts.ztf/0/1000x", "/0/1000", "a/0/²"])
def test_what_is_not_there_is_not_found(tmp_path: Path, ztf: Any, source: str) -> None:
    storage = filled(tmp_path, ztf)
    with pytest.raises(NotFoundError):
        ArchiveReader(str(tmp_path)).packet(Survey.ZTF, list_nights(storage)[0].night, source)
    with pytest.raises(NotFoundError):
        ArchiveReader(str(tmp_path)).packet_of_detection(Survey.ZTF, 19700101, 1)


def test_an_absent_archive_is_empty(tmp_path: Path) -> None:
    assert ArchiveReader(str(tmp_path / "nowhere")).nights() == ()


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"version": 2, "rows": 1, "claims": []}', b'{"version": 1, "rows": 1, "claims": [1]}']
)
def test_damaged_claims_are_an_error_of_ours(text: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_claims(text)


def test_claims_side_by_side_become_one() -> None:
    claims = [
        Claim("a", 0, 5, 9),
        Claim("a", 0, 0, 4),
        Claim("a", 1, 10, 12),
        Claim("b", 1, 13, 13),
        Claim("a", 1, 11, 20),
    ]
    assert merge_claims(claims) == [Claim("a", 0, 0, 9), Claim("a", 1, 10, 20), Claim("b", 1, 13, 13)]
