"""What the verb says of an exploration, its exit status, and what is said when Spark fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from py4j.protocol import Py4JError

from compose.cli import explore as verb
from compose.config import Settings
from graph.errors import StoreError
from graph.frames.check import JointEventCheck
from graph.frames.components import spark_errors
from graph.frames.job import Exploration


def explored(check: JointEventCheck) -> Exploration:
    return Exploration(
        read={"Object": 9},
        joint_events=check,
        sky_groups=7,
        largest_sky_group=4,
        split_sky_groups=2,
        shared=5,
        shared_not_joint=3,
        shared_by_several=1,
    )


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, check: JointEventCheck) -> list[str]:
    """Run the verb on a made-up exploration and return the Spark master that it asked for."""
    masters: list[str] = []

    def explore_graph(settings: Settings, *_: object) -> Exploration:
        masters.append(settings.ingest.master)
        return explored(check)

    monkeypatch.setattr(verb, "located_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(verb, "explore_graph", explore_graph)
    verb.explore(out=None, master="local[1]", as_json=False)
    return masters


def test_an_agreement_is_told_with_its_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, JointEventCheck(6, (), ())) == ["local[1]"]
    assert capsys.readouterr().out.splitlines() == [
        "Joint events: 6 as the service keeps them, 0 missing, 0 extra.",
        "Sky groups: 7, the largest of 4, 2 with several objects of one survey.",
        "Shared by events of two messengers: 5, 3 of them in no joint event, 1 through several objects.",
        f"The tables are in {tmp_path / 'explore'}.",
    ]


def test_a_difference_is_named_and_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        run(monkeypatch, tmp_path, JointEventCheck(6, (("Fermi:1", "LVK:2"),), ()))
    assert ended.value.exit_code == 1
    assert "  missing: Fermi:1 LVK:2" in capsys.readouterr().out.splitlines()


def test_what_java_threw_is_said_in_one_sentence() -> None:
    with (
        pytest.raises(StoreError, match=r"^Spark gave up: java\.io\.IOException: No space left on device$"),
        spark_errors(),
    ):
        raise Py4JError(
            "An error occurred while calling o1.parquet.\n: java.io.IOException: No space left on device\n\tat"
        )
