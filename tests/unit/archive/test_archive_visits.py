"""Visits read back from the archive, against a plain reading of the packets' columns."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from graph.model import Survey
from graph.sky import ang2pix
from graph.visits import VISIT_CELL_SHIFT, VisitColumns
from ingest.alerts.columns import BANDS, AlertColumns
from ingest.archive.compact import compact_night
from ingest.archive.reader import ArchiveReader
from ingest.archive.visits import read_visits
from ingest.archive.writer import ArchiveWriter

Look = tuple[int, str, int]
"""Second, band and cell."""


def decoded(recording: Any) -> AlertColumns:
    columns, _ = recording.decoder.decode(pa.array(recording.messages, pa.binary()))
    assert isinstance(columns, AlertColumns)
    return columns


def cells_of(columns: AlertColumns) -> np.ndarray:
    return ang2pix(columns.ra_deg, columns.dec_deg) >> VISIT_CELL_SHIFT


def told_plainly(columns: AlertColumns) -> dict[Look, list[float]]:
    """Return the limits [nJy] that public packets state of each look, one point after the other."""
    looks: dict[Look, list[float]] = defaultdict(list)
    cells = cells_of(columns)
    for row in np.flatnonzero(columns.is_public).tolist():
        for points in (columns.light_curves, columns.forced):
            for at in range(int(points.offsets[row]), int(points.offsets[row + 1])):
                limit = getattr(points, "upper_limit_njy", np.full(at + 1, np.nan))[at]
                limit = limit if np.isfinite(limit) else 5.0 * points.psf_flux_err_njy[at]
                if limit > 0.0:
                    second = round(float(points.midpoint_mjd_tai[at]) * 86400.0)
                    looks[second, BANDS[points.band[at]], int(cells[row])].append(float(limit))
    return looks


def read(found: VisitColumns) -> dict[Look, tuple[float, int]]:
    columns = (found.midpoint_mjd_tai, found.band, found.cell, found.limit_mag, found.n_points)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    looks = {(round(time * 86400.0), band, cell): (mag, n) for time, band, cell, mag, n in rows}
    assert len(looks) == len(rows)
    return looks


@pytest.fixture(params=list(Survey))
def filled(request: pytest.FixtureRequest, recordings: dict[Survey, Any], tmp_path: Path) -> tuple[Any, ArchiveReader]:
    recording = recordings[request.param]
    recording.write_cut(ArchiveWriter(str(tmp_path)), (0, 7, len(recording.messages)))
    return recording, ArchiveReader(str(tmp_path))


def test_every_look_is_told_once_with_the_middle_of_its_limits(filled: tuple[Any, ArchiveReader]) -> None:
    recording, reader = filled
    columns = decoded(recording)
    truth = told_plainly(columns)
    assert len(truth) > 20
    found = read_visits(reader, np.unique(cells_of(columns)), 0.0, 99_000.0)
    assert set(found.survey.tolist()) == {recording.survey.value}
    looks = read(found)
    assert set(looks) == set(truth)
    for look, limits in truth.items():
        ordered = sorted(limits)
        middle = 31.4 - 2.5 * np.log10(ordered[len(ordered) // 2])
        assert looks[look] == (pytest.approx(middle, abs=1e-6), len(limits))


def test_only_the_wanted_cells_and_times_are_told(filled: tuple[Any, ArchiveReader]) -> None:
    recording, reader = filled
    columns = decoded(recording)
    wanted = np.unique(cells_of(columns))[::3]
    middle = float(np.median(columns.midpoint_mjd_tai))
    found = read(read_visits(reader, wanted, middle - 5.0, middle))
    truth = told_plainly(columns)
    inside = {
        look
        for look in truth
        if look[2] in set(wanted.tolist()) and (middle - 5.0) * 86400.0 <= look[0] <= middle * 86400.0
    }
    # Nights after the window are not read, though their packets may tell of it.
    assert set(found) <= inside
    assert len(found) > 0.5 * len(inside) > 0


def test_a_compacted_night_tells_the_same(filled: tuple[Any, ArchiveReader]) -> None:
    recording, reader = filled
    cells = np.unique(cells_of(decoded(recording)))[:5]
    before = read(read_visits(reader, cells, 0.0, 99_000.0))
    for night in reader.nights():
        compact_night(reader.storage, night)
    assert read(read_visits(reader, cells, 0.0, 99_000.0)) == before != {}


def test_an_empty_archive_and_an_empty_sky_tell_nothing(tmp_path: Path) -> None:
    reader = ArchiveReader(str(tmp_path))
    assert len(read_visits(reader, np.arange(5), 60_000.0, 60_010.0)) == 0
