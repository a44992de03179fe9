"""The client of the X-match service against a server that speaks its protocol, and fails in every way it can."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from graph.errors import ConfigurationError
from ingest.xmatch.breaker import BreakerState, CircuitBreaker
from ingest.xmatch.catalogues import RemoteCatalogue, find_catalogue
from ingest.xmatch.client import ServiceOptions, XMatch
from ingest.xmatch.columns import FailReason, FloatArray, MatchStatus, XMatchColumns
from ingest.xmatch.pacing import MAX_PAUSE_S, Pacing
from ingest.xmatch.protocol import AnswerFormat
from ingest.xmatch.testing import RETRY_AFTER_S, Fault, ImitatedService

RADIUS = 2.0


@dataclass
class FakeTime:
    """Clocks that pass only in pauses."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def pacing(self) -> Pacing:
        return Pacing(lambda: self.now, lambda: self.now, self.sleep, lambda low, high: high)


def catalogue_table(n: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Sources everywhere, with crowds at the poles and at RA 0, and names that need escaping."""
    rng = np.random.default_rng(seed)
    ra = rng.uniform(0.0, 360.0, n)
    dec = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    ra[:100], dec[100:150], dec[150:200] = rng.normal(0.0, 3e-4, 100) % 360.0, 90.0, -90.0
    dec[100:200] -= np.sign(dec[100:200]) * np.abs(rng.normal(0.0, 1e-3, 100))
    return pd.DataFrame(
        {
            "main_id": [f'V* {i}, "A" <&>' for i in range(n)],
            "ra": ra,
            "dec": dec,
            "main_type": rng.choice(["Star", "AGN_Candidate", "RR*"], n),
            "flux": rng.normal(size=n),
        }
    )


def positions(table: pd.DataFrame, n: int = 500, seed: int = 2) -> tuple[FloatArray, FloatArray]:
    """Half of them near a source, half anywhere."""
    rng = np.random.default_rng(seed)
    pick = np.arange(n) % len(table)
    ra = table["ra"].to_numpy()[pick] + rng.normal(0.0, 3e-4, n)
    dec = np.clip(table["dec"].to_numpy()[pick] + rng.normal(0.0, 3e-4, n), -90.0, 90.0)
    far = rng.random(n) < 0.5
    ra[far] = rng.uniform(0.0, 360.0, far.sum())
    return ra % 360.0, dec


TABLE = catalogue_table()
RA, DEC = positions(TABLE)


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Return place and separation [arcsec] of the nearest source, by astropy."""
    sources = SkyCoord(TABLE["ra"].to_numpy() * units.deg, TABLE["dec"].to_numpy() * units.deg)
    place, separation, _ = SkyCoord(RA * units.deg, DEC * units.deg).match_to_catalog_sky(sources)
    return np.asarray(place), separation.arcsec


@pytest.fixture
def service() -> Iterator[ImitatedService]:
    with ImitatedService({"simbad": TABLE}) as running:
        yield running


def client(
    service: ImitatedService,
    fake: FakeTime | None = None,
    form: AnswerFormat = AnswerFormat.VOTABLE,
    breaker: CircuitBreaker | None = None,
    **options: float,
) -> XMatch:
    chosen = {"radius_arcsec": RADIUS, "timeout_s": 5.0, "rows_per_request": 200, **options}
    return XMatch(
        find_catalogue("simbad"),
        ServiceOptions(url=service.url, answer_format=form, **chosen),  # type: ignore[arg-type]
        breaker=breaker,
        pacing=(fake or FakeTime()).pacing(),
    )


def assert_right(found: XMatchColumns, truth: tuple[np.ndarray, np.ndarray], rows: np.ndarray | None = None) -> None:
    """Hold every row that was answered against astropy, and every other against having no label."""
    place, separation = truth
    if rows is not None:
        place, separation = place[rows], separation[rows]
    answered = found.status <= MatchStatus.NO_MATCH
    np.testing.assert_array_equal((found.status == MatchStatus.MATCHED)[answered], (separation <= RADIUS)[answered])
    matched = found.status == MatchStatus.MATCHED
    assert found.source_name[matched].tolist() == TABLE["main_id"].to_numpy()[place[matched]].tolist()
    assert found.label[matched].tolist() == TABLE["main_type"].to_numpy()[place[matched]].tolist()
    np.testing.assert_allclose(found.separation_arcsec[matched], separation[matched], atol=2e-6)
    for column in (found.label, found.source_name):
        assert not any(column[~matched])
    assert np.all(np.isnan(found.separation_arcsec[~matched]))
    assert np.all(np.isfinite(found.asked_unix_s) == answered)
    assert np.all((found.reason == "") == answered)


@pytest.mark.parametrize("form", AnswerFormat)
def test_results_equal_those_of_astropy(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray], form: AnswerFormat
) -> None:
    found = client(service, form=form).match(RA, DEC)
    assert np.all(found.answered)
    assert found.count(MatchStatus.MATCHED) > 150
    assert found.count(MatchStatus.NO_MATCH) > 150
    assert_right(found, truth)
    assert sorted(asked.rows for asked in service.asked) == [100, 200, 200]
    assert service.asked[0].form["distMaxArcsec"] == "2.0"
    assert service.asked[0].form["cat2"] == "simbad"


