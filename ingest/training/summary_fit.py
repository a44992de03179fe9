"""Fit the weights of the summary: multinomial regression on the answers of all classifiers, drawn to their own word.

Answers on objects that the classifiers were fitted on would be too good to learn from, so the weights are fitted on
objects that were held out from them. Where there are few, the weights stay near the product of experts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped, unused-ignore]

from graph.taxonomy import LEAVES, leaves_under
from ingest.classifiers.evidence import unlearnt_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

TRUST: Final = 0.6
"""Exponent of each answer before anything is learnt: below 1, as classifiers that read the same light curve repeat each
other."""

PENALTY: Final = 0.3
"""Inverse variance of the weights around the product of experts: off by 1.8 is as surprising as a row off by a factor
of 1.6. From 0.1 to 1 the log loss out of fold changes by less than its error."""

PRIOR_PENALTY: Final = 0.3
"""The same of the prior's term around the shares of the classes."""

SMALLEST_SHARE: Final = 3e-4
"""Prior of a leaf without a single object: a class that the data lack is not impossible."""

MEMBERS: Final = 8
"""Draws of objects with replacement; the spread is known to a quarter of itself."""

TEMPERATURES: Final = tuple(round(0.6 * 1.03**step, 4) for step in range(40))
"""Temperatures that are tried, 0.6 to 1.9 in steps of 3 %."""

OPSET: Final = 17
"""ONNX operator set, old enough for any runtime that runs the forests."""


@dataclass(frozen=True, eq=False, slots=True)
class Stacked:
    """n alerts as rows of a regression."""

    columns: dict[str, FloatArray]
    """Source of evidence -> (n, c), see `ingest.classifiers.evidence.read_answers`; ``prior`` is a column of ones."""
    target: NDArray[np.bool_]
    """(n, leaves) leaves that the label allows: one, or all under an inner node."""
    object_id: TextArray

    def take(self, row: NDArray[np.int64]) -> Stacked:
        """Return the rows at some places."""
        return Stacked({name: part[row] for name, part in self.columns.items()}, self.target[row], self.object_id[row])

    @property
    def matrix(self) -> FloatArray:
        """(n, k) all columns side by side."""
        return np.hstack(list(self.columns.values()))


def targets(label: TextArray) -> NDArray[np.bool_]:
    """Return (n, leaves) which leaves each label allows: itself, else all that are a kind of it; none if unknown."""
    names, place = np.unique(label.astype(str), return_inverse=True)
    under = [(str(name),) if str(name) in LEAVES else leaves_under(str(name)) for name in names]
    allowed = np.array([[leaf in kinds for leaf in LEAVES] for kinds in under], dtype=np.bool_)
    return allowed.reshape(len(names), len(LEAVES))[place]


def drop_out(rows: Stacked, rng: np.random.Generator, share: float) -> Stacked:
    """Return the rows and as many more that lack some of the classifiers, as happens in the stream."""
    n = len(rows.target)
    columns = {}
    for name, part in rows.columns.items():
        kept = np.ones(n, dtype=np.bool_) if name == "prior" else rng.random(n) >= share
        columns[name] = np.vstack([part, part * kept[:, None]])
    return Stacked(columns, np.vstack([rows.target] * 2), np.concatenate([rows.object_id] * 2))


def prior_of(rows: Stacked, weight: FloatArray) -> FloatArray:
    """Return the share (leaves,) of each leaf; a label of several leaves counts for each of them in part."""
    share = (rows.target / rows.target.sum(axis=1, keepdims=True) * weight[:, None]).sum(axis=0) / weight.sum()
    share = np.maximum(share, SMALLEST_SHARE)
    return np.asarray(share / share.sum(), dtype=np.float64)


def fit_weights(
    rows: Stacked,
    inputs: Mapping[str, tuple[str, ...]],
    weight: FloatArray,
    prior: FloatArray,
    start: FloatArray | None = None,
) -> FloatArray:
    """Return the weights (k, leaves) that make the labels most likely.

    Parameters
    ----------
    inputs : classifier -> its classes, in the order of the columns after the prior.
    weight : (n,) of the rows.
    prior : (leaves,) shares around which the prior's term is drawn.
    start : (k, leaves) to begin with, the product of experts when absent.
    """
    matrix, target = rows.matrix, rows.target
    centre = np.vstack([np.log(prior)[None], *(unlearnt_weights(kinds, TRUST) for kinds in inputs.values())])
    penalty = np.full((len(centre), 1), PENALTY)
    penalty[0] = PRIOR_PENALTY

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(centre.shape)
        logit = matrix @ weights
        logit -= logit.max(axis=1, keepdims=True)
        probability = np.exp(logit)
        probability /= probability.sum(axis=1, keepdims=True)
        allowed = probability * target
        right = np.maximum(allowed.sum(axis=1), 1e-300)
        away = weights - centre
        gradient = matrix.T @ ((probability - allowed / right[:, None]) * weight[:, None]) + penalty * away
        return float(-(weight @ np.log(right)) + 0.5 * np.sum(penalty * away**2)), gradient.ravel()

    begin = centre if start is None else start
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300, "maxcor": 15})
    return np.asarray(found.x, dtype=np.float64).reshape(centre.shape)


def object_weights(object_id: TextArray) -> FloatArray:
    """Return a weight (n,) for each row, so that the rows of an object count as one and a half alerts together.

    Alerts of one object are no independent witnesses of how its class looks, but no copies either.
    """
    _, place, count = np.unique(object_id.astype(str), return_inverse=True, return_counts=True)
    return np.asarray(np.minimum(1.5 / count[place], 1.0), dtype=np.float64)


def bootstrap_weights(object_id: TextArray, rng: np.random.Generator) -> FloatArray:
    """Return how often each row is drawn when its objects are drawn with replacement."""
    _, place = np.unique(object_id.astype(str), return_inverse=True)
    n = int(place.max()) + 1
    return np.bincount(rng.integers(n, size=n), minlength=n)[place].astype(np.float64)


def best_temperature(logit: FloatArray, target: NDArray[np.bool_], weight: FloatArray) -> float:
    """Return the temperature that makes labels most likely, given logits (n, leaves) of rows that were not fitted."""

    def loss(temperature: float) -> float:
        scaled = (logit - logit.max(axis=1, keepdims=True)) / temperature
        probability = np.exp(scaled)
        right = (probability * target).sum(axis=1) / probability.sum(axis=1)
        return float(-(weight @ np.log(np.maximum(right, 1e-300))))

    return float(min(TEMPERATURES, key=loss))


def export(weights: FloatArray, inputs: Mapping[str, tuple[str, ...]]) -> bytes:
    """Return an ONNX model with a product for each source of evidence: (n, c) columns to (n, members x leaves) terms.

    Parameters
    ----------
    weights : (1 + members, k, leaves), those that count first.
    """
    widths = {"prior": 1} | {name: len(kinds) + 1 for name, kinds in inputs.items()}
    nodes, tensors, reads, outputs = [], [], [], []
    start = 0
    for name, width in widths.items():
        part = weights[:, start : start + width].transpose(1, 0, 2).reshape(width, -1).astype(np.float32)
        start += width
        nodes.append(onnx.helper.make_node("MatMul", [name, f"{name}_weights"], [f"{name}_term"]))
        tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(part), f"{name}_weights"))
        reads.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, width]))
        outputs.append(
            onnx.helper.make_tensor_value_info(f"{name}_term", onnx.TensorProto.FLOAT, [None, part.shape[1]])
        )
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "log-linear fusion", reads, outputs, tensors),
        producer_name="heliograph",
        ir_version=8,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
