"""What the classifier of kilonovae is fitted on and judged with: components, and young transients at their alerts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from graph.taxonomy import lineage
from ingest.alerts.columns import LightCurves, no_forced, ragged_offsets
from ingest.classifiers.kilonova import OLDEST_D
from ingest.classifiers.kn_components import FIRST_D, N_BINS, N_COMPONENTS, STEP_D, Components
from ingest.simulate.source_classes import BAND_WAVELENGTH_NM
from ingest.training import histories, sources
from ingest.training.examples import HISTORY_D, as_seen_by_ztf
from ingest.training.fast_skies import lsst_visits, simulated, ztf_visits
from ingest.training.kilonova_model import GRID_D, draw_ejecta, flux_at_10pc
from ingest.training.labelled import Labelled, concatenate, detection_times, from_histories

if TYPE_CHECKING:
    from pathlib import Path


FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

MODELS_DRAWN: Final = 400
"""Kilonovae whose components are taken; three components of 200 and of 800 agree to a percent."""

BANDS_OF: Final = {Survey.ZTF: (1, 2), Survey.LSST: (1, 2, 3, 4, 5)}
"""Bands that are fitted: ZTF's public g and r; LSST's all but u, which kilonovae leave within two days."""

CLASSES: Final = ("KN", "GRB afterglow", "SN", "nuclear", "stellar")
"""Classes of the answers; every label counts as the one that it is a kind of."""

SIMULATED: Final = {
    Survey.ZTF: {"KN": 1600, "GRB afterglow": 500, "M-dwarf flare": 300, "CV": 500, "SN Ia": 300, "SN II": 300,
                 "SN Ibc": 300},
    Survey.LSST: {"KN": 100, "GRB afterglow": 200, "M-dwarf flare": 100, "CV": 150},
}  # fmt: skip
"""Objects that are simulated, both sides of the split together. LSST's supernovae, and most kilonovae, are PLAsTiCC's:
with more simulated ones PLAsTiCC's held-out kilonovae are found less well."""

CUTS: Final = 3
"""Random alerts of an object beside its second detection."""

NEW_FIELD_D: Final = (1.0, OLDEST_D)
"""Length that is left of the history of a long-known star or nucleus [d]: as when a survey comes to a new field, or
the source was too faint before."""


def principal_components(survey: Survey, seed: int) -> Components:
    """Return the components of modelled kilonovae in a survey's bands: not centred, the largest value 1."""
    codes = BANDS_OF[survey]
    flux = flux_at_10pc(draw_ejecta(MODELS_DRAWN, np.random.default_rng([seed, 17])), BAND_WAVELENGTH_NM)
    bins = FIRST_D + STEP_D * np.arange(N_BINS)
    alone, together = np.zeros((2, len(BAND_WAVELENGTH_NM), N_COMPONENTS, N_BINS))

    def binned(band: int, zero: IntArray) -> FloatArray:
        rows = [
            np.interp(bins, GRID_D - GRID_D[place], one, left=0.0, right=0.0)
            for one, place in zip(flux[:, band], zero, strict=True)
        ]
        return np.array(rows)

    brightest = np.argmax(flux[:, list(codes)].max(axis=1), axis=1)
    largest = flux[:, list(codes)].max(axis=(1, 2))
    stacked = []
    for band in codes:
        own = binned(band, np.argmax(flux[:, band], axis=1)) / flux[:, band].max(axis=1)[:, None]
        alone[band] = _leading(own)
        stacked.append(binned(band, brightest) / largest[:, None])
    together[list(codes)] = _leading(np.hstack(stacked)).reshape(N_COMPONENTS, len(codes), N_BINS).swapaxes(0, 1)
    return Components(codes, alone, together)


def _leading(curves: FloatArray) -> FloatArray:
    """Return the leading right singular vectors, each with its largest value at 1."""
    _, _, vectors = np.linalg.svd(curves, full_matrices=False)
    kept = vectors[:N_COMPONENTS]
    top = np.argmax(np.abs(kept), axis=1)
    return np.asarray(kept / kept[np.arange(N_COMPONENTS), top][:, None], dtype=np.float64)


def as_class(label: TextArray) -> TextArray:
    """Return the class of `CLASSES` that each label is a kind of."""
    known = {str(name): next(node for node in lineage(str(name)) if node in CLASSES) for name in set(label)}
    return np.array([known[str(name)] for name in label], dtype=object)


def without_forced(labelled: Labelled) -> Labelled:
    """Return the same objects as a packet without forced photometry shows them."""
    return replace(labelled, forced=no_forced(len(labelled)))


def collect(survey: Survey, data_dir: Path, seed: int) -> Labelled:
    """Return all objects of a survey, train and test together."""
    parts: list[Labelled] = []
    if survey is Survey.LSST:
        real = sources.plasticc(data_dir)
        donors = real.take(real.is_train & np.isin(real.label.astype(str), ["SN Ia", "SN II", "SN Ibc"]))
        parts.append(real)
        parts += [
            simulated(label, n, survey, seed, lambda count, rng: lsst_visits(donors, count, rng))
            for label, n in SIMULATED[survey].items()
        ]
        return concatenate(parts)
    rng = np.random.default_rng([seed, 3])
    nearer = [as_seen_by_ztf(item, rng) for item in histories.plasticc(data_dir)]
    near = [item for item in nearer if item is not None]
    parts.append(from_histories(near, [item.label for item in near]))
    found = list(histories.ztf_packets(data_dir))
    packets = from_histories(found, [item.label for item in found])
    parts.append(_new_fields(packets, rng))
    parts += [simulated(label, n, survey, seed, ztf_visits) for label, n in SIMULATED[survey].items()]
    return concatenate(parts)


def _new_fields(packets: Labelled, rng: np.random.Generator) -> Labelled:
    """Return histories of packets as if their field had been new shortly before the alert."""
    curves = packets.curves
    owner = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    newest = np.full(len(curves), -np.inf)
    np.maximum.at(newest, owner, curves.midpoint_mjd_tai)
    start = newest - rng.uniform(*NEW_FIELD_D, len(curves))
    kept = curves.midpoint_mjd_tai >= start[owner]
    offsets = ragged_offsets(owner[kept], len(curves))
    rest = {item.name: getattr(curves, item.name)[kept] for item in fields(curves) if item.name != "offsets"}
    return replace(packets, curves=LightCurves(offsets=offsets, **rest))


def at_alerts(labelled: Labelled, survey: Survey, seed: int, *, cuts: int | None = CUTS) -> tuple[Labelled, FloatArray]:
    """Return the objects as their young alerts show them, and the age at each alert [d].

    Parameters
    ----------
    cuts : random alerts of an object beside its second detection; all alerts when None.
    """
    rng = np.random.default_rng([seed, 5])
    owner, time = detection_times(labelled)
    order = np.lexsort((time, owner))
    owner, time = owner[order], time[order]
    begin = np.searchsorted(owner, np.arange(len(labelled)))
    place = np.arange(len(owner)) - begin[owner]
    age = time - time[begin[owner]]
    young = (place >= 1) & (age <= OLDEST_D)
    if cuts is not None:
        draw = np.where(place == 1, -1.0, rng.random(len(owner)))
        draw[~young] = 2.0
        ranked = np.lexsort((draw, owner))
        rank = np.empty(len(owner), dtype=np.int64)
        rank[ranked] = np.arange(len(owner)) - begin[owner[ranked]]
        young &= rank <= cuts
    row = np.flatnonzero(young)
    return labelled.take(owner[row]).until(time[row], since_d=HISTORY_D[survey]), age[row]
