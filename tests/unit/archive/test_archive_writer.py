"""Writing to the archive: exact bytes, exactly once."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy_healpix import HEALPix
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.errors import ArchiveError, ConfigurationError
from graph.model import Survey
from ingest.alerts.columns import BANDS
from ingest.alerts.decode import AlertDecoder
from ingest.archive.layout import Claim, Compression, missing_ranges
from ingest.archive.reader import ArchiveReader
from ingest.archive.writer import ArchiveWriter
from ingest.replay import iter_alert_messages

EXAMPLES = settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


def writer_of(root: Path, compression: Compression = Compression.NONE) -> ArchiveWriter:
    return ArchiveWriter(str(root), compression, sync=False)


def data_files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "recent").rglob("*.parquet"))


@pytest.mark.parametrize("survey", list(Survey))
@pytest.mark.parametrize("compression", list(Compression))
def test_packets_come_back_byte_for_byte(
    tmp_path: Path, recordings: Any, stored: Any, survey: Survey, compression: Compression
) -> None:
    recording = recordings[survey]
    n = recording.write(writer_of(tmp_path, compression), 0, len(recording.messages), partitions=2)
    assert stored(tmp_path) == recording.expected(partitions=2)
    assert n == len(recording.expected())


def test_recorded_packets_come_back_byte_for_byte(tmp_path: Path, shared_data: Path, stored: Any) -> None:
    messages: dict[Survey, list[bytes]] = {survey: [] for survey in Survey}
    for folder in ("ztf_packets", "lsst_packets", "lsst_wire", "lsst_ocf"):
        for survey, message in iter_alert_messages(shared_data / "alerts" / folder):
            if len(messages[survey]) < 200:
                messages[survey].append(message)
    expected = {}
    for survey, packets in messages.items():
        batch = pa.array(packets, pa.binary())
        columns, _ = AlertDecoder(survey).decode(batch)
        number = np.arange(len(packets))
        writer_of(tmp_path).write(f"t-{survey}", number * 0, number, number, batch, columns)
        expected |= {f"t-{survey}/0/{i}": packets[i] for i in columns.row.tolist()}
    assert len(expected) > 20
    assert stored(tmp_path) == expected


def test_every_normalised_value_is_there(tmp_path: Path, ztf: Any) -> None:
    ztf.write(writer_of(tmp_path), 0, len(ztf.messages))
    columns, _ = ztf.decoder.decode(pa.array(ztf.messages, pa.binary()))
    rows = {}
    reader = ArchiveReader(str(tmp_path))
    for night in reader.nights():
        for batch in reader.scan(night.survey, night.night):
            rows |= {row["detection_id"]: row for row in batch.to_pylist()}
    curves = columns.light_curves
    for i in range(len(columns)):
        row = rows[int(columns.detection_id[i])]
        assert row["object_id"] == columns.object_id[i]
        assert row["band"] == BANDS[columns.band[i]]
        assert row["is_public"] == columns.is_public[i]
        assert row["packet_bytes"] == len(ztf.messages[columns.row[i]])
        for name in ("ra_deg", "midpoint_mjd_tai", "psf_flux_njy", "reliability", "star_galaxy_score"):
            value = getattr(columns, name)[i]
            assert row[name] is None if math.isnan(value) else row[name] == value
        assert row["solar_system_id"] == (columns.solar_system_id[i] or None)
        points = slice(curves.offsets[i], curves.offsets[i + 1])
        fluxes = [None if math.isnan(value) else value for value in curves.psf_flux_njy[points].tolist()]
        assert row["light_curve_psf_flux_njy"] == fluxes
        assert row["light_curve_band"] == [BANDS[code] for code in curves.band[points]]
        cell = HEALPix(nside=32, order="nested").lonlat_to_healpix(
            *np.deg2rad([row["ra_deg"], row["dec_deg"]]) * _rad()
        )
        assert row["healpix5"] == cell


def _rad() -> Any:
    from astropy import units

    return units.rad


def test_rows_are_in_order_of_offset_and_times_are_utc(tmp_path: Path, lsst: Any) -> None:
    lsst.write(writer_of(tmp_path), 0, len(lsst.messages))
    for path in data_files(tmp_path):
        table = pq.read_table(path, partitioning=None)
        assert table["offset"].to_pylist() == sorted(table["offset"].to_pylist())
        assert table.schema.field("kafka_timestamp").type == pa.timestamp("ms", tz="UTC")
        assert pq.ParquetFile(path).schema_arrow.metadata is None


@EXAMPLES
@given(
    cuts=st.lists(st.lists(st.integers(0, 64), min_size=0, max_size=5), min_size=1, max_size=4),
    partitions=st.integers(1, 3),
    fresh=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_any_replay_cut_in_any_way_gives_the_same_rows(
    ztf: Any, stored: Any, cuts: list[list[int]], partitions: int, fresh: list[bool]
) -> None:
    n = len(ztf.messages)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        writer = writer_of(root)
        for cut, is_new in zip(cuts, fresh, strict=False):
            writer = writer_of(root) if is_new else writer
            for start, stop in pairwise([0, *sorted({one for one in cut if 0 < one < n}), n]):
                ztf.write(writer, start, stop, partitions)
        assert stored(root) == ztf.expected(partitions=partitions)
        # Tools that know nothing of claims see each row once as well.
        names = ["topic", "partition", "offset"]
        tables = [pq.read_table(path, columns=names, partitioning=None) for path in data_files(root)]
        rows = pa.concat_tables(tables).to_pylist()
        assert len({tuple(row.values()) for row in rows}) == len(rows)


@EXAMPLES
@given(st.data())
def test_any_parts_in_any_order_by_two_processes_give_the_same_rows(ztf: Any, stored: Any, data: Any) -> None:
    n = len(ztf.messages)
    with tempfile.TemporaryDirectory() as folder:
        writers = [writer_of(Path(folder)), writer_of(Path(folder))]
        stretches = data.draw(st.lists(st.tuples(st.integers(0, n), st.integers(0, n), st.booleans()), max_size=6))
        for one, other, which in [*stretches, (0, n, False)]:
            if one != other:
                ztf.write(writers[which], min(one, other), max(one, other))
        assert stored(Path(folder)) == ztf.expected()


@pytest.mark.parametrize("at", range(6))
def test_killed_anywhere_and_repeated_the_rows_are_the_same(
    tmp_path: Path, ztf: Any, stored: Any, killer: Any, killed: type[BaseException], at: int
) -> None:
    writer = writer_of(tmp_path)
    writer._storage.on_step = killer(at)
    with pytest.raises(killed):
        ztf.write_cut(writer, (0, 20, 50, len(ztf.messages)))
    expected = ztf.expected()
    assert stored(tmp_path).items() <= expected.items()
    again = writer_of(tmp_path)
    for start, stop in ((0, 33), (33, len(ztf.messages))):
        ztf.write(again, start, stop)
    assert stored(tmp_path) == expected


def test_a_process_that_is_killed_leaves_nothing_half(tmp_path: Path, lsst: Any, stored: Any) -> None:
    messages = list(lsst.expected().values())
    (tmp_path / "packets").write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in messages))
    script = """
