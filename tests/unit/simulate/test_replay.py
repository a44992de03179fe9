"""Recorded files read back as messages."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import fastavro
import pytest

from graph.errors import MalformedPacketError, NotFoundError
from graph.model import Survey
from ingest.replay import iter_alert_messages, iter_notice_messages

if TYPE_CHECKING:
    from pathlib import Path

ZTF_SCHEMA: dict[str, object] = {
    "type": "record",
    "name": "alert",
    "namespace": "ztf",
    "fields": [{"name": "candid", "type": "long"}],
}
LSST_SCHEMA: dict[str, object] = {
    "type": "record",
    "name": "alert",
    "fields": [{"name": "diaSourceId", "type": "long"}],
}


def container(schema: dict[str, object], *numbers: int, codec: str = "null") -> bytes:
    name = "candid" if schema is ZTF_SCHEMA else "diaSourceId"
    out = io.BytesIO()
    fastavro.writer(out, schema, [{name: number} for number in numbers], codec=codec)
    return out.getvalue()


def numbers_of(message: bytes) -> list[int]:
    return [next(iter(record.values())) for record in fastavro.reader(io.BytesIO(message))]


def test_files_come_in_sorted_order_as_they_are(tmp_path: Path) -> None:
    packets = {"b/2.avro": container(ZTF_SCHEMA, 2, codec="deflate"), "a/9.avro": b"\x00\x00\x00\x03\xe8rest"}
    packets["b/1.avro"] = container(LSST_SCHEMA, 1)
    for name, data in packets.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "b" / "notes.txt").write_text("not a packet")
    assert list(iter_alert_messages(tmp_path)) == [
        (Survey.LSST, packets["a/9.avro"]),
        (Survey.LSST, packets["b/1.avro"]),
        (Survey.ZTF, packets["b/2.avro"]),
    ]


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_container_of_many_is_split(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "merged.avro"
    path.write_bytes(container(ZTF_SCHEMA, 3, 1, 2, codec=codec))
    messages = list(iter_alert_messages(path))
    assert [survey for survey, _ in messages] == [Survey.ZTF] * 3
    assert [numbers_of(message) for _, message in messages] == [[3], [1], [2]]


def test_damaged_files_come_out_once(tmp_path: Path) -> None:
    whole = container(ZTF_SCHEMA, 1, 2, 3)
    pieces = {"cut.avro": whole[: len(whole) - 18], "lsst_junk.avro": b"junk", "junk.avro": b"junk", "empty.avro": b""}
    for name, data in pieces.items():
        (tmp_path / name).write_bytes(data)
    messages = list(iter_alert_messages(tmp_path))
    assert (Survey.ZTF, pieces["cut.avro"]) in messages
    assert messages.count((Survey.ZTF, b"junk")) == 1
    assert messages.count((Survey.LSST, b"junk")) == 1
    assert (Survey.ZTF, b"") in messages


def test_every_truncation_is_passed_on(tmp_path: Path) -> None:
    whole = container(ZTF_SCHEMA, 7, 8)
    path = tmp_path / "cut.avro"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        messages = list(iter_alert_messages(path))
        assert messages
        assert messages[-1][1] == whole[:length]


def test_archive_is_read_like_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "night.tar.gz"
    packets = [container(ZTF_SCHEMA, 5), container(ZTF_SCHEMA, 4)]
    with tarfile.open(path, "w:gz") as archive:
        for i, data in enumerate(packets):
            info = tarfile.TarInfo(f"20180819/{9 - i}.avro")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert [message for _, message in iter_alert_messages(path)] == packets
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MalformedPacketError, match=r"night\.tar\.gz is damaged"):
        list(iter_alert_messages(path))


def test_absent_path_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file or folder"):
        list(iter_alert_messages(tmp_path / "nothing"))


def test_notices_know_their_topic_by_their_folder(tmp_path: Path) -> None:
    (tmp_path / "igwn.gwalert").mkdir()
    (tmp_path / "igwn.gwalert" / "a.json").write_bytes(b"{}")
    (tmp_path / "b.xml").write_bytes(b"<voe/>")
    (tmp_path / "c.txt").write_bytes(b"prose")
    assert list(iter_notice_messages(tmp_path)) == [
        (None, tmp_path / "b.xml", b"<voe/>"),
        ("igwn.gwalert", tmp_path / "igwn.gwalert" / "a.json", b"{}"),
    ]


def test_recorded_alerts_are_all_of_the_survey_of_their_folder(shared_data: Path) -> None:
    folders = {
        "ztf_packets/pgb_client": Survey.ZTF,
        "ztf_tar": Survey.ZTF,
        "malformed": Survey.ZTF,
        "lsst_wire": Survey.LSST,
        "lsst_ocf": Survey.LSST,
        "lsst_bulk": Survey.LSST,
    }
    for folder, survey in folders.items():
        messages = list(iter_alert_messages(shared_data / "alerts" / folder))
        assert messages
        assert {found for found, _ in messages} == {survey}


def test_recorded_merged_file_holds_as_many_as_fastavro_counts(shared_data: Path) -> None:
    path = shared_data / "alerts" / "ztf_bulk" / "ztf_20180626_nocutout.avro"
    with path.open("rb") as stream:
        expected = [record["candid"] for record in fastavro.reader(stream)]
    found = [next(fastavro.reader(io.BytesIO(message))) for _, message in iter_alert_messages(path)]
    assert [record["candid"] for record in found] == expected
