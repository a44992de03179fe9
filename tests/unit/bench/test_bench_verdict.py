"""The judge of a night, on small nights that are processed here by a loop, and then tampered with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.bench.verdict import Counted, Truth, judge

NIGHTS = st.lists(st.sampled_from(["RRL", "bogus", "SSO"]), min_size=1, max_size=60)


def process(classes: list[str], repeat_every: int = 5, damage_every: int = 7) -> tuple[Truth, Counted]:
    """Send a night, alert by alert, through the simplest stream there is."""
    ids = np.arange(100, 100 + len(classes))
    moving = np.array([name == "SSO" for name in classes])
    truth = Truth(ids, np.array(classes, dtype=object), moving, repeat_every, damage_every)
    counts: Counter[str] = Counter()
    filtered: Counter[str] = Counter()
    graph: set[int] = set()
    for number, (name, detection) in enumerate(zip(classes, ids.tolist(), strict=True), start=1):
        for _ in range(2 if number % repeat_every == 0 else 1):
            counts["received"] += 1
            if name == "SSO":
                filtered["solar_system"] += 1
            elif name == "bogus":
                filtered["low_reliability"] += 1
            elif detection in graph:
                counts["duplicates"] += 1
            else:
                graph.add(detection)
                counts["loaded"] += 1
        if number % damage_every == 0:
            counts["received"] += 1
            counts["dead"] += 1
    counted = Counted(
        on_topic=counts["received"],
        received=counts["received"],
        loaded=counts["loaded"],
        filtered=filtered,
        duplicates=counts["duplicates"],
        dead=counts["dead"],
        archived=counts["received"] - counts["dead"],
        balanced=True,
        dead_letters=counts["dead"],
        detection_ids=graph,
        nights=(),
    )
    return truth, counted


@given(NIGHTS)
def test_a_stream_that_does_its_work_is_acquitted(classes: list[str]) -> None:
    assert all(judge(*process(classes)).values())


@pytest.mark.parametrize(
    ("claim", "tamper"),
    [
        ("every message is on the topic", lambda c: replace(c, on_topic=c.on_topic - 1)),
        ("every message is in the ledger once", lambda c: replace(c, received=c.received + 1)),
        ("every night adds up", lambda c: replace(c, balanced=False)),
        ("the graph holds what the ledger says", lambda c: replace(c, detection_ids=set(c.detection_ids) - {100})),
        ("the graph holds what the ledger says", lambda c: replace(c, detection_ids={*c.detection_ids, 99_999})),
        ("what is not in the graph was set aside", lambda c: replace(c, filtered={"solar_system": 1})),
        ("moving bodies were set aside as such", lambda c: replace(c, filtered={"low_reliability": 23})),
        ("no moving body is in the graph", lambda c: replace(c, detection_ids={*c.detection_ids, 102})),
        ("every readable message is archived", lambda c: replace(c, archived=c.received)),
        ("every second delivery is a duplicate", lambda c: replace(c, duplicates=c.duplicates + 1)),
        ("every damaged message is a dead letter", lambda c: replace(c, dead_letters=c.dead_letters - 1)),
    ],
)
def test_any_wrong_count_is_found(claim: str, tamper: Callable[[Counted], Counted]) -> None:
    truth, counted = process(["RRL", "bogus", "SSO"] * 20)
    assert 100 in counted.detection_ids
    assert not judge(truth, tamper(counted))[claim]


def test_a_night_without_an_archive_is_judged_by_the_rest() -> None:
    truth, counted = process(["RRL", "bogus", "SSO"])
    assert all(judge(truth, replace(counted, archived=None)).values())


def test_classes_that_were_set_aside_are_counted() -> None:
    truth, counted = process(["RRL", "bogus", "SSO", "SSO"])
    assert truth.set_aside_by_class(counted.detection_ids) == {"SSO": 2, "bogus": 1}
