"""What a classifier is: a batch of alerts in, one `Classifications` out, and a statement of what it needs and costs.

A classifier is pure: no clock, no network, no random numbers but fixed ones, so that the same alerts have the same
answers for ever. Adding one takes a module with a subclass of `Module`, a line in `ingest.classifiers.registry` and a
recipe in `ingest.training` that writes its card.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, LightCurves
from ingest.crossmatch import CrossMatches
from ingest.features import FeatureTable, alert_features

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Input(StrEnum):
    """What a classifier reads of a batch."""

    LIGHT_CURVE = "light_curve"
    FORCED = "forced"
    CONTEXT = "context"
    CATALOGUES = "catalogues"
    ANSWERS = "answers"


@dataclass(frozen=True, eq=False, slots=True)
class Classifications:
    """Class probabilities of n alerts by one classifier."""

    classifier: str
    version: str
    classes: tuple[str, ...]
    """Names of `graph.taxonomy`."""
    probability: NDArray[np.float32]
    """(n, c), rows sum to 1; a row of NaN where the classifier abstains."""
    std: FloatArray
    """(n,) 1 sigma uncertainty of the top class's probability; NaN where it abstains."""
    n_points: IntArray
    """(n,) detections used."""
    out_of_distribution: BoolArray
    """(n,) the input lies outside of what the classifier was trained on; False where it abstains."""
    extras: Mapping[str, FloatArray] = field(default_factory=dict)
    """Further numbers (n,) with their unit in the name, e.g. ``fade_rate_mag_d``; NaN where absent."""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.std)

    @property
    def abstained(self) -> BoolArray:
        """(n,) True where too few points gave no answer."""
        return np.isnan(self.std)

    @property
    def top_class(self) -> NDArray[np.object_]:
        """(n,) most probable class; empty where the classifier abstains."""
        names = np.array(self.classes, dtype=object)[np.argmax(np.nan_to_num(self.probability), axis=1)]
        return np.where(self.abstained, "", names).astype(object)

    @property
    def top_probability(self) -> NDArray[np.float32]:
        """(n,) probability of the top class; NaN where the classifier abstains."""
        return np.asarray(self.probability.max(axis=1), dtype=np.float32)

    def of(self, name: str) -> FloatArray:
        """Return the probability (n,) of one class; NaN where the classifier abstains or does not know the class."""
        if name not in self.classes:
            return np.full(len(self), np.nan)
        return self.probability[:, self.classes.index(name)].astype(np.float64)

    def take(self, row: IntArray) -> Classifications:
        """Return the answers at some places."""
        return replace(
            self,
            probability=self.probability[row],
            std=self.std[row],
            n_points=self.n_points[row],
            out_of_distribution=self.out_of_distribution[row],
            extras={name: values[row] for name, values in self.extras.items()},
        )

    def scatter(self, row: IntArray, n_points: IntArray) -> Classifications:
        """Return these answers at the places ``row`` among n alerts with ``n_points``; the others abstain."""
        empty = abstain(self.classifier, self.version, self.classes, n_points, tuple(self.extras))
        for name in ("probability", "std", "n_points", "out_of_distribution"):
            getattr(empty, name)[row] = getattr(self, name)
        for name, values in self.extras.items():
            empty.extras[name][row] = values
        return empty


def abstain(
    classifier: str, version: str, classes: tuple[str, ...], n_points: IntArray, extras: tuple[str, ...] = ()
) -> Classifications:
    """Return the answers of a classifier that says nothing on n alerts; the arrays are its own, to be filled."""
    n = len(n_points)
    return Classifications(
        classifier=classifier,
        version=version,
        classes=classes,
        probability=np.full((n, len(classes)), np.nan, dtype=np.float32),
        std=np.full(n, np.nan),
        n_points=n_points.copy(),
        out_of_distribution=np.zeros(n, dtype=np.bool_),
        extras={name: np.full(n, np.nan) for name in extras},
    )


def nobody(n: int) -> Classifications:
    """Return the answers on n alerts where no classifier was heard."""
    return abstain("none", "0", ("SN",), np.zeros(n, np.int64))


Kept = tuple[Classifications, frozenset[str]]
"""Answers and the classes of which they are kept in the graph, empty for all."""

Answers = Mapping[str, Classifications]
"""Answers of the classifiers that were asked before, by name; one that failed or was not asked is absent."""


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """n alerts of one survey with all that classifiers read."""

    columns: AlertColumns
    """Light curves, forced photometry and what the packets say beside them."""
    features: FeatureTable
    """(n, 48) of `ingest.features.alert_features`."""
    matches: CrossMatches
    """Catalogue entries; ``row`` points into the batch, ascending."""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.columns)

    @property
    def survey(self) -> Survey:
        """The survey that sent all alerts of the batch."""
        return self.columns.survey

    @property
    def curves(self) -> LightCurves:
        """The light curves."""
        return self.columns.light_curves

    @property
    def n_points(self) -> IntArray:
        """(n,) detections with a flux and an error."""
        return self.features.select(("n_points",))[:, 0].astype(np.int64)

    def take(self, row: IntArray) -> Batch:
        """Return the alerts at some places, which are ascending."""
        place = np.full(len(self), -1, dtype=np.int64)
        place[row] = np.arange(len(row))
        kept = np.flatnonzero(place[self.matches.row] >= 0)
        matches = self.matches.take(kept)
        return Batch(
            columns=self.columns.take(row),
            features=FeatureTable(self.features.names, self.features.values[row]),
            matches=replace(matches, row=place[matches.row]),
        )


def batch_of(columns: AlertColumns, matches: CrossMatches) -> Batch:
    """Return a batch with its features computed."""
    return Batch(columns, alert_features(columns), matches)


class Module(ABC):
    """A classifier. Immutable once made, and safe to share between threads."""

    name: ClassVar[str]
    """Name under which the graph keeps its answers."""
    surveys: ClassVar[frozenset[Survey]]
    """Surveys whose alerts it can read."""
    inputs: ClassVar[frozenset[Input]]
    minimum_points: ClassVar[int]
    """Detections below which it is not asked."""
    cost_us: ClassVar[float]
    """Processor time for an alert that passes the gate [us], measured by ``heliograph bench classify``."""
    subject: ClassVar[frozenset[str]] = frozenset()
    """Classes that it is there to find; what it says of others only tells them apart and is not kept in the graph.
    Empty: all of its classes."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Classifiers whose answers it reads; they come before it in the registry."""
    extras: ClassVar[Mapping[str, str]] = {}
    """Further numbers of its answers and what they mean."""

    @abstractmethod
    def __init__(self, survey: Survey) -> None:
        """Load what the classifier needs for a survey; raises ModelError where it is absent or altered."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the classifier, kept with every answer."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Classes of its answers, in the order of their columns."""

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return (n,) which alerts are worth asking; cheap, and enough points are checked by the caller."""
        del answers
        return np.ones(len(batch), dtype=np.bool_)

    @abstractmethod
    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch; abstain with rows of NaN.

        Parameters
        ----------
        batch : alerts that passed the gate, at least one.
        answers : of the classifiers in `reads`, for the same alerts.
        """
