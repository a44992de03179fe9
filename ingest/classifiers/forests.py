"""From features to calibrated class probabilities, with models that are data, not code.

A model is an ONNX file and a JSON sidecar of the same name. The sidecar states what the model is, which columns it
reads, what it was trained on and how well it did on objects it never saw; it holds the sha256 of the ONNX bytes, and
nothing runs when they differ.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from graph.model import Survey
from ingest.classifiers.contract import Classifications
from ingest.classifiers.session import start_session

if TYPE_CHECKING:
    from ingest.alerts.columns import AlertColumns
    from ingest.features import FeatureTable

FloatArray = NDArray[np.float64]

MODELS = Path(__file__).resolve().parents[1] / "models"
"""Folder of the artefacts that ship with the code."""

ABSENT = -9999.0
"""What an absent feature is to a tree: outside of every feature's range, so that a split can ask for it."""

SMALLEST_PROBABILITY = 1e-4
"""Probability that a forest's zero becomes before calibration: a vote of no tree among a few dozen is no proof."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The sidecar of a model."""

    classifier: str
    version: str
    survey: Survey
    classes: tuple[str, ...]
    features: tuple[str, ...]
    minimum_points: int
    """Detections below which the model abstains."""
    members: int
    """Number of bagged forests in the ONNX file."""
    temperature: float
    """Exponent 1/T of the averaged probabilities; fitted out of fold on training objects."""
    feature_low: tuple[float, ...]
    """(k,) lower end of each feature's range in training."""
    feature_high: tuple[float, ...]
    """(k,) upper end."""
    features_outside: int
    """More features than this outside their range make an alert out of distribution."""
    prior: dict[str, float]
    """Share of each class in the weighted training set; divide by it to put in another prior."""
    sha256: str
    """Of the ONNX bytes."""
    training: dict[str, Any]
    """Seed, split, counts, sources with licences, library versions."""
    metrics: dict[str, Any]
    """Measured on held-out objects."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a sidecar.

        Raises
        ------
        ModelError : the text is not a sidecar.
        """
        try:
            raw = json.loads(text)
            spec = cls(
                **{
                    **raw,
                    "survey": Survey(raw["survey"]),
                    **{key: tuple(raw[key]) for key in ("classes", "features", "feature_low", "feature_high")},
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the sidecar of a model cannot be read: {error}") from error
        width = len(spec.features)
        numbers: tuple[object, ...] = (spec.temperature, spec.minimum_points, spec.members, spec.features_outside)
        if not all(isinstance(number, int | float) and number >= 0 for number in numbers) or spec.temperature == 0:
            raise ModelError(f"the sidecar of {spec.classifier} has a number that is none")
        if not (len(spec.feature_low) == len(spec.feature_high) == width and width and len(spec.classes) > 1):
            raise ModelError(f"the sidecar of {spec.classifier} contradicts itself")
        return spec


def file_name(name: str, survey: Survey) -> str:
    """Return the file name of a model without ending."""
    return f"{name}-{survey}"


def soften(probability: FloatArray, temperature: float) -> FloatArray:
    """Calibrate probabilities (..., c) with one temperature: p to the power 1/T, renormalised."""
    powered = np.clip(probability, SMALLEST_PROBABILITY, None) ** (1.0 / temperature)
    return np.asarray(powered / powered.sum(axis=-1, keepdims=True), dtype=np.float64)


def model_input(values: FloatArray) -> NDArray[np.float32]:
    """Turn features into what the forests read: float32 with `ABSENT` for what is not finite."""
    limit = float(np.finfo(np.float32).max)
    return np.where(np.isfinite(values), np.clip(values, -limit, limit), ABSENT).astype(np.float32)


class Classifier:
    """A loaded model; immutable and safe to share between threads."""

    def __init__(self, spec: ModelSpec, model: bytes, threads: int) -> None:
        if hashlib.sha256(model).hexdigest() != spec.sha256:
            raise ModelError(f"the model {spec.classifier} differs from its sidecar's sha256")
        self._session = start_session(model, spec.classifier, threads=threads)
        outputs = [output.name for output in self._session.get_outputs()]
        width = self._session.get_inputs()[0].shape[-1]
        if len(outputs) != spec.members or width != len(spec.features):
            raise ModelError(f"the model {spec.classifier} has not the shape that its sidecar states")
        self._outputs = outputs
        self.spec = spec

    @classmethod
    def load(cls, name: str, survey: Survey, *, threads: int = 1, directory: Path = MODELS) -> Classifier:
        """Return a model, loaded once in a process.

        Parameters
        ----------
        name : of the model, e.g. ``coarse``.
        survey : whose alerts it will be asked about.
        threads : of one call; 1 where Spark runs a worker on each core.

        Raises
        ------
        ModelError : absent, altered, unreadable, or made for the other survey.
        """
        model = _load(file_name(name, survey), threads, directory.resolve())
        if model.spec.survey is not survey:
            raise ModelError(f"the model {name} is for {model.spec.survey}, not for {survey}")
        return model

    def members(self, values: FloatArray) -> FloatArray:
        """Return the uncalibrated probabilities of each forest, (members, n, c), of features (n, k)."""
        answers = self._session.run(self._outputs, {"features": model_input(values)})
        return np.stack(answers).astype(np.float64)

    def classify(self, columns: AlertColumns, features: FeatureTable) -> Classifications:
        """Classify n alerts.

        Parameters
        ----------
        columns : n alerts of the model's survey.
        features : their features, at least the columns in `ModelSpec.features`.

        Raises
        ------
        ModelError : another survey, another number of rows, or a missing feature.
        """
        if columns.survey is not self.spec.survey:
            raise ModelError(f"the model {self.spec.classifier} cannot classify alerts of {columns.survey}")
        if len(columns) != len(features):
            raise ModelError(f"{len(features)} rows of features do not belong to {len(columns)} alerts")
        return self.classify_features(features)

    def classify_features(self, features: FeatureTable) -> Classifications:
        """Classify rows of features, e.g. of light curves that are no alerts; see `classify`."""
        spec = self.spec
        values = features.select(spec.features)
        n_points = np.nan_to_num(features.select(("n_points",))[:, 0]).astype(np.int64)
        enough = n_points >= spec.minimum_points
        probability = np.full((len(features), len(spec.classes)), np.nan, dtype=np.float32)
        std = np.full(len(features), np.nan)
        outside = np.zeros(len(features), dtype=np.bool_)
        if enough.any():
            members = soften(self.members(values[enough]), spec.temperature)
            mean = members.mean(axis=0)
            top = np.argmax(mean, axis=1)
            probability[enough] = mean
            std[enough] = members[:, np.arange(len(top)), top].std(axis=0, ddof=1)
            low, high = np.array(spec.feature_low), np.array(spec.feature_high)
            # Comparisons with NaN are False: an absent feature is not an unusual one.
            count = ((values[enough] < low) | (values[enough] > high)).sum(axis=1)
            outside[enough] = count > spec.features_outside
        return Classifications(spec.classifier, spec.version, spec.classes, probability, std, n_points, outside)


@lru_cache(maxsize=16)
def _load(name: str, threads: int, directory: Path) -> Classifier:
    """Read a model and its sidecar from a folder."""
    if not name or Path(name).name != name:
        raise ModelError(f"{name!r} is not the name of a model")
    try:
        text = (directory / f"{name}.json").read_text(encoding="utf-8")
        model = (directory / f"{name}.onnx").read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the model {name} cannot be read: {error}") from error
    return Classifier(ModelSpec.parse(text), model, threads)
