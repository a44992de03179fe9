"""Afterglows of gamma-ray bursts among young transients, by rules: decay, colour, onset, and what lies at the place."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.contract import Answers, Batch, BoolArray, Classifications, Input, Module
from ingest.classifiers.decay_fit import KINDS, SPREADS, SUMMARY, DecayFits, fit_decays
from ingest.classifiers.early_points import early_points, is_young
from ingest.classifiers.kilonova import STAR_ARCSEC, STAR_SCORE, nearest_host
from ingest.classifiers.kn_rates import slopes

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]

VERSION: Final = "1.0.0"
"""Version of the rules; a change of kinds, priors or temperature is a new one."""

OLDEST_D: Final = 10.0
"""Age after which it is not asked [d]: afterglows are gone, and a supernova bends."""

PRIOR: Final = np.array([0.05, 0.2, 0.2, 0.05, 0.5])
"""(kind,) share of each among young transients with two detections. Afterglows and kilonovae are far rarer on the sky,
a few in a year of ZTF against thousands of supernovae, Ho et al. 2022, doi:10.3847/1538-4357/ac8bd0: the answers rank
for follow-up, and a rate goes in by dividing by these."""

TEMPERATURE: Final[Mapping[Survey, float]] = {Survey.ZTF: 1.5, Survey.LSST: 4.0}
"""Exponent 1/T of the evidence; fitted by `ingest.training.fast_transient`: points share the faults of a model,
and those of distant supernovae in six bands are larger."""

STAR_SHARE: Final = np.array([0.02, 0.7, 0.7, 0.02, 0.03])
"""(kind,) share with a star of PS1 at the place of the alert; flares and outbursts of fainter stars have none."""

HOST_SHARE: Final = np.array([0.03, 0.03, 0.03, 0.5, 0.3])
"""(kind,) share with a catalogued galaxy near by: hosts of afterglows are too far to be catalogued, stars have them by
chance."""

PRIOR_DOUBT: Final = np.log(2.0)
"""Uncertainty of the priors' and shares' log odds: a factor of two."""

POOR_CHI2: Final = 8.0
"""Chi2 for each point of the best kind from which on the light curve is none of them."""


def posterior(evidence: FloatArray, weight: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities (..., k) of tempered log evidences and weights."""
    logs = evidence / temperature + np.log(weight)
    logs = logs - logs.max(axis=-1, keepdims=True)
    powers = np.exp(logs)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


class FastTransient(Module):
    """Bayesian rules over fits of power laws and lines."""

    name: ClassVar[str] = "fast_transient"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset(
        {Input.LIGHT_CURVE, Input.FORCED, Input.CONTEXT, Input.CATALOGUES, Input.ANSWERS}
    )
    minimum_points: ClassVar[int] = 2
    subject: ClassVar[frozenset[str]] = frozenset({"GRB afterglow", "M-dwarf flare", "CV"})
    cost_us: ClassVar[float] = 17.0
    reads: ClassVar[tuple[str, ...]] = ("coarse",)
    extras: ClassVar[Mapping[str, str]] = {
        "decay_index": "alpha of a power law (t - t0)^-alpha, t0 marginalised over the onset bracket",
        "decay_index_err": "its 1 sigma error",
        "spectral_index": "beta of f ~ nu^-beta; synchrotron light has 0.5 to 1",
        "spectral_index_err": "its 1 sigma error",
        "onset_bracket_d": "from the last visit that would have seen it to the first detection [d]",
        "rate_mag_d": "rate of change of all points in their bands [mag/d]; positive fades",
        "rate_err_mag_d": "its 1 sigma error [mag/d]",
    }

    def __init__(self, survey: Survey) -> None:
        """Keep the survey; there is nothing to load."""
        self._survey = survey

    @property
    def version(self) -> str:
        """Version of the rules."""
        return VERSION

    @property
    def classes(self) -> tuple[str, ...]:
        """Kinds that are weighed."""
        return KINDS

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return which alerts are of young transients."""
        return is_young(batch, answers, OLDEST_D)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify all alerts of a batch."""
        del answers
        points = early_points(batch.curves, batch.columns.forced)
        fits = fit_decays(points)
        weight = PRIOR * _context(batch)
        by_spread = posterior(fits.log_evidence, weight[:, None, :], TEMPERATURE[self._survey])
        probability = by_spread[:, 0]
        known = np.isfinite(probability).all(axis=1)
        probability[~known] = np.nan
        top = np.argmax(np.nan_to_num(probability), axis=1)
        chosen = by_spread[np.arange(len(top)), :, top]
        best = chosen[:, 0]
        model = np.sqrt(((chosen[:, 1:] - best[:, None]) ** 2).sum(axis=1) / (len(SPREADS) - 1))
        std = np.hypot(model, best * (1.0 - best) * PRIOR_DOUBT)
        return Classifications(
            classifier=self.name,
            version=self.version,
            classes=self.classes,
            probability=probability.astype(np.float32),
            std=np.where(known, np.minimum(std, 0.5), np.nan),
            n_points=np.where(known, fits.n_points, batch.n_points),
            out_of_distribution=known & (fits.summary[:, SUMMARY.index("reduced_chi2")] > POOR_CHI2),
            extras=_extras(fits, *slopes(points).T),
        )


def _extras(fits: DecayFits, rate: FloatArray, rate_err: FloatArray) -> dict[str, FloatArray]:
    names = ("decay_index", "decay_index_err", "spectral_index", "spectral_index_err", "onset_bracket_d")
    return {
        **{name: fits.summary[:, SUMMARY.index(name)] for name in names},
        "rate_mag_d": rate,
        "rate_err_mag_d": rate_err,
    }


def _context(batch: Batch) -> FloatArray:
    """Return (n, kind) how likely star and host at the place of each alert are for each kind."""
    columns = batch.columns
    known = np.isfinite(columns.nearest_source_arcsec) & np.isfinite(columns.star_galaxy_score)
    star = (columns.nearest_source_arcsec <= STAR_ARCSEC) & (columns.star_galaxy_score >= STAR_SCORE)
    factor = np.where(known[:, None], np.where(star[:, None], STAR_SHARE, 1.0 - STAR_SHARE), 1.0)
    distance, _ = nearest_host(batch)
    # An absent host says nothing: the catalogue may not reach that deep there.
    return np.asarray(factor * np.where(np.isfinite(distance)[:, None], HOST_SHARE, 1.0), dtype=np.float64)
