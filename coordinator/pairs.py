"""Coincidences built from columns: what is measured of the objects that passed, one value of the model for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.windows import event_rate_hz
from graph.model import Coincidence, CoincidenceState, Event, EventState, Survey, Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.objects import ObjectColumns
    from graph.regions import Region

FloatArray = NDArray[np.float64]
RowArray = NDArray[np.intp]

SMALLEST_P_ASTRO: Final = 1e-6
"""Floor of the probability of astrophysical origin, so that a stated 0 stays a finite term."""

_SURVEYS: Final = {survey.value: survey for survey in Survey}


@dataclass(frozen=True, eq=False, slots=True)
class Measures:
    """What was measured of m objects that coincide with an event."""

    delta_t_s: FloatArray
    """(m,) time that ties the object to the event minus trigger [s]."""
    level: FloatArray
    """(m,) credible level of the place [1]."""
    expected: FloatArray
    """(m,) unrelated objects expected that rank at least as high [1]."""
    terms: Sequence[tuple[Term, ...]]
    """(m,) addends of the log Bayes factor."""


def pairs_of(
    event: Event, region: Region, objects: ObjectColumns, rows: RowArray, measured: Measures
) -> tuple[Coincidence, ...]:
    """Return the coincidences of some rows (m,) of the objects, withdrawn where the event no longer stands."""
    separation = region.separation_deg(objects.ra_deg[rows], objects.dec_deg[rows])
    withdrawn = event.state is EventState.RETRACTED or not event.is_astrophysical_burst
    state = CoincidenceState.WITHDRAWN if withdrawn else CoincidenceState.OPEN
    columns = zip(
        (_SURVEYS[name] for name in objects.survey[rows]),
        objects.object_id[rows],
        measured.delta_t_s.tolist(),
        measured.level.tolist(),
        [None] * len(rows) if separation is None else separation.tolist(),
        (-np.expm1(-measured.expected)).tolist(),
        (event_rate_hz(event) * measured.expected).tolist(),
        measured.terms,
        strict=True,
    )
    return tuple(
        Coincidence(
            survey=survey,
            object_id=str(object_id),
            event_key=event.event_key,
            delta_t_s=delay,
            credible_level=level,
            separation_deg=distance,
            p_chance=p_chance,
            joint_far_hz=joint_far,
            log_bayes_factor=sum([term.value for term in terms]),
            terms=terms,
            state=state,
            revision=event.revision,
        )
        for survey, object_id, delay, level, distance, p_chance, joint_far, terms in columns
    )


def origin_terms(event: Event) -> tuple[Term, ...]:
    """Return the term that all pairs of an event share: whether it is real; none where nobody says so."""
    if event.p_astro is None:
        return ()
    value = float(np.log(max(event.p_astro, SMALLEST_P_ASTRO)))
    return (Term("astrophysical_origin", value, {"p_astro": event.p_astro}),)
