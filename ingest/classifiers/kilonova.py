"""Kilonovae among young transients: principal components, rate of fading, and the distance of a host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.contract import Answers, Batch, BoolArray, Classifications, Input, Module
from ingest.classifiers.decay_fit import KINDS, fit_decays
from ingest.classifiers.early_points import early_points, is_young
from ingest.classifiers.forests import Classifier
from ingest.classifiers.kn_components import Components, component_features
from ingest.features import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]

OLDEST_D: Final = 20.0
"""Age after which it is not asked [d]: a kilonova is gone in all bands."""

CURVE_FEATURES: Final = (
    "n_points",
    "since_first_d",
    "since_peak_d",
    "latest_snr",
    "negative_fraction",
    "reduced_chi2",
    "amplitude_mag",
    "g_r_mag",
    "r_i_mag",
)
"""What is read of the features of all alerts. No brightness: the simulations' would not be the sky's."""

RIVALS: Final[Mapping[str, str]] = {
    "log_odds_slow": "SN",
    "log_odds_power_law": "GRB afterglow",
    "log_odds_flare": "M-dwarf flare",
}
"""Feature -> kind of `ingest.classifiers.decay_fit`: the logarithm of how much better a kilonova's fading and colour
agree with all bands than those of the kind."""

PEAK_MAG: Final[Mapping[str, tuple[float, float]]] = {
    "KN": (-15.7, 1.0),
    "SN": (-16.8, 2.0),
    "nuclear": (-18.5, 2.5),
    "stellar": (-15.0, 8.0),
    "GRB afterglow": (-21.0, 4.0),
}
"""Class -> mean and scatter of the largest absolute magnitude so far [mag AB]. Kilonovae from -17 to -15: AT2017gfo
rose to -16, Villar et al. 2017, doi:10.3847/2041-8213/aa9c84. Supernovae, young and of all types: Richardson et al.
2014, doi:10.1088/0004-6256/147/5/118, widened to the faint side for their rise. Stars behind which a galaxy lies by
chance have any."""

HOST_TRUST: Final = 0.9
"""Share of nearest catalogued galaxies that are the true host; Ducoin et al. 2020, doi:10.1093/mnras/staa114, find
chance associations rare within the radius of a match, and the rest of the doubt is for wrong distances."""

LIGHT_KM_S, HUBBLE_KM_S_MPC, DECELERATION = 299_792.458, 70.0, -0.55
"""Speed of light [km/s], Hubble constant [km/s/Mpc], deceleration of a flat universe with a matter density of 0.3:
enough for distances to 2 % below a redshift of 0.3, where kilonovae are seen, and to 0.4 mag below 1.5."""

FARTHEST_REDSHIFT: Final = 1.5
"""Redshift beyond which a match gives no distance: the expansion fails, and no survey sees a kilonova there."""

STAR_ARCSEC, STAR_SCORE = 1.5, 0.7
"""Distance [arcsec] and star-galaxy score from which on the nearest PS1 source is a star at the place of the alert;
Tachibana & Miller 2018, doi:10.1088/1538-3873/aae3d9."""

STAR_SHARE: Final[Mapping[str, float]] = {
    "KN": 0.02,
    "SN": 0.03,
    "nuclear": 0.3,
    "stellar": 0.7,
    "GRB afterglow": 0.02,
}
"""Class -> share with such a star at its place; flares of stars below PS1's depth, and compact nuclei, blur it."""


def luminosity_distance_mpc(redshift: FloatArray) -> FloatArray:
    """Return the luminosity distance [Mpc] of small redshifts; NaN beyond `FARTHEST_REDSHIFT` and below zero."""
    usable = np.where((redshift > 0.0) & (redshift <= FARTHEST_REDSHIFT), redshift, np.nan)
    return LIGHT_KM_S / HUBBLE_KM_S_MPC * (usable + 0.5 * (1.0 - DECELERATION) * usable**2)


def nearest_host(batch: Batch) -> tuple[FloatArray, FloatArray]:
    """Return (n,) the distance [Mpc] of the nearest matched galaxy that has one, NaN without, and trust in it."""
    matches, n = batch.matches, len(batch)
    distance = np.where(matches.distance_mpc > 0.0, matches.distance_mpc, luminosity_distance_mpc(matches.redshift))
    order = np.lexsort((matches.separation_arcsec, matches.row))
    order = order[np.isfinite(distance[order])]
    row, first = np.unique(matches.row[order], return_index=True)
    out, trust = np.full(n, np.nan), np.zeros(n)
    out[row] = distance[order][first]
    trust[row] = HOST_TRUST * (1.0 - np.clip(np.nan_to_num(matches.p_chance[order][first]), 0.0, 1.0))
    return out, trust


