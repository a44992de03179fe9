"""Which objects coincide with which events, how often chance does the same, and the evidence for a pair.

Pure: columns of objects and built regions in, frozen coincidences out. An object coincides with an event when its
first detection lies in the window of the event's science case and its position inside the credible region. For each
pair, chance is a Poisson process of unrelated new objects over the area searched before this one and the whole window.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.exposure import Chance, Found, chance_of, counted_with_others, samples_of, with_chance
from coordinator.flaring import flaring_per_deg2, may_have_flares
from coordinator.onset import onset_terms
from coordinator.pairs import Measures, origin_terms, pairs_of
from coordinator.places import Place, distance_terms, place_of
from coordinator.windows import TimeWindow, science_case_of, window_of
from graph.model import AlertTense, Coincidence, CoincidenceState, Event, ScienceCase, Term
from graph.sky import SKY_SR, ang2pix
from graph.taxonomy import nearest
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from coordinator.background import Background
    from graph.objects import ObjectColumns
    from graph.regions import Region

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
RowArray = NDArray[np.intp]
TextArray = NDArray[np.object_]

DEFAULT_MAX_CREDIBLE_LEVEL: Final = 0.95
"""Largest credible level of a coincidence: one true counterpart in twenty is lost for two thirds of 0.99's area."""

SMALL_REGION_DEG2: Final = 1.0
"""Area of the `SMALL_REGION_LEVEL` region [deg2] below which all of it is searched: hardly any chance pairs there."""

SMALL_REGION_LEVEL: Final = 0.99
"""Credible level searched in small regions, where the wider search costs nothing."""

LARGEST_FLAT_REGION_DEG2: Final = 1000.0
"""Area [deg2] of the largest flat-topped region of which every place is searched.

In a map of few or equal cells even the densest place has a high credible level, and a limit below it would find
nothing. Larger flat maps say too little: everything in a quarter of the sky would coincide.
"""

REAL_TENSES: Final = frozenset({AlertTense.CURRENT, AlertTense.ARCHIVAL})
"""Tenses of notices about the sky as it is; the others are drills, plans and injections and are never published."""

CLASS_RATIOS: Final[Mapping[ScienceCase, Mapping[str, float]]] = {
    ScienceCase.GRB: {
        "KN": 10.0,
        "SN": 1.0,
        "SN Ia": 0.3,
        "SN CC": 1.0,
        "TDE": 0.3,
        "AGN": 0.05,
        "M-dwarf flare": 0.2,
        "microlensing": 0.05,
        "variable star": 0.02,
        "GRB afterglow": 30.0,
        "CV": 0.1,
        "SSO": 0.01,
        "satellite": 0.01,
        "artefact": 0.01,
    },
    ScienceCase.GW: {
        "KN": 30.0,
        "SN": 0.3,
        "SN Ia": 0.1,
        "SN CC": 0.3,
        "TDE": 0.1,
        "AGN": 0.1,
        "M-dwarf flare": 0.05,
        "microlensing": 0.02,
        "variable star": 0.02,
        "GRB afterglow": 5.0,
        "CV": 0.05,
        "SSO": 0.01,
        "satellite": 0.01,
        "artefact": 0.01,
    },
    ScienceCase.NEUTRINO: {
        "KN": 1.0,
        "SN": 1.0,
        "SN Ia": 0.2,
        "SN CC": 3.0,
        "TDE": 5.0,
        "AGN": 1.0,
        "M-dwarf flare": 0.02,
        "microlensing": 0.02,
        "variable star": 0.02,
        "GRB afterglow": 1.0,
        "blazar": 3.0,
        "CV": 0.02,
        "SSO": 0.01,
        "satellite": 0.01,
        "artefact": 0.01,
    },
}
"""P(class is answered | true counterpart) / P(class is answered | unrelated new object), by science case and class.

Stated priors, not measurements: a classifier without a class for fast transients calls them supernovae (ratio 1);
stars and nuclei are kept but must not lead a list. A class has the ratio of its nearest ancestor in `graph.taxonomy`
that is named, and ratio 1 where none is.
"""

SEEN_ONCE: Final = (0.3, 0.7)
"""P(one detection so far | true counterpart) and the same of an unrelated new object.

Stated priors: surveys look at a place at least twice within an hour, so what is there is soon seen again; most of what
is new and not is an artefact or moves. No list should be led by what nobody has seen twice.
"""


@dataclass(frozen=True, eq=False, slots=True)
class OpenEvent:
    """An event with the region of its localization, built once for its revision."""

    event: Event
    region: Region


def is_real(event: Event) -> bool:
    """Return whether an event is about the sky: only such events give coincidences that may be published."""
    return event.alert_tense in REAL_TENSES


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the cycle collector out while many values without cycles are made: it would walk them over and over.

    Once around all events of a batch: switched on again, it looks at everything that was made since.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_collector_paused()
