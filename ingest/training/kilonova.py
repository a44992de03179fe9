"""Fit the classifier of kilonovae: components from models, forests from simulated and real young transients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.model import Survey
from ingest.classifiers.forests import Classifier, ModelSpec
from ingest.classifiers.kilonova import Kilonova, feature_table
from ingest.training import sources
from ingest.training.forests import Rows, fit_artefact, keep
from ingest.training.kilonova_judge import measure
from ingest.training.kilonova_rows import as_class, at_alerts, collect, principal_components, without_forced
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW, Labelled, as_batch, concatenate

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.classifiers.kn_components import Components

VERSION: Final = "1.0.0"
"""Version of the recipe; a change of classes, features or sources is a new one."""

PLAIN_SHARE: Final = 0.25
"""Share of LSST's rows that lose their forced photometry: a first packet has none, and the model must cope."""

TREES: Final = 18
"""Trees of each forest: what 1.5 MB hold; the few real examples want many."""

NOT_COVERED: Final = {
    Survey.ZTF: (
        "Kilonovae, afterglows, flares and outbursts are simulated: one real kilonova is known, and it is judged only.",
        "Supernovae are simulated or few; real ones of the Bright Transient Survey are judged only.",
        "Neither host nor stellar counterpart is in the training rows: both enter by stated factors, not fitted ones.",
        "Kilonovae of black holes with neutron stars, and afterglows above a kilonova, are not modelled.",
    ),
    Survey.LSST: (
        "All rows are simulated; the simulations know no artefacts, moving bodies or satellites.",
        "Of PLAsTiCC's kilonovae 48 are fitted on and 23 judged: a recall has an error of 0.1.",
        "Hosts are not in the training rows: they enter by stated factors, not fitted ones.",
        "Kilonovae of black holes with neutron stars, and afterglows above a kilonova, are not modelled.",
    ),
}
"""What the figures cannot show, for the card."""


def fit_rows(survey: Survey, objects: Labelled, components: Components, seed: int) -> tuple[Rows, tuple[str, ...]]:
    """Return the rows to fit on, some of LSST's without forced photometry, and the names of their columns."""
    alerts, _ = at_alerts(objects, survey, seed)
    if survey is Survey.LSST:
        plain = np.random.default_rng([seed, 7]).random(len(alerts)) < PLAIN_SHARE
        alerts = concatenate([alerts.take(~plain), without_forced(alerts.take(plain))])
    table = feature_table(as_batch(alerts, survey), components)
    return Rows(table.values, as_class(alerts.label), alerts.object_id), table.names


def _counts(labelled: Labelled) -> dict[str, Any]:
    kinds = as_class(labelled.label)
    return {
        str(name): {
            "objects": len(set(labelled.object_id[kinds == name])),
            "rows": int((kinds == name).sum()),
            "objects_by_source": {
                str(source): len(set(labelled.object_id[(kinds == name) & (labelled.source == source)]))
                for source in sorted(set(labelled.source[kinds == name]))
            },
        }
        for name in sorted(set(kinds))
    }


def _provenance(survey: Survey, objects: Labelled, components: Components) -> dict[str, Any]:
    """Return what a sidecar says on the origin of a model, the components included."""
    real = ("plasticc",) if survey is Survey.LSST else ("plasticc", "packet")
    return {
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}",
        "sources": [
            "kilonovae of three radioactive ejecta as blackbodies (Villar et al. 2017, doi:10.3847/2041-8213/aa9c84)",
            "afterglows, flares, outbursts and some supernovae of the simulator in this repository",
            *(sources.LICENCES[name][0] for name in real),
        ],
        "not_covered": list(NOT_COVERED[survey]),
        "counts": {
            "train": _counts(objects.take(objects.is_train)),
            "test": _counts(objects.take(objects.is_test)),
        },
        "components": components.dump(),
    }


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> ModelSpec:
    """Fit a survey's model and write ``kilonova-<survey>.onnx`` and ``.json``.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/``, ``features/`` and the packet folders.
    seed : of every random choice.
    out_dir : folder to write to, made if absent.
    """
    objects = collect(survey, data_dir, seed)
    components = principal_components(survey, seed)
    # What is kept is rounded, and the fits have to see what will be read again.
    components = type(components).parse(components.dump())
    rows, names = fit_rows(survey, objects.take(objects.is_train), components, seed)
    spec, model = fit_artefact(
        Kilonova.name,
        VERSION,
        survey,
        names,
        rows,
        minimum_points=Kilonova.minimum_points,
        training=_provenance(survey, objects, components),
        seed=seed,
        trees=TREES,
    )
    held_out = objects.take(objects.is_test)
    return keep(
        replace(spec),
        model,
        out_dir,
        lambda forests: measure(Kilonova(survey, forests), held_out, survey, data_dir, seed),
    )


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Return the metrics of the stored model on objects that it was not fitted on."""
    objects = collect(survey, data_dir, seed)
    forests = Classifier.load(Kilonova.name, survey, directory=directory)
    return measure(Kilonova(survey, forests), objects.take(objects.is_test), survey, data_dir, seed)