def test_the_nearest_of_several_sources_is_the_match() -> None:
    near = TABLE.assign(dec=TABLE["dec"] - np.sign(TABLE["dec"]) * 1e-4, main_id="stranger")
    with ImitatedService({"simbad": pd.concat([near, TABLE])}) as service:
        found = client(service).match(RA, DEC)
        sources = SkyCoord(np.r_[near["ra"], TABLE["ra"]] * units.deg, np.r_[near["dec"], TABLE["dec"]] * units.deg)
        mine, _, separation, _ = sources.search_around_sky(
            SkyCoord(RA * units.deg, DEC * units.deg), RADIUS * units.arcsec
        )
        nearest = pd.Series(separation.arcsec).groupby(mine).min()
    np.testing.assert_array_equal(np.flatnonzero(found.status == MatchStatus.MATCHED), nearest.index)
    np.testing.assert_allclose(found.separation_arcsec[nearest.index], nearest, atol=2e-6)


SPOILT = {
    Fault.SERVER_ERROR: FailReason.SERVER_ERROR,
    Fault.BUSY: FailReason.BUSY,
    Fault.TOO_MANY_JOBS: FailReason.BUSY,
    Fault.CUT_IN_ROW: FailReason.INCOMPLETE,
    Fault.CUT_BETWEEN_ROWS: FailReason.INCOMPLETE,
    Fault.SHORT: FailReason.INCOMPLETE,
    Fault.UNFRAMED: FailReason.INCOMPLETE,
    Fault.RESET: FailReason.CONNECTION,
    Fault.HTML: FailReason.NOT_UNDERSTOOD,
    Fault.EMPTY: FailReason.INCOMPLETE,
    Fault.FOREIGN_ROWS: FailReason.FOREIGN_ROWS,
    Fault.MOVED_ROWS: FailReason.FOREIGN_ROWS,
    Fault.FAR_ROWS: FailReason.FOREIGN_ROWS,
    Fault.NOT_NUMBERS: FailReason.NOT_UNDERSTOOD,
    Fault.NOISE: FailReason.NOT_UNDERSTOOD,
}
FINAL = {
    Fault.BAD_REQUEST: FailReason.REFUSED,
    Fault.WRONG_COLUMNS: FailReason.UNKNOWN_COLUMNS,
    Fault.OVERFLOW: FailReason.OVERFLOW,
}
VOTABLE_ONLY = {Fault.TOO_MANY_JOBS, Fault.OVERFLOW, Fault.CUT_BETWEEN_ROWS}
"""In CSV the first two do not exist as such, and the third cannot be seen: why VOTable is the default."""


@pytest.mark.parametrize(
    ("fault", "form"),
    [(f, k) for f in SPOILT for k in AnswerFormat if k is AnswerFormat.VOTABLE or f not in VOTABLE_ONLY],
)
def test_a_failure_that_lasts_is_a_status_and_never_a_label(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray], fault: Fault, form: AnswerFormat
) -> None:
    service.fail(*[fault] * 2)
    found = client(service, form=form, max_attempts=2, max_concurrent=1).match(RA, DEC)
    assert found.count(MatchStatus.FAILED) == 200
    assert set(found.reason[found.status == MatchStatus.FAILED]) == {SPOILT[fault].value}
    assert_right(found, truth)