def find_coincidences(
    event: Event,
    region: Region | None,
    objects: ObjectColumns,
    background: Background,
    *,
    max_credible_level: float = DEFAULT_MAX_CREDIBLE_LEVEL,
    include_tests: bool = False,
) -> tuple[Coincidence, ...]:
    """Return the objects that coincide with an event, in the order of the objects.

    Parameters
    ----------
    region : of the event's localization; None gives no coincidences.
    objects : of one or more surveys.
    background : rate of unrelated new objects through the same filters.
    max_credible_level : between 0 and 1; small regions are searched to `SMALL_REGION_LEVEL` at least.
    include_tests : also match events of tests, injections and plans, for drills; their pairs are not to be published.

    Returns
    -------
    Coincidences, withdrawn where the event is retracted or not astrophysical. None without a trigger time.
    """
    if event.trigger_time is None or region is None or not (include_tests or is_real(event)):
        return ()
    return _among(
        event, region, objects, np.arange(len(objects)), background=background, max_credible_level=max_credible_level
    )


@_collector_paused()
def match_batch(
    events: Sequence[OpenEvent],
    objects: ObjectColumns,
    background: Background,
    *,
    max_credible_level: float = DEFAULT_MAX_CREDIBLE_LEVEL,
    include_tests: bool = False,
) -> tuple[Coincidence, ...]:
    """Return the coincidences of new objects with all open events; see `find_coincidences`.

    Returns
    -------
    In the order of the events, and for each in the order of the objects.
    """
    pixel = ang2pix(objects.ra_deg, objects.dec_deg)
    by_time = np.argsort(objects.first_midpoint_mjd_tai, kind="stable")
    times = objects.first_midpoint_mjd_tai[by_time]
    pairs: list[Coincidence] = []
    for entry in events:
        if entry.event.trigger_time is None or not (include_tests or is_real(entry.event)):
            continue
        window, trigger = window_of(entry.event), datetime_to_mjd_tai(entry.event.trigger_time)
        # One second wider than the window: the exact test is made on the few objects that are left.
        first = np.searchsorted(times, trigger + (window.start_s - 1.0) / SECONDS_PER_DAY)
        last = np.searchsorted(times, trigger + (window.stop_s + 1.0) / SECONDS_PER_DAY)
        if first < last:
            near = np.sort(by_time[first:last])
            pairs += _among(
                entry.event,
                entry.region,
                objects,
                near,
                background=background,
                max_credible_level=max_credible_level,
                pixel=pixel,
            )
    return tuple(pairs)


def level_searched(region: Region, max_credible_level: float) -> float:
    """Return the credible level to which a region is searched: deeper where it is small or has a flat top."""
    if region.peak_level > max_credible_level and region.area_deg2(region.peak_level) <= LARGEST_FLAT_REGION_DEG2:
        return region.peak_level
    if max_credible_level < SMALL_REGION_LEVEL and region.area_deg2(SMALL_REGION_LEVEL) <= SMALL_REGION_DEG2:
        return SMALL_REGION_LEVEL
    return max_credible_level


def withdraw(coincidences: Sequence[Coincidence], revision: int) -> tuple[Coincidence, ...]:
    """Return coincidences as withdrawn by a revision of their event; those withdrawn before stay as they are."""
    return tuple(
        pair
        if pair.state is CoincidenceState.WITHDRAWN
        else replace(pair, state=CoincidenceState.WITHDRAWN, revision=revision)
        for pair in coincidences
    )


def _among(
    event: Event,
    region: Region,
    objects: ObjectColumns,
    rows: RowArray,
    *,
    background: Background,
    max_credible_level: float,
    pixel: IntArray | None = None,
) -> tuple[Coincidence, ...]:
    """Return the coincidences among some rows of the objects: those that pass in time, then in place.

    Parameters
    ----------
    pixel : (n,) order-29 pixels of all objects, where many events share them.
    """
    if event.trigger_time is None:
        return ()
    window, trigger_mjd_tai = window_of(event), datetime_to_mjd_tai(event.trigger_time)
    delta_t_s = (objects.first_midpoint_mjd_tai[rows] - trigger_mjd_tai) * SECONDS_PER_DAY
    timely = window.contains(delta_t_s)
    rows, delta_t_s = rows[timely], delta_t_s[timely]
    if len(rows) == 0:
        return ()
    deepest = level_searched(region, max_credible_level)
    place = place_of(region, objects, rows, deepest, pixel)
    rows, delta_t_s = rows[place.kept], delta_t_s[place.kept]
    if len(rows) == 0:
        return ()
    of_some = (
        distance_terms(region, objects, rows),
        onset_terms(science_case_of(event), trigger_mjd_tai, objects, rows),
    )
    found = _Measured(delta_t_s, place, deepest, background, window, of_some)
    return _pairs(event, region, objects, rows, found)


