"""Moving bodies and satellites, by rules that stand in a table: what the survey says, what moves, what is alone.

In the stream each alert is judged by itself, so that an answer does not depend on how the alerts came in batches;
glints are set aside before. Asked for a whole night at once, the rules look at the alerts together: bodies that moved
from one visit to the next, flashes on one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from graph.taxonomy import OTHER
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module, abstain
from ingest.classifiers.linking import MIN_CONFIDENT_POINTS, Tracklets, link_tracklets
from ingest.glints import find_glints
from ingest.screening import MAX_TRAIL_ARCSEC, is_single

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.alerts.columns import AlertColumns

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CLASSES: Final = ("SSO", "satellite", OTHER)
"""Classes of the answers; ``other`` is all that stays where it is, and artefacts."""

NEAR_BODY_ARCSEC: Final = 2.0
"""Separation from the predicted place up to which a source that was seen before may be the body [arcsec]: two numbers
of ZTF's seeing; beyond, a star that varies beside the path of a body is as likely."""

ALONE_ARCSEC: Final = 1.5
"""Distance from the nearest PS1 source from which a detection is not of it [arcsec]: ZTF's own radius for detections of
one object, Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

RELIABLE: Final = 0.5
"""Real/bogus score from which a detection counts as real: of known bodies in ZTF 5 % have less."""

OBLIQUITY_RAD: Final = np.radians(23.4392911)
"""Obliquity of the ecliptic at J2000 [rad]; IAU 1976, Lieske et al. 1977, 1977A&A....58....1L."""

KNOWN_SHARE: Final[Mapping[Survey, float]] = {Survey.ZTF: 0.95, Survey.LSST: 0.3}
"""Share of the bodies that a survey detects of which its packets know: a choice. ZTF reaches 20.5 mag, where the main
belt is known almost in full; of the six million bodies that LSST will find one to two are known, Ivezic et al. 2019,
doi:10.3847/1538-4357/ab042c."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    name: str
    sso: float
    """Probability of a moving body; NaN where the tracklet gives it."""
    satellite: float
    """Probability of a satellite or debris near the Earth."""
    reason: str


RULES: Final[tuple[Rule, ...]] = (
    Rule("associated", 0.99, 0.0, "the survey predicts a known body here, and nothing was seen here before"),
    Rule(
        "associated_close", 0.9, 0.0, "the survey predicts a known body within 2 arcsec, but the place was seen before"
    ),
    Rule("associated_by_chance", 0.5, 0.0, "a known body is farther off than 2 arcsec, and the place was seen before"),
    Rule("trail", 0.05, 0.9, "a single detection that is trailed by more than 10 deg/d or marked as a streak"),
    Rule("glint", 0.01, 0.95, "a single detection on one great circle with four others of its exposure"),
    Rule("tracklet", float("nan"), 0.0, "three or more single detections at a constant rate within a night"),
    Rule("pair", float("nan"), 0.0, "two single detections within a night, less than 1 deg/d apart"),
    Rule("alone_near_ecliptic", 0.95, 0.0, "single, positive, reliable, no PS1 source, within 20 deg of the ecliptic"),
    Rule("alone_off_ecliptic", 0.7, 0.0, "likewise, 20 to 30 deg from the ecliptic"),
    Rule("alone_far_off", 0.25, 0.0, "likewise, farther from the ecliptic"),
)
"""Rules in the order in which they are tried; the first that holds gives the answer. An alert for which none holds gets
no answer.

The shares of lone detections are those of known bodies among 241 such alerts of ZTF, half of all objects, rounded; the
other half has 0.95, 0.58 and 0.20, see `ingest.training.solar_system`. They are shares of all, known and not: where the
survey has no body to name, `KNOWN_SHARE` of them are gone. The other probabilities are choices: an association where
nothing was ever seen is hardly ever wrong, and what looks like debris may be a body near the Earth."""

NEAR_ECLIPTIC_DEG: Final = 20.0
"""Ecliptic latitude up to which main-belt bodies prevail [deg]; 95 % of them have inclinations below."""

OFF_ECLIPTIC_DEG: Final = 30.0
"""Ecliptic latitude beyond which few bodies pass [deg]."""

_PLACE: Final = {rule.name: place for place, rule in enumerate(RULES)}


