"""The recipe of the summary: how the answers of all classifiers are weighed against each other.

The classifiers were fitted on objects with a `split_fraction` below .5, and answer too well on these. The weights are
therefore fitted on the held-out objects, and judged by cross-fitting: what judges an object was fitted without it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import scipy  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from graph.model import Survey
from graph.taxonomy import LEAVES, lineage
from ingest.classifiers.artefact import Sidecar, read_artefact, write_artefact
from ingest.classifiers.contract import abstain
from ingest.classifiers.evidence import read_answers
from ingest.classifiers.registry import MODULES
from ingest.classifiers.run import Runner
from ingest.classifiers.summary import READ, Summary, settle
from ingest.training.alert_sets import AlertSet, cut_alerts, held_out_alerts
from ingest.training.figures import calibration_error
from ingest.training.judge import Judged, behaviour, goal, metrics
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW
from ingest.training.sources import bts
from ingest.training.summary_fit import (
    MEMBERS,
    Stacked,
    best_temperature,
    bootstrap_weights,
    drop_out,
    export,
    fit_weights,
    object_weights,
    prior_of,
    targets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.classifiers.contract import Classifications, Module

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

VERSION: Final = "1.1.0"
"""Version of the recipe; a change of inputs or of their classes is a new one."""

DROPPED: Final = 0.3
"""Share of classifiers that are left out at random while fitting, so that the weights hold without them."""

FOLDS: Final = 5
"""Folds by object: each fit has nearly as many objects as the last."""

DRAWS: Final = 50
"""Times that outcomes are drawn to learn how far a calibration error scatters."""

JUDGING_MEMBERS: Final = 3
"""Members of the weights that judge: their spread is averaged over many alerts."""

WELL_KNOWN_OBJECTS: Final = 50
"""Held-out objects from which a class counts for the goal of the object-level taxonomy."""

TIME_LIMIT_S: Final = 900.0
"""Time for one classifier and all alerts [s]: only a hang is to be ended."""

SOURCES: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: (
        "ZTF public alert packets, classes of catalogues (Apache-2.0, BSD-3-Clause, MIT)",
        "PLAsTiCC simulated transients, brightened to ZTF's depth and cadence (CC-BY-4.0, doi:10.5281/zenodo.2539456)",
        "ZTF Bright Transient Survey type Ia supernovae (no licence stated): judged with, never fitted on",
    ),
    Survey.LSST: ("PLAsTiCC simulated LSST light curves (CC-BY-4.0, doi:10.5281/zenodo.2539456)",),
}
"""Provenance and licence of what the weights are fitted on."""

NOT_COVERED: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: (
        "Few labelled packets are held out from all classifiers: most weights are those of a product of experts.",
        "The classes come from the catalogues that the cross-match reads, so it is judged without cross-matches.",
        "The prior is half known variables and active nuclei, half transients: a choice, not the mix of the sky.",
        "Most supernovae and all tidal disruptions are simulated; flares and moving bodies are not judged at all.",
        "What moves is taken as solar_system states it; the figures are of what does not move.",
    ),
    Survey.LSST: (
        "All rows are simulated, and the prior is the mix of that simulation, rich in transients.",
        "The simulation has no catalogues, so cross-matches enter with the weights of their own probabilities.",
        "Classes that the simulation lacks are known from their classifiers only.",
        "What moves is taken as solar_system states it; the figures are of what does not move.",
    ),
}
"""What the figures cannot show."""


def _asked(survey: Survey) -> tuple[Module, ...]:
    """Return the registered classifiers that are read, loaded."""
    return tuple(module(survey) for module in MODULES if module.name in READ and survey in module.surveys)


def _answers(alerts: AlertSet, modules: tuple[Module, ...]) -> dict[str, Classifications]:
    """Return what the classifiers say of the alerts."""
    runner = Runner(modules, time_limit_s=TIME_LIMIT_S)
    try:
        return runner.run(alerts.batch).answers
    finally:
        runner.close()


def _stack(alerts: AlertSet, answers: Mapping[str, Classifications]) -> Stacked:
    """Return alerts and answers as the rows of a regression; unanswered alerts are left out."""
    columns = {"prior": np.ones((len(alerts), 1))} | {name: read_answers(said) for name, said in answers.items()}
    rows = Stacked(columns, targets(alerts.label), alerts.object_id)
    heard = np.sum([part[:, -1] for name, part in columns.items() if name != "prior"], axis=0) > 0
    return rows.take(np.flatnonzero(heard))


def _folds(object_id: TextArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold (n,) of each row; the rows of an object share one."""
    names, owner = np.unique(object_id.astype(str), return_inverse=True)
    return rng.integers(FOLDS, size=len(names))[owner]