@dataclass(frozen=True, eq=False, slots=True)
class _Measured:
    """What was found of the rows that passed both tests."""

    delta_t_s: FloatArray
    place: Place
    deepest: float
    """Credible level to which the region was searched."""
    background: Background
    window: TimeWindow
    of_some: tuple[Mapping[int, Term], ...]
    """Terms that only some rows have, by their place: of the host's distance, of a visit that saw nothing."""


def _pairs(
    event: Event, region: Region, objects: ObjectColumns, rows: RowArray, found: _Measured
) -> tuple[Coincidence, ...]:
    """Build the coincidences of the rows that passed."""
    inside = Found(rows, found.place.density_sr, found.place.searched_deg2)
    window_d = found.window.length_s / SECONDS_PER_DAY
    chance = chance_of(found.background, region, found.deepest, objects, inside, window_d=window_d)
    if may_have_flares(event):
        chance = _with_flares(chance, found, objects.survey[rows], samples_of(region, found.deepest).area_deg2)
    terms = with_chance(found.background, chance, _terms(event, objects, rows, found))
    return pairs_of(event, region, objects, rows, Measures(found.delta_t_s, found.place.level, chance.expected, terms))


def _with_flares(chance: Chance, found: _Measured, survey: TextArray, area_deg2: float) -> Chance:
    """Return the chance of new objects where known blazars in a flare were looked for as well: one more trial."""
    flaring = flaring_per_deg2(found.background, survey) * area_deg2
    return replace(chance, expected=counted_with_others(chance.expected, flaring), trials=chance.trials + 1)


def _terms(event: Event, objects: ObjectColumns, rows: RowArray, found: _Measured) -> list[tuple[Term, ...]]:
    """Return the addends of each pair's log Bayes factor: where, when, what, and whether the event is real."""
    spatial = np.log(SKY_SR * found.place.density_sr)
    temporal = np.log(found.window.density_per_s(found.delta_t_s) * found.window.length_s)
    top_class, probability = objects.top_class[rows], objects.class_probability[rows]
    kind = np.log(class_ratio(science_case_of(event), top_class, probability))
    common = origin_terms(event)
    start_s, stop_s = found.window.start_s, found.window.stop_s
    notice_id = event.localization_notice_id
    columns = zip(
        zip(spatial.tolist(), found.place.density_sr.tolist(), strict=True),
        zip(temporal.tolist(), found.delta_t_s.tolist(), strict=True),
        zip(kind.tolist(), top_class, probability.tolist(), strict=True),
        zip(repeated_term(objects.n_detections[rows]).tolist(), objects.n_detections[rows].tolist(), strict=True),
        strict=True,
    )
    return [
        (
            Term("position", where, {"probability_density_sr": density, "localization_notice_id": notice_id}),
            Term("delay", when, {"delta_t_s": delay, "window_start_s": start_s, "window_stop_s": stop_s}),
            Term("class", what, {"top_class": str(name) or None, "class_probability": p if isfinite(p) else None}),
            Term("repeated", again, {"n_detections": float(n) if n > 0 else None}),
            *(terms[place] for terms in found.of_some if place in terms),
            *common,
        )
        for place, ((where, density), (when, delay), (what, name, p), (again, n)) in enumerate(columns)
    ]


def repeated_term(n_detections: IntArray) -> FloatArray:
    """Return ln of how much likelier a counterpart than an unrelated object was seen so often (n,), see `SEEN_ONCE`."""
    true, unrelated = SEEN_ONCE
    once, again = np.log(true / unrelated), np.log((1.0 - true) / (1.0 - unrelated))
    return np.where(n_detections > 1, again, np.where(n_detections == 1, once, 0.0))


def class_ratio(case: ScienceCase, top_class: NDArray[np.object_], class_probability: FloatArray) -> FloatArray:
    """Return P(answer | counterpart) / P(answer | unrelated) of each classification, 1 where none was made.

    Parameters
    ----------
    top_class, class_probability : (n,) most probable class and its probability; the rest counts as uninformative.
    """
    ratios = CLASS_RATIOS.get(case, {})
    of_class = {name: ratios.get(nearest(name, ratios), 1.0) for name in set(top_class)}
    named = np.array([of_class[name] for name in top_class], dtype=np.float64)
    probability = np.clip(np.nan_to_num(class_probability, nan=0.0), 0.0, 1.0)
    return np.asarray(probability * named + (1.0 - probability), dtype=np.float64)
