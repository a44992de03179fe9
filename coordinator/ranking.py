"""Follow-up lists: what to look at first, with the reason for every place.

A score is the sum of the terms stored with the target, each the logarithm of a ratio. Equal input gives equal lists:
ties are broken by survey and object, and a list's identity is a hash of its targets.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from graph.codec import to_json
from graph.model import CoincidenceState, FollowUpList, ScienceCase, Target, Term
from graph.taxonomy import lineage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from graph.model import Coincidence, Survey
    from graph.objects import ObjectColumns

EVENT_CASES: Final = frozenset({ScienceCase.GRB, ScienceCase.GW, ScienceCase.NEUTRINO})
"""Cases whose lists are made of coincidences; the others are made of objects alone."""

SUPERNOVA: Final = "SN"
"""Class in `graph.taxonomy` whose kinds the supernova list takes."""

SPECTROSCOPY_LIMIT_MAG: Final = 19.0
"""Magnitude at which the brightness term is 0 [AB mag]: a 2 m telescope classifies a supernova there in an hour, and
the Bright Transient Survey is complete to about there; doi:10.3847/1538-4357/abbd98."""

SUPERNOVA_TIMESCALE_D: Final = 10.0
"""Age that costs one unit of score [d]: about half the rise of a type Ia; early spectra are worth most."""

UNKNOWN_TIMESCALE_D: Final = 3.0
"""Age that costs one unit of score on the list of unknown objects [d]: the fast ones are gone after it."""

UNKNOWN_MAX_PROBABILITY: Final = 0.5
"""Class probability above which an object is not unknown [1]: some class is more likely than all others together."""

UNCLASSIFIED_PROBABILITY: Final = 0.25
"""Class probability assumed where no classifier spoke [1]: as uncertain as an even bet over four classes."""

MIN_DETECTIONS: Final = 2
"""Detections needed for a list without an event: one alone is most often a moving body or an artefact."""

SMALLEST_MARGIN: Final = 1e-3
"""Distance kept from probabilities 0 and 1 in a logit: classifiers are not calibrated beyond a part in a thousand."""


def rank_targets(
    case: ScienceCase,
    objects: ObjectColumns,
    coincidences: Iterable[Coincidence] = (),
    *,
    now_mjd_tai: float,
    limit: int,
) -> tuple[Target, ...]:
    """Return the targets of one science case, best first.

    Parameters
    ----------
    objects : every object that may be listed; coincidences of others are passed over.
    coincidences : of this case's events; withdrawn ones are passed over, and the best of an object's stands for it.
    now_mjd_tai : date from which ages count [d, TAI]: the newest detection's, not a clock's, so that the same sky gives
        the same list.
    limit : most targets to return.
    """
    if case in EVENT_CASES:
        scored = _from_coincidences(objects, coincidences)
    elif case is ScienceCase.SUPERNOVA:
        scored = _supernovae(objects, now_mjd_tai)
    else:
        scored = _unknown(objects, now_mjd_tai)
    scored.sort(key=lambda entry: _place(_score(entry[1]), *objects.key(entry[0])))
    return tuple(
        _target(objects, row, terms, rank, pair) for rank, (row, terms, pair) in enumerate(scored[:limit], start=1)
    )


def best_targets(parts: Iterable[Sequence[Target]], limit: int) -> tuple[Target, ...]:
    """Return the best of the targets that `rank_targets` made of some parts of the objects, ranked among each other."""
    every = sorted(
        (target for part in parts for target in part),
        key=lambda target: _place(target.score, target.survey, target.object_id),
    )
    return tuple(replace(target, rank=rank) for rank, target in enumerate(every[:limit], start=1))


def make_list(case: ScienceCase, version: int, targets: Sequence[Target]) -> FollowUpList:
    """Return a follow-up list whose identity is that of its content."""
    canonical = orjson.dumps([to_json(target) for target in targets], option=orjson.OPT_SORT_KEYS)
    return FollowUpList(case, version, hashlib.sha256(canonical).hexdigest()[:16], tuple(targets))


_Scored = tuple[int, tuple[Term, ...], "Coincidence | None"]
"""Row of the object, its terms, and the coincidence that they come from."""


def _from_coincidences(objects: ObjectColumns, coincidences: Iterable[Coincidence]) -> list[_Scored]:
    """Return each object with its best open coincidence."""
    best: dict[tuple[Survey, str], Coincidence] = {}
    for pair in coincidences:
        key = (pair.survey, pair.object_id)
        standing = best.get(key)
        if pair.state is not CoincidenceState.OPEN:
            continue
        if standing is None or _preference(pair) < _preference(standing):
            best[key] = pair
    rows = {objects.key(row): row for row in range(len(objects))} if best else {}
    return [(rows[key], pair.terms, pair) for key, pair in best.items() if key in rows]


def _preference(pair: Coincidence) -> tuple[float, float, str]:
    """Return a sort key under which an object's best coincidence comes first, whatever their order."""
    return (-_score(pair.terms), pair.joint_far_hz, pair.event_key)


