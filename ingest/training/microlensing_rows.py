"""What the microlensing recipe fits on and judges with: simulated and published objects as their alerts show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry
from ingest.classifiers.measurements import measurements
from ingest.classifiers.object_features import object_statistics
from ingest.classifiers.object_kernel import SMALLEST_BAND
from ingest.classifiers.pspl_fit import fit_lenses
from ingest.training.examples import DEPTH_MAG, DEPTH_SCATTER_MAG, HISTORY_D, VISIT_PROBABILITY, as_seen_by_ztf
from ingest.training.histories import flux_from_magnitude, ztf_supernovae
from ingest.training.histories import plasticc as plasticc_histories
from ingest.training.labelled import Labelled, concatenate, detection_times, from_histories
from ingest.training.lensing_curves import Cadence, simulate
from ingest.training.sources import plasticc
from ingest.training.sources_lensing import packets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

CLASS_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(("SN", "SN Ia", "SN II", "SN Ibc", "SN CC", "SLSN", "KN"), "explosive"),
    **dict.fromkeys(("AGN", "TDE"), "nuclear"),
    **dict.fromkeys(("RRL", "EB"), "variable star"),
}
"""Class of a collection -> class of the classifier where it is a wider one."""

SIMULATED: Final[Mapping[Survey, Mapping[str, int]]] = {
    Survey.LSST: {
        "microlensing": 1200,
        "variable star": 500,
        "CV": 400,
        "LPV": 400,
        "artefact": 250,
        "nuclear": 100,
        "explosive": 200,
        "M-dwarf flare": 50,
    },
    Survey.ZTF: {
        "microlensing": 1200,
        "variable star": 500,
        "CV": 400,
        "LPV": 300,
        "artefact": 250,
        "nuclear": 250,
        "explosive": 200,
        "M-dwarf flare": 150,
    },
}
"""Simulated objects to fit on: most lenses are simulated, and classes that no collection has."""

HELD_OUT_SHARE: Final = 0.3
"""Simulated objects to judge with, as a share of those to fit on."""

DENSE_SHARE: Final = 0.4
"""Share of the simulated objects with a dense cadence in one or two bands, as bulge and deep fields have."""

ALERTS: Final = 2
"""Alerts of each object, at random detections."""

BARE_SHARE: Final = 0.25
"""Share of the alerts that lose their forced photometry: a survey computes it later, or not at all."""

ZTF_ELECTRONS_PER_NJY: Final = 0.055
"""Photo-electrons of a 30 s exposure of ZTF: zero point 26.3 mag and 6.2 electrons per count; Masci et al. 2019,
doi:10.1088/1538-3873/aae8ac."""

LSST_ELECTRONS_PER_NJY: Final = 1.5
"""Photo-electrons of a 30 s visit of LSST in r: zero point 28.2 mag for a second; Ivezic et al. 2019,
doi:10.3847/1538-4357/ab042c."""


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Objects or alerts to fit on and to judge with."""

    train: Labelled
    test: Labelled


def renamed(labelled: Labelled) -> Labelled:
    """Return objects with the classes that the classifier knows."""
    return replace(labelled, label=np.array([CLASS_OF.get(name, name) for name in labelled.label], dtype=object))


def lsst_cadences(labelled: Labelled) -> list[Cadence]:
    """Return the visits of simulated LSST objects, with the errors of faint sources."""
    forced, out = labelled.forced, []
    for start, stop in zip(forced.offsets[:-1], forced.offsets[1:], strict=True):
        part = slice(start, stop)
        band, err = forced.band[part], forced.psf_flux_err_njy[part].copy()
        faint = np.abs(forced.psf_flux_njy[part]) < 10.0 * err
        for code in np.unique(band):
            mine = band == code
            if (mine & faint).any():
                err[mine & ~faint] = np.median(err[mine & faint])
        if faint.mean() > 0.5 and stop - start >= 2 * SMALLEST_BAND:
            order = np.argsort(forced.midpoint_mjd_tai[part], kind="stable")
            time = forced.midpoint_mjd_tai[part][order]
            out.append(Cadence(time, band[order], err[order], LSST_ELECTRONS_PER_NJY))
    return out


