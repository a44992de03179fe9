"""Type Ia supernovae while they rise: fits of the rise, colours of the common shape, bagged forests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module
from ingest.classifiers.forests import Classifier
from ingest.classifiers.rise_features import NAMES, rise_features
from ingest.features import LIGHT_CURVE_FEATURES, FeatureTable

if TYPE_CHECKING:
    from collections.abc import Mapping

BoolArray = NDArray[np.bool_]

NOT_RISING: Final = ("variable star", "AGN", "M-dwarf flare", "microlensing")
"""Classes of the coarse classifier that are no supernovae."""

LARGEST_OTHER: Final = 0.7
"""Coarse probability of `NOT_RISING` from which an alert is not asked: of the training supernovae before their peak one
in a hundred is lost, of stars and nuclei two thirds."""

LONGEST_SINCE_PEAK_D: Final = 8.0
"""Largest flux at most this long ago [d]: a red band still rises while the bluest falls."""

LONGEST_SPAN_D: Final = 60.0
"""First detection at most this long ago [d]: a type Ia supernova at redshift 1 rises for 40 d."""

FLAT_CHI2: Final = 1.5
"""Reduced chi2 of a constant flux below which a curve is flat and the classifier abstains."""

FLAT_POINTS: Final = 6
"""Degrees of freedom from which a curve can be called flat: with fewer a faint rise cannot be told from none."""

MINIMUM_POINTS: Final = 4
"""Detections below which it is not asked: with three, a third of the alerts that it would name are something else."""

MAGNITUDES: Final = frozenset({"peak_mag", "latest_mag", "rise_peak_mag", "max_snr", "latest_snr"})
"""Features that say how bright it is. Not read for ZTF, whose training supernovae are simulated ones made brighter."""

NOT_READ: Final = frozenset(
    {"n_upper_limits", "since_first_d", "last_limit_gap_d", "mean_flux_njy", "negative_fraction"}
    | {f"{slope}_{band}{err}_mag_d" for slope in ("rise", "fall") for band in "gri" for err in ("", "_err")}
)
"""General features that are not read: those of upper limits tell collections apart, the slopes say worse what the fits
say."""


def feature_names(survey: Survey) -> tuple[str, ...]:
    """Return the columns that a survey's model reads."""
    names = [*(feature.name for feature in LIGHT_CURVE_FEATURES), *NAMES]
    kept = [name for name in names if name not in NOT_READ]
    if survey is Survey.LSST:
        return tuple(name for name in kept if not name.startswith("sigmoid_"))
    # Two public bands; an i band is private and would betray the packets.
    other = {f"n_points_{band}" for band in "uizy"} | {"shape_u_g_mag", "shape_i_z_mag", "shape_z_y_mag"}
    other |= {"r_i_mag", "r_i_err_mag", "shape_r_i_mag", "earlier_n_points", "earlier_significance", "earlier_chi2"}
    return tuple(name for name in kept if name not in other | MAGNITUDES)


def is_rising(batch: Batch, answers: Answers) -> BoolArray:
    """Return (n,) which alerts may be of a young supernova: near their maximum, young, not obviously another thing."""
    since_peak, span = batch.features.select(("since_peak_d", "time_span_d")).T
    rising = (since_peak <= LONGEST_SINCE_PEAK_D) & (span <= LONGEST_SPAN_D)
    if "coarse" in answers:
        coarse = answers["coarse"]
        other = np.sum([np.nan_to_num(coarse.of(name)) for name in NOT_RISING], axis=0)
        rising &= other < LARGEST_OTHER
    return np.asarray(rising, dtype=np.bool_)


def is_flat(features: FeatureTable) -> BoolArray:
    """Return (n,) which light curves a constant flux in each band describes."""
    chi2, points = features.select(("constant_chi2", "constant_points")).T
    return np.asarray((chi2 < FLAT_CHI2) & (points >= FLAT_POINTS), dtype=np.bool_)


def all_features(batch: Batch) -> FeatureTable:
    """Return the general features and those of the rise side by side."""
    rise = rise_features(batch.columns)
    return FeatureTable((*batch.features.names, *rise.names), np.hstack([batch.features.values, rise.values]))


class EarlySnIa(Module):
    """Bagged forests over fits of the rise."""

    name: ClassVar[str] = "early_snia"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE, Input.FORCED, Input.ANSWERS})
    minimum_points: ClassVar[int] = MINIMUM_POINTS
    subject: ClassVar[frozenset[str]] = frozenset({"SN Ia"})
    cost_us: ClassVar[float] = 160.0
    reads: ClassVar[tuple[str, ...]] = ("coarse",)
    extras: ClassVar[Mapping[str, str]] = {
        "rise_time_d": "time scale of the rise [d]",
        "days_to_peak_d": "until the fitted maximum [d]; negative when it is over",
        "constant_chi2": "reduced chi2 of a constant flux in each band",
    }

    def __init__(self, survey: Survey, forests: Classifier | None = None) -> None:
        """Load the forests of a survey, unless they are given."""
        self._forests = forests or Classifier.load(self.name, survey)

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._forests.spec.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the survey's model."""
        return self._forests.spec.classes

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return (n,) which alerts may be of a young supernova."""
        return is_rising(batch, answers)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch; abstain on flat ones."""
        del answers
        return self.classify_features(all_features(batch))

    def classify_features(self, features: FeatureTable) -> Classifications:
        """Classify rows of `all_features`."""
        answer = self._forests.classify_features(features)
        log_rise, to_peak, chi2 = features.select(("rise_log_time", "rise_to_peak_d", "constant_chi2")).T
        flat = is_flat(features)
        return replace(
            answer,
            probability=np.where(flat[:, None], np.float32(np.nan), answer.probability),
            std=np.where(flat, np.nan, answer.std),
            out_of_distribution=answer.out_of_distribution & ~flat,
            extras={"rise_time_d": np.exp(log_rise), "days_to_peak_d": to_peak, "constant_chi2": chi2},
        )