import os, sys
import numpy as np, pyarrow as pa
from pathlib import Path
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.archive.writer import ArchiveWriter
data, packets = Path(sys.argv[1], "packets").read_bytes(), []
while data:
    size = int.from_bytes(data[:4], "big")
    packets.append(data[4:4 + size])
    data = data[4 + size:]
writer = ArchiveWriter(sys.argv[1] + "/archive")
for i in range(0, len(packets), 5):
    batch = pa.array(packets[i:i + 5], pa.binary())
    offset = np.arange(i, i + len(batch))
    if i == 15:
        writer._storage.on_step = lambda _: os.kill(os.getpid(), 9)
    writer.write("t", offset * 0, offset, offset, batch, AlertDecoder(Survey.LSST).decode(batch)[0])
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    before = stored(tmp_path / "archive")
    assert before == {f"t/0/{i}": messages[i] for i in range(15)}
    number = np.arange(len(messages))
    batch = pa.array(messages, pa.binary())
    columns, _ = lsst.decoder.decode(batch)
    writer_of(tmp_path / "archive").write("t", number * 0, number, number, batch, columns)
    assert stored(tmp_path / "archive") == {f"t/0/{i}": message for i, message in enumerate(messages)}


def test_a_repeated_batch_writes_nothing(tmp_path: Path, ztf: Any) -> None:
    ztf.write(writer_of(tmp_path), 0, 40)
    before = {path: path.stat().st_ino for path in data_files(tmp_path)}
    assert len({path.parent for path in before}) == 2  # two nights
    assert ztf.write(writer_of(tmp_path), 0, 40) == len(ztf.expected(0, 40))
    assert {path: path.stat().st_ino for path in data_files(tmp_path)} == before


def test_a_stream_that_goes_on_does_not_list(tmp_path: Path, ztf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = writer_of(tmp_path)
    ztf.write(writer, 0, 40)
    monkeypatch.setattr(writer, "_look", lambda night: pytest.fail("listed"))
    ztf.write(writer, 40, 50)


def test_a_file_cut_short_is_written_again(tmp_path: Path, ztf: Any, stored: Any) -> None:
    ztf.write(writer_of(tmp_path), 0, len(ztf.messages))
    for path in data_files(tmp_path):
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ArchiveError, match="footer"):
        stored(tmp_path)
    ztf.write(writer_of(tmp_path), 0, len(ztf.messages))
    assert stored(tmp_path) == ztf.expected()


def test_a_disk_that_refuses_is_an_error_of_ours(tmp_path: Path, ztf: Any) -> None:
    (tmp_path / "archive").write_text("a file, not a folder")
    with pytest.raises(ArchiveError):
        ztf.write(writer_of(tmp_path / "archive"), 0, 5)


def test_an_unknown_kind_of_place_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError):
        ArchiveWriter("nowhere://archive")


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6),
)
def test_missing_ranges_are_what_is_left(a: int, b: int, spans: list[tuple[int, int]]) -> None:
    first, last = min(a, b), max(a, b)
    claims = [Claim("t", 0, min(span), max(span)) for span in spans]
    held = {i for claim in claims for i in range(claim.first_offset, claim.last_offset + 1)}
    left = [i for low, high in missing_ranges(first, last, claims) for i in range(low, high + 1)]
    assert left == sorted(set(range(first, last + 1)) - held)
