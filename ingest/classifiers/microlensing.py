"""Microlensing: statistics, principal components and forests first, the fit of a lens for what they let pass.

An object is judged as a whole, by its light curve and forced photometry together. ZTF's packets hold 30 days, less
than most lenses last: there the answer is mostly that nothing is known, and it changes with each alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Self

import numpy as np

from graph.model import Survey
from ingest.classifiers.contract import Answers, Batch, BoolArray, Classifications, Input, Module, abstain
from ingest.classifiers.forests import MODELS, Classifier
from ingest.classifiers.measurements import N_BANDS, measurements
from ingest.classifiers.object_features import object_statistics
from ingest.classifiers.object_kernel import SMALLEST_BAND
from ingest.classifiers.pspl_fit import fit_lenses
from ingest.features import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.alerts.columns import ForcedPhotometry, LightCurves
    from ingest.classifiers.contract import FloatArray, IntArray
    from ingest.classifiers.measurements import Measurements

GATE_NAME: Final = "microlensing_gate"
"""Name of the forests that see statistics only."""

LENS: Final = "microlensing"
"""Class that is looked for."""

WORTH_A_FIT: Final = 0.05
"""Probability of a lens by the statistics alone from which on one is fitted: less than half of what equal classes would
get. On held-out alerts it loses 2 % of the lenses; the recipe measures how many."""

NEGATIVE_SHARE: Final = 0.8
"""Share of detections fainter than the template from which on nothing is asked: a lens brightens. Templates made
during an event do occur, hence not a half."""


class Microlensing(Module):
    """Forests over statistics, then forests over those and the fit of a lens."""

    name: ClassVar[str] = "microlensing"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE, Input.FORCED})
    minimum_points: ClassVar[int] = 2
    subject: ClassVar[frozenset[str]] = frozenset({"microlensing"})
    cost_us: ClassVar[float] = 150.0
    extras: ClassVar[Mapping[str, str]] = {
        "einstein_time_d": "Einstein time of the best lens [d]; absent where none was fitted",
        "impact_u0": "its impact parameter in Einstein radii",
        "peak_mjd_tai": "its time of maximum [d, TAI]",
        "delta_chi2": "chi2 of constants less chi2 of the lens",
        "reduced_chi2": "reduced chi2 of the lens",
    }

    def __init__(self, survey: Survey, *, directory: Path = MODELS) -> None:
        """Load both forests of a survey."""
        self._gate = Classifier.load(GATE_NAME, survey, directory=directory)
        self._final = Classifier.load(self.name, survey, directory=directory)

    @classmethod
    def of(cls, gate: Classifier, final: Classifier) -> Self:
        """Return the classifier made of two loaded models."""
        made = cls.__new__(cls)
        made._gate, made._final = gate, final  # noqa: SLF001 - its own, not yet made by `__init__`
        return made

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._final.spec.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the survey's model; ``artefact`` is what does not vary."""
        return self._final.spec.classes

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return which alerts have ten measurements in a band and are not mostly fainter than the template."""
        del answers
        points = np.maximum(_band_counts(batch.curves), _band_counts(batch.columns.forced)).max(axis=1, initial=0)
        negative = batch.features.select(("negative_fraction",))[:, 0]
        return np.asarray((points >= SMALLEST_BAND) & (negative < NEGATIVE_SHARE), dtype=np.bool_)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify alerts; where no band has ten measurements after all, abstain."""
        del answers
        points = measurements(batch.curves, batch.columns.forced)
        enough = np.flatnonzero(points.n_points.max(axis=1, initial=0) >= SMALLEST_BAND)
        empty = abstain(self.name, self.version, self.classes, batch.n_points, tuple(self.extras))
        if not len(enough):
            return empty
        return self._answer(points.take(enough), batch.n_points[enough]).scatter(enough, batch.n_points)

    def _answer(self, points: Measurements, n_points: IntArray) -> Classifications:
        """Return answers on objects with enough measurements."""
        statistics = object_statistics(points)
        first = _ask(self._gate, statistics.names, statistics.values, n_points)
        answer = Classifications(
            classifier=self.name,
            version=self.version,
            classes=self.classes,
            probability=first.probability,
            std=first.std,
            n_points=n_points,
            out_of_distribution=first.out_of_distribution,
            extras={name: np.full(len(points), np.nan) for name in self.extras},
        )
        row = np.flatnonzero(first.of(LENS) >= WORTH_A_FIT)
        if not len(row):
            return answer
        fits = fit_lenses(points.take(row))
        values = np.hstack([statistics.values[row], fits.diagnostics.values])
        second = _ask(self._final, (*statistics.names, *fits.diagnostics.names), values, n_points[row])
        for name in ("probability", "std", "out_of_distribution"):
            getattr(answer, name)[row] = getattr(second, name)
        found = {
            "einstein_time_d": fits.einstein_time_d,
            "impact_u0": fits.impact_u0,
            "peak_mjd_tai": fits.peak_mjd_tai,
            "delta_chi2": fits.delta_chi2,
            "reduced_chi2": fits.reduced_chi2,
        }
        for name, column in found.items():
            answer.extras[name][row] = column
        return answer


def _ask(forests: Classifier, names: tuple[str, ...], values: FloatArray, n_points: IntArray) -> Classifications:
    """Return what forests say of columns of numbers."""
    table = FeatureTable((*names, "n_points"), np.column_stack([values, n_points]))
    return forests.classify_features(table)


def _band_counts(points: LightCurves | ForcedPhotometry) -> IntArray:
    """Return the points (n, 6) of each band, measurements or not: an upper bound, and cheap."""
    n = len(points)
    owner = np.repeat(np.arange(n), np.diff(points.offsets))
    known = (points.band >= 0) & (points.band < N_BANDS)
    place = owner[known] * N_BANDS + points.band[known]
    return np.bincount(place, minlength=n * N_BANDS).reshape(n, N_BANDS).astype(np.int64)