@pytest.mark.parametrize("fault", SPOILT)
def test_a_failure_that_passes_is_asked_again(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray], fault: Fault
) -> None:
    service.fail(fault, fault)
    found = client(service, max_concurrent=1).match(RA, DEC)
    assert np.all(found.answered)
    assert_right(found, truth)


@pytest.mark.parametrize("fault", FINAL)
def test_what_fails_again_for_sure_is_not_asked_again(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray], fault: Fault
) -> None:
    service.fail(fault)
    found = client(service, max_concurrent=1).match(RA, DEC)
    assert len(service.asked) == 3
    assert found.count(MatchStatus.FAILED) == 200
    assert set(found.reason[found.status == MatchStatus.FAILED]) == {FINAL[fault].value}
    assert_right(found, truth)


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.SILENT])
def test_a_slow_answer_is_not_waited_for(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray], fault: Fault
) -> None:
    service.fail(fault)
    began = time.monotonic()
    found = client(service, max_attempts=1, timeout_s=0.3).match(RA[:150], DEC[:150])
    assert time.monotonic() - began < 4.0
    assert set(found.reason) == {"timeout"}
    assert_right(found, truth, np.arange(150))


@pytest.mark.parametrize("form", AnswerFormat)
def test_rows_that_come_twice_count_once(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray], form: AnswerFormat
) -> None:
    service.fail(*[Fault.DUPLICATED] * 3)
    found = client(service, form=form).match(RA, DEC)
    assert np.all(found.answered)
    assert_right(found, truth)


def test_nobody_there_is_a_status(truth: tuple[np.ndarray, np.ndarray]) -> None:
    with ImitatedService({"simbad": TABLE}) as service:
        gone = client(service, max_attempts=2)
    found = gone.match(RA[:10], DEC[:10])
    assert set(found.reason) == {"connection"}
    assert_right(found, truth, np.arange(10))


