"""Types of supernovae from their light curves by a Bayesian recurrent network.

The network reads nights, see `ingest.classifiers.sn_types_input`. Its dropout masks were drawn once and are part of the
model, so the same alert has the same answer for ever. The spread of the answers over members and masks is the network's
own uncertainty; the entropy of their mean adds what the light curve leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from graph.model import Survey
from ingest.classifiers.artefact import read_artefact
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module, abstain
from ingest.classifiers.forests import MODELS
from ingest.classifiers.session import start_session
from ingest.classifiers.sn_types_input import Sequences, sequences, width

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnxruntime

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SUPERNOVA_CLASSES: Final[Mapping[Survey, tuple[str, ...]]] = {Survey.LSST: ("SN Ia", "SN CC"), Survey.ZTF: ("SN",)}
"""Classes of the coarse classifier that mean a supernova."""

SMALLEST_PROBABILITY: Final = 0.2
"""Coarse probability of a supernova from which an alert is asked: low, for the coarse classes have an error of their
own and a supernova that is not asked has no type."""

CHUNK: Final = 128
"""Light curves of similar length that are run together: their states stay in the processor's cache."""


LARGEST_PARAMETER: Final = 5.0
"""Size from which a parameter of the calibration is taken for damage: temperatures of 150, odds of 150 to 1."""

POINTS_PIVOT: Final = 10.0
"""Detections at which the temperature has no part that depends on their number; about the median of alerts."""

POINTS_RANGE: Final = (4, 100)
"""Detections beyond which the temperature stays: fewer are not asked, of more there were few to calibrate with."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is done to logits before they become probabilities."""

    log_temperature: float
    """Natural logarithm of the temperature at `POINTS_PIVOT` detections."""
    log_temperature_slope: float
    """Its change with the natural logarithm of the number of detections."""
    class_bias: tuple[float, ...]
    """Of each class, added to its logits: classes were fitted on in other shares than alerts have."""

    @classmethod
    def of(cls, parameters: FloatArray) -> Calibration:
        """Return the calibration of parameters in the order of the fields."""
        return cls(float(parameters[0]), float(parameters[1]), tuple(float(value) for value in parameters[2:]))

    @classmethod
    def read(cls, parameters: Mapping[str, Any], classes: int) -> Calibration:
        """Return the calibration that a sidecar holds.

        Raises
        ------
        KeyError, TypeError, ValueError : it lacks a number or holds a bad one.
        """
        values = [parameters["log_temperature"], parameters["log_temperature_slope"], *parameters["class_bias"]]
        found = np.array([float(value) for value in values])
        if len(found) != 2 + classes or not (np.abs(found) < LARGEST_PARAMETER).all():
            raise ValueError("its calibration does not fit its classes")
        return cls.of(found)

    def apply(self, logits: FloatArray, n_points: NDArray[np.int64]) -> FloatArray:
        """Return the calibrated logits (samples, n, classes) of alerts with ``n_points`` (n,) detections."""
        sharpness = np.exp(-(self.log_temperature + self.log_temperature_slope * log_points(n_points)))
        return np.asarray(logits * sharpness[:, None] + np.array(self.class_bias))


