"""Judge forests on labelled rows of features: by object, with every class weighted as the model's prior states it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module, batch_of
from ingest.training.judge import Judged, behaviour, metrics
from ingest.training.labelled import Labelled, as_batch

if TYPE_CHECKING:
    from ingest.classifiers.forests import Classifier
    from ingest.training.examples import Examples

FloatArray = NDArray[np.float64]

BEHAVIOUR_ROWS = 600
"""Rows whose nonsense is shown to a classifier: shares are then known to 2 %."""


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


class _Forests(Module):
    """Forests as a classifier that is asked about every alert."""

    surveys = frozenset(Survey)
    inputs = frozenset({Input.LIGHT_CURVE, Input.CONTEXT})
    cost_us = 0.0

    def __init__(self, survey: Survey, forests: Classifier) -> None:
        """Wrap forests that are loaded."""
        self.name = forests.spec.classifier  # type: ignore[misc]
        self.minimum_points = forests.spec.minimum_points  # type: ignore[misc]
        self._survey, self._forests = survey, forests

    @property
    def version(self) -> str:
        """Version of the forests."""
        return self._forests.spec.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the forests."""
        return self._forests.spec.classes

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts."""
        del answers
        return self._forests.classify(batch.columns, batch.features)


def measure(classifier: Classifier, rows: Examples) -> dict[str, Any]:
    """Return the metrics of forests on labelled rows, weighted by `class_weights`; see `ingest.training.judge`."""
    judged = Judged(
        answer=classifier.classify_features(rows.features),
        label=rows.label,
        object_id=rows.object_id,
        source=rows.source,
        days_since_first=rows.features.select(("time_span_d",))[:, 0],
    )
    survey = classifier.spec.survey
    said = behaviour(_Forests(survey, classifier), _batch(rows, survey), companions=())
    return metrics(judged, weight=class_weights(rows.label, rows.object_id)) | {"behaviour": said}


def _batch(rows: Examples, survey: Survey) -> Batch:
    """Return some of the rows as the alerts that they came from, with their PS1 neighbour."""
    n = min(len(rows), BEHAVIOUR_ROWS)
    chosen = np.linspace(0, len(rows) - 1, n).astype(np.int64)
    absent = np.full(n, np.nan)
    curves = rows.curves.take(chosen)
    batch = as_batch(
        Labelled(
            object_id=rows.object_id[chosen],
            label=rows.label[chosen],
            source=rows.source[chosen],
            curves=curves,
            forced=ForcedPhotometry(
                np.zeros(n + 1, np.int64), *(np.empty(0), np.empty(0, np.int8), np.empty(0)), np.empty(0)
            ),
            ra_deg=absent,
            dec_deg=absent,
            redshift=absent,
            redshift_err=absent,
            peak_mjd_tai=absent,
        ),
        survey,
    )
    context = rows.features.select(("star_galaxy_score", "nearest_source_arcsec"))[chosen]
    columns = replace(batch.columns, star_galaxy_score=context[:, 0], nearest_source_arcsec=context[:, 1])
    return batch_of(columns, batch.matches)
