"""When a night balances, and that the reader asks and adds up as documented."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import StoreError
from graph.reader import GraphReader
from graph.rows import sum_ledger
from graph.views import LedgerNight

ROW: dict[str, Any] = {
    "survey": "ztf", "night": 20200524, "received": 10, "archived": 9, "classified": 6, "loaded": 5, "duplicates": 1,
    "dead": 1, "dead_reasons": '{"malformed": 1}', "filtered": '{"streak": 1, "solar_system": 2}',
}  # fmt: skip


def night_of(*changes: dict[str, Any]) -> LedgerNight:
    (night,) = sum_ledger([ROW | change for change in changes])
    return night


def test_a_full_entry_balances() -> None:
    night = night_of({})
    assert night.balanced
    assert (night.archived, night.classified) == (9, 6)


@pytest.mark.parametrize(
    "change",
    [
        {"received": 11, "archived": 10},
        {"loaded": 6},
        {"duplicates": 0},
        {"filtered": "{}"},
        {"dead_reasons": "{}"},
        {"archived": 10},
        {"archived": 8},
        {"archived": 0},
    ],
)
def test_an_alert_too_many_or_too_few_anywhere_is_seen(change: dict[str, Any]) -> None:
    assert not night_of(change).balanced
    assert not night_of(change, {}).balanced


def test_two_faults_of_the_archive_do_not_cancel() -> None:
    night = night_of({"archived": 8}, {"archived": 10})
    assert night.archived == 18 == night.received - night.dead
    assert not night.balanced


def test_without_an_archive_nothing_is_asked_of_it() -> None:
    assert night_of({"archived": None}).archived is None
    assert night_of({"archived": None}).balanced
    mixed = night_of({"archived": None}, {})
    assert mixed.archived == 9
    assert mixed.balanced


def test_entries_from_before_the_archive_are_read() -> None:
    old = {name: value for name, value in ROW.items() if name not in {"archived", "classified"}}
    (night,) = sum_ledger([old])
    assert (night.archived, night.classified, night.balanced) == (None, 0, True)


counts = st.integers(0, 50)
entries = st.builds(
    lambda loaded, duplicates, filtered, dead, archive: {
        "survey": "lsst", "night": 20260101, "received": loaded + duplicates + sum(filtered.values()) + dead,
        "archived": loaded + duplicates + sum(filtered.values()) if archive else None, "classified": loaded,
        "loaded": loaded, "duplicates": duplicates, "dead": dead, "dead_reasons": json.dumps({"malformed": dead}),
        "filtered": json.dumps(filtered),
    },
    counts, counts, st.dictionaries(st.sampled_from(["streak", "not_public"]), counts), counts, st.booleans(),
)  # fmt: skip


@given(st.lists(entries, min_size=1, max_size=6), st.randoms())
def test_balanced_batches_make_a_balanced_night_in_any_order(batches: list[dict[str, Any]], random: Any) -> None:
    (night,) = sum_ledger(batches)
    assert night.balanced
    assert night.received == sum(batch["received"] for batch in batches)
    shuffled = batches[:]
    random.shuffle(shuffled)
    assert sum_ledger(shuffled) == (night,)


class OneAnswer:
    """A driver that gives the same rows to every statement and remembers what it was asked."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def session(self, **_: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, query: Any, params: dict[str, Any]) -> list[Any]:
        self.asked.append((query.text, params))
        return [type("Record", (), {"data": lambda _, row=row: row})() for row in self.rows]


def test_positions_are_asked_for_by_topic_and_partition() -> None:
    driver = OneAnswer([{"topic": "alerts.ztf", "partition": 1, "offset_until": 40}])
    reader = GraphReader(driver)  # type: ignore[arg-type]
    assert reader.ledger_positions([("alerts.ztf", 0), ("alerts.ztf", 1)]) == {("alerts.ztf", 1): 40}
    assert driver.asked[0][1]["places"] == [
        {"topic": "alerts.ztf", "partition": 0}, {"topic": "alerts.ztf", "partition": 1}
    ]  # fmt: skip
    assert reader.ledger_positions([]) == {}
    assert len(driver.asked) == 1


@pytest.mark.parametrize("change", [{"survey": "sdss"}, {"filtered": "[1]"}, {"night": None}, {"archived": "many"}])
def test_a_broken_entry_is_a_failed_store(change: dict[str, Any]) -> None:
    reader = GraphReader(OneAnswer([{"entry": ROW | change}]))  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        reader.ledger(3)
