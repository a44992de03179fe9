"""Damage to the archive is found and named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from graph.model import Survey
from ingest.archive.compact import compact_night
from ingest.archive.layout import CLAIMS, Night
from ingest.archive.nights import list_nights
from ingest.archive.reader import ArchiveReader
from ingest.archive.verify import NO_ROW, Damage, verify_archive
from ingest.archive.writer import ArchiveWriter


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, ztf: Any, lsst: Any) -> Path:
    """Return an archive that no test may change."""
    folder = tmp_path_factory.mktemp("whole")
    for recording in (ztf, lsst):
        writer = ArchiveWriter(str(folder), sync=False)
        for start in range(0, len(recording.messages), 25):
            recording.write(writer, start, min(start + 25, len(recording.messages)))
    return folder


@pytest.fixture
def root(tmp_path: Path, whole: Path) -> Path:
    """Return a copy of it to damage."""
    return Path(shutil.copytree(whole, tmp_path / "archive"))


def damages(root: Path, **more: Any) -> list[Damage]:
    return list(verify_archive(ArchiveReader(str(root)), **more))


def one_file(root: Path) -> Path:
    return max(root.rglob("*.parquet"))


def rewrite(path: Path, change: Any) -> None:
    pq.write_table(change(pq.read_table(path, partitioning=None)), path, store_schema=False)


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_whole_archive_has_no_damage(root: Path, compacted: bool) -> None:
    reader = ArchiveReader(str(root))
    for night in reader.nights() if compacted else ():
        compact_night(reader.storage, night)
    seen: list[tuple[int, int]] = []
    assert damages(root, progress=lambda done, total: seen.append((done, total))) == []
    n_files = len(list(root.rglob("*.parquet")))
    assert seen == [(i + 1, n_files) for i in range(n_files)]


def test_any_flipped_byte_is_found(root: Path) -> None:
    path = one_file(root)
    honest = path.read_bytes()
    rng = np.random.default_rng(5)
    places = rng.integers(4, len(honest), 8).tolist()
    for at in places:
        path.write_bytes(honest[:at] + bytes([honest[at] ^ 0x10]) + honest[at + 1 :])
        found = damages(root)
        if not found:
            # Page headers and statistics hold bytes that no reader looks at; every value must be the same then.
            path.with_suffix(".honest").write_bytes(honest)
            assert pq.read_table(path, partitioning=None).equals(
                pq.read_table(path.with_suffix(".honest"), partitioning=None)
            )
        assert {damage.path for damage in found} <= {path.relative_to(root).as_posix()}


@pytest.mark.parametrize("size", [0, 3, 100, -1, -9, -4000])
def test_a_file_cut_short_is_named(root: Path, size: int) -> None:
    path = one_file(root)
    path.write_bytes(path.read_bytes()[:size])
    (found,) = damages(root)
    assert (found.path, found.row) == (path.relative_to(root).as_posix(), NO_ROW)
    assert "footer" in found.reason


def test_a_changed_packet_is_named_with_its_row(root: Path) -> None:
    path = one_file(root)
    victim = 3

    def change(table: pa.Table) -> pa.Table:
        bodies = table["body"].to_pylist()
        bodies[victim] = bodies[victim][:200] + b"?" + bodies[victim][201:]
        return replaced(table, "body", pa.array(bodies, pa.binary()))

    offset = pq.read_table(path, partitioning=None)["offset"][victim].as_py()
    rewrite(path, change)
    (found,) = damages(root)
    assert found == Damage(
        path.relative_to(root).as_posix(),
        victim,
        f"alerts.ztf/0/{offset}",
        "The packet's bytes do not have their checksum.",
    )


@pytest.mark.parametrize("name", ["detection_id", "ra_deg", "psf_flux_njy", "healpix5", "n_detections"])
def test_a_changed_value_is_named_with_its_column(root: Path, name: str) -> None:
    path = one_file(root)

    def change(table: pa.Table) -> pa.Table:
        raised = pc.if_else(pa.array(np.arange(len(table)) == 2), pc.add(table[name], 1), table[name])
        return replaced(table, name, raised.cast(table.schema.field(name).type))

    rewrite(path, change)
    assert [(one.row, one.reason) for one in damages(root)] == [(2, f"The column {name} is not what the packet says.")]


def test_a_lost_value_is_named(root: Path) -> None:
    path = one_file(root)
    rewrite(path, lambda table: replaced(table, "band", pa.array([None] * len(table), pa.string())))
    assert {one.reason for one in damages(root)} == {"The column band is not what the packet says."}


def test_a_changed_light_curve_is_named(root: Path) -> None:
    path = one_file(root)

    def change(table: pa.Table) -> pa.Table:
        curves = table["light_curve_band"].to_pylist()
        curves[1] = curves[1][:-1]
        return replaced(table, "light_curve_band", pa.array(curves, pa.list_(pa.string())))

    rewrite(path, change)
    assert [(one.row, one.reason) for one in damages(root)] == [
        (1, "The column light_curve_band is not what the packet says.")
    ]


def test_a_message_that_is_there_twice_is_named(root: Path) -> None:
    path = one_file(root)
    offset = pq.read_table(path, partitioning=None)["offset"][0].as_py()
    rewrite(path, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    (found,) = damages(root)
    assert found.source == f"alerts.ztf/0/{offset}"
    assert found.reason == "The message is in the archive more than once."


def test_a_file_in_the_wrong_night_or_under_a_wrong_name_is_named(root: Path) -> None:
    path = one_file(root)
    shutil.move(path, path.with_name("alerts.ztf-5-000000000000-000000000001.parquet"))
    assert {one.reason for one in damages(root)} == {"The message is not one that the file's name claims."}
    shutil.move(path.with_name("alerts.ztf-5-000000000000-000000000001.parquet"), path)
    (path.parent.parent / "night=20200101").mkdir()
    shutil.move(path, path.parent.parent / "night=20200101" / path.name)
    assert {one.reason for one in damages(root)} == {"The alert is of another night."}


def test_a_file_without_the_columns_is_named(root: Path) -> None:
    path = one_file(root)
    rewrite(path, lambda table: table.select(["offset", "header"]))
    assert [one.reason for one in damages(root)] == ["Row group 0 does not hold the archive's columns."]


def test_missing_rows_are_seen_when_the_ledger_counts(root: Path) -> None:
    reader = ArchiveReader(str(root))
    counted = {
        night: sum(len(batch) for batch in reader.scan(night.survey, night.night, columns=("offset",)))
        for night in reader.nights()
    }
    lost = Night(Survey.LSST, 20200101)
    assert damages(root, expected=counted) == []
    night = reader.nights()[0]
    assert [one.path for one in damages(root, expected={**counted, night: counted[night] + 1})] == [night.folder]
    assert [one.path for one in damages(root, expected={**counted, lost: 3})] == [lost.folder]


def test_a_compacted_night_without_its_claims_is_named(root: Path) -> None:
    reader = ArchiveReader(str(root))
    night = list_nights(reader.storage)[0]
    compact_night(reader.storage, night)
    (root / "nights" / night.folder / CLAIMS).unlink()
    found = damages(root)
    assert [CLAIMS in one.reason for one in found] == [True]
