"""Visits of a survey read back from archived alerts: every packet tells of a month of looks at its place.

A detection, an upper limit and a point of forced photometry all say that a visit looked there and how deep. What was
found is the graph's matter; here the archive also speaks for visits that found nothing new.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from graph.times import SECONDS_PER_DAY, night_of_mjd_tai
from graph.visits import VISIT_CELL_ORDER, VISIT_CELL_SHIFT, VisitColumns, joined_visits
from ingest.alerts.columns import BANDS, LIMIT_SIGMA, FloatArray, IntArray, band_letters, magnitude
from ingest.archive.layout import CELL_ORDER

if TYPE_CHECKING:
    from graph.model import Survey
    from ingest.archive.reader import ArchiveReader

CURVE_COLUMNS: Final = ("midpoint_mjd_tai", "band", "psf_flux_err_njy", "upper_limit_njy")
"""What is read of light curves; forced photometry states no limits."""

COLUMNS: Final = (
    "healpix29",
    "is_public",
    *(f"light_curve_{name}" for name in CURVE_COLUMNS),
    *(f"forced_{name}" for name in CURVE_COLUMNS[:-1]),
)
"""Columns of the archive that are read."""

_CODES: Final = pa.array(list(BANDS))
_COARSE_SHIFT: Final = 2 * (VISIT_CELL_ORDER - CELL_ORDER)

Looks = tuple[IntArray, IntArray, IntArray, FloatArray]
"""Second [s since MJD 0, TAI], band code, cell and limiting flux [nJy] of some looks."""


def read_visits(reader: ArchiveReader, cells: IntArray, from_mjd_tai: float, until_mjd_tai: float) -> VisitColumns:
    """Return the visits of some cells in a closed time window [d, TAI], as the packets of its nights tell of them.

    Parameters
    ----------
    cells : (k,) NESTED cells of `graph.visits.VISIT_CELL_ORDER`.

    Raises
    ------
    ArchiveError : a file is damaged, or was compacted while it was read; in that case read again.

    Notes
    -----
    A visit of which no packet of these nights tells is not found. What is not public is left out.
    """
    window = from_mjd_tai, until_mjd_tai
    first, last = night_of_mjd_tai(window).tolist()
    coarse = np.unique(cells >> _COARSE_SHIFT).tolist()
    found: dict[Survey, list[Looks]] = defaultdict(list)
    for night in reader.nights():
        if first <= night.night <= last:
            batches = reader.scan(night.survey, night.night, coarse, COLUMNS)
            found[night.survey] += [_looks(batch, cells, window) for batch in batches]
    return joined_visits(
        [
            _merged(survey, *(np.concatenate(column) for column in zip(*looks, strict=True)))
            for survey, looks in found.items()
            if looks
        ]
    )


def _looks(batch: pa.RecordBatch, cells: IntArray, window_mjd_tai: tuple[float, float]) -> Looks:
    """Return what the packets of some cells say of visits in a time window [d, TAI]."""
    cell = batch["healpix29"].to_numpy() >> VISIT_CELL_SHIFT
    wanted = np.isin(cell, cells) & batch["is_public"].to_numpy(zero_copy_only=False).astype(np.bool_)
    batch, cell = batch.filter(pa.array(wanted)), cell[wanted]
    parts = [_points(batch, cell, prefix) for prefix in ("light_curve", "forced")]
    time, band, owner, limit = (np.concatenate(column) for column in zip(*parts, strict=True))
    second = np.rint(time * SECONDS_PER_DAY)
    begin, end = (edge * SECONDS_PER_DAY for edge in window_mjd_tai)
    known = (second >= begin) & (second <= end) & (limit > 0.0) & (band >= 0)
    return second[known].astype(np.int64), band[known], owner[known], limit[known]


def _points(batch: pa.RecordBatch, cell: IntArray, prefix: str) -> tuple[FloatArray, IntArray, IntArray, FloatArray]:
    """Return time [d, TAI], band code, cell and limit [nJy] of the points of one kind; NaN where it has none."""
    times = batch[f"{prefix}_midpoint_mjd_tai"]
    owner = cell[pc.list_parent_indices(times).to_numpy()]
    limit = LIMIT_SIGMA * _flat(batch, f"{prefix}_psf_flux_err_njy")
    if f"{prefix}_upper_limit_njy" in batch.schema.names:
        stated = _flat(batch, f"{prefix}_upper_limit_njy")
        limit = np.where(np.isfinite(stated), stated, limit)
    letters = pc.list_flatten(batch[f"{prefix}_band"])
    code = pc.fill_null(pc.index_in(letters, _CODES), -1).to_numpy(zero_copy_only=False)
    return _flat(batch, f"{prefix}_midpoint_mjd_tai"), code.astype(np.int64), owner, limit


def _flat(batch: pa.RecordBatch, name: str) -> FloatArray:
    """Return all values of a column of lists, NaN for null."""
    return np.asarray(pc.list_flatten(batch[name]).to_numpy(zero_copy_only=False), dtype=np.float64)


def _merged(survey: Survey, second: IntArray, band: IntArray, cell: IntArray, limit_njy: FloatArray) -> VisitColumns:
    """Return each visit of each cell once, with the median of what was said of it."""
    order = np.lexsort((limit_njy, cell, band, second))
    keys = np.stack((second, band, cell))[:, order]
    begins = np.flatnonzero(np.append(True, np.any(np.diff(keys, axis=1) != 0, axis=0))[: len(order)])
    n_points = np.diff(np.append(begins, len(order)))
    # The shallower of the two middle ones where they are even in number.
    median = limit_njy[order][begins + n_points // 2]
    second, band, cell = (key[begins] for key in keys)
    names = np.full(len(begins), survey.value, dtype=object)
    return VisitColumns(names, second / SECONDS_PER_DAY, band_letters(band), cell, magnitude(median), n_points)
