"""Lists of objects alone are read and ranked in slices, and are those that one look at everything would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from coordinator import lists
from coordinator.config import CoordinatorSettings
from coordinator.lists import ListKeeper
from coordinator.ranking import rank_targets
from graph.model import FollowUpList, ScienceCase
from graph.objects import ObjectColumns

NOW = 61000.0


class Sky:
    """A graph that knows objects, and a bus; ``most`` is what one look asked for at most."""

    def __init__(self, objects: ObjectColumns) -> None:
        self.objects = objects
        self.lists: dict[ScienceCase, FollowUpList] = {}
        self.most = 0

    def newest_midpoint_mjd_tai(self) -> float:
        return NOW

    def young_objects(
        self,
        first: float,
        last: float,
        limit: int,
        *,
        classes: Sequence[str] | None,
        max_probability: float,
        min_detections: int,
    ) -> tuple[ObjectColumns, int, float]:
        times, found = self.objects.first_midpoint_mjd_tai, self.objects
        inside = np.flatnonzero((times >= first) & (times <= last))
        looked_at = inside[np.argsort(times[inside])][:limit]
        good = (found.n_detections >= min_detections) & ~(found.class_probability > max_probability)
        if classes is not None:
            good &= np.isin(found.top_class.astype(str), list(classes))
        self.most = max(self.most, int(good[looked_at].sum()))
        return found.take(looked_at[good[looked_at]]), len(looked_at), times[looked_at].max(initial=first)

    def current_list(self, _case: ScienceCase) -> tuple[int, str, str]:
        return 0, "", ""

    def write_list(self, follow_up: FollowUpList) -> None:
        self.lists[follow_up.case] = follow_up

    send_list = mark_list_published = write_list

    def flush(self) -> None: ...


@pytest.mark.parametrize("case", [ScienceCase.SUPERNOVA, ScienceCase.UNKNOWN])
def test_slices_give_the_list_of_one_look(
    make_objects: Any, case: ScienceCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "YOUNG_AT_A_TIME", 25)
    rng = np.random.default_rng(5)
    n = 600
    objects = make_objects(
        rng.uniform(0.0, 360.0, n),
        rng.uniform(-60.0, 60.0, n),
        NOW - rng.uniform(0.0, 70.0, n),
        top_class=rng.choice(np.array(["SN Ia", "SN", "AGN", ""], dtype=object), n),
        class_probability=rng.choice([0.1, 0.4, 0.45, 0.9, np.nan], n),
        latest_mag=rng.uniform(15.0, 22.0, n),
        n_detections=rng.integers(1, 9, n),
    )
    sky = Sky(objects)
    settings = CoordinatorSettings(list_length=20, list_window_d=60.0)
    keeper = ListKeeper(sky, sky, sky, settings, clock=lambda: 0.0)  # type: ignore[arg-type]
    steps = sum(1 for _ in keeper.rank([case]))
    young = objects.take(objects.first_midpoint_mjd_tai >= NOW - 60.0)
    expected = rank_targets(case, young, now_mjd_tai=NOW, limit=20)
    assert steps > 20
    assert 0 < sky.most <= 26
    assert len(expected) == 20
    assert sky.lists[case].targets == expected
