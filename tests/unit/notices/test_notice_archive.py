"""Every notice is kept as received: in order, once, whatever is killed, and damage is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.errors import ArchiveError
from ingest.archive.notices import NoticeArchive, Reception

START = datetime(2026, 11, 20, 23, 59, 50, tzinfo=UTC)


class KilledError(Exception):
    """The process ends here."""


def reception(second: float, payload: bytes = b"<a/>", source: str | None = None, topic: str | None = "t") -> Reception:
    moment = START + timedelta(seconds=second)
    return Reception(payload, moment, topic, source or f"t/0/{second:g}", "Swift:1", None)


@pytest.fixture
def archive(tmp_path: Path) -> NoticeArchive:
    return NoticeArchive(str(tmp_path / "archive"))


def files(archive: NoticeArchive) -> list[Path]:
    return sorted(Path(archive._storage.root).rglob("*.parquet"))


def test_what_is_kept_comes_back_as_it_was(archive: NoticeArchive) -> None:
    kept = [
        Reception(b"\x00\xff" * 1000, START, "igwn.gwalert", "igwn.gwalert/0/7", "LVK:S1", None),
        Reception(b"", START + timedelta(microseconds=1), None, "empty.xml", None, "malformed"),
    ]
    archive.append(kept)
    assert list(archive.receptions()) == kept


def test_nothing_kept_is_nothing_read(archive: NoticeArchive) -> None:
    archive.append([])
    assert archive.days() == ()
    assert not list(archive.receptions())
    assert not list(archive.verify())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30, allow_subnormal=False), st.binary(max_size=8)), max_size=40)
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_is_that_of_reception_whoever_wrote(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, float, bytes]]
) -> None:
    root = str(tmp_path_factory.mktemp("archive"))
    writers = [NoticeArchive(root, sync=False) for _ in range(3)]
    expected = []
    for place, (writer, second, payload) in enumerate(written):
        one = reception(second, payload, f"t/0/{place}")
        writers[writer].append([one])
        expected.append(one)
    # Batches of one writer come in order of time; here they need not.
    found = list(NoticeArchive(root).receptions())
    assert sorted(found, key=lambda one: one.source) == sorted(expected, key=lambda one: one.source)
    assert [one.received for one in found] == sorted(one.received for one in found)


def test_until_is_the_last_moment_that_counts(archive: NoticeArchive) -> None:
    archive.append([reception(second) for second in range(20)])
    assert archive.days() == (20261120, 20261121)
    for last in (-1, 0, 9, 10, 19, 30):
        found = list(archive.receptions(until=START + timedelta(seconds=last)))
        assert [one.source for one in found] == [f"t/0/{second}" for second in range(min(last + 1, 20))]


def test_topics_choose(archive: NoticeArchive) -> None:
    archive.append([reception(0), reception(1, topic=None), reception(2, topic="u")])
    assert [one.topic for one in archive.receptions(topics=("u", "t"))] == ["t", "u"]


def test_a_message_delivered_again_is_read_once_and_one_sent_again_twice(archive: NoticeArchive) -> None:
    archive.append([reception(0, b"x", "t/0/5")])
    archive.append([reception(1, b"x", "t/0/5"), reception(2, b"x", "t/0/6"), reception(3, b"y", "t/0/5")])
    # The last one: the topic was made anew, and its offsets began again.
    found = [(one.source, one.payload, (one.received - START).seconds) for one in archive.receptions()]
    assert found == [("t/0/5", b"x", 0), ("t/0/6", b"x", 2), ("t/0/5", b"y", 3)]


def test_a_kill_while_writing_leaves_all_or_nothing(archive: NoticeArchive) -> None:
    archive.append([reception(0)])

    def kill(step: str) -> None:
        raise KilledError(step)

    archive._storage.on_step = kill
    with pytest.raises(KilledError, match="written"):
        archive.append([reception(1)])
    again = NoticeArchive(archive._storage.root)
    assert [one.source for one in again.receptions()] == ["t/0/0"]
    assert not list(again.verify())
    again.append([reception(1)])
    again.append([reception(20)])
    again.merge(20261120)
    assert [one.source for one in again.receptions()] == ["t/0/0", "t/0/1", "t/0/20"]
    assert not [path for path in Path(again._storage.root).rglob("*") if path.name.endswith(".tmp")]


def test_a_merged_day_holds_the_same_in_one_file(archive: NoticeArchive) -> None:
    for second in range(9):
        archive.append([reception(second, bytes([second]) * 100)])
    archive.append([reception(0.5, b"delivered again", "t/0/1")])
    before = list(archive.receptions())
    done = archive.merge(20261120)
    assert (done.rows, done.merged_files) == (10, 10)
    assert len(files(archive)) == 1
    assert list(archive.receptions()) == before
    assert archive.merge(20261120).merged_files == 0


@pytest.mark.parametrize("steps", range(8))
def test_a_merge_killed_anywhere_loses_and_doubles_nothing(archive: NoticeArchive, steps: int) -> None:
    for second in range(4):
        archive.append([reception(second)])
    before = list(archive.receptions())

    def kill_later() -> Iterator[None]:
        yield from [None] * steps
        raise KilledError

    left = kill_later()
    archive._storage.on_step = lambda _: next(left, None)
    with suppress(KilledError):
        archive.merge(20261120)
    again = NoticeArchive(archive._storage.root)
    assert list(again.receptions()) == before
    again.merge(20261120)
    assert list(again.receptions()) == before
    assert [pq.read_metadata(path).num_rows for path in files(again)] == [4]
    assert not list(again.verify())


def test_damage_is_found_and_never_read_as_a_notice(archive: NoticeArchive) -> None:
    archive.append([reception(0, b"n" * 5000)])
    (path,) = files(archive)
    sound = path.read_bytes()
    table = pq.read_table(path, partitioning=None)
    bent = table.set_column(table.schema.get_field_index("payload"), "payload", [[b"m" * 5000]])
    pq.write_table(bent, path, store_schema=False)
    assert [one.reason for one in archive.verify()] == ["The notice's bytes do not have their checksum."]
    path.write_bytes(sound[: len(sound) // 2])
    assert [one.row for one in archive.verify()] == [-1]
    with pytest.raises(ArchiveError, match="damaged"):
        list(archive.receptions())
    path.write_bytes(sound)
    other = path.parent.parent / "day=20261121"
    other.mkdir()
    path.rename(other / path.name)
    assert [one.reason for one in archive.verify()] == ["The notice is of another day."]


def test_a_merge_stops_at_damage_and_removes_nothing(archive: NoticeArchive) -> None:
    archive.append([reception(0)])
    archive.append([reception(1)])
    files(archive)[0].write_bytes(b"PAR1")
    with pytest.raises(ArchiveError):
        archive.merge(20261120)
    assert len(files(archive)) == 2


def test_other_readers_see_plain_columns(archive: NoticeArchive) -> None:
    archive.append([reception(0), reception(20)])
    table = pq.read_table(Path(archive._storage.root) / "notices")
    assert table.column_names[:3] == ["received", "topic", "source"]
    assert table["payload"].to_pylist() == [b"<a/>"] * 2
    assert sorted(map(int, table["day"].to_pylist())) == [20261120, 20261121]