def _fit(
    rows: Stacked, inputs: Mapping[str, tuple[str, ...]], rng: np.random.Generator, members: int
) -> tuple[FloatArray, FloatArray, float]:
    """Return weights (1 + members, k, leaves), the prior and the temperature that is already in the weights."""
    weight = object_weights(rows.object_id)
    prior = prior_of(rows, weight)
    fold = _folds(rows.object_id, rng)
    logit = np.zeros(rows.target.shape)
    for place in range(FOLDS):
        out = fold == place
        more = drop_out(rows.take(np.flatnonzero(~out)), rng, DROPPED)
        logit[out] = rows.matrix[out] @ fit_weights(more, inputs, np.tile(0.5 * weight[~out], 2), prior)
    temperature = best_temperature(logit, rows.target, weight)
    more, twice = drop_out(rows, rng, DROPPED), np.tile(0.5 * weight, 2)
    best = fit_weights(more, inputs, twice, prior)
    draws = [bootstrap_weights(rows.object_id, rng) for _ in range(members)]
    drawn = [fit_weights(more, inputs, twice * np.tile(times, 2), prior, best) for times in draws]
    return np.stack([best, *drawn]) / temperature, prior, temperature


def _parameters(inputs: Mapping[str, tuple[str, ...]], prior: FloatArray, temperature: float) -> dict[str, Any]:
    """Return the parameters of a sidecar."""
    return {
        "inputs": {name: list(kinds) for name, kinds in inputs.items()},
        "prior": dict(zip(LEAVES, prior.tolist(), strict=True)),
        "temperature": temperature,
    }


def _cross_fit(alerts: AlertSet, answers: Mapping[str, Classifications], seed: int) -> Classifications:
    """Return what the summary says of alerts, each with weights that were fitted without its object."""
    rng = np.random.default_rng(seed)
    inputs = {name: said.classes for name, said in answers.items()}
    fold = _folds(alerts.object_id, rng)
    whole = abstain(Summary.name, VERSION, LEAVES, alerts.batch.n_points, tuple(Summary.extras))
    for place in range(FOLDS):
        fitted, out = np.flatnonzero(fold != place), np.flatnonzero(fold == place)
        if not len(out):
            continue
        rows = _stack(alerts.take(fitted), {name: said.take(fitted) for name, said in answers.items()})
        weights, prior, temperature = _fit(rows, inputs, rng, JUDGING_MEMBERS)
        module = Summary.from_parts(VERSION, _parameters(inputs, prior, temperature), export(weights, inputs))
        found = module.classify(alerts.batch.take(out), {name: said.take(out) for name, said in answers.items()})
        for name in ("probability", "std", "out_of_distribution"):
            getattr(whole, name)[out] = getattr(found, name)
    return whole


def _known_objects(figures: Mapping[str, Any]) -> tuple[list[str], float]:
    """Return the classes with enough held-out objects, and the share of their rows whose class leads."""
    names = [name for name, entry in figures["classes"].items() if entry["objects"] >= WELL_KNOWN_OBJECTS]
    rows = [figures["classes"][name]["rows"] for name in names]
    hits = [figures["classes"][name]["rows"] * figures["classes"][name]["recall"] for name in names]
    return names, float(np.sum(hits) / np.sum(rows)) if names else float("nan")


def _settled(probability: NDArray[np.float32], label: TextArray) -> dict[str, Any]:
    """Return how far down the tree answers are settled, and how often rightly."""
    names, stated = settle(probability)
    some = np.flatnonzero(names != "")
    right = np.array([names[row] in lineage(str(label[row])) for row in some], dtype=np.bool_)
    leaf = np.isin(names[some].astype(str), LEAVES)
    return {
        "share_settled": len(some) / max(len(names), 1),
        "right": float(right.mean()) if len(some) else None,
        "mean_probability": float(stated[some].mean()) if len(some) else None,
        "share_of_leaves": float(leaf.mean()) if len(some) else None,
        "right_of_leaves": float(right[leaf].mean()) if leaf.any() else None,
    }


def _real_supernovae(module: Summary, data_dir: Path, asked: tuple[Module, ...], seed: int) -> dict[str, Any]:
    """Return the figures on real type Ia supernovae of ZTF that nothing was fitted on."""
    objects = bts(data_dir)
    alerts = cut_alerts(objects.take(objects.is_test), Survey.ZTF, seed)
    said = module.classify(alerts.batch, _answers(alerts, asked))
    judged = Judged(said, alerts.label, alerts.object_id, alerts.source, alerts.days_since_first)
    return metrics(judged, weight=object_weights(alerts.object_id)) | {
        "settled": _settled(said.probability, alerts.label)
    }


