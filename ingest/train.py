"""Fit a classifier, judge it on objects that it never saw, and write its artefact.

The same data and seed give the same bytes: rows are built in a fixed order from one generator, the forests are fitted
in one thread, and nothing of the day or the machine enters the ONNX file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import skl2onnx
import sklearn
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier

from graph.model import Survey
from ingest.classify import Classifier, ModelSpec, file_name, model_input, soften
from ingest.evaluation import class_weights, measure
from ingest.features import LIGHT_CURVE_FEATURES
from ingest.training_data import (
    NOT_COVERED,
    SOURCES,
    detections_only,
    plasticc,
    split_fraction,
    ztf_packets,
    ztf_supernovae,
)
from ingest.training_examples import MINIMUM_POINTS, Examples, as_seen_by_ztf, cut_histories, lend_context, tabulate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ingest.training_data import History, SimulatedObject

FloatArray = NDArray[np.float64]

MODEL_VERSION = "1.0.0"
"""Version of the training recipe; a change of classes, features or sources is a new one."""

MODEL_NAME = "coarse"
"""Name of the model of either survey; the classes are coarse."""

TRAIN_BELOW = 0.5
"""Objects with a split fraction below this are fitted on."""

TEST_BELOW = 0.7
"""Objects from `TRAIN_BELOW` to this are judged on; the rest is left for judges outside of this code."""

MEMBERS = 5
"""Bagged forests; five give a spread to about a third of itself, and each costs its share of 1.5 MB."""

TREES = 12
"""Trees of each forest."""

LEAVES = 128
"""Most leaves of a tree: with `MEMBERS` and `TREES` what an artefact below 1.5 MB holds."""

SMALLEST_LEAF = 3
"""Rows in a leaf: no leaf is one cut of one object's light curve."""

OPSET = {"": 17, "ai.onnx.ml": 3}
"""ONNX operator sets, the oldest that hold all that is used, so that old runtimes can run the models."""

RANGE_QUANTILE = 0.001
"""A feature is outside of its range beyond this quantile of the training rows on either side."""

OUTSIDE_QUANTILE = 0.995
"""Share of training rows that count as inside the distribution."""

TEMPERATURES = tuple(round(0.3 * 1.05**step, 3) for step in range(50))
"""Temperatures that are tried, 0.3 to 3.3 in steps of 5 %: the log loss is flat within one step."""

NOT_READ = frozenset({"n_upper_limits", "since_first_d", "last_limit_gap_d", "mean_flux_njy"})
"""Features that no model reads: published light curves and LSST packets carry no upper limits, so their absence would
betray the source of a row instead of its class, and the mean flux says again what the magnitudes say."""


@dataclass(frozen=True, eq=False, slots=True)
class Forests:
    """Bagged forests over the same classes."""

    members: tuple[RandomForestClassifier, ...]
    classes: tuple[str, ...]

    def probability(self, values: FloatArray) -> FloatArray:
        """Return the uncalibrated probabilities of each forest, (members, n, c), of features (n, k)."""
        return np.stack([member.predict_proba(model_input(values)) for member in self.members]).astype(np.float64)


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


def fit_forests(
    values: FloatArray, label: NDArray[np.object_], object_id: NDArray[np.object_], seed: int, *, trees: int = TREES
) -> Forests:
    """Fit bagged forests, each on its own draw of objects with replacement.

    Parameters
    ----------
    values : (n, k) features, NaN where absent.
    label, object_id : (n,).
    """
    classes, target = np.unique(label.astype(str), return_inverse=True)
    _, owner = np.unique(object_id.astype(str), return_inverse=True)
    weight = class_weights(label, object_id)
    members = []
    for member in range(MEMBERS):
        rng = np.random.default_rng([seed, member])
        drawn = np.bincount(rng.integers(owner.max() + 1, size=owner.max() + 1), minlength=owner.max() + 1)[owner]
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
        members.append(forest.fit(model_input(values[kept]), target[kept], sample_weight=(weight * drawn)[kept]))
    return Forests(tuple(members), tuple(classes.tolist()))


