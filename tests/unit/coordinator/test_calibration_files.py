"""The background from night to night: what is counted, kept, refused and used; and the pictures of a calibration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from lxml import etree
from typer.testing import CliRunner

from compose.background import (
    BACKGROUND_FILE,
    BETWEEN_NIGHTS_S,
    CALIBRATION_FILE,
    CHECKED_EVERY_S,
    FEWEST_NIGHTS,
    PATIENCE_S,
    NightlyBackground,
    background_from_nights,
    measure_night,
    night_bounds_mjd_tai,
    night_of,
    read_correction,
    read_nights,
    write_correction,
    write_nights,
)
from compose.calibration import calibrate_input, input_from_files
from compose.calibration_plot import MARGIN, SIDE, Curve, pp_plot
from compose.cli.main import build_app
from compose.config import Settings
from coordinator.background import DEFAULT_BACKGROUND, SHAPE, SurveyTally
from coordinator.config import CoordinatorSettings
from coordinator.correction import Correction, PMap
from coordinator.flaring import FEWEST_NIGHTS as FEWEST_FLARE_NIGHTS
from coordinator.strata import CELL_PIXELS, N_CELLS, latitude_of_cells
from graph.errors import ConfigurationError, NotFoundError
from graph.sky_counts import SkyCounts
from graph.times import night_of_mjd_tai

NIGHT = 61100


class RecordedGraph:
    """Answers the counting statements from rows, and says what it was asked."""

    def __init__(self, new: list[dict[str, Any]], visited: list[dict[str, Any]]) -> None:
        self.new, self.visited = new, visited
        self.asked: list[tuple[str, float, float]] = []
        self.asked_flares: list[tuple[float, float]] = []

    def read(self, name: str, from_mjd_tai: float, until_mjd_tai: float, **bins: int) -> list[dict[str, Any]]:
        if name == "count_flaring":
            self.asked_flares.append((from_mjd_tai, until_mjd_tai))
            return [{"survey": "ztf", "n": 300}]
        assert bins == {"cell_pixels": CELL_PIXELS}
        self.asked.append((name, from_mjd_tai, until_mjd_tai))
        return {"count_new_objects": self.new, "count_visited_cells": self.visited}[name]


class Newest:
    def __init__(self, mjd_tai: float) -> None:
        self.mjd_tai = mjd_tai

    def newest_midpoint_mjd_tai(self) -> float:
        return self.mjd_tai


def rows(n_each: int = 500) -> RecordedGraph:
    new = [{"survey": "ztf", "found": [["SN", 40, 7, n_each], [None, None, 8, 1]]}]
    visited = [{"survey": "ztf", "cells": [7, 8]}, {"survey": "lsst", "cells": [3]}]
    return RecordedGraph(new, visited)


def settings_of(home: Path, **coordinator: Any) -> Settings:
    return Settings(home=home, coordinator=CoordinatorSettings(**coordinator))


def counts_of(graph: RecordedGraph) -> SkyCounts:
    return SkyCounts(graph)  # type: ignore[arg-type]


def random_night(seed: int, scale: float = 3.0) -> SurveyTally:
    rng = np.random.default_rng(seed)
    return SurveyTally(rng.poisson(scale, SHAPE), rng.integers(0, 2, N_CELLS), 1)


@pytest.mark.parametrize("mjd_tai", [61100.51, 61100.9, 61101.2, 61101.49])
def test_nights_are_those_of_the_ledger(mjd_tai: float) -> None:
    begin, end = night_bounds_mjd_tai(night_of(mjd_tai))
    assert begin <= mjd_tai < end
    assert night_of(mjd_tai) == NIGHT
    inside = night_of_mjd_tai(np.array([begin + 1e-6, mjd_tai, end - 1e-6]))
    assert len(set(inside.tolist())) == 1
    assert night_of_mjd_tai(np.array([end + 1e-6]))[0] > inside[0]


def test_a_night_is_counted_by_survey_class_magnitude_and_cell() -> None:
    graph = rows()
    counted = measure_night(counts_of(graph), NIGHT)
    assert {(begin, end) for _, begin, end in graph.asked} == {night_bounds_mjd_tai(NIGHT)}
    assert set(counted) == {"ztf", "lsst"}
    ztf = counted["ztf"]
    # 20.0 to 20.5 is the fourth magnitude bin; a supernova is explosive.
    assert ztf.new_objects[0, 3, latitude_of_cells()[7]] == 500
    assert ztf.new_objects[3, -1, latitude_of_cells()[8]] == 1
    assert ztf.new_objects.sum() == 501
    assert np.flatnonzero(ztf.visits).tolist() == [7, 8]
    assert counted["lsst"].new_objects.sum() == 0


def test_nights_survive_the_file(tmp_path: Path) -> None:
    nights = {NIGHT: {"ztf": random_night(1), "lsst": random_night(2)}, NIGHT + 1: {}}
    file = tmp_path / "deep" / BACKGROUND_FILE
    write_nights(file, nights)
    again = read_nights(file)
    assert set(again) == {NIGHT, NIGHT + 1}
    for name in ("ztf", "lsst"):
        assert np.array_equal(again[NIGHT][name].new_objects, nights[NIGHT][name].new_objects)
        assert np.array_equal(again[NIGHT][name].visits, nights[NIGHT][name].visits)
    assert read_nights(tmp_path / "absent.json") == {}
    write_nights(file, again)
    first = file.read_bytes()
    write_nights(file, nights)
    assert file.read_bytes() == first


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"version":2}',
        b'{"version":1,"cell_order":5,"strata":[4,7,4],"nights":[1]}',
        b'{"version":1,"cell_order":5,"strata":[4,7,4],"nights":{"x":{}}}',
        b'{"version":1,"cell_order":5,"strata":[4,7,4],"nights":{"1":{"ztf":{}}}}',
        b'{"version":1,"cell_order":5,"strata":[4,7,4],"nights":{"1":{"ztf":{"new_objects":[[9,9,9,1]],"visited":[]}}}}',
        b'{"version":1,"cell_order":5,"strata":[4,7,4],"nights":{"1":{"ztf":{"new_objects":[[0,0,0,-1]],"visited":[]}}}}',
        b'{"version":1,"cell_order":6,"strata":[4,7,4],"nights":{}}',
    ],
)
def test_damaged_files_are_one_sentence(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / BACKGROUND_FILE
    file.write_bytes(damage)
    with pytest.raises(ConfigurationError, match="remove it"):
        read_nights(file)
    with pytest.raises(ConfigurationError, match="remove it"):
        read_correction(file)


def test_a_correction_survives_the_file(tmp_path: Path) -> None:
    knots = np.array([0.0, 0.1, 0.4, 1.0])
    file = tmp_path / CALIBRATION_FILE
    write_correction(file, Correction({("ztf", "all"): PMap(knots, knots**2), ("ztf", "2"): PMap(knots, knots)}, "a"))
    again = read_correction(file)
    assert again.provenance == "a"
    assert np.array_equal(again.maps["ztf", "all"].observed, knots**2)
    with pytest.raises(ConfigurationError, match="try 'heliograph calibrate'"):
        read_correction(tmp_path / "absent.json")


def test_too_little_is_not_used() -> None:
    enough = {NIGHT + i: {"ztf": random_night(i, 6.0)} for i in range(FEWEST_NIGHTS)}
    used = background_from_nights(enough, DEFAULT_BACKGROUND)
    assert set(used.measured) == {"ztf"}
    assert used.rate_per_deg2_day["lsst"] == DEFAULT_BACKGROUND.rate_per_deg2_day["lsst"]
    assert f"in {FEWEST_NIGHTS} nights" in used.provenance
    few_nights = {NIGHT: enough[NIGHT]}
    few_objects = {NIGHT + i: {"ztf": random_night(i, 0.5)} for i in range(FEWEST_NIGHTS)}
    for nights in (few_nights, few_objects, {}):
        assert background_from_nights(nights, DEFAULT_BACKGROUND).provenance == DEFAULT_BACKGROUND.provenance


def test_a_night_waits_for_other_work_but_not_for_ever(tmp_path: Path) -> None:
    now = [0.0]
    newest = Newest(night_bounds_mjd_tai(NIGHT + 4)[0] + 0.3)
    nightly = NightlyBackground(settings_of(tmp_path), newest, counts_of(rows()), clock=lambda: now[0])  # type: ignore[arg-type]
    assert nightly.refresh(busy=True) is None
    assert nightly.refresh() is not None
    now[0] += PATIENCE_S
    assert nightly.refresh(busy=True) is None
    now[0] += BETWEEN_NIGHTS_S
    assert nightly.refresh(busy=True) is not None


def test_flares_are_counted_over_the_nights_that_are_kept(tmp_path: Path) -> None:
    n = FEWEST_FLARE_NIGHTS
    write_nights(tmp_path / BACKGROUND_FILE, {NIGHT + i: {"ztf": random_night(i)} for i in range(n)})
    graph = rows()
    nightly = NightlyBackground(settings_of(tmp_path), Newest(0.0), counts_of(graph))  # type: ignore[arg-type]
    found = nightly.current().flaring_per_deg2
    assert graph.asked_flares == [(night_bounds_mjd_tai(NIGHT)[0], night_bounds_mjd_tai(NIGHT + n - 1)[1])]
    # By now every cell was visited; 300 in 20 nights are 900 in 60 at most.
    assert found == {"ztf": pytest.approx(301.0 * 60.0 / n / 41252.96, rel=1e-3)}
    assert not background_from_nights({}, DEFAULT_BACKGROUND).flaring_per_deg2


def test_finished_nights_are_counted_one_by_one_and_once(tmp_path: Path) -> None:
    now = [0.0]
    graph, newest = rows(), Newest(night_bounds_mjd_tai(NIGHT + 4)[0] + 0.3)
    nightly = NightlyBackground(
        settings_of(tmp_path, background_nights=4), newest, counts_of(graph), clock=lambda: now[0]  # type: ignore[arg-type]
    )  # fmt: skip
    assert nightly.current().provenance == DEFAULT_BACKGROUND.provenance
    for counted in range(1, 5):
        background = nightly.refresh()
        assert background is not None
        assert len(read_nights(tmp_path / BACKGROUND_FILE)) == counted
        assert bool(background.measured) == (counted >= FEWEST_NIGHTS)
        assert nightly.refresh() is None
        now[0] += BETWEEN_NIGHTS_S if counted < 4 else CHECKED_EVERY_S
    # The night at hand is not finished, and nothing is counted again.
    assert {begin for _, begin, _ in graph.asked} == {night_bounds_mjd_tai(NIGHT + i)[0] for i in range(4)}
    assert nightly.refresh() is None
    assert len(graph.asked) == 8
    newest.mjd_tai += 1.0
    now[0] += CHECKED_EVERY_S
    assert nightly.refresh() is not None
    assert set(read_nights(tmp_path / BACKGROUND_FILE)) == {NIGHT + 1, NIGHT + 2, NIGHT + 3, NIGHT + 4}
    # Another process goes on with what is in the file.
    other = NightlyBackground(settings_of(tmp_path), newest, counts_of(graph))  # type: ignore[arg-type]
    assert set(other.current().measured) == {"ztf"}


@pytest.mark.parametrize("changes", [{"background_nights": 0}, {"new_ztf_objects_per_deg2_day": 7.0}])
def test_what_the_user_states_is_kept(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_nights(tmp_path / BACKGROUND_FILE, {NIGHT + i: {"ztf": random_night(i, 6.0)} for i in range(4)})
    settings = settings_of(tmp_path, **changes)
    nightly = NightlyBackground(settings, Newest(0.0), counts_of(rows()))  # type: ignore[arg-type]
    assert not nightly.current().measured
    assert nightly.current().rate_per_deg2_day == settings.coordinator.background().rate_per_deg2_day
    assert nightly.refresh() is None


def test_an_empty_graph_is_no_night(tmp_path: Path) -> None:
    graph = rows()
    nightly = NightlyBackground(settings_of(tmp_path), Newest(0.0), counts_of(graph))  # type: ignore[arg-type]
    assert nightly.refresh() is None
    assert graph.asked == []


def test_the_correction_is_read_only_when_asked(tmp_path: Path) -> None:
    assert NightlyBackground(settings_of(tmp_path), Newest(0.0), counts_of(rows())).current().correction is None  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="APPLY_CALIBRATION"):
        NightlyBackground(settings_of(tmp_path, apply_calibration=True), Newest(0.0), counts_of(rows()))  # type: ignore[arg-type]


def test_a_picture_is_where_the_numbers_are() -> None:
    uniform = (np.arange(1000) + 1) / 1000
    picture = pp_plot("a < b & c", (Curve("one", uniform), Curve("none", np.empty(0)), Curve("two", uniform, True)))
    root = etree.fromstring(picture.encode())
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    points = np.array([[float(v) for v in pair.split(",")] for pair in lines[0].attrib["points"].split()])
    # A uniform sample lies on the diagonal, in coordinates that run down.
    assert points[:, 0] + points[:, 1] == pytest.approx(2 * MARGIN + SIDE, abs=0.2)
    assert points.min() >= MARGIN - 0.1
    assert points.max() <= MARGIN + SIDE + 0.1
    assert "a < b & c" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def recorded(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    notices = tmp_path_factory.mktemp("notices")
    for file in sorted((shared_data / "notices" / "icecube").glob("*.json"))[:20]:
        (notices / file.name).write_bytes(file.read_bytes())
    return shared_data / "alerts" / "ztf_fink_parquet" / "20240115", notices


def test_recorded_alerts_and_notices_are_calibrated(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    given = input_from_files(*recorded, settings)
    assert len(given.entries) > 1
    assert set(given.objects.survey) <= {"ztf", "lsst"}
    keys = [f"{s}:{o}" for s, o in zip(given.objects.survey, given.objects.object_id, strict=True)]
    assert len(keys) == len(set(keys))
    assert np.all(given.objects.first_midpoint_mjd_tai >= given.span_mjd_tai[0])
    assert given.tallies["ztf"].new_objects.sum() == np.count_nonzero(given.objects.survey == "ztf")
    result = calibrate_input(given, settings, 20, 1)
    assert {one.survey for one in result.uniformities} == {"ztf"}
    again = calibrate_input(given, settings, 20, 1)
    assert again.uniformities == result.uniformities
    assert again.years == result.years


def test_the_verb_writes_the_correction_and_the_pictures(
    recorded: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path / "home"))
    alerts, notices = map(str, recorded)
    given = ["calibrate", "--alerts", alerts, "--notices", notices, "--slides", "20", "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(build_app("calibrate"), [*given, "--json"])
    assert answer.exit_code == 0, answer.output
    body = orjson.loads(re.search(r"^\{.*\}$", answer.stdout, re.MULTILINE)[0])  # type: ignore[index]
    assert body["n_events"] > 1
    assert len(body["joint_far"]["ztf"]) > 3
    assert (tmp_path / "out" / "pp-ztf.svg").read_text(encoding="utf-8").startswith("<svg")
    assert read_correction(tmp_path / "home" / CALIBRATION_FILE).provenance.startswith("20 slides")
    assert CliRunner().invoke(build_app("calibrate"), ["calibrate", "--alerts", alerts]).exit_code == 2


def test_nothing_to_calibrate_with_is_said(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="could be read"):
        input_from_files(tmp_path / "empty", recorded[1], settings_of(tmp_path))
    given = input_from_files(recorded[0], tmp_path / "empty", settings_of(tmp_path))
    with pytest.raises(NotFoundError, match="events with a localization"):
        calibrate_input(given, settings_of(tmp_path), 10, 1)