def test_only_rows_without_an_answer_are_asked_again(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    asking = client(service, max_attempts=1, max_concurrent=1)
    service.fail(Fault.NONE, Fault.SERVER_ERROR)
    first = asking.match(RA, DEC)
    assert first.count(MatchStatus.FAILED) == 200
    service.asked.clear()
    second = asking.match(RA, DEC, first)
    assert [asked.rows for asked in service.asked] == [200]
    assert np.all(second.answered)
    assert_right(second, truth)
    with pytest.raises(ConfigurationError):
        asking.match(RA[:5], DEC[:5], first)


def test_an_outage_opens_the_breaker_and_its_end_closes_it(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    fake = FakeTime()
    breaker = CircuitBreaker(monotonic=lambda: fake.now, open_s=1000.0, max_open_s=4000.0)
    asking = client(service, fake, breaker=breaker, rows_per_request=10, max_concurrent=2)
    service.fail(*[Fault.SERVER_ERROR] * 1000)
    down = asking.match(RA, DEC)
    assert len(service.asked) <= 6
    assert breaker.state is BreakerState.OPEN
    assert down.count(MatchStatus.FAILED) <= 20
    assert down.count(MatchStatus.NOT_ASKED) == 500 - down.count(MatchStatus.FAILED)
    assert set(down.reason) == {"server_error", "breaker_open"}
    assert_right(down, truth)
    service.asked.clear()
    again = asking.match(RA, DEC)
    assert not service.asked
    assert set(again.reason) == {"breaker_open"}
    service._server.faults.clear()
    fake.now += 2000.0
    up = asking.match(RA, DEC, down)
    assert breaker.state is BreakerState.CLOSED
    assert np.all(up.answered)
    assert_right(up, truth)


def test_a_wish_to_be_left_alone_is_heard(service: ImitatedService) -> None:
    fake = FakeTime()
    service.fail(Fault.BUSY)
    found = client(service, fake).match(RA[:50], DEC[:50])
    assert np.all(found.answered)
    assert fake.pauses[0] >= RETRY_AFTER_S
    assert RETRY_AFTER_S < MAX_PAUSE_S


def test_a_long_wish_opens_the_breaker_at_once(service: ImitatedService, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime()
    monkeypatch.setattr("ingest.xmatch.client.MAX_PAUSE_S", RETRY_AFTER_S - 1.0)
    service.fail(Fault.BUSY)
    asking = client(service, fake, max_concurrent=1)
    found = asking.match(RA, DEC)
    assert not fake.pauses
    assert len(service.asked) == 1
    assert (found.count(MatchStatus.FAILED), found.count(MatchStatus.NOT_ASKED)) == (200, 300)
    fake.now += RETRY_AFTER_S
    assert np.all(asking.match(RA, DEC).answered)


def test_positions_that_are_none_are_not_asked_for(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    ra, dec = RA[:20].copy(), DEC[:20].copy()
    ra[3], dec[4], dec[5], ra[6] = np.nan, 90.1, -np.inf, np.inf
    found = client(service).match(ra, dec)
    assert service.asked[0].rows == 16
    bad = np.arange(3, 7)
    assert set(found.reason[bad]) == {"off_sky"}
    assert np.all(found.status[bad] == MatchStatus.NOT_ASKED)
    assert_right(client(service).match(np.delete(ra, bad), np.delete(dec, bad)), truth, np.delete(np.arange(20), bad))
    assert len(client(service).match(np.empty(0), np.empty(0))) == 0
    with pytest.raises(ConfigurationError):
        client(service).match(ra, dec[:5])


def test_the_same_place_is_asked_for_once(service: ImitatedService) -> None:
    ra = np.array([10.0, 370.0, -350.0, 0.0, 360.0, -0.0, -1e-20])
    dec = np.array([5.0, 5.0, 5.0, 0.0, -0.0, 0.0, 0.0])
    found = client(service).match(ra, dec)
    assert service.asked[0].rows == 2
    assert np.all(found.answered)


def test_a_lone_position_has_an_answer(service: ImitatedService, truth: tuple[np.ndarray, np.ndarray]) -> None:
    for row in range(6):
        assert_right(client(service).match(RA[[row]], DEC[[row]]), truth, np.array([row]))
    assert {asked.rows for asked in service.asked} == {2}


def test_an_event_loop_may_ask_itself(service: ImitatedService, truth: tuple[np.ndarray, np.ndarray]) -> None:
    async def both() -> list[XMatchColumns]:
        asking = client(service)
        return await asyncio.gather(asking.match_async(RA, DEC), asking.match_async(RA, DEC))

    for found in asyncio.run(both()):
        assert_right(found, truth)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://example.org/x"},
        {"url": "http://"},
        {"url": "http://user@example.org/"},
        {"radius_arcsec": 0.0},
        {"radius_arcsec": 181.0},
        {"radius_arcsec": float("nan")},
        {"timeout_s": 0.0},
        {"rows_per_request": 0},
        {"max_attempts": 0},
    ],
)
def test_options_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ServiceOptions(**wrong)  # type: ignore[arg-type]


def test_catalogues_are_known_or_described() -> None:
    assert find_catalogue("vizier:I/355/gaiadr3").service_name == "vizier:I/355/gaiadr3"
    assert find_catalogue("simbad").service_name == "simbad"
    assert find_catalogue("V/147/sdss12", "SDSS12", "class").label_column == "class"
    for arguments in (("V/147/sdss12",), ("a b", "x"), ("x\r\ny", "z"), ("simbad", "a\nb")):
        with pytest.raises(ConfigurationError):
            find_catalogue(*arguments)


def test_a_catalogue_without_types_has_no_labels(truth: tuple[np.ndarray, np.ndarray]) -> None:
    with ImitatedService({"vizier:X/1/t": TABLE}) as service:
        item = RemoteCatalogue("X/1/t", "main_id")
        found = XMatch(item, ServiceOptions(url=service.url, radius_arcsec=RADIUS)).match(RA, DEC)
    assert not any(found.label)
    matched = found.status == MatchStatus.MATCHED
    np.testing.assert_array_equal(matched, truth[1] <= RADIUS)
    assert all(found.source_name[matched])
    assert Path(found.catalogue_id) == Path("X/1/t")


def test_no_more_requests_are_under_way_than_wanted_also_from_two_threads(
    service: ImitatedService, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    asking = client(service, rows_per_request=25, max_concurrent=3)
    results: list[XMatchColumns] = []
    threads = [threading.Thread(target=lambda: results.append(asking.match(RA, DEC))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(service.asked) == 40
    # Two calls at once would have six; the server counts a request for a moment longer than the client waits for it.
    assert 1 < service.most_at_once <= 5
    for found in results:
        assert_right(found, truth)