def _least_error(judged: Judged) -> float:
    """Return the calibration error that perfectly calibrated answers would show on as few objects, on average."""
    kept = judged.take(np.flatnonzero(~judged.answer.abstained))
    rng, top = np.random.default_rng(0), kept.answer.top_probability.astype(np.float64)
    if not len(top):
        return float("nan")
    _, owner = np.unique(kept.object_id.astype(str), return_inverse=True)
    weight = object_weights(kept.object_id)
    draws = [calibration_error(top, rng.random(len(top))[owner] < top, weight) for _ in range(DRAWS)]
    return float(np.mean(draws))


def _measure(
    module: Summary, test: AlertSet, asked: tuple[Module, ...], *, data_dir: Path, seed: int
) -> dict[str, Any]:
    """Return the figures on held-out alerts, and on the newest alert of each object alone."""
    survey = test.batch.survey
    said = _cross_fit(test, _answers(test, asked), seed)
    judged = Judged(said, test.label, test.object_id, test.source, test.days_since_first)
    # As in the fit: an object whose many alerts are there does not count for many.
    figures = metrics(judged, weight=object_weights(test.object_id))
    last = np.flatnonzero(test.is_last)
    newest = metrics(judged.take(last), weight=object_weights(test.object_id[last]))
    data = "simulated LSST" if survey is Survey.LSST else "ZTF packets and brightened simulation"
    real = survey is Survey.ZTF and {"real type Ia supernovae (BTS)": _real_supernovae(module, data_dir, asked, seed)}
    goals = []
    for name, part, rows in (
        (f"all alerts of {data}", figures, judged),
        (f"newest alert of each object of {data}", newest, judged.take(last)),
    ):
        names, top = _known_objects(part)
        ece = part["calibration_error"]
        goals += [
            goal("top-1 on classes with 50 objects", 0.85, top, data=name,
                 why="Early on, and without a redshift, the types of supernovae are told apart by no classifier."
                 if names else "No class has as many held-out objects."),
            goal("calibration error", 0.03, float("nan") if ece is None else ece, data=name, at_most=True,
                 why=f"Perfect answers would show {_least_error(rows):.3f} on as few objects."),
        ]  # fmt: skip
    return figures | (real or {}) | {
        "newest alert of each object": newest,
        "settled": {"all_alerts": _settled(said.probability, test.label),
                    "newest": _settled(said.probability[last], test.label[last])},
        "behaviour": behaviour(module, test.batch.take(np.arange(min(len(test), 600))), companions=asked),
        "goals": goals,
    }  # fmt: skip


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> Sidecar:
    """Fit the weights of a survey, measure the summary on objects that nothing saw, and write its artefact.

    Parameters
    ----------
    data_dir : folder of labelled alerts.
    seed : of every random choice.
    out_dir : folder to write to, made if absent.
    """
    alerts = held_out_alerts(survey, data_dir, seed)
    asked = _asked(survey)
    answers = _answers(alerts, asked)
    inputs = {name: said.classes for name, said in answers.items()}
    weights, prior, temperature = _fit(_stack(alerts, answers), inputs, np.random.default_rng(seed), MEMBERS)
    model = export(weights, inputs)
    parameters = _parameters(inputs, prior, temperature)
    module = Summary.from_parts(VERSION, parameters, model)
    counts = {
        str(name): {
            "objects": len(set(alerts.object_id[alerts.label == name])),
            "rows": int((alerts.label == name).sum()),
        }
        for name in np.unique(alerts.label.astype(str))
    }
    sidecar = Sidecar(
        classifier=Summary.name,
        version=VERSION,
        survey=survey,
        classes=LEAVES,
        sha256=hashlib.sha256(model).hexdigest(),
        parameters=parameters,
        training={
            "seed": seed,
            "libraries": {"scipy": scipy.__version__, "onnx": onnx.__version__, "numpy": np.__version__},
            "split": f"md5 of the object id: classifiers < {TRAIN_BELOW}, weights from there to {TEST_BELOW}; judged "
            f"in {FOLDS} folds by object, each with weights that were fitted without it",
            "sources": list(SOURCES[survey]),
            "not_covered": list(NOT_COVERED[survey]),
            "counts": {"train": counts, "test": counts},
            "versions_of_inputs": {name: said.version for name, said in answers.items()},
        },
        metrics=_measure(module, alerts, asked, data_dir=data_dir, seed=seed),
    )
    write_artefact(sidecar, model, out_dir)
    return sidecar


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure the summary on held-out objects: weights are fitted anew in folds, as the stored ones know all of them.

    The stored weights are those that are shown nonsense, and real supernovae that nothing was fitted on.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    sidecar, model = read_artefact(Summary.name, survey, directory=directory)
    module = Summary.from_parts(sidecar.version, sidecar.parameters, model)
    test = held_out_alerts(survey, data_dir, seed)
    return _measure(module, test, _asked(survey), data_dir=data_dir, seed=seed)
