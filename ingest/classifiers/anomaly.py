"""How unusual a light curve is among those that its survey sends, by isolation forests that learnt from answers.

Trees of random cuts part the unusual from the rest early. Experts said of some training objects whether they were worth
a look, and the leaves were weighted so that such come first.

References
----------
Liu et al. 2008, doi:10.1109/ICDM.2008.17 (isolation forest); Das et al. 2017, arXiv:1708.09441 (feedback); Ishida et
al. 2021, doi:10.1051/0004-6361/202037709 (both on light curves).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from graph.model import Survey
from graph.taxonomy import ORDINARY
from ingest.classifiers.artefact import read_artefact
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module
from ingest.classifiers.forests import MODELS
from ingest.classifiers.session import start_session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

FloatArray = NDArray[np.float64]

PRIOR: Final = 0.01
"""Share of alerts that is taken for anomalous before looking: what an expert may be shown, not what the sky holds."""

CLASSES: Final = (ORDINARY, "anomalous")
"""No nodes of `graph.taxonomy`: what is unusual may be of any class."""


def squeeze(values: FloatArray, centre: FloatArray, width: FloatArray) -> NDArray[np.float32]:
    """Return features (n, k) on a common scale that cuts at random do justice to; an absent one lies in the middle.

    Parameters
    ----------
    centre, width : (k,) median and central 68 % of each feature in training.
    """
    usual = np.arcsinh((np.clip(values, -1e30, 1e30) - centre) / width)
    return np.nan_to_num(usual, nan=0.0).astype(np.float32)


def tail_share(score: FloatArray, score_at: FloatArray, tail: FloatArray) -> FloatArray:
    """Return the share (n,) of training alerts that are at least as unusual.

    Parameters
    ----------
    score : (n,) smaller is more unusual.
    score_at : (q,) scores, ascending.
    tail : (q,) share of training alerts with at most that score, ascending.
    """
    return np.asarray(np.exp(np.interp(score, score_at, np.log(tail))), dtype=np.float64)


def member_shares(score: FloatArray, score_at: FloatArray, tail: FloatArray) -> FloatArray:
    """Return `tail_share` (members, n) of scores (members, n) by each forest's own table (members, q)."""
    return np.stack([tail_share(mine, at, tail) for mine, at in zip(score, score_at, strict=True)])


def anomaly_probability(share: FloatArray) -> FloatArray:
    """Return the probability of an anomaly from the share of ordinary alerts that look as unusual.

    Notes
    -----
    The Bayes factor of an anomaly is the inverse of that share: one half where one ordinary alert among the prior
    share looks as unusual. It ranks; it is no measured rate of discoveries.
    """
    return np.asarray(PRIOR / (PRIOR + (1.0 - PRIOR) * share), dtype=np.float64)


class Anomaly(Module):
    """Isolation forests with feedback: how unusual a light curve is."""

    name: ClassVar[str] = "anomaly"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE})
    minimum_points: ClassVar[int] = 3
    subject: ClassVar[frozenset[str]] = frozenset({"anomalous"})
    cost_us: ClassVar[float] = 20.0
    extras: ClassVar[Mapping[str, str]] = {
        "tail_share": "share of the survey's training alerts that are at least as unusual",
    }

    def __init__(self, survey: Survey, *, directory: Path = MODELS) -> None:
        """Load the forests of a survey."""
        sidecar, model = read_artefact(self.name, survey, directory=directory)
        self._setup(sidecar.version, sidecar.classes, sidecar.parameters, model)

    @classmethod
    def from_parts(cls, version: str, parameters: Mapping[str, Any], model: bytes) -> Anomaly:
        """Return a classifier that is not stored: parameters of a sidecar and ONNX bytes."""
        module = cls.__new__(cls)
        module._setup(version, CLASSES, parameters, model)  # noqa: SLF001 - our own
        return module

    def _setup(self, version: str, classes: tuple[str, ...], parameters: Mapping[str, Any], model: bytes) -> None:
        """Keep what a sidecar holds."""
        self._version, self._classes = version, classes
        try:
            self._features = tuple(str(name) for name in parameters["features"])
            self._centre, self._width, self._tail, self._score_at, self._combined_at = (
                np.array(parameters[key], dtype=np.float64)
                for key in ("centre", "width", "tail", "score_at", "combined_at")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the sidecar of {self.name} lacks a parameter: {error}") from error
        self._session = start_session(model, self.name)
        self._outputs = [output.name for output in self._session.get_outputs()]
        k = len(self._features)
        if (
            self._classes != CLASSES
            or {len(self._centre), len(self._width), self._session.get_inputs()[0].shape[-1]} != {k}
            or self._score_at.shape != (len(self._outputs), len(self._tail))
            or self._combined_at.shape != self._tail.shape
            or not (self._width > 0.0).all()
        ):
            raise ModelError(f"the sidecar of {self.name} contradicts itself")

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._version

    @property
    def classes(self) -> tuple[str, ...]:
        """`CLASSES`."""
        return self._classes

    def scores(self, values: FloatArray) -> FloatArray:
        """Return the score of each forest, (members, n), of features (n, k); smaller is more unusual."""
        read = squeeze(values, self._centre, self._width)
        return np.stack(self._session.run(self._outputs, {"features": read}))[:, :, 0].astype(np.float64)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Say of each alert how unusual it is."""
        del answers
        score = self.scores(batch.features.select(self._features))
        shares = member_shares(score, self._score_at, self._tail)
        share = tail_share(np.log(shares).mean(axis=0), self._combined_at, self._tail)
        anomalous = anomaly_probability(share)
        return Classifications(
            classifier=self.name,
            version=self.version,
            classes=self.classes,
            probability=np.column_stack([1.0 - anomalous, anomalous]).astype(np.float32),
            std=anomaly_probability(shares).std(axis=0, ddof=1),
            n_points=batch.n_points,
            out_of_distribution=np.all(score < self._score_at[:, :1], axis=0),
            extras={"tail_share": share},
        )
