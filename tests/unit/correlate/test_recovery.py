"""Counterparts that were put into a night, and where they stand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from compose.config import Settings
from compose.recovery import Injected, recall, recover
from graph.errors import NotFoundError
from ingest.simulate import simulate_night, write_night


def test_counterparts_of_a_night_are_found_and_counted_once(tmp_path: Path) -> None:
    night = simulate_night(
        seed=11,
        n_alerts_ztf=300,
        n_alerts_lsst=100,
        start=datetime(2026, 11, 20, 2, tzinfo=UTC),
        duration_s=3600.0,
        cutouts=False,
    )
    write_night(night, tmp_path)
    injected = recover(tmp_path, Settings(home=tmp_path / "home"), lambda _: None)
    truth = pq.read_table(tmp_path / "truth.parquet").to_pandas()
    truth = truth[truth["event_id"].notna()]
    assert {one.event_key for one in injected} == {
        f"{row.mission}:{row.event_id}" for row in truth.itertuples() if row.event_id
    }
    assert len(injected) == len({one.event_key for one in injected}) >= 5
    figures = recall(injected)
    assert set(figures) == {*truth["class"], "all"}
    afterglows = figures["GRB afterglow"]
    assert afterglows["found"] == afterglows["seen"] >= 3
    assert figures["KN"]["found"] == 1
    for one in injected:
        assert (one.place is None) == (one.list_place is None)
        assert one.place is None or 1 <= one.place <= one.n_pairs


def test_a_night_without_truth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "alerts").mkdir()
    with pytest.raises(NotFoundError, match="notices is missing"):
        recover(tmp_path, Settings(home=tmp_path / "home"), lambda _: None)


def test_recall_is_of_what_was_seen() -> None:
    members = [
        Injected("KN", "LVK:a", True, 9, 1, 3),
        Injected("KN", "LVK:b", True, 9, 5, 21),
        Injected("KN", "LVK:c", True, 30, 6, None),
        Injected("KN", "LVK:d", True, 0, None, None),
        Injected("KN", "LVK:e", False, 4, None, None),
    ]
    figures = recall([*members, Injected("SN", "LVK:f", False, 0, None, None)])
    assert figures["KN"] == {
        "injected": 5,
        "seen": 4,
        "found": 3,
        "recall_at": {"1": 0.25, "5": 0.5, "20": 0.75},
        "list_recall_at": {"1": 0.0, "5": 0.25, "20": 0.25},
        "median_pairs": 9.0,
    }
    assert figures["SN"]["recall_at"] == {"1": None, "5": None, "20": None}
    assert figures["all"]["seen"] == 4