def feature_table(batch: Batch, components: Components) -> FeatureTable:
    """Return what the forests read of n alerts."""
    points = early_points(batch.curves, batch.columns.forced)
    fitted = component_features(points, components)
    evidence = fit_decays(points, spreads=1).log_evidence[:, 0]
    odds = evidence[:, [KINDS.index("KN")]] - evidence[:, [KINDS.index(kind) for kind in RIVALS.values()]]
    # ZTF's public bands hold no r-i.
    names = CURVE_FEATURES if 3 in components.bands else tuple(name for name in CURVE_FEATURES if name != "r_i_mag")
    values = np.hstack([batch.features.select(names), fitted.values, odds])
    return FeatureTable((*names, *fitted.names, *RIVALS), values)


class Kilonova(Module):
    """Bagged forests over fits of principal components, corrected by absolute magnitude and stellar counterpart."""

    name: ClassVar[str] = "kilonova"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset(
        {Input.LIGHT_CURVE, Input.FORCED, Input.CONTEXT, Input.CATALOGUES, Input.ANSWERS}
    )
    minimum_points: ClassVar[int] = 2
    subject: ClassVar[frozenset[str]] = frozenset({"KN"})
    cost_us: ClassVar[float] = 25.0
    reads: ClassVar[tuple[str, ...]] = ("coarse",)
    extras: ClassVar[Mapping[str, str]] = {
        "fade_rate_mag_d": "rate of fading since the maximum of each band [mag/d]; positive fades",
        "fade_rate_err_mag_d": "its 1 sigma error [mag/d]",
        "absolute_mag": "largest brightness so far at the distance of the matched galaxy [mag AB]",
    }

    def __init__(self, survey: Survey, forests: Classifier | None = None) -> None:
        """Load the forests and the components of a survey, or take forests that are loaded."""
        self._forests = Classifier.load(self.name, survey) if forests is None else forests
        self._components = Components.parse(self._forests.spec.training.get("components"))

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._forests.spec.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the survey's model."""
        return self._forests.spec.classes

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return which alerts are of young transients."""
        return is_young(batch, answers, OLDEST_D)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch."""
        del answers
        table = feature_table(batch, self._components)
        answer = self._forests.classify_features(table)
        peak_mag = batch.features.select(("peak_mag",))[:, 0]
        distance, trust = nearest_host(batch)
        absolute = peak_mag - 5.0 * np.log10(distance) - 25.0
        rate = table.select(("fade_rate_mag_d", "fade_rate_err_mag_d"))
        factor = self._context_factor(batch, absolute, trust)
        return replace(
            _reweigh(answer, factor),
            extras={
                "fade_rate_mag_d": rate[:, 0],
                "fade_rate_err_mag_d": rate[:, 1],
                "absolute_mag": absolute,
            },
        )

    def _context_factor(self, batch: Batch, absolute_mag: FloatArray, trust: FloatArray) -> FloatArray:
        """Return (n, c) how likely host and star are for each class; 1 where there is neither."""
        mean, scatter = np.array([PEAK_MAG[name] for name in self.classes]).T
        away = (absolute_mag[:, None] - mean) / scatter
        density = np.exp(-0.5 * np.clip(away, -30.0, 30.0) ** 2) / (scatter * np.sqrt(2.0 * np.pi))
        # A wrong host says nothing: any of sixteen magnitudes.
        factor = trust[:, None] * density + (1.0 - trust[:, None]) / 16.0
        factor[~np.isfinite(absolute_mag)] = 1.0
        columns = batch.columns
        star = np.array([STAR_SHARE[name] for name in self.classes])
        near = columns.nearest_source_arcsec <= STAR_ARCSEC
        is_star = near & (columns.star_galaxy_score >= STAR_SCORE)
        known = np.isfinite(columns.nearest_source_arcsec) & np.isfinite(columns.star_galaxy_score)
        return factor * np.where(known[:, None], np.where(is_star[:, None], star, 1.0 - star), 1.0)


def _reweigh(answer: Classifications, factor: FloatArray) -> Classifications:
    """Multiply probabilities (n, c) by a factor and renormalise; the spread follows p (1 - p)."""
    probability = answer.probability * factor
    probability = probability / probability.sum(axis=1, keepdims=True)
    if not len(answer):
        return answer
    old, new = answer.probability.max(axis=1), probability.max(axis=1)
    # A fixed shift of the log odds keeps their spread: that of the probability scales with p (1 - p).
    before, after = np.maximum(old * (1.0 - old), 1e-6), np.maximum(new * (1.0 - new), 1e-6)
    std = np.minimum(answer.std * after / before, 0.5)
    return replace(answer, probability=probability.astype(np.float32), std=np.asarray(std, dtype=np.float64))
