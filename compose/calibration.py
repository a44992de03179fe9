"""What a calibration is made from, and everything that it finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compose.background import measure_night, night_bounds_mjd_tai, night_of
from compose.config import Settings
from coordinator.background import Background, SurveyTally, background_of, cells_of, joined, tally
from coordinator.calibration import (
    FarCheck,
    Trials,
    Uniformity,
    by_latitude,
    fit_correction,
    run_trials,
    simulate_years,
    uniformity,
)
from coordinator.coincidence import OpenEvent, is_real
from coordinator.correction import Correction
from coordinator.lifecycle import event_from_notices
from coordinator.search import objects_by_time
from coordinator.strata import N_CELLS
from graph.connection import Connection
from graph.errors import NotFoundError, SkyMapError, WireError
from graph.event_store import EventStore
from graph.model import EventState, Notice, Survey
from graph.objects import ObjectColumns, joined_objects
from graph.regions import region_of
from graph.sky_counts import SkyCounts
from graph.times import mjd_tai_to_utc
from ingest.alerts.columns import AlertColumns, magnitude
from ingest.alerts.decode import AlertDecoder
from ingest.brackets import brackets_of
from ingest.catalogues.opened import open_catalogues
from ingest.classifiers.contract import Classifications, batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Runner
from ingest.crossmatch import match_alerts
from ingest.notices.registry import parse_notice
from ingest.replay import iter_alert_messages, iter_notice_messages
from ingest.screening import screen

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ALERTS_AT_A_TIME = 500
"""Alerts decoded at a time; bounds memory at about 50 MB."""

EVENTS_AT_A_TIME = 200
"""Events read from the graph at a time; bounds memory where each has a sky map of a megabyte."""

OBJECTS_AT_A_TIME = 50_000
"""Objects read from the graph at a time; bounds the memory of one answer."""

MAX_EVENTS = 2000
"""Events that a calibration moves at most, the newest ones: more take minutes and say nothing new."""

SIMULATED_YEARS = 10_000.0
"""Simulated time for the joint false-alarm rates [yr]: a hundred pairs at one in a hundred years."""


@dataclass(frozen=True, eq=False, slots=True)
class CalibrationInput:
    """Alerts and events of some nights."""

    objects: ObjectColumns
    """First detected in those nights, of any survey."""
    tallies: dict[str, SurveyTally]
    """What each survey showed in them."""
    entries: tuple[OpenEvent, ...]
    span_mjd_tai: tuple[float, float]
    """Begin of the first night and end of the last [d, TAI]."""


@dataclass(frozen=True, eq=False, slots=True)
class CalibrationResult:
    """What a calibration found."""

    background: Background
    uniformities: tuple[Uniformity, ...]
    """By survey and latitude bin, with the measured background."""
    unmeasured: tuple[Uniformity, ...]
    """The same with the rates of the settings."""
    corrected: tuple[Uniformity, ...]
    """The same with the measured background and the correction, which was fitted on these trials."""
    trials: dict[str, Trials]
    """By survey, with the measured background."""
    unmeasured_trials: dict[str, Trials]
    years: dict[str, tuple[FarCheck, ...]]
    """Counts in `SIMULATED_YEARS`, by survey."""
    correction: Correction


def calibrate_input(given: CalibrationInput, settings: Settings, n_slides: int, seed: int) -> CalibrationResult:
    """Measure the background of some nights, and hold its chance probabilities against moved events.

    Raises
    ------
    NotFoundError : there is no object, or no event with a place.
    """
    if not given.tallies or not given.entries:
        raise NotFoundError("A calibration needs objects of at least one night and events with a localization.")
    stated = settings.coordinator.background()
    nights = max(one.n_nights for one in given.tallies.values())
    provenance = f"measured from {len(given.objects)} new objects of {nights} nights, for a calibration"
    measured = background_of(given.tallies, provenance, stated)
    level = settings.coordinator.max_credible_level
    found: dict[str, tuple[Trials, Trials]] = {}
    for survey in sorted(measured.measured):
        mine = given.objects.take(given.objects.survey == survey)
        found[survey] = tuple(  # type: ignore[assignment]
            run_trials(
                given.entries, mine, one, given.span_mjd_tai, n_slides=n_slides, seed=seed, max_credible_level=level
            )
            for one in (measured, stated)
        )
    trials = {survey: pair[0] for survey, pair in found.items()}
    unmeasured = {survey: pair[1] for survey, pair in found.items()}
    correction = fit_correction(
        trials, f"{n_slides} slides of {len(given.entries)} events over {nights} nights, seed {seed}"
    )
    years = {
        survey: simulate_years(
            given.entries, survey, measured, measured, years=SIMULATED_YEARS, seed=seed, max_credible_level=level
        )
        for survey in trials
    }
    return CalibrationResult(
        measured,
        _uniformities(trials),
        _uniformities(unmeasured),
        _uniformities({survey: _corrected(correction, survey, one) for survey, one in trials.items()}),
        trials,
        unmeasured,
        years,
        correction,
    )


def _uniformities(trials: dict[str, Trials]) -> tuple[Uniformity, ...]:
    return tuple(
        uniformity(survey, latitude, p_chance)
        for survey, one in trials.items()
        for latitude, p_chance in by_latitude(one)
    )


def _corrected(correction: Correction, survey: str, one: Trials) -> Trials:
    """Return trials with their probabilities corrected."""
    p_chance = one.p_chance.copy()
    for latitude in np.unique(one.latitude).tolist():
        mine = one.latitude == latitude
        # A probability of exactly 1 has no finite number of objects behind it.
        expected = -np.log1p(-np.minimum(p_chance[mine], np.nextafter(1.0, 0.0)))
        name = np.full(int(mine.sum()), survey, dtype=object)
        p_chance[mine] = -np.expm1(-correction.expected(name, latitude, expected))
    return Trials(p_chance, one.latitude, one.n_with_pair)


def input_from_graph(settings: Settings) -> CalibrationInput:
    """Read the nights that the background is measured from, the newest one included, and all events.

    Raises
    ------
    NotFoundError : the graph has no detections.
    """
    with Connection.open(settings.graph) as connection:
        store, counts = EventStore(connection), SkyCounts(connection)
        newest = store.newest_midpoint_mjd_tai()
        if newest <= 0.0:
            raise NotFoundError("The graph has no detections to calibrate with.")
        tonight = night_of(newest)
        nights = range(tonight - max(settings.coordinator.background_nights, 1) + 1, tonight + 1)
        counted = {night: measure_night(counts, night) for night in nights}
        looked_at = [night for night, surveys in counted.items() if surveys]
        first = min(looked_at, default=tonight)
        span = night_bounds_mjd_tai(first)[0], night_bounds_mjd_tai(tonight)[1]
        objects = joined_objects(list(objects_by_time(store, *span, OBJECTS_AT_A_TIME)))
        keys = store.event_keys()
        told: list[Sequence[Notice]] = []
        for start in range(0, len(keys), EVENTS_AT_A_TIME):
            told += store.notices_of(keys[start : start + EVENTS_AT_A_TIME]).values()
    tallies: dict[str, SurveyTally] = {}
    for survey in (one.value for one in Survey):
        of_nights = [counted[night][survey] for night in nights if survey in counted[night]]
        dark = sum(1 for night in nights if night >= first and survey not in counted[night])
        whole = joined(of_nights)
        if whole is not None:
            tallies[survey] = SurveyTally(whole.new_objects, whole.visits, whole.n_nights + dark)
    return CalibrationInput(objects, tallies, open_events(told), span)


def input_from_files(alerts: Path, notices: Path, settings: Settings) -> CalibrationInput:
    """Read recorded packets and notices; what the alert stream would set aside is left out.

    Raises
    ------
    NotFoundError : no packet could be read.
    """
    parts = [part for survey in Survey for part in _alerts(alerts, survey, settings)]
    if not parts:
        raise NotFoundError(f"No alert in {alerts} could be read.")
    places = np.unique(np.concatenate([seen for _, _, seen in parts]), axis=0)
    # Histories reach back before the alerts; only nights that alerts came from are complete.
    alert_nights = np.unique(np.concatenate([nights for _, nights, _ in parts]))
    first, last = int(alert_nights.min()), int(alert_nights.max())
    span = night_bounds_mjd_tai(first)[0], night_bounds_mjd_tai(last)[1]
    objects = _first_of_each(joined_objects([found for found, _, _ in parts]))
    inside = (objects.first_midpoint_mjd_tai >= span[0]) & (objects.first_midpoint_mjd_tai < span[1])
    objects = objects.take(inside)
    tallies = {}
    for number, survey in enumerate(Survey):
        mine = places[places[:, 0] == number]
        visited = [mine[mine[:, 1] == night, 2] for night in range(first, last + 1)]
        if len(mine):
            tallies[survey.value] = tally(objects, survey.value, visited)
    told: dict[str, list[Notice]] = {}
    for topic, file, payload in iter_notice_messages(notices):
        try:
            notice = parse_notice(payload, topic, companions=file.parent)
        except (WireError, SkyMapError):
            continue
        told.setdefault(notice.event_key, []).append(notice)
    return CalibrationInput(objects, tallies, open_events(list(told.values())), span)


def open_events(told: Sequence[Sequence[Notice]]) -> tuple[OpenEvent, ...]:
    """Return the events that can coincide with something, `MAX_EVENTS` at most, newest first."""
    entries = []
    for notices in told:
        event = event_from_notices(notices)
        usable = event.state is EventState.ACTIVE and event.is_astrophysical_burst and is_real(event)
        if usable and event.trigger_time is not None and event.localization is not None:
            entries.append(OpenEvent(event, region_of(event.localization)))
    entries.sort(key=lambda entry: (entry.event.trigger_time, entry.event.event_key), reverse=True)
    return tuple(entries[:MAX_EVENTS])


def _alerts(path: Path, survey: Survey, settings: Settings) -> Iterator[tuple[ObjectColumns, IntArray, IntArray]]:
    """Yield batch by batch the objects that pass, the nights of all alerts, and the (survey, night, cell) seen."""
    decoder, catalogues = AlertDecoder(survey), open_catalogues(settings.ingest.catalogue_dir)
    classifiers = Runner(load_modules(survey), time_limit_s=settings.ingest.classifier_time_limit_s)
    messages = (packet for found, packet in iter_alert_messages(path) if found is survey)
    while batch := list(islice(messages, ALERTS_AT_A_TIME)):
        columns, _ = decoder.decode(batch)
        if not len(columns):
            continue
        reasons = screen(columns, settings.ingest.min_reliability, keep_private=settings.ingest.keep_private)
        kept = columns.take(reasons == "")
        classified = classifiers.run(batch_of(kept, match_alerts(catalogues, kept))).leading(len(kept))
        yield _objects(kept, classified), _nights(columns.midpoint_mjd_tai), _seen(columns)


def _nights(mjd_tai: FloatArray) -> IntArray:
    return np.floor(np.asarray(mjd_tai_to_utc(mjd_tai)) - 0.5).astype(np.int64)


def _seen(columns: AlertColumns) -> IntArray:
    """Return the (k, 3) survey, night and cell of each detection and upper limit in the histories of alerts."""
    curves = columns.light_curves
    owner = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    cell = cells_of(columns.ra_deg, columns.dec_deg)[owner]
    number = np.full(len(cell), list(Survey).index(columns.survey), dtype=np.int64)
    rows = np.stack((number, _nights(curves.midpoint_mjd_tai), cell), axis=1)
    return np.unique(rows[(cell >= 0) & (cell < N_CELLS)], axis=0)


def _objects(kept: AlertColumns, classified: Classifications) -> ObjectColumns:
    """Return the objects of alerts as the graph would have them after each."""
    bracket = brackets_of(kept.light_curves, kept.forced, kept.first_midpoint_mjd_tai)
    return ObjectColumns(
        survey=np.full(len(kept), kept.survey.value, dtype=object),
        object_id=kept.object_id,
        ra_deg=kept.ra_deg,
        dec_deg=kept.dec_deg,
        first_midpoint_mjd_tai=kept.first_midpoint_mjd_tai,
        last_limit_mjd_tai=bracket.last_limit_mjd_tai,
        latest_mag=magnitude(kept.psf_flux_njy),
        top_class=classified.top_class,
        class_probability=classified.top_probability.astype(np.float64),
        n_detections=kept.n_detections,
        last_limit_mag=bracket.last_limit_mag,
        first_mag=bracket.first_mag,
    )


def _first_of_each(objects: ObjectColumns) -> ObjectColumns:
    """Return one row for each object, the one with most detections."""
    keys = np.array([f"{survey}:{name}" for survey, name in zip(objects.survey, objects.object_id, strict=True)])
    order = np.lexsort((-objects.n_detections, keys))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = keys[order][1:] != keys[order][:-1]
    return objects.take(order[first])
