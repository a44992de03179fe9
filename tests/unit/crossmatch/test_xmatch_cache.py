"""The cache of the X-match client: what is kept, for how long, and that a damaged file costs requests only."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.xmatch.cache import FILE_NAME, MatchCache
from ingest.xmatch.catalogues import RemoteCatalogue
from ingest.xmatch.client import ServiceOptions, XMatch
from ingest.xmatch.columns import EntryColumns, MatchStatus, XMatchColumns
from ingest.xmatch.pacing import Pacing
from ingest.xmatch.testing import Fault, ImitatedService

N = 60
SKY = np.random.default_rng(3)
RA, DEC = SKY.uniform(0, 360, N), np.degrees(np.arcsin(SKY.uniform(-1, 1, N)))
TABLE = pd.DataFrame({"main_id": [f"s{i}" for i in range(N)], "ra": RA, "dec": DEC, "main_type": "Star"}).iloc[: N // 2]
DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


def open_cache(folder: Path, clock: Clock | None = None, max_bytes: int = 1 << 30) -> MatchCache:
    return MatchCache(folder, max_age_s=DAY, max_bytes=max_bytes, unix_s=clock or Clock())


def ask(
    service: ImitatedService,
    cache: MatchCache,
    version: str = "1",
    radius_arcsec: float = 1.0,
    label: str = "main_type",
) -> XMatchColumns:
    asking = XMatch(
        RemoteCatalogue("simbad", "main_id", label, version),
        ServiceOptions(url=service.url, radius_arcsec=radius_arcsec, max_attempts=1),
        cache=cache,
        pacing=Pacing(unix_s=Clock()),
    )
    return asking.match(RA, DEC)


@pytest.fixture
def service() -> object:
    with ImitatedService({"simbad": TABLE}) as running:
        yield running


def same(one: XMatchColumns, other: XMatchColumns) -> None:
    for name in ("status", "reason", "label", "source_name", "separation_arcsec", "asked_unix_s"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_is_kept_needs_no_request(service: ImitatedService, tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    first = ask(service, cache)
    assert (first.count(MatchStatus.MATCHED), first.count(MatchStatus.NO_MATCH)) == (N // 2, N // 2)
    cache.close()
    second = ask(service, open_cache(tmp_path))
    assert len(service.asked) == 1
    same(first, second)


@pytest.mark.parametrize("other", [{"version": "2"}, {"radius_arcsec": 1.5}, {"label": ""}])
def test_another_version_radius_or_column_is_asked_for(
    service: ImitatedService, tmp_path: Path, other: dict[str, str]
) -> None:
    cache = open_cache(tmp_path)
    ask(service, cache)
    ask(service, cache, **other)  # type: ignore[arg-type]
    assert [asked.rows for asked in service.asked] == [N, N]


def test_old_answers_are_asked_for_again(service: ImitatedService, tmp_path: Path) -> None:
    clock = Clock()
    cache = open_cache(tmp_path, clock)
    ask(service, cache)
    clock.now += 0.9 * DAY
    ask(service, cache)
    assert len(service.asked) == 1
    clock.now += 0.2 * DAY
    ask(service, cache)
    assert len(service.asked) == 2


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.CUT_BETWEEN_ROWS, Fault.EMPTY, Fault.FOREIGN_ROWS])
def test_failures_are_never_kept(service: ImitatedService, tmp_path: Path, fault: Fault) -> None:
    cache = open_cache(tmp_path)
    service.fail(fault)
    assert ask(service, cache).count(MatchStatus.FAILED) == N
    assert np.all(ask(service, cache).answered)
    assert [asked.rows for asked in service.asked] == [N, N]


def test_a_position_that_differs_in_the_last_bit_is_another_one(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    ra, dec = RA[:5], DEC[:5]
    none = EntryColumns(np.empty(0, np.int64), *np.empty((2, 0), object), np.empty(0))
    cache.keep("s", ra, dec, none, 1e9)
    assert len(cache.find("s", ra, dec).place) == 5
    assert len(cache.find("s", np.nextafter(ra, 400.0), dec).place) == 0
    assert len(cache.find("s", ra, np.nextafter(dec, 0.0)).place) == 0
    assert len(cache.find("t", ra, dec).place) == 0
    assert len(cache.find("s", ra[:0], dec[:0]).place) == 0


def test_newer_answers_replace_older_ones(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    row = np.array([0])
    text = np.array(["a"], dtype=object)
    cache.keep("s", RA[:1], DEC[:1], EntryColumns(row, text, text, np.array([0.5])), 1e9)
    cache.keep("s", RA[:1], DEC[:1], EntryColumns(row[:0], text[:0], text[:0], np.empty(0)), 1e9 + 1)
    kept = cache.find("s", RA[:1], DEC[:1])
    assert kept.asked_unix_s.tolist() == [1e9 + 1]
    assert len(kept.found) == 0


def damage(path: Path, kind: str) -> None:
    body = path.read_bytes()
    if kind == "noise":
        path.write_bytes(b"this is no database" * 1000)
    elif kind == "halved":
        path.write_bytes(body[: len(body) // 2 + 100])
    elif kind == "overwritten":
        path.write_bytes(body[:1024] + bytes(255 - byte for byte in body[1024:]))
    elif kind == "of somebody else":
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE answers (x)")
        other.close()
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize("kind", ["noise", "halved", "overwritten", "of somebody else", "empty"])
def test_a_damaged_file_is_replaced(
    service: ImitatedService, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = open_cache(tmp_path)
    first = ask(service, cache)
    cache.close()
    damage(tmp_path / FILE_NAME, kind)
    cache = open_cache(tmp_path)
    same(first, ask(service, cache))
    assert "damaged" in caplog.text or kind == "empty"
    asked = len(service.asked)
    ask(service, cache)
    cache.close()
    assert len(ask(service, open_cache(tmp_path))) == N
    # The first reading may find the damage, or only the second; after that it is whole.
    assert len(service.asked) <= asked + 1


def test_the_file_stays_within_its_size(tmp_path: Path) -> None:
    limit = 300_000
    cache = open_cache(tmp_path, max_bytes=limit)
    rng = np.random.default_rng(4)
    for step in range(30):
        ra, dec = rng.uniform(0, 360, 1000), rng.uniform(-90, 90, 1000)
        none = EntryColumns(np.empty(0, np.int64), *np.empty((2, 0), object), np.empty(0))
        cache.keep("s", ra, dec, none, 1e9 + step)
    assert len(cache.find("s", ra, dec).place) == 1000
    cache.close()
    assert (tmp_path / FILE_NAME).stat().st_size < 1.5 * limit


def write_many(folder: str, seed: int) -> None:
    cache = open_cache(Path(folder))
    for step in range(10):
        rng = np.random.default_rng(100 * seed + step)
        ra, dec = rng.uniform(0, 360, 200), rng.uniform(-90, 90, 200)
        text = np.full(200, f"{seed}-{step}", dtype=object)
        cache.keep("s", ra, dec, EntryColumns(np.arange(200), text, text, np.full(200, 0.1)), 1e9)
    cache.close()


def test_several_processes_and_threads_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers: list[object] = [context.Process(target=write_many, args=(str(tmp_path), 1))]
    workers += [threading.Thread(target=write_many, args=(str(tmp_path), seed)) for seed in (2, 3)]
    for worker in workers:
        worker.start()  # type: ignore[attr-defined]
    for worker in workers:
        worker.join(60)  # type: ignore[attr-defined]
    cache = open_cache(tmp_path)
    for seed in (1, 2, 3):
        for step in range(10):
            rng = np.random.default_rng(100 * seed + step)
            kept = cache.find("s", rng.uniform(0, 360, 200), rng.uniform(-90, 90, 200))
            assert kept.found.label.tolist() == [f"{seed}-{step}"] * 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90), st.booleans()),
        min_size=1,
        max_size=20,
        unique_by=lambda item: (item[0] + 0.0, item[1] + 0.0),
    )
)
def test_what_is_kept_comes_back(tmp_path: Path, rows: list[tuple[float, float, bool]]) -> None:
    cache = open_cache(tmp_path)
    ra, dec = np.array([row[0] for row in rows]) + 0.0, np.array([row[1] for row in rows]) + 0.0
    matched = np.flatnonzero([row[2] for row in rows])
    names = np.array([f"ü{i}" for i in matched], dtype=object)
    found = EntryColumns(matched, names, names, matched / 7.0)
    cache.keep(repr(rows), ra, dec, found, 1e9)
    kept = cache.find(repr(rows), ra, dec)
    cache.close()
    assert kept.place.tolist() == list(range(len(rows)))
    assert kept.found.row.tolist() == matched.tolist()
    assert kept.found.source_name.tolist() == names.tolist()
    np.testing.assert_array_equal(kept.found.separation_arcsec, found.separation_arcsec)
