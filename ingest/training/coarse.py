"""Fit a classifier, judge it on objects that it never saw, and write its artefact.

The same data and seed give the same bytes: rows are built in a fixed order from one generator, the forests are fitted
in one thread, and nothing of the day or the machine enters the ONNX file.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from graph.model import Survey
from ingest.classifiers.forests import Classifier, ModelSpec
from ingest.features import LIGHT_CURVE_FEATURES
from ingest.training.evaluation import measure
from ingest.training.examples import MINIMUM_POINTS, Examples, as_seen_by_ztf, cut_histories, lend_context, tabulate
from ingest.training.forests import Rows, fit_artefact, keep
from ingest.training.histories import (
    NOT_COVERED,
    SOURCES,
    detections_only,
    plasticc,
    split_fraction,
    ztf_packets,
    ztf_supernovae,
)
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ingest.training.histories import History, SimulatedObject

MODEL_VERSION = "1.0.0"
"""Version of the training recipe; a change of classes, features or sources is a new one."""

MODEL_NAME = "coarse"
"""Name of the model of either survey; the classes are coarse."""

NOT_READ = frozenset({"n_upper_limits", "since_first_d", "last_limit_gap_d", "mean_flux_njy"})
"""Features that no model reads: published light curves and LSST packets carry no upper limits, so their absence would
betray the source of a row instead of its class, and the mean flux says again what the magnitudes say."""


def model_features(survey: Survey) -> tuple[str, ...]:
    """Return the columns that a survey's model reads; ZTF has two public bands and names the PS1 neighbour."""
    names = [feature.name for feature in LIGHT_CURVE_FEATURES if feature.name not in NOT_READ]
    if survey is Survey.LSST:
        return tuple(names)
    unused = {f"n_points_{band}" for band in "uizy"} | {"r_i_mag", "r_i_err_mag"}
    kept = [name for name in names if name not in unused and "_i_" not in name]
    return (*kept, "star_galaxy_score", "nearest_source_arcsec")


def build_examples(survey: Survey, data_dir: Path, seed: int) -> tuple[Examples, Examples]:
    """Return the rows to train on and the rows to judge on, split by object.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/`` and the packet folders.
    """
    rng = np.random.default_rng(seed)
    simulated: list[SimulatedObject] = list(plasticc(data_dir))
    histories: Iterable[History]
    if survey is Survey.LSST:
        histories = detections_only(simulated)
    else:
        nearer = (as_seen_by_ztf(item, rng) for item in simulated)
        histories = chain(ztf_packets(data_dir), ztf_supernovae(data_dir), (item for item in nearer if item))
    sides: tuple[list[History], list[History]] = ([], [])
    for history in histories:
        place = split_fraction(history.object_id)
        if place < TEST_BELOW:
            sides[place >= TRAIN_BELOW].append(history)
    cuts = [list(cut_histories(side, survey, rng)) for side in sides]
    if survey is Survey.ZTF:
        cuts = [lend_context(side, rng) for side in cuts]
    return tabulate(cuts[0]), tabulate(cuts[1])


def _provenance(survey: Survey, train_rows: Examples, test_rows: Examples) -> dict[str, Any]:
    """Return what a sidecar says on the origin of a model."""
    counts = {
        side: {
            str(name): {
                "objects": len(set(rows.object_id[rows.label == name])),
                "rows": int((rows.label == name).sum()),
                "rows_by_source": {
                    str(source): int(((rows.label == name) & (rows.source == source)).sum())
                    for source in np.unique(rows.source[rows.label == name].astype(str))
                },
            }
            for name in np.unique(train_rows.label.astype(str))
        }
        for side, rows in (("train", train_rows), ("test", test_rows))
    }
    return {
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}",
        "sources": list(SOURCES[survey]),
        "not_covered": list(NOT_COVERED[survey]),
        "counts": counts,
    }


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> ModelSpec:
    """Fit a survey's model and write ``coarse-<survey>.onnx`` and ``coarse-<survey>.json``.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/`` and the packet folders.
    seed : of every random choice.
    out_dir : folder to write to, made if absent.

    Returns
    -------
    The sidecar, with the metrics on held-out objects.
    """
    train_rows, test_rows = build_examples(survey, data_dir, seed)
    names = model_features(survey)
    spec, model = fit_artefact(
        MODEL_NAME,
        MODEL_VERSION,
        survey,
        names,
        Rows(train_rows.features.select(names), train_rows.label, train_rows.object_id),
        minimum_points=MINIMUM_POINTS,
        training=_provenance(survey, train_rows, test_rows),
        seed=seed,
    )
    return keep(spec, model, out_dir, lambda classifier: measure(classifier, test_rows))


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure a stored model on the held-out objects of the data, cut with another seed.

    Returns
    -------
    The metrics of `ingest.training.evaluation.measure`.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    _, test_rows = build_examples(survey, data_dir, seed)
    return measure(Classifier.load(MODEL_NAME, survey, directory=directory), test_rows)
