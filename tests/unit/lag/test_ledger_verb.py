"""What ``heliograph ledger`` prints, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import typer

from api.testing import FakeGraph, FakeReader
from compose.audit import ALL_NIGHTS
from compose.cli import look
from compose.config import Settings
from graph.model import Survey
from graph.views import LedgerNight, PartitionLag, StreamLag

GOOD = LedgerNight(Survey.ZTF, 20261119, 61, 60, 0, {"streak": 2}, 50, 50, 1, {"malformed": 1}, 8)
UNDATED = LedgerNight(Survey.LSST, 0, 2, None, 0, {}, 0, 0, 2, {"unknown_schema": 2}, 0)


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(nights: Sequence[LedgerNight], *, as_json: bool) -> str:
        reader = FakeReader(FakeGraph(ledger=nights))

        @contextmanager
        def opened(_: object) -> Iterator[FakeReader]:
            yield reader

        monkeypatch.setattr(look.GraphReader, "open", opened)
        monkeypatch.setattr(look, "located_settings", Settings)
        look.ledger(lag=False, as_json=as_json)
        assert reader.calls == [("ledger", ALL_NIGHTS)]
        return capsys.readouterr().out

    return run


def test_json_has_one_night_a_line(show: Any) -> None:
    lines = [json.loads(line) for line in show([GOOD, UNDATED], as_json=True).splitlines()]
    assert [tuple(line) for line in lines] == [look.LEDGER_FIELDS] * 2
    assert [line["archived"] for line in lines] == [60, None]
    assert [line["dead"] for line in lines] == [{"malformed": 1}, {"unknown_schema": 2}]
    assert [line["balanced"] for line in lines] == [True, True]


def test_the_table_shows_reasons_and_what_is_absent(show: Any) -> None:
    text = show([GOOD, UNDATED], as_json=False)
    for wanted in ("streak 2", "malformed 1", "unreadable", "yes"):
        assert wanted in text


@pytest.mark.parametrize("wrong", [{"loaded": 49}, {"archive_mismatch": 1}])
def test_a_night_that_does_not_add_up_is_exit_status_1(show: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(typer.Exit) as left:
        show([GOOD, replace(UNDATED, **wrong)], as_json=True)
    assert left.value.exit_code == 1


def test_the_lag_ends_with_its_sum(capsys: pytest.CaptureFixture[str]) -> None:
    lag = StreamLag((PartitionLag("a", 0, 60, 40, 20, 1.75), PartitionLag("a", 1, 9, 9, 0, None)))
    look._show_lag(lag, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        "topic": "a", "partition": 0, "end_offset": 60, "processed_until": 40, "lag_alerts": 20,
        "oldest_unprocessed_s": 1.75,
    }  # fmt: skip
    assert lines[2:] == [{"lag_alerts": 20, "oldest_unprocessed_s": 1.75}]
    look._show_lag(lag, as_json=False)
    assert "1.8" in capsys.readouterr().out
