"""The verb ``archive`` and the images that the composition root hands to the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from api.cutouts import CutoutKind
from compose.archive import ArchiveAnswers, archive_root
from compose.cli.main import build_app
from compose.config import load_settings
from graph.errors import ConfigurationError, NotFoundError
from graph.views import DetectionView
from ingest.archive.cutouts import read_cutouts
from ingest.archive.writer import ArchiveWriter

RUNNER = CliRunner()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ztf: Any) -> Path:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path))
    monkeypatch.delenv("HELIOGRAPH_INGEST__ARCHIVE_DIR", raising=False)
    ztf.write(ArchiveWriter(str(tmp_path / "archive"), sync=False), 0, len(ztf.messages))
    return tmp_path


def run(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = RUNNER.invoke(build_app("archive"), ["archive", *arguments, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_the_archive_is_on_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archive_root(load_settings()) == str(home / "archive")
    monkeypatch.setenv("HELIOGRAPH_INGEST__ARCHIVE_DIR", "s3://bucket/alerts")
    assert archive_root(load_settings()) == "s3://bucket/alerts"
    monkeypatch.setenv("HELIOGRAPH_INGEST__ARCHIVE_DIR", "off")
    assert archive_root(load_settings()) is None
    assert ArchiveAnswers.of(load_settings()) is None
    with pytest.raises(ConfigurationError):
        RUNNER.invoke(build_app("archive"), ["archive", "verify"], catch_exceptions=False)


def test_verify_says_what_is_damaged(home: Path) -> None:
    assert run("verify") == (0, [{"damaged": 0, "nights": 2}])
    path = next(home.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:900])
    status, (found, last) = run("verify")
    assert status == 1
    assert found["path"] == path.relative_to(home / "archive").as_posix()
    assert last["damaged"] == 1


@pytest.mark.usefixtures("home")
def test_compact_takes_the_finished_nights(ztf: Any) -> None:
    status, (done,) = run("compact")
    assert (status, done["survey"], done["merged_files"]) == (0, "ztf", 1)
    status, (other,) = run("compact", "--night", str(done["night"] + 1))
    assert done["rows"] + other["rows"] == len(ztf.expected())
    assert run("verify") == (0, [{"damaged": 0, "nights": 2}])


@pytest.mark.usefixtures("home")
def test_options_go_with_their_task() -> None:
    assert run("compact", "--ledger")[0] == 2
    assert run("verify", "--night", "20261119")[0] == 2


@pytest.mark.usefixtures("home")
def test_images_are_found_by_detection(ztf: Any) -> None:
    columns, _ = ztf.decoder.decode(pa.array(ztf.messages, pa.binary()))
    source = ArchiveAnswers.of(load_settings())
    assert source is not None
    for i in (0, 30, len(columns) - 1):
        detection = DetectionView(
            detection_key="", survey=columns.survey, detection_id=int(columns.detection_id[i]),
            midpoint_mjd_tai=float(columns.midpoint_mjd_tai[i]), band="g", psf_flux_njy=None, psf_flux_err_njy=None,
            mag_ab=None, ra_deg=float(columns.ra_deg[i]), dec_deg=float(columns.dec_deg[i]), reliability=None,
        )  # fmt: skip
        truth = read_cutouts(columns.survey, ztf.messages[columns.row[i]])
        image = source.cutout(detection, CutoutKind.DIFFERENCE)
        assert (image.content, image.is_gzipped, image.media_type) == (truth.difference, True, "application/fits")
    with pytest.raises(NotFoundError):
        source.cutout(
            DetectionView("", columns.survey, 5, 61000.0, "g", None, None, None, 10.0, 10.0, None), CutoutKind.SCIENCE
        )
