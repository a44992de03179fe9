"""`heliograph crossmatch` from files to JSON lines, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fastavro
import pandas as pd
import pytest

from compose.cli.main import main
from ingest.xmatch.testing import Fault, ImitatedService

TABLE = pd.DataFrame({"main_id": ["M 31"], "ra": [10.6847], "dec": [41.2687], "main_type": ["Galaxy"]})


@dataclass(frozen=True)
class Done:
    """What a call of the verb left behind."""

    status: int | str | None
    stdout: str
    stderr: str


@pytest.fixture
def crossmatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path))

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["heliograph", "crossmatch", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Done(end.value.code, said.out, said.err)

    return call


def test_a_table_is_matched_and_asked_for_once(tmp_path: Path, crossmatch: Callable[..., Done]) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("name,ra_deg,dec_deg\na,10.6848,41.2687\nb,200.0,-10.0\nc,,0\n", encoding="utf-8")
    with ImitatedService({"simbad": TABLE}) as service:
        arguments = (str(path), "--catalogue", "simbad", "--url", service.url)
        service.fail(Fault.BAD_REQUEST)
        failed = crossmatch(*arguments)
        done = crossmatch(*arguments)
        asked = len(service.asked)
        again = crossmatch(*arguments)
        assert len(service.asked) == asked == 2
    lines = [json.loads(line) for line in failed.stdout.splitlines()]
    assert failed.status == 1
    assert [line["status"] for line in lines] == ["failed", "failed", "not_asked"]
    assert {line["label"] for line in lines} == {None}
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stdout == again.stdout
    assert [(line["status"], line["label"], line["source_name"], line["reason"]) for line in lines] == [
        ("matched", "Galaxy", "M 31", None),
        ("no_match", None, None, None),
        ("not_asked", None, None, "off_sky"),
    ]
    assert 0.2 < lines[0]["separation_arcsec"] < 0.3
    assert lines[0]["version"] == "daily"
    # A position that is none has no answer, which is said.
    assert done.status == 1
    assert "1 positions have no answer" in done.stderr


def test_what_cannot_be_meant_is_one_sentence(tmp_path: Path, crossmatch: Callable[..., Done]) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("x,y\n1,2\n", encoding="utf-8")
    for arguments in (
        (str(path), "--catalogue", "simbad", "--url", "http://127.0.0.1:9/"),
        (str(path), "--catalogue", "V/0/unknown"),
        (str(path), "--catalogue", "simbad", "--radius-arcsec", "500"),
        (str(path), "--catalogue", "simbad", "--url", "nowhere"),
    ):
        done = crossmatch(*arguments)
        assert done.status == 1, arguments
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_recorded_packets_are_matched_where_they_lie(shared_data: Path, crossmatch: Callable[..., Done]) -> None:
    path = next(file for file in sorted((shared_data / "alerts" / "ztf_packets").rglob("*")) if file.suffix == ".avro")
    with path.open("rb") as file:
        candidate = next(fastavro.reader(file))["candidate"]
    here = pd.DataFrame({"main_id": ["X"], "ra": [candidate["ra"]], "dec": [candidate["dec"]], "main_type": ["RR*"]})
    with ImitatedService({"simbad": here}) as service:
        done = crossmatch(str(path), "--catalogue", "simbad", "--url", service.url, "--no-cache")
    (line,) = (json.loads(text) for text in done.stdout.splitlines())
    assert (line["status"], line["label"], line["source_name"]) == ("matched", "RR*", "X")
    assert line["object_id"].startswith("ZTF")
    assert line["separation_arcsec"] < 0.001
