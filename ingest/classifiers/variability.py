"""Variable stars, cataclysmic variables, flares, active nuclei and tidal disruptions; the state of known blazars.

Bagged forests over the rhythm and amplitude of light curves and the source in quiescence. Catalogue types are no
features: they are where the labels of real alerts came from, so a model that read them would only be asked what it was
told. The object-level summary weighs them against these answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from graph.taxonomy import kinds_of
from ingest.alerts.columns import BANDS
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module
from ingest.classifiers.forests import Classifier
from ingest.classifiers.variability_features import RHYTHM_FEATURES, SOURCE_FEATURES, variability_features
from ingest.features import CONTEXT_FEATURES, LIGHT_CURVE_FEATURES
from ingest.flares import blazar_flux_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NAME: Final = "variability"
"""Of the classifier and its artefacts."""

_UNUSED: Final = frozenset(
    {
        *(f"{side}_{band}_{kind}" for side in ("rise", "fall") for band in "gri" for kind in ("mag_d", "err_mag_d")),
        *("since_first_d", "last_limit_gap_d", "mean_flux_njy", "n_upper_limits", "detected_share"),
    }
)
"""Features that no model reads: single slopes of what goes up and down say little, and upper limits tell the collection
that a light curve is from, since published and simulated ones have none."""


_CADENCE: Final = frozenset(
    {
        *("n_points", *(f"n_points_{band}" for band in BANDS), "n_nights", "points_per_night", "mean_significance"),
        *("max_snr", "amplitude_significance", "night_step_sigma", "outburst_rise_d", "outburst_fall_d"),
    }
)
"""Features that tell how often and how deep was looked, not at what: the simulation's cadence is not the survey's, of
which real alerts hold histories of 1000 detections."""


def model_features(survey: Survey) -> tuple[str, ...]:
    """Return the columns that a survey's model reads.

    Notes
    -----
    ZTF: g and r, and what the packet says of the source. LSST: six bands and forced photometry; packets name no
    neighbour, and the training data hold no template, so nothing that needs either.
    """
    curve = [feature.name for feature in LIGHT_CURVE_FEATURES if feature.name not in _UNUSED]
    rhythm = [feature.name for feature in RHYTHM_FEATURES if feature.name not in _UNUSED]
    if survey is Survey.LSST:
        rhythm = [name for name in rhythm if not name.startswith("relative_") and name not in _CADENCE]
        return (*(name for name in curve if name not in _CADENCE), *rhythm, *(f"forced_{name}" for name in rhythm))
    one_band = {*(f"n_points_{band}" for band in "uizy"), "r_i_mag", "r_i_err_mag", "difference_ri_mag"}
    beside = [feature.name for table in (CONTEXT_FEATURES, SOURCE_FEATURES) for feature in table]
    return (*(name for name in (*curve, *rhythm) if name not in one_band), *beside)


class Variability(Module):
    """Bagged forests over `variability_features`."""

    name: ClassVar[str] = NAME
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE, Input.FORCED, Input.CONTEXT, Input.CATALOGUES})
    minimum_points: ClassVar[int] = 1
    subject: ClassVar[frozenset[str]] = frozenset({*kinds_of("nuclear"), *kinds_of("stellar"), "SSO"})
    cost_us: ClassVar[float] = 40.0
    extras: ClassVar[Mapping[str, str]] = {
        "blazar_flux_ratio": "flux of a known blazar, template included, over the median of its history in the band; "
        "above 1 is a high state",
    }

    def __init__(self, survey: Survey, forests: Classifier | None = None) -> None:
        """Load the forests of a survey, or take those that are given."""
        self._forests = forests or Classifier.load(self.name, survey)

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._forests.spec.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the survey's model."""
        return self._forests.spec.classes

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch; fewer detections than the survey's model takes give no answer."""
        del answers
        answer = self._forests.classify(batch.columns, variability_features(batch.columns, batch.features))
        ratio = np.where(answer.abstained, np.nan, blazar_flux_ratio(batch.columns, batch.matches))
        return replace(answer, extras={"blazar_flux_ratio": ratio})
