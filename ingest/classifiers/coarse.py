"""Coarse classes from light-curve features: the cheap classifier that gates the costly ones."""

from __future__ import annotations

from typing import ClassVar

from graph.model import Survey
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module
from ingest.classifiers.forests import Classifier


class Coarse(Module):
    """Bagged forests over the features of `ingest.features`."""

    name: ClassVar[str] = "coarse"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE, Input.CONTEXT})
    minimum_points: ClassVar[int] = 3
    cost_us: ClassVar[float] = 4.0

    def __init__(self, survey: Survey) -> None:
        """Load the forests of a survey."""
        self._forests = Classifier.load(self.name, survey)

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._forests.spec.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the survey's model."""
        return self._forests.spec.classes

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch."""
        del answers
        return self._forests.classify(batch.columns, batch.features)
