"""Nights as streams: bounded memory, order, cadence, every class in packets that another reader reads."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from graph.model import Survey
from ingest.simulate import (
    SimulatedNight,
    SourceClass,
    glint_trails,
    population,
    send_streams,
    simulate_night,
    survey_sky,
)
from ingest.simulate import alert_stream as streams
from ingest.simulate.lsst_schema import load_lsst_schema
from ingest.simulate.observe import observe_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.simulate.observe import Observed
    from ingest.simulate.population import Sources
    from ingest.simulate.schedule import Schedule

START = datetime(2026, 10, 12, 3, 0, tzinfo=UTC)


def make(n_ztf: int, n_lsst: int, duration_s: float = 1800.0, **changes: Any) -> SimulatedNight:
    arguments = {"seed": 4, "start": START, "cutouts": False, **changes}
    return simulate_night(n_alerts_ztf=n_ztf, n_alerts_lsst=n_lsst, duration_s=duration_s, **arguments)


def rows_of(night: SimulatedNight, survey: Survey) -> dict[str, Any]:
    rows = night.truth.filter(pc.equal(night.truth["survey"], survey.value))
    return {name: np.array(rows[name].to_pylist()) for name in rows.column_names}


@pytest.fixture(scope="module")
def every_class() -> SimulatedNight:
    """Return a night in which rare kinds are as frequent as the others."""
    even = {name: recipe._replace(share_ztf=1.0, share_lsst=1.0) for name, recipe in population.RECIPES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(population, "RECIPES", even)
        patch.setattr(glint_trails, "GLINT_SHARE", 0.1)
        night = make(1300, 1000, 400.0)
        # The fields are kept, so that the night stays as it is when the mix is as before.
        assert len(list(night.ztf)) == 1300
        assert len(list(night.lsst)) == 1000
    return night


def test_every_class_is_there(every_class: SimulatedNight) -> None:
    for survey in Survey:
        assert set(rows_of(every_class, survey)["class"].tolist()) == {one.value for one in SourceClass}


def test_another_reader_reads_ztf_packets_of_every_class(every_class: SimulatedNight) -> None:
    expected = rows_of(every_class, Survey.ZTF)
    # A reader parses the schema of each packet anew, so some of each class will do.
    chosen = {row for one in SourceClass for row in np.flatnonzero(expected["class"] == one.value)[:30].tolist()}
    for i, packet in enumerate(every_class.ztf):
        if i not in chosen:
            continue
        (record,) = fastavro.reader(io.BytesIO(packet))
        assert record["candid"] == record["candidate"]["candid"] == expected["detection_id"][i]
        assert record["objectId"] == expected["object_id"][i]
        assert record["cutoutScience"] is record["cutoutTemplate"] is record["cutoutDifference"] is None
        known = record["candidate"]["ssdistnr"] >= 0.0
        assert known == (record["candidate"]["ssnamenr"] != "null") == (expected["solar_system_id"][i] is not None)


def test_another_reader_reads_lsst_packets_of_every_class(every_class: SimulatedNight) -> None:
    expected, schema = rows_of(every_class, Survey.LSST), load_lsst_schema().alert
    flagged, streaks = [], []
    for i, packet in enumerate(every_class.lsst):
        stream = io.BytesIO(packet[5:])
        record: Any = fastavro.schemaless_reader(stream, schema)
        assert stream.read() == b""
        source = record["diaSource"]
        assert record["diaSourceId"] == expected["detection_id"][i]
        assert source["visit"] == expected["exposure_id"][i]
        assert record["cutoutScience"] is record["cutoutTemplate"] is record["cutoutDifference"] is None
        flagged.append(source["glint_trail"])
        streaks.append(source["trailLength"])
    glint, streak = expected["class"] == "satellite glint", expected["class"] == "SSO streak"
    assert not np.array(flagged)[~glint].any()
    assert np.array(flagged)[glint].mean() > 0.6
    # 2 to 15 degrees a day over 30 s.
    assert 2.4 < np.array(streaks)[streak].min() <= np.array(streaks)[streak].max() < 18.8
    assert np.array(streaks)[~streak].max() < 0.4


def test_truth_has_one_class_for_each_object_and_one_row_for_each_alert(every_class: SimulatedNight) -> None:
    for survey in Survey:
        rows = rows_of(every_class, survey)
        assert len(set(rows["detection_id"].tolist())) == len(rows["detection_id"])
        fixed = rows["object_id"] != ""
        pairs = set(zip(rows["object_id"][fixed].tolist(), rows["class"][fixed].tolist(), strict=True))
        assert len(pairs) == len(set(rows["object_id"][fixed].tolist()))


def test_exposures_are_shared_by_the_alerts_of_one_moment(every_class: SimulatedNight) -> None:
    for survey in Survey:
        rows = rows_of(every_class, survey)
        exposures = set(rows["exposure_id"].tolist())
        moments = set(zip(rows["exposure_id"].tolist(), rows["midpoint_mjd_tai"].tolist(), strict=True))
        assert len(exposures) == len(moments) == len(set(rows["midpoint_mjd_tai"].tolist()))
    ztf = rows_of(every_class, Survey.ZTF)
    assert (ztf["exposure_id"] == ztf["detection_id"] // 10**10).all()


def test_most_asteroids_are_associated_and_some_are_not(every_class: SimulatedNight) -> None:
    for survey in Survey:
        rows = rows_of(every_class, survey)
        known = np.array([name is not None for name in rows["solar_system_id"].tolist()])
        assert 0.75 < known[rows["class"] == "SSO"].mean() < 1.0
        assert 0.1 < known[rows["class"] == "SSO streak"].mean() < 0.75
        assert not known[~np.isin(rows["class"], ["SSO", "SSO streak"])].any()


def test_glints_of_a_trail_lie_on_one_great_circle_in_one_exposure() -> None:
    rows = rows_of(make(4000, 0, 400.0), Survey.ZTF)
    glint = rows["class"] == "satellite glint"
    trails = {number for number in rows["trail"].tolist() if number is not None}
    assert len(trails) >= 2
    assert (np.array([number is not None for number in rows["trail"].tolist()]) == glint).all()
    for number in trails:
        chosen = rows["trail"] == number
        assert 5 <= chosen.sum() <= 20
        assert len(set(rows["exposure_id"][chosen].tolist())) == 1
        assert len(set(rows["object_id"][chosen].tolist())) == chosen.sum()
        ra, dec = np.radians(rows["ra_deg"][chosen].astype(float)), np.radians(rows["dec_deg"][chosen].astype(float))
        places = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
        _, _, axes = np.linalg.svd(places)
        residual = np.degrees(np.arcsin(np.abs(places @ axes[2]))) * 3600.0
        assert 0.05 < residual.max() < 3.0
        apart = np.degrees(2.0 * np.arcsin(0.5 * np.linalg.norm(places[:, None] - places[None, :], axis=2))) * 3600.0
        assert apart[~np.eye(len(apart), dtype=bool)].min() > 10.0


def test_a_kept_night_and_one_made_again_for_each_visit_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = make(300, 200, 300.0, cutouts=True)
    expected = [*kept.ztf, *kept.lsst]
    monkeypatch.setattr(streams, "KEPT_POINTS", 0)
    again = make(300, 200, 300.0, cutouts=True)
    assert [*again.ztf, *again.lsst] == expected
    assert again.truth.equals(kept.truth)
    assert again.catalogue.equals(kept.catalogue)


def test_batches_hold_the_same_packets() -> None:
    night = make(900, 700, cutouts=True)
    for stream in night.streams.values():
        batches = list(stream.iter_batches())
        assert {batch.type for batch in batches} == {pa.large_binary()}
        assert [packet.as_py() for batch in batches for packet in batch] == list(stream)


def test_packets_without_cutouts_are_small_and_those_with_them_realistic() -> None:
    sizes = {}
    for cutouts in (False, True):
        night = make(60, 60, 300.0, cutouts=cutouts)
        sizes[cutouts] = [np.mean([len(packet) for packet in stream]) for stream in (night.ztf, night.lsst)]
    assert sizes[False][0] < 30e3
    assert sizes[False][1] < 10e3
    assert 55e3 < sizes[True][0] < 76e3
    assert 100e3 < sizes[True][1] < 143e3


def test_memory_does_not_grow_with_the_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEPT_POINTS", 10_000)
    peaks = []
    next(iter(make(600, 0, 300.0).ztf))
    for n in (1_200, 4_800):
        # The same density of alerts: four times the night.
        night = make(n, 0, n / 1.5)
        tracemalloc.start()
        assert sum(len(batch) for batch in night.ztf.iter_batches()) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.4 * peaks[0]


def test_ten_million_alerts_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(rng: np.random.Generator, schedule: Schedule, field: int, n_alerts: int, given: Sources) -> Observed:
        made.append(field)
        return observe_field(rng, schedule, field, n_alerts, given)

    monkeypatch.setattr(survey_sky, "observe_field", counted)
    night = make(0, 10_000_000, 39_063.0)
    assert len(night.lsst) == 10_000_000
    per_visit = 10_000_000 / len(night.lsst.sky.schedule.visits_tonight)
    assert per_visit == pytest.approx(10_000, rel=0.02)
    first = next(iter(night.lsst.iter_batches()))
    assert len(first) == streams.CHUNK_ALERTS
    assert len(made) == 1


def test_cadence_is_that_of_the_surveys() -> None:
    night = make(0, 0, 9000.0)
    looks = {}
    for survey, stream in night.streams.items():
        schedule = stream.sky.schedule
        visits = [schedule.visits_of(field) for field in range(len(schedule))]
        gaps = np.array([np.diff(schedule.midpoint_mjd_tai[one])[0] for one in visits]) * 1440.0
        assert 20.0 < gaps.min() <= gaps.max() < 60.0
        looks[survey] = {len(one) for one in visits}
        assert (np.diff(schedule.midpoint_mjd_tai[schedule.visits_tonight]) > 0.0).all()
        if survey is Survey.ZTF:
            assert set(schedule.band[schedule.visits_tonight].tolist()) == {1, 2}
    assert looks == {Survey.ZTF: {2, 3}, Survey.LSST: {2}}


def test_alerts_come_in_the_order_of_visits() -> None:
    night = make(3000, 3000)
    for survey in Survey:
        assert (np.diff(rows_of(night, survey)["midpoint_mjd_tai"].astype(float)) >= 0.0).all()


def test_the_plane_of_the_galaxy_has_more_alerts_than_its_poles() -> None:
    sky = make(100_000, 0, 9000.0).ztf.sky
    latitude = np.abs(sky.schedule.galactic_latitude_deg)
    assert sky.n_alerts[latitude < 10.0].mean() > 2.0 * sky.n_alerts[latitude > 40.0].mean()


class _Recorder:
    """Takes messages and remembers when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.messages: list[tuple[str, bytes, float]] = []
        self.flushed = 0

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        assert key is None
        assert headers is None
        self.messages.append((topic, value, self.now))

    def flush(self) -> None:
        self.flushed += 1

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_packets_are_sent_at_the_rate_and_flushed_once() -> None:
    night, bus = make(700, 350), _Recorder()
    sent = send_streams({"a": night.ztf, "b": night.lsst}, bus, 200.0, clock=lambda: bus.now, sleep=bus.sleep)
    assert sent == {"a": 700, "b": 350}
    assert bus.flushed == 1
    assert [value for topic, value, _ in bus.messages if topic == "a"] == list(night.ztf)
    times = np.array([at for topic, _, at in bus.messages if topic == "a"])
    # No second has more than a twentieth over the rate.
    assert times[-1] == pytest.approx(3.45, abs=0.06)
    assert max(np.histogram(times, np.arange(0.0, 5.0))[0]) <= 210
