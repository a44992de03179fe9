"""The recipe of the classifier of early type Ia supernovae."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from graph.model import Survey
from ingest.classifiers.early_snia import MINIMUM_POINTS, EarlySnIa, feature_names
from ingest.classifiers.forests import Classifier, ModelSpec, model_input, soften
from ingest.training.early_judge import MIX, POSITIVE, PURITY, measure, mix_weights
from ingest.training.early_sources import FOLLOW_UP, Rows, alert_rows, collections, join_rows, thinned
from ingest.training.forests import MEMBERS, TEMPERATURES, Forests, export, keep, libraries, ranges
from ingest.training.histories import split_fraction
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW, Labelled, concatenate
from ingest.training.sources import LICENCES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

VERSION: Final = "1.0.0"
"""Version of the recipe; a change of classes, features or sources is a new one."""

THINNED: Final[Mapping[Survey, int]] = {Survey.LSST: 2, Survey.ZTF: 0}
"""Further copies of the training light curves that have lost some nights."""

TREES: Final = 8
"""Trees of each member: with `LEAVES` what an artefact of 1.5 MB holds."""

LEAVES: Final = 300
"""Most leaves of a tree. Types of supernovae overlap: with the 128 of the other forests a tenth of the efficiency is
lost."""

FOLDS: Final = 4
"""Folds by object: each model sees three quarters of the objects, nearly what the final one sees."""

SMALLEST_LEAF: Final = 3
"""Alerts in a leaf."""

NOT_COVERED: Final = {
    Survey.LSST: (
        "All rows are simulated: no real LSST supernova with a certain type was to be had.",
        "Neither host galaxy nor redshift is read; with them the types are told apart far better.",
        "Kilonovae and other rare transients get the name of another class.",
        "Purity holds for the mix of classes in the collections; the sky has other shares.",
    ),
    Survey.ZTF: (
        "Nearly all supernovae are simulated for LSST and made brighter; only a dozen real ones are fitted on.",
        "Real supernovae of massive stars before their maximum are nearly absent, so that purity is simulated.",
        "Brightness is not read, as that of the simulated supernovae is arbitrary.",
        "Real alerts without a supernova have catalogue classes by position, which are not certain.",
    ),
}
"""What the figures cannot show."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is chosen out of fold on training objects."""

    temperature: float
    threshold: float
    """Least probability of `POSITIVE` from which early alerts are pure to `PURITY`."""


def fit_members(rows: Rows, names: tuple[str, ...], weight: FloatArray, seed: int, *, trees: int = TREES) -> Forests:
    """Fit bagged forests, each on its own draw of objects.

    Parameters
    ----------
    weight : (n,) of the rows.
    """
    values, label = model_input(rows.features.select(names)), rows.label.astype(str)
    classes, target = np.unique(label, return_inverse=True)
    _, owner = np.unique(rows.object_id.astype(str), return_inverse=True)
    members = []
    for member in range(MEMBERS):
        rng = np.random.default_rng([seed, member])
        n = int(owner.max()) + 1
        drawn = np.bincount(rng.integers(n, size=n), minlength=n)[owner]
        # One row of each class stays in every draw, so that all members know all classes.
        drawn[np.unique(target, return_index=True)[1]] += 1
        forest = RandomForestClassifier(
            n_estimators=trees,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=SMALLEST_LEAF,
            max_features="sqrt",
            random_state=seed * MEMBERS + member,
            n_jobs=1,
        )
        kept = drawn > 0
        members.append(forest.fit(values[kept], target[kept], sample_weight=(weight * drawn)[kept]))
    return Forests(tuple(members), tuple(classes.tolist()))


def calibrate(rows: Rows, more: Rows, names: tuple[str, ...], survey: Survey, seed: int) -> Calibration:
    """Return temperature and threshold from probabilities out of fold, folds by object.

    Parameters
    ----------
    rows : alerts as they come; the probabilities are theirs.
    more : what is fitted on, those and thinned copies.
    """
    fold, others = _fold(rows, seed), _fold(more, seed)
    classes = np.unique(rows.label.astype(str))
    target = np.searchsorted(classes, rows.label.astype(str))
    members = np.empty((MEMBERS, len(fold), len(classes)))
    for side in range(FOLDS):
        part = more.take(others != side)
        forests = fit_members(part, names, mix_weights(part.label, survey), seed)
        members[:, fold == side] = forests.probability(rows.features.select(names)[fold == side])
    place, weight = np.arange(len(target)), mix_weights(rows.label, survey)

    def loss(temperature: float) -> float:
        return -float((weight * np.log(soften(members, temperature).mean(axis=0)[place, target])).sum())

    temperature = float(min(TEMPERATURES, key=loss))
    early = is_early(rows)
    score = soften(members, temperature).mean(axis=0)[early, list(classes).index(POSITIVE)]
    label = rows.label[early]
    return Calibration(temperature, threshold_for(score, label == POSITIVE, mix_weights(label, survey), PURITY))


