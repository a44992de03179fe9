"""Exit status 0, 1 or 2, and errors in one sentence on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compose.cli import main

VOEVENT = b"""<?xml version="1.0" ?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="ivo://example/unknown#1" role="observation"
 version="2.0"><Who/></voe:VOEvent>"""


def heliograph(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from compose.cli import main; main()", *arguments],
        env={**os.environ, "HELIOGRAPH_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def in_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str, **environment: str
) -> int | str | None:
    """Return the exit status; a process of its own would load everything anew."""
    monkeypatch.setattr(sys, "argv", ["heliograph", *arguments])
    for name, value in {"HELIOGRAPH_HOME": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HELIOGRAPH_STACK__KAFKA_PORT", "many"),
        ("HELIOGRAPH_COORDINATOR__MAX_CREDIBLE_LEVEL", "1.5"),
        ("HELIOGRAPH_KAFKA__SECURITY_PROTOCOL", "carrier-pigeon"),
        ("HELIOGRAPH_INGEST__NO_SUCH_THING", "1"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    assert in_this_process(monkeypatch, tmp_path, "status", **{name: value}) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"The setting {name} is wrong" in said.err
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_wrong_usage_is_exit_status_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for arguments in (("status", "--no-such-option"), ("no-such-verb",), ("listen", "--source", "dir")):
        assert in_this_process(monkeypatch, tmp_path, *arguments) == 2, arguments


def test_nothing_running_is_one_sentence(tmp_path: Path) -> None:
    done = heliograph(tmp_path, "events")
    assert done.returncode == 1
    assert "HELIOGRAPH_GRAPH__URI is empty and no embedded Neo4j is running: try 'heliograph up'." in done.stderr
    assert "Traceback" not in done.stderr


def test_status_of_a_new_home(tmp_path: Path) -> None:
    done = heliograph(tmp_path, "status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"kafka": {"state": "stopped"}, "neo4j": {"state": "stopped"}}


def test_a_refused_notice_is_a_line_and_exit_status_1(tmp_path: Path) -> None:
    path = tmp_path / "unknown.xml"
    path.write_bytes(VOEVENT)
    done = heliograph(tmp_path, "notice", str(path))
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["file"] == str(path)
    assert json.loads(line)["error"]


def test_simulated_packets_are_classified_without_a_server(tmp_path: Path) -> None:
    out = tmp_path / "night"
    made = heliograph(tmp_path, "simulate", "--out", str(out), "--rate", "1", "--duration", "30")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["alerts"]["ztf"] == 30
    done = heliograph(tmp_path, "classify", str(out / "alerts"))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({line["detection_id"] for line in lines}) == 30
    assert {line["classifier"] for line in lines} >= {"coarse", "variability", "summary"}
    for line in lines:
        assert line["survey"] == "ztf"
        assert (line["class"] is None) == (line["probability"] is None)
