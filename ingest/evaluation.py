"""Judge a classifier on labelled rows: by object, with every class weighted as the model's prior states it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ingest.classify import Classifications, Classifier
    from ingest.training_examples import Examples

FloatArray = NDArray[np.float64]

CALIBRATION_BINS = 10
"""Bins of equal width in which stated probability and measured share are compared."""


def class_weights(label: NDArray[np.object_], object_id: NDArray[np.object_]) -> FloatArray:
    """Return a weight for each row: equal for the objects of a class, the class by the root of its objects.

    Notes
    -----
    The number of objects in a collection says little on the sky; equal classes would let the few objects of the
    rarest shout. The root lies between, and the resulting shares are stated with the model as its prior.
    """
    pairs, row, rows_of_object = np.unique(
        np.char.add(np.char.add(label.astype(str), "\n"), object_id.astype(str)),
        return_inverse=True,
        return_counts=True,
    )
    pair_class = np.array([pair.split("\n", 1)[0] for pair in pairs])
    names, of_pair, objects = np.unique(pair_class, return_inverse=True, return_counts=True)
    share = np.sqrt(objects) / np.sqrt(objects).sum() if len(names) else objects.astype(np.float64)
    per_object = share[of_pair] / objects[of_pair]
    return np.asarray(per_object[row] / rows_of_object[row] * len(label), dtype=np.float64)


def calibration_error(probability: FloatArray, correct: NDArray[np.bool_], weight: FloatArray) -> float:
    """Return the expected calibration error of the top class: mean distance of stated and measured share."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    total = 0.0
    for place in range(CALIBRATION_BINS):
        inside = bins == place
        if inside.any():
            total += abs(float(np.sum(weight[inside] * (probability[inside] - correct[inside]))))
    return total / float(weight.sum())


def area_under_curve(score: FloatArray, positive: NDArray[np.bool_], weight: FloatArray) -> float:
    """Return the weighted probability that a positive row scores above a negative one; ties count half."""
    values, place = np.unique(score, return_inverse=True)
    ups = np.bincount(place, weight * positive, minlength=len(values))
    downs = np.bincount(place, weight * ~positive, minlength=len(values))
    below = np.cumsum(downs) - downs
    norm = float(ups.sum() * downs.sum())
    return float(np.sum(ups * (below + 0.5 * downs))) / norm if norm else float("nan")


def _by_points(correct: NDArray[np.bool_], n_points: NDArray[np.int64], weight: FloatArray) -> dict[str, float]:
    """Return the weighted accuracy for short and long histories."""
    table = {}
    for low, high in ((3, 5), (6, 10), (11, 20), (21, 10**9)):
        inside = (n_points >= low) & (n_points <= high)
        if inside.any():
            name = f"{low}-{high}" if high < 10**9 else f"{low} and more"
            table[name] = float(np.sum(weight[inside] * correct[inside]) / weight[inside].sum())
    return table


def measure(classifier: Classifier, rows: Examples) -> dict[str, Any]:
    """Return the metrics of a classifier on labelled rows, as JSON-ready values.

    Returns
    -------
    Counts, weighted accuracy, balanced accuracy, log loss, Brier score, calibration error, and for each class recall,
    precision and area under the curve; the confusion matrix counts rows, truth down, answer across.
    """
    answer = classifier.classify_features(rows.features)
    known = ~answer.abstained & np.isin(rows.label, answer.classes)
    label, weight = rows.label[known], class_weights(rows.label[known], rows.object_id[known])
    probability = answer.probability[known].astype(np.float64)
    classes = np.array(answer.classes)
    target = np.searchsorted(classes, label.astype(str))
    top = np.argmax(probability, axis=1)
    correct = top == target
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (target, top), 1)
    one_hot = np.eye(len(classes))[target]
    of_class = {}
    for place, name in enumerate(answer.classes):
        truth, said = target == place, top == place
        hit = float(weight[truth & said].sum())
        of_class[name] = {
            "objects": len(set(rows.object_id[known][truth])),
            "rows": int(truth.sum()),
            "recall": hit / float(weight[truth].sum()) if truth.any() else None,
            "precision": hit / float(weight[said].sum()) if said.any() else None,
            "auc": area_under_curve(probability[:, place], truth, weight) if truth.any() else None,
        }
    recalls = [entry["recall"] for entry in of_class.values() if entry["recall"] is not None]
    return {
        "rows": int(known.sum()),
        "objects": len(set(rows.object_id[known])),
        "accuracy": float(np.sum(weight * correct) / weight.sum()),
        "balanced_accuracy": float(np.mean(recalls)),
        "log_loss": float(-np.sum(weight * np.log(probability[np.arange(len(target)), target])) / weight.sum()),
        "brier": float(np.sum(weight * ((probability - one_hot) ** 2).sum(axis=1)) / weight.sum()),
        "calibration_error": calibration_error(probability.max(axis=1), correct, weight),
        "out_of_distribution": float(answer.out_of_distribution[known].mean()),
        "accuracy_by_points": _by_points(correct, answer.n_points[known], weight),
        "recall_by_source": _by_source(answer, rows, known, correct),
        "classes": of_class,
        "confusion": confusion.tolist(),
    }


def _by_source(
    answer: Classifications, rows: Examples, known: NDArray[np.bool_], correct: NDArray[np.bool_]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return rows and plain recall for each class and source: real and simulated rows are told apart."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    label, source = rows.label[known].astype(str), rows.source[known].astype(str)
    for name in answer.classes:
        for origin in np.unique(source[label == name]):
            inside = (label == name) & (source == origin)
            table.setdefault(name, {})[str(origin)] = {
                "rows": float(inside.sum()),
                "recall": float(correct[inside].mean()),
            }
    return table