def ecliptic_latitude_deg(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return the ecliptic latitude [deg], J2000, of ICRS positions (n,) [deg]."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    height = np.sin(dec) * np.cos(OBLIQUITY_RAD) - np.cos(dec) * np.sin(OBLIQUITY_RAD) * np.sin(ra)
    return np.asarray(np.degrees(np.arcsin(np.clip(height, -1.0, 1.0))), dtype=np.float64)


def which_rule(columns: AlertColumns, tracklets: Tracklets, *, find_lines: bool = True) -> NDArray[np.int64]:
    """Return (n,) the place in `RULES` of the first rule that holds, -1 for none; lines of flashes if asked for."""
    single, named = is_single(columns), columns.solar_system_id != ""
    seen_before = (columns.n_detections > 1) & (columns.object_id != "")
    latitude = np.abs(ecliptic_latitude_deg(columns.ra_deg, columns.dec_deg))
    with np.errstate(invalid="ignore"):
        far = columns.solar_system_separation_arcsec > NEAR_BODY_ARCSEC
        trailed = columns.is_streak | (columns.trail_length_arcsec > MAX_TRAIL_ARCSEC)
        # A survey that names no neighbours says nothing against a detection; one that scores none neither.
        alone = single & ~(columns.nearest_source_arcsec < ALONE_ARCSEC) & ~(columns.extendedness > RELIABLE)
        alone &= ~(columns.reliability < RELIABLE) & (columns.psf_flux_njy > 0.0) & np.isfinite(latitude)
    holds = {
        "associated": named & ~seen_before,
        "associated_close": named & ~far,
        "associated_by_chance": named,
        "trail": single & trailed,
        "glint": find_glints(columns.exposure_id, columns.ra_deg, columns.dec_deg, single & find_lines),
        "tracklet": single & (tracklets.n_points >= MIN_CONFIDENT_POINTS),
        "pair": alone & (tracklets.n_points == MIN_CONFIDENT_POINTS - 1),
        "alone_near_ecliptic": alone & (latitude <= NEAR_ECLIPTIC_DEG),
        "alone_off_ecliptic": alone & (latitude <= OFF_ECLIPTIC_DEG),
        "alone_far_off": alone,
    }
    return np.select([holds[rule.name] for rule in RULES], np.arange(len(RULES)), -1).astype(np.int64)


def unnamed(share: FloatArray, survey: Survey) -> FloatArray:
    """Return the chance of a moving body where the survey names none, from its share among all (n,)."""
    unknown = share * (1.0 - KNOWN_SHARE[survey])
    return np.asarray(unknown / (unknown + 1.0 - share), dtype=np.float64)


class SolarSystem(Module):
    """The table of rules."""

    name: ClassVar[str] = "solar_system"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.CONTEXT})
    minimum_points: ClassVar[int] = 0
    subject: ClassVar[frozenset[str]] = frozenset({"SSO", "satellite"})
    cost_us: ClassVar[float] = 5.0
    extras: ClassVar[Mapping[str, str]] = {
        "rule": "place of the rule in `ingest.classifiers.solar_system.RULES`",
        "tracklet": "number of the tracklet in the batch",
        "tracklet_points": "detections of the tracklet",
        "tracklet_probability": "chance that they are of one body",
        "rate_arcsec_min": "motion of the tracklet on the sky",
        "position_angle_deg": "direction of that motion, east of north",
    }

    def __init__(self, survey: Survey, *, together: bool = False) -> None:
        """Keep the survey, and whether the alerts of a batch are all those of a night and are judged together."""
        self._survey = survey
        self._together = together

    @property
    def version(self) -> str:
        """Version of the table."""
        return "1.0.0"

    @property
    def classes(self) -> tuple[str, ...]:
        """Moving body, satellite, or neither."""
        return CLASSES

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        """Return (n,) True for single detections and where the survey names a body."""
        del answers
        columns = batch.columns
        return np.asarray(is_single(columns) | (columns.solar_system_id != ""), dtype=np.bool_)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Classify the alerts of a batch; abstain where no rule holds.

        Notes
        -----
        The std of a rule's probability p is p (1 - p): the odds are known to a factor e, as the shares that the rules
        rest on were found on one survey and the density of strangers on one batch.
        """
        del answers
        columns = batch.columns
        single = is_single(columns)
        linkable = single if self._together else np.zeros(len(columns), np.bool_)
        tracklets = link_tracklets(columns.ra_deg, columns.dec_deg, columns.midpoint_mjd_tai, linkable)
        rule = which_rule(columns, tracklets, find_lines=self._together)
        answer = abstain(self.name, self.version, self.classes, batch.n_points, tuple(self.extras))
        said = rule >= 0
        sso = np.array([item.sso for item in RULES])[rule]
        lone = rule >= _PLACE["alone_near_ecliptic"]
        sso = np.where(lone, unnamed(sso, self._survey), sso)
        sso = np.where(np.isnan(sso), tracklets.probability, sso)
        satellite = np.array([item.satellite for item in RULES])[rule]
        probability = np.column_stack([sso, satellite, 1.0 - sso - satellite])
        answer.probability[said] = probability[said]
        top = probability.max(axis=1)
        answer.std[said] = (top * (1.0 - top))[said]
        answer.extras["rule"][said] = rule[said]
        linked = tracklets.tracklet_id >= 0
        answer.extras["tracklet"][linked] = tracklets.tracklet_id[linked]
        answer.extras["tracklet_points"][linked] = tracklets.n_points[linked]
        answer.extras["tracklet_probability"][:] = tracklets.probability
        answer.extras["rate_arcsec_min"][:] = tracklets.rate_arcsec_min
        answer.extras["position_angle_deg"][:] = tracklets.position_angle_deg
        return answer
