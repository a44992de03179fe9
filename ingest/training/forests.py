"""Bagged random forests: fit, calibrate, export, and keep them as an artefact.

The same data and seed give the same bytes: the forests are fitted in one thread, and nothing of the day or the machine
enters the ONNX file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import skl2onnx
import sklearn
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier

from ingest.classifiers.forests import Classifier, ModelSpec, file_name, model_input, soften
from ingest.training.evaluation import class_weights
from ingest.training.histories import split_fraction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from graph.model import Survey

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

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


@dataclass(frozen=True, eq=False, slots=True)
class Forests:
    """Bagged forests over the same classes."""

    members: tuple[RandomForestClassifier, ...]
    classes: tuple[str, ...]

    def probability(self, values: FloatArray) -> FloatArray:
        """Return the uncalibrated probabilities of each forest, (members, n, c), of features (n, k)."""
        return np.stack([member.predict_proba(model_input(values)) for member in self.members]).astype(np.float64)


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


def ranges(values: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Return each feature's range in training and how many may lie outside."""
    low = np.nanquantile(values, RANGE_QUANTILE, axis=0)
    high = np.nanquantile(values, 1.0 - RANGE_QUANTILE, axis=0)
    outside = ((values < low) | (values > high)).sum(axis=1)
    return low, high, int(np.quantile(outside, OUTSIDE_QUANTILE))


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Rows of features with their truth."""

    values: FloatArray
    """(n, k), NaN where absent."""
    label: TextArray
    object_id: TextArray
    """(n,) rows of one object stay together in every split."""


def libraries() -> dict[str, str]:
    """Return the versions of what fits and exports, for a sidecar."""
    return {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__, "numpy": np.__version__}


def fit_artefact(
    name: str,
    version: str,
    survey: Survey,
    features: tuple[str, ...],
    rows: Rows,
    *,
    minimum_points: int,
    training: Mapping[str, Any],
    seed: int,
    trees: int = TREES,
) -> tuple[ModelSpec, bytes]:
    """Fit calibrated forests and return their sidecar, without metrics, and their ONNX bytes.

    Parameters
    ----------
    features : (k,) names of the columns of ``rows.values``.
    training : what the sidecar says on the origin of the rows: split, sources, not_covered, counts.
    """
    forests = fit_forests(rows.values, rows.label, rows.object_id, seed, trees=trees)
    model = export(forests, len(features))
    spec = describe(
        (name, version, survey),
        forests,
        model,
        features,
        rows,
        minimum_points=minimum_points,
        temperature=fit_temperature(rows.values, rows.label, rows.object_id, seed, trees=trees),
        training={"seed": seed, **training},
    )
    return spec, model


def describe(
    identity: tuple[str, str, Survey],
    forests: Forests,
    model: bytes,
    features: tuple[str, ...],
    rows: Rows,
    *,
    minimum_points: int,
    temperature: float,
    training: Mapping[str, Any],
    prior: Mapping[str, float] | None = None,
) -> ModelSpec:
    """Return the sidecar of fitted forests, without metrics.

    Parameters
    ----------
    identity : name, version and survey of the classifier.
    model : ONNX bytes of the forests.
    features : (k,) names of the columns of ``rows.values``, whose ranges are kept.
    training : seed and origin of the rows.
    prior : share of each class; those of the weighted rows where it is left out.
    """
    low, high, outside = ranges(rows.values)
    if prior is None:
        weight = class_weights(rows.label, rows.object_id)
        prior = {kind: float(weight[rows.label == kind].sum() / weight.sum()) for kind in forests.classes}
    name, version, survey = identity
    return ModelSpec(
        classifier=name,
        version=version,
        survey=survey,
        classes=forests.classes,
        features=features,
        minimum_points=minimum_points,
        members=len(forests.members),
        temperature=temperature,
        feature_low=tuple(low.tolist()),
        feature_high=tuple(high.tolist()),
        features_outside=outside,
        prior=dict(prior),
        sha256=hashlib.sha256(model).hexdigest(),
        training={"seed": training["seed"], "libraries": libraries(), **training},
        metrics={},
    )


def keep(spec: ModelSpec, model: bytes, out_dir: Path, measure: Callable[[Classifier], dict[str, Any]]) -> ModelSpec:
    """Measure an artefact, write ``<name>-<survey>.onnx`` and ``.json``, and return the sidecar with its metrics."""
    spec = replace(spec, metrics=measure(Classifier(spec, model, threads=1)))
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / f"{file_name(spec.classifier, spec.survey)}.onnx").write_bytes(model)
    text = json.dumps(asdict(spec), indent=1)
    (out_dir / f"{file_name(spec.classifier, spec.survey)}.json").write_text(text + "\n", encoding="utf-8")
    return spec
