"""Judge the answers of a classifier: purity and efficiency, calibration, and what it says of nonsense.

Labels and answers are nodes of one tree, and need not be of one depth: a label counts as the nearest of its ancestors
that the classifier knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from graph.taxonomy import OTHER, PARENTS, lineage
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Runner
from ingest.training.figures import (
    area_under_curve,
    average_precision,
    calibration_error,
    calibration_table,
    efficiency_at_purity,
    share,
)
from ingest.training.nonsense import NONSENSE, as_nonsense

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.classifiers.contract import Batch, Classifications, Module

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

POINTS = (1, 3, 6, 11, 21, 51)
"""Lower ends of the bins by number of detections; about a factor of two each, below 3 there is hardly a light curve."""

DAYS = (0, 2, 5, 10, 20, 50, 100)
"""Lower ends of the bins by days since the first detection [d]: what follow-up of fast and of slow transients needs."""

BEHAVIOUR_LIMIT_S = 600.0
"""Time that a classifier has for one kind of nonsense [s]: generous, as only a hang is to be ended."""

LIMIT_S = 600.0
"""Time that a classifier has for one kind of nonsense [s]: generous, as only a hang is to be ended."""

SMALLEST_CHANCE = 1e-7
"""Floor of probabilities in a log loss: one certain error may not outweigh all other rows; float32 resolves it."""


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """Answers on n alerts beside the truth."""

    answer: Classifications
    label: TextArray
    """(n,) true class, a name of `graph.taxonomy`."""
    object_id: TextArray
    source: TextArray
    """(n,) collection that the object is from."""
    days_since_first: FloatArray
    """(n,) from the first detection to the alert [d]; NaN when unknown."""

    def __post_init__(self) -> None:
        """Refuse columns of unequal lengths.

        Raises
        ------
        ModelError : the columns do not belong together.
        """
        lengths = {len(self.answer), len(self.label), len(self.object_id), len(self.source), len(self.days_since_first)}
        if len(lengths) != 1:
            raise ModelError("answers and truth have different numbers of rows")

    def take(self, row: IntArray) -> Judged:
        """Return the rows at some places."""
        return replace(
            self,
            answer=self.answer.take(row),
            label=self.label[row],
            object_id=self.object_id[row],
            source=self.source[row],
            days_since_first=self.days_since_first[row],
        )


def as_known(label: TextArray, classes: tuple[str, ...]) -> TextArray:
    """Return for each label (n,) its nearest ancestor among the classes; `OTHER` or empty text where there is none."""
    rest = OTHER if OTHER in classes else ""
    names, place = np.unique(label.astype(str), return_inverse=True)
    known = [next((node for node in lineage(str(name)) if node in classes), rest) for name in names]
    return np.array(known, dtype=object)[place] if len(names) else np.empty(0, dtype=object)


def is_kind_of(label: TextArray, name: str) -> BoolArray:
    """Return (n,) which labels are a class or a kind of it."""
    names, place = np.unique(label.astype(str), return_inverse=True)
    inside = np.array([name in lineage(str(item)) for item in names], dtype=np.bool_)
    return inside[place] if len(names) else np.empty(0, dtype=np.bool_)


def metrics(judged: Judged, *, positive: str | None = None, weight: FloatArray | None = None) -> dict[str, Any]:
    """Return what a model card shows of the answers, as JSON-ready values; None where a figure has no rows.

    Parameters
    ----------
    judged : n answers with their truth.
    positive : class to be found among all others, the unknown included; adds the entry ``positive``.
    weight : (n,) of the rows; equal when absent. Counts and the confusion matrix are never weighted.

    Returns
    -------
    Counts, accuracy, balanced accuracy, log loss, Brier score, expected calibration error with its bins; for each
    class recall (efficiency), precision (purity), area under the curve and average precision; the same by number of
    detections and by days since the first; confusion (truth down, answer across).
    """
    weights = np.ones(len(judged.label)) if weight is None else np.asarray(weight, dtype=np.float64)
    known = as_known(judged.label, judged.answer.classes)
    answered = ~judged.answer.abstained
    row = np.flatnonzero(answered & (known != ""))
    table: dict[str, Any] = {
        "rows": len(row),
        "objects": len(set(judged.object_id[row])),
        "rows_asked": len(judged.label),
        "abstained": share(~answered, weights),
        "rows_of_unknown_classes": int((known == "").sum()),
        "out_of_distribution": share(judged.answer.out_of_distribution[answered], weights[answered]),
    }
    table |= _of_known(judged.take(row), known[row], weights[row])
    if positive is not None:
        table["positive"] = _of_positive(judged, positive, weights)
    return table


def _of_known(judged: Judged, known: TextArray, weight: FloatArray) -> dict[str, Any]:
    """Return the figures of rows that were answered and whose class the classifier knows."""
    classes = judged.answer.classes
    place = {name: column for column, name in enumerate(classes)}
    target = np.array([place[name] for name in known], dtype=np.int64)
    probability = judged.answer.probability.astype(np.float64)
    top = np.argmax(probability, axis=1) if len(target) else target
    correct = top == target
    leading = probability.max(axis=1) if len(target) else np.empty(0)
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (target, top), 1)
    chance = np.clip(probability[np.arange(len(target)), target], SMALLEST_CHANCE, None)
    squared = ((probability - np.eye(len(classes))[target]) ** 2).sum(axis=1)
    of_class = {
        name: _of_class(target == column, top == column, probability[:, column], weight, judged.object_id)
        for name, column in place.items()
    }
    recalls = [entry["recall"] for entry in of_class.values() if entry["recall"] is not None]
    total = float(weight.sum())
    slices = {"by_points": _bins(judged.answer.n_points.astype(np.float64), POINTS),
              "by_days": _bins(judged.days_since_first, DAYS)}  # fmt: skip
    return {
        "accuracy": share(correct, weight),
        "balanced_accuracy": float(np.mean(recalls)) if recalls else None,
        "log_loss": float(-(weight @ np.log(chance))) / total if total else None,
        "brier": float(weight @ squared) / total if total else None,
        "calibration_error": calibration_error(leading, correct, weight) if total else None,
        "calibration": calibration_table(leading, correct, weight),
        "std": float(weight @ judged.answer.std) / total if total else None,
        "classes": of_class,
        "confusion": confusion.tolist(),
        **{key: _by_slice(parts, classes, target, top, weight) for key, parts in slices.items()},
        "by_source": _by_source(judged, classes, target, correct),
    }


def _of_class(
    truth: BoolArray, said: BoolArray, score: FloatArray, weight: FloatArray, object_id: TextArray
) -> dict[str, Any]:
    """Return the figures of one class against all others."""
    mixed = bool(truth.any() and not truth.all())
    return {
        "objects": len(set(object_id[truth])),
        "rows": int(truth.sum()),
        "recall": share(said[truth], weight[truth]),
        "precision": share(truth[said], weight[said]),
        "auc": area_under_curve(score, truth, weight) if mixed else None,
        "average_precision": average_precision(score, truth, weight) if mixed else None,
    }


def _bins(values: FloatArray, edges: tuple[int, ...]) -> Iterator[tuple[str, BoolArray]]:
    """Yield the name and the rows of each bin that has any."""
    for low, high in zip(edges, (*edges[1:], None), strict=True):
        inside = values >= low
        if high is not None:
            inside &= values < high
        if inside.any():
            yield (f"{low} and more" if high is None else f"{low} to {high}"), inside


def _by_slice(
    parts: Iterator[tuple[str, BoolArray]],
    classes: tuple[str, ...],
    target: IntArray,
    top: IntArray,
    weight: FloatArray,
) -> dict[str, Any]:
    """Return accuracy, and purity and efficiency of each class, in slices of the rows; upper ends are exclusive."""
    table: dict[str, Any] = {}
    for name, inside in parts:
        truth, said, mine = target[inside], top[inside], weight[inside]
        table[name] = {
            "rows": int(inside.sum()),
            "accuracy": share(truth == said, mine),
            "classes": {
                kind: {
                    "rows": int((truth == column).sum()),
                    "recall": share((said == column)[truth == column], mine[truth == column]),
                    "precision": share((truth == column)[said == column], mine[said == column]),
                }
                for column, kind in enumerate(classes)
                if (truth == column).any() or (said == column).any()
            },
        }
    return table


def _by_source(judged: Judged, classes: tuple[str, ...], target: IntArray, correct: BoolArray) -> dict[str, Any]:
    """Return rows and unweighted recall of each class and source: real and simulated rows are told apart."""
    source = judged.source.astype(str)
    return {
        name: {
            str(origin): {
                "rows": int(inside.sum()),
                "objects": len(set(judged.object_id[inside])),
                "recall": float(correct[inside].mean()),
            }
            for origin in np.unique(source[target == column])
            for inside in [(target == column) & (source == origin)]
        }
        for column, name in enumerate(classes)
        if (target == column).any()
    }


def _of_positive(judged: Judged, name: str, weight: FloatArray) -> dict[str, Any]:
    """Return how well one class is found among all rows; rows where the classifier abstains are not found."""
    if name not in judged.answer.classes and name not in PARENTS:
        raise ModelError(f"{name!r} is no class")
    truth = is_kind_of(judged.label, name)
    columns = [column for column, kind in enumerate(judged.answer.classes) if name in lineage(kind)]
    score = judged.answer.probability[:, columns].astype(np.float64).sum(axis=1)
    answered = ~judged.answer.abstained
    mixed = bool(truth[answered].any() and not truth[answered].all())
    found = np.nan_to_num(score, nan=-1.0)
    return {
        "class": name,
        "rows": int(truth.sum()),
        "objects": len(set(judged.object_id[truth])),
        "auc": area_under_curve(score[answered], truth[answered], weight[answered]) if mixed else None,
        "average_precision": average_precision(found, truth, weight) if mixed else None,
        "at_half": {
            "purity": share(truth[found >= 0.5], weight[found >= 0.5]),
            "efficiency": share((found >= 0.5)[truth], weight[truth]),
        },
        "efficiency_at_purity": {
            str(purity): efficiency_at_purity(found, truth, weight, purity) for purity in (0.5, 0.8, 0.9, 0.95)
        },
    }


def behaviour(module: Module, batch: Batch, *, companions: Sequence[Module] | None = None) -> dict[str, Any]:
    """Return what a classifier says of a batch and of the same light curves made nonsense.

    Parameters
    ----------
    batch : held-out alerts, a few hundred are enough.
    companions : classifiers that are asked before it; those of the registry that it reads when absent.

    Returns
    -------
    For the batch as it is (``as_is``) and for each of `NONSENSE`: the shares of alerts that pass the gate and that get
    an answer; of the answers, the share flagged out of distribution, mean top probability, its mean std, mean entropy
    in units of that of equal probabilities, and the share that names the class named for the batch as it is. None
    where there are no answers.
    """
    runner = Runner((*(_companions(module, batch) if companions is None else companions), module), time_limit_s=LIMIT_S)
    table: dict[str, Any] = {}
    first = np.empty(0, dtype=object)
    try:
        for kind in ("as_is", *NONSENSE):
            outcome = runner.run(batch if kind == "as_is" else as_nonsense(batch, kind))
            if module.name not in outcome.answers:
                raise ModelError(f"the classifier {module.name} gave no answer on {kind} light curves")
            answer = outcome.answers[module.name]
            first = answer.top_class if kind == "as_is" else first
            table[kind] = {"asked": outcome.asked[module.name] / len(batch), **_certainty(answer, first)}
    finally:
        runner.close()
    return table


def _companions(module: Module, batch: Batch) -> tuple[Module, ...]:
    """Return the registered classifiers that a classifier reads, and those that they read."""
    registered = {item.name: item for item in load_modules(batch.survey)} if module.reads else {}
    wanted, queue = set[str](), list(module.reads)
    while queue:
        name = queue.pop()
        if name in registered and name not in wanted:
            wanted.add(name)
            queue.extend(registered[name].reads)
    return tuple(item for name, item in registered.items() if name in wanted)


def _certainty(answer: Classifications, first: TextArray) -> dict[str, float | None]:
    """Return how sure answers are, and how many name the classes ``first`` (n,) again."""
    said = ~answer.abstained
    row = np.flatnonzero(said)
    if not len(row):
        return {"answered": 0.0, **dict.fromkeys(("out_of_distribution", "top_probability", "std", "entropy", "same"))}
    probability = np.clip(answer.probability[row].astype(np.float64), SMALLEST_CHANCE, 1.0)
    entropy = -(probability * np.log(probability)).sum(axis=1) / np.log(max(len(answer.classes), 2))
    both = row[first[row] != ""]
    return {
        "answered": len(row) / len(said),
        "out_of_distribution": float(answer.out_of_distribution[row].mean()),
        "top_probability": float(answer.top_probability[row].mean(dtype=np.float64)),
        "std": float(answer.std[row].mean()),
        "entropy": float(entropy.mean()),
        "same": float((answer.top_class[both] == first[both]).mean()) if len(both) else None,
    }


def goal(name: str, wanted: float, value: float, *, data: str, why: str = "", at_most: bool = False) -> dict[str, Any]:
    """Return what was asked of a model and what it reached, for ``metrics["goals"]``.

    Parameters
    ----------
    name : of the figure, e.g. ``purity at efficiency 0.6``.
    data : what it was measured on.
    why : a goal was missed, one sentence.
    at_most : the goal is an upper limit.

    Returns
    -------
    With ``missed_by``: 0 when met, else the distance to what was wanted; None when the figure could not be measured.
    """
    measured = bool(np.isfinite(value))
    short = (value - wanted) if at_most else (wanted - value)
    return {
        "name": name,
        "wanted": float(wanted),
        "at_most": at_most,
        "reached": float(value) if measured else None,
        "met": measured and short <= 0.0,
        "missed_by": max(float(short), 0.0) if measured else None,
        "data": data,
        "why": "" if measured and short <= 0.0 else why,
    }
