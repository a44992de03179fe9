"""The recipe of the microlensing classifier: two models for each survey, fitted on simulations and open data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.model import Survey
from ingest.classifiers.forests import Classifier
from ingest.classifiers.microlensing import GATE_NAME, Microlensing
from ingest.classifiers.object_features import BESIDE, STATISTIC_NAMES
from ingest.classifiers.pspl_fit import DIAGNOSTIC_NAMES
from ingest.training.forests import Rows, keep
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW, concatenate
from ingest.training.microlensing_figures import figures
from ingest.training.microlensing_rows import alerts, objects, tabulate
from ingest.training.projected import fit_projected, fit_projection
from ingest.training.sources import LICENCES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.classifiers.forests import ModelSpec
    from ingest.training.labelled import Labelled
    from ingest.training.microlensing_rows import Split, Table

MODEL_VERSION: Final = "1.0.0"
"""Version of the recipe; a change of classes, statistics or sources is a new one."""

COMPONENTS: Final = 20
"""Principal components of the 84 statistics: on held-out rows 10 lose recall and 44 gain none."""

GATE_TREES: Final = 6
"""Trees of each forest of the gate: half of those that decide, because they are asked about every object."""

TREES: Final = 12
"""Trees of each forest that decides; what 1.5 MB hold."""

SOURCES: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: (
        "lenses and stars simulated on ZTF's cadence and depth by this recipe",
        LICENCES["packet"][0],
        LICENCES["alerce"][0],
        f"brought to ZTF's depth and cadence: {LICENCES['plasticc'][0]}",
    ),
    Survey.LSST: (
        LICENCES["plasticc"][0],
        "lenses and stars simulated on PLAsTiCC's and on dense cadences by this recipe",
    ),
}
"""Provenance and licence of what each model is fitted on."""

NOT_COVERED: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: (
        "All lenses are simulated: no real one with a licence that allows to fit on it was to be had.",
        (
            "A ZTF packet holds 30 days, about one Einstein time: on a single alert expect the answer to be unsure, "
            "and most lenses to be missed; whole light curves are judged beside."
        ),
        "Lenses with companions, parallax or extended sources are not simulated.",
    ),
    Survey.LSST: (
        "All rows are simulated; only OGLE-II, used for judging alone, is real.",
        "Lenses with companions, parallax or extended sources are not simulated.",
        "Lenses are far commoner among the rows than on the sky: divide by the prior.",
        "Lenses with a handful of detections are not told from faint supernovae: no redshift or host is read.",
    ),
}
"""What the figures cannot show."""


def _counts(sides: Mapping[str, Labelled]) -> dict[str, dict[str, dict[str, int]]]:
    """Return objects and rows of each class on each side."""
    return {
        side: {
            str(name): {
                "objects": len(set(rows.object_id[rows.label == name])),
                "rows": int((rows.label == name).sum()),
            }
            for name in np.unique(rows.label.astype(str))
        }
        for side, rows in sides.items()
    }


def _rows(survey: Survey, split: Split, seed: int) -> tuple[Labelled, Labelled]:
    """Return objects with their alerts to fit on, and alerts alone to judge with."""
    rng = np.random.default_rng([seed, 1])
    cut = alerts(split.train, survey, rng)
    whole = split.train.take(np.flatnonzero(split.train.source != "packet"))
    return concatenate([whole, cut]), alerts(split.test, survey, rng)


def _fit(
    survey: Survey, table: Table, training: Mapping[str, Any], seed: int
) -> tuple[tuple[ModelSpec, bytes], tuple[ModelSpec, bytes]]:
    """Fit the gate and the forests that decide."""
    width = len(STATISTIC_NAMES)
    first = fit_projected(
        GATE_NAME,
        MODEL_VERSION,
        survey,
        STATISTIC_NAMES,
        Rows(table.statistics, table.label, table.object_id),
        projection=fit_projection(table.statistics, COMPONENTS, projected=np.arange(width), kept=np.arange(width)),
        training=training,
        seed=seed,
        trees=GATE_TREES,
    )
    values = np.hstack([table.statistics, table.diagnostics])
    kept = np.arange(width - len(BESIDE), values.shape[1])
    second = fit_projected(
        Microlensing.name,
        MODEL_VERSION,
        survey,
        (*STATISTIC_NAMES, *DIAGNOSTIC_NAMES),
        Rows(values, table.label, table.object_id),
        projection=fit_projection(values, COMPONENTS, projected=np.arange(width), kept=kept),
        training=training,
        seed=seed,
        trees=TREES,
    )
    return first, second


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> ModelSpec:
    """Fit a survey's two models and write ``microlensing_gate-<survey>`` and ``microlensing-<survey>``.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/``, ``features/`` and the packet folders.
    seed : of every random choice.
    out_dir : folder to write to, made if absent.

    Returns
    -------
    The sidecar of the model that decides, with the metrics of both together on held-out objects.
    """
    split = objects(survey, data_dir, seed)
    fitted, judged = _rows(survey, split, seed)
    training = {
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}; simulations drawn for each side",
        "sources": list(SOURCES[survey]),
        "not_covered": list(NOT_COVERED[survey]),
        "counts": _counts({"train": fitted, "test": judged}),
    }
    (gate_spec, gate_model), (spec, model) = _fit(survey, tabulate(fitted), training, seed)
    gate = Classifier(gate_spec, gate_model, threads=1)
    keep(replace(gate_spec, metrics={}), gate_model, out_dir, lambda _: {"part_of": Microlensing.name})
    return keep(
        spec,
        model,
        out_dir,
        lambda final: figures(Microlensing.of(gate, final), survey, data_dir, (split.test, judged), seed),
    )


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure stored models on the held-out objects of the data, simulated and cut with another seed.

    Raises
    ------
    ModelError : a model is absent, altered or for the other survey.
    """
    split = objects(survey, data_dir, seed)
    _, judged = _rows(survey, split, seed)
    return figures(Microlensing(survey, directory=directory), survey, data_dir, (split.test, judged), seed)
