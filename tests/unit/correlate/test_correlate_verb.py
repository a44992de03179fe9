"""The verb: objects from packets as the graph has them, notices once each, lines that are the same every time."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from compose.cli.main import build_app
from compose.correlate import ObjectFold, read_notices
from graph.alert_store import AlertRows
from graph.model import Survey

FIELDS = [
    "survey", "object_id", "event_id", "delta_t_s", "credible_level", "separation_deg", "p_chance", "joint_far_hz",
    "log_bayes_factor", "state", "rank", "revision", "event_key",
]  # fmt: skip

Detection = tuple[str, int, float, float, float | None, float | None]
"""Object, number, time, first detection, last limit, magnitude of the first detection."""


def rows_of(detections: list[Detection]) -> AlertRows:
    n = len(detections)
    names, ids, midpoint, first, limit, first_mag = ([d[i] for d in detections] for i in range(6))
    number = np.array(ids, dtype=float)
    return AlertRows(
        Survey.ZTF,
        np.array(names, dtype=object),
        np.array(ids, dtype=np.int64),
        np.full(n, "", dtype=object),
        number,
        number / 10.0,
        np.zeros(n, dtype=np.int64),
        np.array(midpoint, dtype=float),
        np.array(first, dtype=float),
        np.array([np.nan if each is None else each for each in first_mag], dtype=float),
        np.full(n, "g", dtype=object),
        np.array([np.nan if each is None else each for each in limit], dtype=float),
        # Depth follows the packet, so that of two limits of one time the deeper one is another packet's.
        np.array([np.nan if each is None else 20.0 + name for each, name in zip(limit, ids, strict=True)], dtype=float),
        np.full(n, "g", dtype=object),
        np.arange(n),
        np.full(n, "r", dtype=object),
        *(np.full(n, 1.0) for _ in range(2)),
        number + 0.5,
        np.full(n, 1.0),
        np.full(n, "SN", dtype=object),
        np.full(n, 1.0),
        *(np.full(n, np.nan) for _ in range(3)),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.integers(1, 300),
            st.integers(0, 6).map(float),
            st.integers(-3, 0).map(float),
            st.one_of(st.none(), st.integers(-9, -4).map(float)),
            st.one_of(st.none(), st.integers(17, 19).map(float)),
        ),
        min_size=1,
        max_size=25,
        unique_by=lambda row: row[1],
    ),
    st.randoms(use_true_random=False),
)
def test_the_newest_state_does_not_depend_on_the_order(detections: list[Detection], shuffler: random.Random) -> None:
    # The graph's rule, one detection after the other.
    newest: dict[str, Detection] = {}
    for detection in detections:
        name, number, midpoint, *_ = detection
        if name not in newest or (midpoint, number) >= (newest[name][2], newest[name][1]):
            newest[name] = detection
    # Of the packets with the earliest first detection: newest limit, then the deepest; brightest magnitude.
    earliest: dict[str, tuple[float, tuple[float, float], float]] = {}
    for name in newest:
        first = min(one[3] for one in detections if one[0] == name)
        told = [one for one in detections if one[0] == name and one[3] == first]
        limits = [(limit, 20.0 + number) for _, number, _, _, limit, _ in told if limit is not None]
        magnitudes = [mag for *_, mag in told if mag is not None]
        nothing = (float("nan"), float("nan"))
        earliest[name] = (first, max(limits, default=nothing), min(magnitudes, default=float("nan")))
    shuffled = list(detections)
    shuffler.shuffle(shuffled)
    fold = ObjectFold()
    for start in range(0, len(shuffled), 4):
        part = shuffled[start : start + 4]
        fold.add(rows_of(part))
        if start % 8 == 0:
            fold.objects()
    objects = fold.objects()
    assert objects.object_id.tolist() == sorted(newest)
    for row, name in enumerate(objects.object_id.tolist()):
        first, limit, first_mag = earliest[name]
        assert objects.ra_deg[row] == newest[name][1]
        assert objects.latest_mag[row] == newest[name][1] + 0.5
        assert objects.first_midpoint_mjd_tai[row] == first
        assert np.array_equal([objects.last_limit_mjd_tai[row], objects.last_limit_mag[row]], limit, equal_nan=True)
        assert np.array_equal([objects.first_mag[row]], [first_mag], equal_nan=True)


def test_no_alerts_make_no_objects() -> None:
    assert len(ObjectFold().objects()) == 0


@pytest.fixture(scope="module")
def small(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night of a few packets, the notices of that week and a broken one."""
    folder = tmp_path_factory.mktemp("correlate")
    (folder / "alerts").mkdir()
    shutil.copy(shared_data / "alerts" / "ztf_bulk" / "ztf_20231018_00_nocutout.avro", folder / "alerts")
    shutil.copy(next((shared_data / "alerts" / "malformed").glob("*.avro")), folder / "alerts")
    notices = folder / "notices"
    notices.mkdir()
    for path in sorted((shared_data / "notices" / "fermi").glob("*.xml")):
        if b"2023-10-1" in path.read_bytes():
            shutil.copy(path, notices)
    for path in sorted((shared_data / "notices" / "icecube").glob("*"))[:20]:
        shutil.copy(path, notices)
    one = next(notices.glob("*.xml"))
    (notices / "again.xml").write_bytes(one.read_bytes())
    (notices / "broken.json").write_bytes(b'{"alert_datetime": ')
    return folder


def test_the_verb_prints_the_same_lines_every_time(small: Path) -> None:
    arguments = ["correlate", "--alerts", str(small / "alerts"), "--notices", str(small / "notices")]
    first, second = (CliRunner().invoke(build_app("correlate"), [*arguments, "--json"]) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    *pairs, summary = [orjson.loads(line) for line in first.stdout.splitlines()]
    assert all(list(pair) == FIELDS for pair in pairs)
    assert summary["coincidences"] == len(pairs) == summary["open"] + summary["withdrawn"]
    assert summary["alerts"] > 10
    assert sum(summary["dead"].values()) == 1
    assert summary["objects"] <= summary["alerts"] - 1 - sum(summary["filtered"].values())
    assert summary["notices_dead"] == {"malformed": 1}
    assert summary["notices_repeated"] == 1


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        build_app("correlate"), ["correlate", "--alerts", "nowhere", "--notices", str(tmp_path)]
    )
    assert answer.exit_code == 2


def test_a_repeated_notice_counts_once(small: Path) -> None:
    seen: list[int] = []
    notices, counts = read_notices(small / "notices", seen.append)
    assert counts.received == len(seen) == seen[-1]
    assert len(notices) == counts.received - counts.repeated - sum(counts.dead.values())
    assert len({notice.notice_id for notice in notices}) == len(notices)