def fit_temperature(
    values: FloatArray, label: NDArray[np.object_], object_id: NDArray[np.object_], seed: int, *, trees: int = TREES
) -> float:
    """Return the temperature that minimises the log loss of out-of-fold probabilities; two folds by object."""
    fold = np.array([split_fraction(f"fold {seed} {name}") < 0.5 for name in object_id])
    log_terms: list[tuple[FloatArray, NDArray[np.int64], FloatArray]] = []
    for side in (fold, ~fold):
        forests = fit_forests(values[~side], label[~side], object_id[~side], seed, trees=trees)
        known = side & np.isin(label, forests.classes)
        target = np.searchsorted(np.array(forests.classes), label[known].astype(str))
        log_terms.append((forests.probability(values[known]), target, class_weights(label, object_id)[known]))

    def loss(temperature: float) -> float:
        total = 0.0
        for probability, target, weight in log_terms:
            mean = soften(probability, temperature).mean(axis=0)
            total -= float(np.sum(weight * np.log(mean[np.arange(len(target)), target])))
        return total

    return float(min(TEMPERATURES, key=loss))


def export(forests: Forests, n_features: int) -> bytes:
    """Return one ONNX model with an output of probabilities for each forest."""
    nodes: list[onnx.NodeProto] = []
    outputs: list[onnx.ValueInfoProto] = []
    for place, member in enumerate(forests.members):
        model = skl2onnx.convert_sklearn(
            member,
            name="forest",
            initial_types=[("features", FloatTensorType([None, n_features]))],
            options={id(member): {"zipmap": False, "output_class_labels": False}},
            target_opset=OPSET,
        )
        graph = onnx.compose.add_prefix(model, f"member{place}_", rename_inputs=False).graph
        nodes.extend(graph.node)
        outputs.extend(output for output in graph.output if output.name.endswith("probabilities"))
    features = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [None, n_features])
    merged = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "bagged forests", [features], outputs),
        producer_name="heliograph",
        ir_version=8,
        opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in OPSET.items()],
    )
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString(deterministic=True))


def _ranges(values: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Return each feature's range in training and how many may lie outside."""
    low = np.nanquantile(values, RANGE_QUANTILE, axis=0)
    high = np.nanquantile(values, 1.0 - RANGE_QUANTILE, axis=0)
    outside = ((values < low) | (values > high)).sum(axis=1)
    return low, high, int(np.quantile(outside, OUTSIDE_QUANTILE))


def _provenance(survey: Survey, seed: int, train_rows: Examples, test_rows: Examples) -> dict[str, Any]:
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
        "seed": seed,
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}",
        "sources": list(SOURCES[survey]),
        "not_covered": list(NOT_COVERED[survey]),
        "counts": counts,
        "libraries": {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__, "numpy": np.__version__},
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
    values = train_rows.features.select(names)
    forests = fit_forests(values, train_rows.label, train_rows.object_id, seed)
    model = export(forests, len(names))
    low, high, outside = _ranges(values)
    weight = class_weights(train_rows.label, train_rows.object_id)
    spec = ModelSpec(
        classifier=MODEL_NAME,
        version=MODEL_VERSION,
        survey=survey,
        classes=forests.classes,
        features=names,
        minimum_points=MINIMUM_POINTS,
        members=MEMBERS,
        temperature=fit_temperature(values, train_rows.label, train_rows.object_id, seed),
        feature_low=tuple(low.tolist()),
        feature_high=tuple(high.tolist()),
        features_outside=outside,
        prior={name: float(weight[train_rows.label == name].sum() / weight.sum()) for name in forests.classes},
        sha256=hashlib.sha256(model).hexdigest(),
        training=_provenance(survey, seed, train_rows, test_rows),
        metrics={},
    )
    spec = replace(spec, metrics=measure(Classifier(spec, model, threads=1), test_rows))
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / f"{file_name(spec.classifier, survey)}.onnx").write_bytes(model)
    text = json.dumps(asdict(spec), indent=1)
    (out_dir / f"{file_name(spec.classifier, survey)}.json").write_text(text + "\n", encoding="utf-8")
    return spec


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure a stored model on the held-out objects of the data, cut with another seed.

    Returns
    -------
    The metrics of `ingest.evaluation.measure`.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    _, test_rows = build_examples(survey, data_dir, seed)
    return measure(Classifier.load(MODEL_NAME, survey, directory=directory), test_rows)