class SnTypes(Module):
    """Recurrent networks with fixed dropout masks."""

    name: ClassVar[str] = "sn_types"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE, Input.FORCED, Input.ANSWERS})
    minimum_points: ClassVar[int] = 4
    cost_us: ClassVar[float] = 95.0
    reads: ClassVar[tuple[str, ...]] = ("coarse",)
    extras: ClassVar[Mapping[str, str]] = {
        "entropy_nat": "entropy of the mean probabilities [nat]: all that is not known",
        "mutual_information_nat": "share of it that the samples disagree on [nat]: what more training data would tell",
        "outlier_score": "0 a supernova as those of the training set to 1 none",
    }

    def __init__(self, survey: Survey, directory: Path = MODELS) -> None:
        """Load the networks of a survey."""
        sidecar, model = read_artefact(self.name, survey, directory=directory)
        try:
            self._calibration = Calibration.read(sidecar.parameters, len(sidecar.classes))
            self._threshold = float(sidecar.parameters["outlier_threshold"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the sidecar of {self.name} lacks a number: {error}") from error
        self._survey, self._version, self._classes = survey, sidecar.version, sidecar.classes
        self._session: onnxruntime.InferenceSession = start_session(model, self.name)
        shapes = [item.shape for item in (*self._session.get_inputs(), *self._session.get_outputs())]
        if shapes[0][-1] != width(survey) or shapes[-1][-1] != len(sidecar.classes) + 1:
            raise ModelError(f"the model {self.name} has not the shape that its sidecar states")

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._version

    @property
    def classes(self) -> tuple[str, ...]:
        """Types of supernovae, and one class for all that is none."""
        return self._classes

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return (n,) which alerts the coarse classifier takes for a supernova; all where it was left out."""
        if "coarse" not in answers:
            return np.ones(len(batch), dtype=np.bool_)
        coarse = answers["coarse"]
        chance = np.sum([np.nan_to_num(coarse.of(name)) for name in SUPERNOVA_CLASSES[batch.survey]], axis=0)
        return np.asarray(chance > SMALLEST_PROBABILITY, dtype=np.bool_)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch; those with too few detections in the network's bands get no answer."""
        del answers
        read = sequences(batch.survey, batch.curves, batch.columns.forced)
        row = np.flatnonzero(read.points >= self.minimum_points)
        if not len(row):
            return abstain(self.name, self.version, self.classes, read.points, tuple(self.extras))
        logits = self.logits(Sequences(read.values[row], read.nights[row], read.points[row]))
        return self._answer(logits, read.points[row]).scatter(row, read.points)

    def logits(self, read: Sequences) -> FloatArray:
        """Return the answers of all samples, (samples, n, classes + 1), before calibration; the last is the outlier's.

        Parameters
        ----------
        read : n sequences of at least one night.
        """
        order = np.argsort(read.nights, kind="stable")
        samples, outputs = self._session.get_outputs()[0].shape[0], len(self._classes) + 1
        logits = np.empty((samples, len(order), outputs))
        for start in range(0, len(order), CHUNK):
            row = order[start : start + CHUNK]
            longest = int(read.nights[row[-1]])
            values = np.ascontiguousarray(read.values[row, :longest].transpose(1, 0, 2))
            given = {"values": values, "nights": read.nights[row].astype(np.int32)}
            logits[:, row] = self._session.run(["logits"], given)[0]
        return logits

    def _answer(self, logits: FloatArray, n_points: NDArray[np.int64]) -> Classifications:
        """Turn the samples' logits into probabilities with their uncertainty."""
        sampled = soft_max(self._calibration.apply(logits[:, :, :-1], n_points))
        mean = sampled.mean(axis=0)
        top = np.argmax(mean, axis=1)
        total = entropy(mean)
        outlier = outlier_score(logits)
        return Classifications(
            classifier=self.name,
            version=self.version,
            classes=self.classes,
            probability=mean.astype(np.float32),
            std=sampled[:, np.arange(len(top)), top].std(axis=0, ddof=1),
            n_points=n_points,
            out_of_distribution=outlier > self._threshold,
            extras={
                "entropy_nat": total,
                "mutual_information_nat": np.maximum(total - entropy(sampled).mean(axis=0), 0.0),
                "outlier_score": outlier,
            },
        )


def log_points(n_points: NDArray[np.int64]) -> FloatArray:
    """Return the natural logarithm (n,) of numbers of detections over `POINTS_PIVOT`, within `POINTS_RANGE`."""
    return np.asarray(np.log(np.clip(n_points, *POINTS_RANGE) / POINTS_PIVOT))


def soft_max(logits: FloatArray) -> FloatArray:
    """Return probabilities (..., c) of logits."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def entropy(probability: FloatArray) -> FloatArray:
    """Return the entropy [nat] of probabilities (..., c)."""
    return np.asarray(-(probability * np.log(np.maximum(probability, 1e-300))).sum(axis=-1))


def outlier_score(logits: FloatArray) -> FloatArray:
    """Return the mean probability (n,) over the samples, (samples, n, c + 1), that a light curve is an outlier."""
    return np.asarray((1.0 / (1.0 + np.exp(-np.clip(logits[:, :, -1], -60.0, 60.0)))).mean(axis=0))