def _fold(rows: Rows, seed: int) -> IntArray:
    """Return (n,) the fold of each row's object."""
    names, place = np.unique(rows.object_id.astype(str), return_inverse=True)
    return np.array([int(FOLDS * split_fraction(f"fold {seed} {name}")) for name in names], dtype=np.int64)[place]


def is_early(rows: Rows) -> BoolArray:
    """Return (n,) which alerts are in the regime of the goal: at most 20 points, not after the maximum."""
    return np.asarray((rows.n_points <= 20) & ~(rows.days_to_peak < 0.0), dtype=np.bool_)


def threshold_for(score: FloatArray, positive: BoolArray, weight: FloatArray, purity: float) -> float:
    """Return the least score from which the rows are pure to ``purity``; 1 where there is none."""
    order = np.argsort(-score, kind="stable")
    reached = np.cumsum((weight * positive)[order]) / np.cumsum(weight[order])
    pure = np.flatnonzero(reached >= purity)
    return float(score[order][pure[-1]]) if len(pure) else 1.0


def may_fit(source: TextArray) -> BoolArray:
    """Return (n,) whether the licence of each collection allows it to be fitted on."""
    allowed = {name: fitted for name, (_, fitted) in LICENCES.items()} | {FOLLOW_UP: True}
    return np.array([allowed[str(name).removesuffix("-as-ztf")] for name in source], dtype=np.bool_)


def split(survey: Survey, data_dir: Path, seed: int) -> tuple[Labelled, Labelled]:
    """Return the objects to fit on and those to judge on; what may not be fitted on is judged on altogether."""
    everything = collections(survey, data_dir, np.random.default_rng(seed))
    allowed = may_fit(everything.source)
    fit = everything.is_train & allowed
    judge = everything.is_test | (everything.is_train & ~allowed)
    return everything.take(fit), everything.take(judge)


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path, *, more: Labelled | None = None) -> ModelSpec:
    """Fit a survey's model and write ``early_snia-<survey>.onnx`` and ``.json``.

    Parameters
    ----------
    data_dir : folder with ``lightcurves/``, ``labels/``, ``elasticc/`` and the packet folders.
    seed : of every random choice.
    more : objects whose types came back from follow-up; those on the side that is judged on are not fitted on.

    Returns
    -------
    The sidecar with the metrics on held-out objects.
    """
    fit, judged = split(survey, data_dir, seed)
    if more is not None and len(more):
        fit = concatenate([fit, more.take(~more.is_test)])
    rows = alert_rows(fit, survey, np.random.default_rng([seed, 1]), judged=False)
    test = alert_rows(judged, survey, np.random.default_rng([seed, 2]), judged=True)
    rng = np.random.default_rng([seed, 3])
    copies = [alert_rows(thinned(fit, rng), survey, rng, judged=False) for _ in range(THINNED[survey])]
    names = feature_names(survey)
    everything = join_rows([rows, *copies])
    chosen = calibrate(rows, everything, names, survey, seed)
    forests = fit_members(everything, names, mix_weights(everything.label, survey), seed)
    model = export(forests, len(names))
    low, high, outside = ranges(rows.features.select(names))
    spec = ModelSpec(
        classifier=EarlySnIa.name,
        version=VERSION,
        survey=survey,
        classes=forests.classes,
        features=names,
        minimum_points=MINIMUM_POINTS,
        members=MEMBERS,
        temperature=chosen.temperature,
        feature_low=tuple(low.tolist()),
        feature_high=tuple(high.tolist()),
        features_outside=outside,
        prior={name: MIX[survey].get(name, float((everything.label == name).mean())) for name in forests.classes},
        sha256=hashlib.sha256(model).hexdigest(),
        training={"seed": seed, "libraries": libraries(), **_provenance(survey, rows, test)},
        metrics={},
    )
    return keep(spec, model, out_dir, lambda forest: measure(forest, test, judged, chosen.threshold))


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure a stored model on held-out objects of the data, alerts drawn with another seed.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    forests = Classifier.load(EarlySnIa.name, survey, directory=directory)
    _, judged = split(survey, data_dir, seed)
    test = alert_rows(judged, survey, np.random.default_rng([seed, 2]), judged=True)
    return measure(forests, test, judged, float(forests.spec.metrics["threshold"]))


def _provenance(survey: Survey, rows: Rows, test: Rows) -> dict[str, Any]:
    """Return what a sidecar says on the origin of a model."""
    used = sorted({str(name).removesuffix("-as-ztf") for name in {*rows.source, *test.source}})
    return {
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}; threshold chosen on train only",
        "sources": [
            f"{LICENCES[name][0]}{'' if LICENCES[name][1] else ' (judged with only)'}"
            if name in LICENCES
            else "types that came back from follow-up"
            for name in used
        ],
        "not_covered": list(NOT_COVERED[survey]),
        "counts": {
            side: {
                str(name): {
                    "objects": len(set(part.object_id[part.label == name])),
                    "rows": int((part.label == name).sum()),
                }
                for name in np.unique(rows.label.astype(str))
            }
            for side, part in (("train", rows), ("test", test))
        },
    }