def _supernovae(objects: ObjectColumns, now_mjd_tai: float) -> list[_Scored]:
    """Return objects that look like supernovae: likely, bright and young first."""
    scored: list[_Scored] = []
    for row in range(len(objects)):
        top_class, probability = str(objects.top_class[row]), float(objects.class_probability[row])
        if SUPERNOVA not in lineage(top_class) or not math.isfinite(probability) or not _listable(objects, row):
            continue
        likely = min(max(probability, SMALLEST_MARGIN), 1.0 - SMALLEST_MARGIN)
        kind = Term(
            "class",
            math.log(likely / (1.0 - likely)),
            {"top_class": top_class, "class_probability": probability},
        )
        age = _youth(objects, row, now_mjd_tai, SUPERNOVA_TIMESCALE_D)
        scored.append((row, (kind, _brightness(objects, row), age), None))
    return scored


def _unknown(objects: ObjectColumns, now_mjd_tai: float) -> list[_Scored]:
    """Return objects that no class explains: uncertain, young and little observed first."""
    scored: list[_Scored] = []
    for row in range(len(objects)):
        stated = float(objects.class_probability[row])
        probability = stated if math.isfinite(stated) else UNCLASSIFIED_PROBABILITY
        if probability > UNKNOWN_MAX_PROBABILITY or not _listable(objects, row):
            continue
        surprise = Term(
            "uncertainty",
            -math.log(max(probability, SMALLEST_MARGIN)),
            {
                "top_class": str(objects.top_class[row]) or None,
                "class_probability": stated if math.isfinite(stated) else None,
            },
        )
        count = int(objects.n_detections[row])
        little = Term("few_detections", -0.5 * math.log(count / MIN_DETECTIONS), {"n_detections": float(count)})
        age = _youth(objects, row, now_mjd_tai, UNKNOWN_TIMESCALE_D)
        scored.append((row, (surprise, little, _brightness(objects, row), age), None))
    return scored


def _listable(objects: ObjectColumns, row: int) -> bool:
    """Return whether an object has been seen often enough, at a known time, to be listed without an event."""
    return int(objects.n_detections[row]) >= MIN_DETECTIONS and math.isfinite(objects.first_midpoint_mjd_tai[row])


def _brightness(objects: ObjectColumns, row: int) -> Term:
    """Return ln(flux / flux at the limit of classification), 0 where no magnitude is known."""
    magnitude = float(objects.latest_mag[row])
    known = math.isfinite(magnitude)
    value = 0.4 * math.log(10.0) * (SPECTROSCOPY_LIMIT_MAG - magnitude) if known else 0.0
    return Term("brightness", value, {"latest_mag": magnitude if known else None, "limit_mag": SPECTROSCOPY_LIMIT_MAG})


def _youth(objects: ObjectColumns, row: int, now_mjd_tai: float, timescale_d: float) -> Term:
    """Return minus the age in units of a timescale; an object seen later than ``now`` has age 0."""
    first = float(objects.first_midpoint_mjd_tai[row])
    value = -max(now_mjd_tai - first, 0.0) / timescale_d
    inputs: dict[str, float | str | None] = {
        "first_midpoint_mjd_tai": first,
        "now_mjd_tai": now_mjd_tai,
        "timescale_d": timescale_d,
    }
    return Term("youth", value, inputs)


def _score(terms: Sequence[Term]) -> float:
    return sum(term.value for term in terms)


def _place(score: float, survey: Survey, object_id: str) -> tuple[float, str, str]:
    """Return a sort key under which the best comes first; survey and object break ties."""
    return -score, survey.value, object_id


def _target(objects: ObjectColumns, row: int, terms: tuple[Term, ...], rank: int, pair: Coincidence | None) -> Target:
    """Build the entry of one object."""
    survey, object_id = objects.key(row)
    probability, magnitude = float(objects.class_probability[row]), float(objects.latest_mag[row])
    return Target(
        rank=rank,
        survey=survey,
        object_id=object_id,
        ra_deg=float(objects.ra_deg[row]),
        dec_deg=float(objects.dec_deg[row]),
        score=_score(terms),
        terms=terms,
        event_key=None if pair is None else pair.event_key,
        top_class=str(objects.top_class[row]) or None,
        class_probability=probability if math.isfinite(probability) else None,
        latest_mag=magnitude if math.isfinite(magnitude) else None,
        first_midpoint_mjd_tai=float(objects.first_midpoint_mjd_tai[row]),
        p_chance=None if pair is None else pair.p_chance,
        joint_far_hz=None if pair is None else pair.joint_far_hz,
    )
