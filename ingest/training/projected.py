"""Forests behind principal components, exported as one model: imputation, cut, projection, forests.

Trees cut along axes; principal components give them axes along which columns vary together. The trees get the
components beside those columns that are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from ingest.classifiers.forests import ABSENT, ModelSpec
from ingest.training.forests import OPSET, Rows, describe, export, fit_forests, fit_temperature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.model import Survey

FloatArray = NDArray[np.float64]

CUT_QUANTILE = 0.01
"""Columns are cut at this quantile on either side before they are projected: a component must not follow the few
light curves that divide by almost nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """Columns (n, k) to some of them and c principal components of some, (n, len(kept) + c)."""

    kept: NDArray[np.int64]
    """Columns that stay as they are."""
    median: FloatArray
    """(k,) stands for what is absent."""
    low: FloatArray
    high: FloatArray
    """(k,) where values are cut."""
    matrix: FloatArray
    """(k, c) principal axes over the deviation of each column; zero for columns without a part in them."""
    offset: FloatArray
    """(c,) what is added."""

    def apply(self, values: FloatArray) -> FloatArray:
        """Return kept columns and components; what is absent stays so in the former."""
        finite = np.where(np.isfinite(values), values, self.median)
        components = np.clip(finite, self.low, self.high) @ self.matrix + self.offset
        return np.hstack([values[:, self.kept], components])


def fit_projection(
    values: FloatArray, components: int, *, projected: NDArray[np.int64], kept: NDArray[np.int64]
) -> Projection:
    """Return the projection of columns (n, k) on the first principal components of the columns ``projected``."""
    median = np.nan_to_num(np.nanmedian(values, axis=0))
    filled = np.where(np.isfinite(values), values, median)
    low, high = np.quantile(filled, [CUT_QUANTILE, 1.0 - CUT_QUANTILE], axis=0)
    cut = np.clip(filled, low, high)[:, projected]
    mean, deviation = cut.mean(axis=0), cut.std(axis=0)
    deviation[deviation < 1e-12] = np.inf
    axes = PCA(components, svd_solver="full").fit((cut - mean) / deviation).components_.T
    matrix = np.zeros((values.shape[1], components))
    matrix[projected] = axes / deviation[:, None]
    return Projection(kept, median, low, high, matrix, -mean @ matrix[projected])


def _export(projection: Projection, model: bytes) -> bytes:
    """Put a projection before forests that read its result."""
    forests = onnx.load_from_string(model)
    width = len(projection.median)
    floats = {name: getattr(projection, name).astype(np.float32) for name in ("low", "high", "matrix", "offset")}
    node = onnx.helper.make_node
    before = [
        node("Imputer", ["features"], ["filled"], domain="ai.onnx.ml", replaced_value_float=ABSENT,
             imputed_value_floats=projection.median.astype(np.float32).tolist()),
        node("Max", ["filled", "low"], ["raised"]),
        node("Min", ["raised", "high"], ["cut"]),
        node("Gemm", ["cut", "matrix", "offset"], ["components"]),
        node("Gather", ["features", "kept"], ["as_they_are"], axis=1),
        node("Concat", ["as_they_are", "components"], ["projected"], axis=1),
    ]  # fmt: skip
    for item in forests.graph.node:
        for place, name in enumerate(item.input):
            if name == "features":
                item.input[place] = "projected"
    graph = onnx.helper.make_graph(
        [*before, *forests.graph.node],
        "principal components and bagged forests",
        [onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [None, width])],
        list(forests.graph.output),
        [
            *(onnx.numpy_helper.from_array(array, name) for name, array in floats.items()),
            onnx.numpy_helper.from_array(projection.kept, "kept"),
        ],
    )
    merged = onnx.helper.make_model(
        graph,
        producer_name="heliograph",
        ir_version=8,
        opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in OPSET.items()],
    )
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString(deterministic=True))


def fit_projected(
    name: str,
    version: str,
    survey: Survey,
    features: tuple[str, ...],
    rows: Rows,
    *,
    projection: Projection,
    training: Mapping[str, Any],
    seed: int,
    trees: int,
) -> tuple[ModelSpec, bytes]:
    """Fit calibrated forests behind principal components; see `ingest.training.forests.fit_artefact`."""
    values = projection.apply(rows.values)
    forests = fit_forests(values, rows.label, rows.object_id, seed, trees=trees)
    model = _export(projection, export(forests, values.shape[1]))
    spec = describe(
        (name, version, survey),
        forests,
        model,
        features,
        rows,
        minimum_points=0,
        temperature=fit_temperature(values, rows.label, rows.object_id, seed, trees=trees),
        training={"seed": seed, **training},
    )
    return spec, model