def _seasons(
    rng: np.random.Generator, bands: Sequence[int], span_d: float, wait_d: float
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Return times and bands of nights in seasons of eight months, each band on its own nights."""
    begin = rng.uniform(58_000.0, 62_000.0)
    year, times, codes = rng.uniform(0.0, 365.25), [], []
    for band in bands:
        nights = np.arange(0.0, span_d)
        open_season = np.mod(nights + year, 365.25) < 243.0
        chosen = nights[open_season & (rng.random(len(nights)) < 1.0 / wait_d)]
        times.append(begin + chosen + rng.uniform(0.0, 0.3, len(chosen)))
        codes.append(np.full(len(chosen), band, dtype=np.int8))
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(times)[order], np.concatenate(codes)[order]


def dense_cadences(count: int, rng: np.random.Generator) -> list[Cadence]:
    """Return visits every one to six nights in r, i or both, for one to four years."""
    out: list[Cadence] = []
    while len(out) < count:
        bands = [(3,), (2,), (2, 3)][int(rng.integers(3))]
        time, band = _seasons(rng, bands, rng.uniform(250.0, 1500.0), rng.uniform(1.0, 6.0))
        depth = rng.uniform(20.0, 24.0) + rng.normal(0.0, 0.3, len(time))
        err = flux_from_magnitude(depth) / 5.0
        if len(time) >= 2 * SMALLEST_BAND:
            # Photon noise as of a telescope on which the depth is that of the sky.
            out.append(Cadence(time, band, err, 1.5 * float(np.median(100.0 / err)) ** 0.5))
    return out


def ztf_cadences(count: int, rng: np.random.Generator) -> list[Cadence]:
    """Return visits in g and r, now and then in i, of ZTF's public survey, for two months to two years."""
    out: list[Cadence] = []
    while len(out) < count:
        bands = (1, 2, 3) if rng.random() < 0.15 else (1, 2)
        time, band = _seasons(rng, bands, rng.uniform(60.0, 700.0), rng.uniform(0.6, 1.6) / VISIT_PROBABILITY)
        err = flux_from_magnitude(rng.normal(DEPTH_MAG, DEPTH_SCATTER_MAG, len(time))) / 5.0
        if len(time) >= 2 * SMALLEST_BAND:
            out.append(Cadence(time, band, err, ZTF_ELECTRONS_PER_NJY))
    return out


def _simulated(
    survey: Survey, cadences: Sequence[Cadence], share: float, tag: str, rng: np.random.Generator
) -> Labelled:
    """Return simulated objects: on the survey's cadence, a part on a dense one."""
    counts = SIMULATED[survey]
    wide = {name: round(share * n * (1.0 - DENSE_SHARE)) for name, n in counts.items()}
    dense = {name: round(share * n * DENSE_SHARE) for name, n in counts.items()}
    return concatenate(
        [
            simulate(cadences, wide, rng, tag=tag),
            simulate(dense_cadences(200, rng), dense, rng, tag=f"{tag}-dense"),
        ]
    )


def _ztf_collections(data_dir: Path, rng: np.random.Generator) -> Labelled:
    """Return real ZTF alerts, real supernovae and simulated ones brought to ZTF; all as columns."""
    nearer = [item for item in (as_seen_by_ztf(one, rng) for one in plasticc_histories(data_dir)) if item is not None]
    supernovae = list(ztf_supernovae(data_dir))
    return concatenate(
        [
            packets(data_dir),
            from_histories(supernovae, ["explosive"] * len(supernovae)),
            from_histories(nearer, ["explosive"] * len(nearer)),
        ]
    )


def objects(survey: Survey, data_dir: Path, seed: int) -> Split:
    """Return whole objects to fit on and to judge with; simulated ones are drawn for each side alone."""
    rng = np.random.default_rng(seed)
    known = renamed(plasticc(data_dir)) if survey is Survey.LSST else _ztf_collections(data_dir, rng)
    sides = []
    for mask, share, tag in ((known.is_train, 1.0, "lens-sim-fit"), (known.is_test, HELD_OUT_SHARE, "lens-sim-judge")):
        side = known.take(mask)
        cadences = lsst_cadences(side) if survey is Survey.LSST else ztf_cadences(200, rng)
        sides.append(concatenate([side, _simulated(survey, cadences, share, tag, rng)]))
    return Split(*sides)


def alerts(labelled: Labelled, survey: Survey, rng: np.random.Generator) -> Labelled:
    """Return the objects as some of their alerts show them, ZTF packets as they are; some lose forced photometry."""
    whole = labelled.take(np.flatnonzero(labelled.source == "packet"))
    rest = labelled.take(np.flatnonzero(labelled.source != "packet"))
    owner, time = detection_times(rest)
    order = np.lexsort((rng.random(len(owner)), owner))
    first = np.searchsorted(owner[order], np.arange(len(rest)))
    rank = np.arange(len(owner)) - first[owner[order]]
    chosen = order[rank < ALERTS]
    chosen = chosen[np.lexsort((time[chosen], owner[chosen]))]
    cut = rest.take(owner[chosen]).until(time[chosen], since_d=HISTORY_D[survey])
    return concatenate([_some_bare(cut, rng, 0.5 if survey is Survey.ZTF else BARE_SHARE), whole])


def _some_bare(labelled: Labelled, rng: np.random.Generator, share: float) -> Labelled:
    """Take the forced photometry from a share of the rows."""
    sizes = np.where(rng.random(len(labelled)) < share, 0, np.diff(labelled.forced.offsets))
    keep = np.repeat(sizes > 0, np.diff(labelled.forced.offsets))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    forced = labelled.forced
    bare = ForcedPhotometry(
        offsets,
        forced.midpoint_mjd_tai[keep],
        forced.band[keep],
        forced.psf_flux_njy[keep],
        forced.psf_flux_err_njy[keep],
    )
    return replace(labelled, forced=bare)


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Rows of numbers of n objects or alerts with enough measurements."""

    statistics: FloatArray
    """(n, 84) of `ingest.classifiers.object_features.STATISTICS`."""
    diagnostics: FloatArray
    """(n, 31) of `ingest.classifiers.pspl_fit.DIAGNOSTICS`."""
    label: TextArray
    object_id: TextArray
    source: TextArray


def tabulate(labelled: Labelled) -> Table:
    """Compute statistics and lens fits of all rows in which a band has ten measurements."""
    points = measurements(labelled.curves, labelled.forced)
    row = np.flatnonzero(points.n_points.max(axis=1) >= SMALLEST_BAND)
    points = points.take(row)
    return Table(
        object_statistics(points).values,
        fit_lenses(points).diagnostics.values,
        labelled.label[row],
        labelled.object_id[row],
        labelled.source[row],
    )
