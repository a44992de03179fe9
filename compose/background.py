"""The background measured from our own stream, night by night, and kept in a small file below home."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from compose.config import Settings
from coordinator.background import (
    DEFAULT_BACKGROUND,
    SHAPE,
    Background,
    SurveyTally,
    background_of,
    count_strata,
    joined,
)
from coordinator.correction import Correction, PMap
from coordinator.flaring import measured_flaring_per_deg2
from coordinator.strata import CELL_ORDER, CELL_PIXELS, N_CELLS
from graph.errors import ConfigurationError
from graph.event_store import EventStore
from graph.sky import merge_ranges
from graph.sky_counts import SkyCounts
from graph.times import mjd_tai_to_utc, mjd_utc_to_tai

logger = logging.getLogger(__name__)

IntArray = NDArray[np.int64]
Nights = dict[int, dict[str, SurveyTally]]
"""Number of a night -> survey -> what it showed. A night begins at noon UTC of the day of that MJD."""

BACKGROUND_FILE = "background.json"
"""Name of the counts below home."""

CALIBRATION_FILE = "calibration.json"
"""Name of the correction below home."""

FORMAT_VERSION = 1
"""Version of both files; another one is refused."""

FEWEST_OBJECTS = 1000
"""New objects of a survey below which its rate stays that of the settings: 3 per cent of Poisson error, and more than
any test or demonstration brings."""

FEWEST_NIGHTS = 3
"""Nights of a survey below which the same holds: one night says nothing of how often a place is visited."""

CHECKED_EVERY_S = 600.0
"""Least time between two looks for a finished night [s]; a night is a day long and a look costs an index look-up."""

PATIENCE_S = 3600.0
"""Longest time for which a night waits while there is other work [s]: to count it takes seconds."""

NO_FLARES: Mapping[str, int] = MappingProxyType({})
"""Known blazars in a flare where none was counted."""

BETWEEN_NIGHTS_S = 10.0
"""Least time between counting two nights [s]: notices are answered in between."""


def night_of(mjd_tai: float) -> int:
    """Return the number of the night [d] of a time [d, TAI]: the MJD in UTC at whose noon it began."""
    return int(np.floor(float(mjd_tai_to_utc(mjd_tai)) - 0.5))


def night_bounds_mjd_tai(night: int) -> tuple[float, float]:
    """Return begin and end of a night [d, TAI]."""
    begin, end = mjd_utc_to_tai(np.array([night + 0.5, night + 1.5])).tolist()
    return begin, end


def measure_night(counts: SkyCounts, night: int) -> dict[str, SurveyTally]:
    """Count what each survey showed in one night; surveys that showed nothing are left out."""
    begin, end = night_bounds_mjd_tai(night)
    new = counts.new_objects(begin, end, CELL_PIXELS)
    tallies = {}
    for survey, cells in counts.visited_cells(begin, end, CELL_PIXELS).items():
        counted = np.zeros(SHAPE, dtype=np.int64)
        if survey in new:
            found = new[survey]
            counted = count_strata(found.top_class, found.latest_mag, found.cell, found.n_objects)
        tallies[survey] = SurveyTally(counted, _visits(cells), 1)
    return tallies


def background_from_nights(
    nights: Nights,
    fallback: Background,
    correction: Correction | None = None,
    n_flaring: Mapping[str, int] = NO_FLARES,
) -> Background:
    """Return the background of some nights; surveys with too little keep the rates of ``fallback``.

    Parameters
    ----------
    n_flaring : known blazars that each survey saw in a flare in these nights.
    """
    tallies: dict[str, SurveyTally] = {}
    flaring: dict[str, float] = {}
    for survey in sorted({name for night in nights.values() for name in night}):
        whole = joined([nights[night].get(survey) or _nothing() for night in sorted(nights)])
        if whole is not None and whole.n_nights >= FEWEST_NIGHTS and whole.new_objects.sum() >= FEWEST_OBJECTS:
            tallies[survey] = whole
        density = None if whole is None else measured_flaring_per_deg2(n_flaring.get(survey, 0), whole)
        if density is not None:
            flaring[survey] = density
    said = ", ".join(
        f"{name} {one.new_objects.sum()} new objects in {one.n_nights} nights" for name, one in tallies.items()
    )
    last = max(nights, default=0)
    found = background_of(tallies, f"measured from our own stream until the night of MJD {last}: {said}", fallback)
    return Background(found.rate_per_deg2_day, found.provenance, found.measured, correction, flaring)


class NightlyBackground:
    """Keeps the measured background up to date: each finished night is counted once and kept in a file."""

    def __init__(
        self,
        settings: Settings,
        store: EventStore,
        counts: SkyCounts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings.coordinator
        self._file = settings.home / BACKGROUND_FILE
        self._store = store
        self._counts = counts
        self._clock = clock
        self._nights = read_nights(self._file)
        self._next_look = clock()
        self._correction = None
        if self._settings.apply_calibration:
            self._correction = read_correction(settings.home / CALIBRATION_FILE)

    def current(self) -> Background:
        """Return the background that is to be used now."""
        stated = self._settings.background()
        # Rates that the user stated are stated for a reason.
        nights = self._nights if stated is DEFAULT_BACKGROUND and self._settings.background_nights else {}
        if not nights:
            return background_from_nights(nights, stated, self._correction)
        begin, end = night_bounds_mjd_tai(min(nights))[0], night_bounds_mjd_tai(max(nights))[1]
        return background_from_nights(nights, stated, self._correction, self._counts.flaring_blazars(begin, end))

    def refresh(self, *, busy: bool = False) -> Background | None:
        """Count the nights that were finished since the last look; return the new background, None if it stands.

        Parameters
        ----------
        busy : there is other work, for which this one waits up to `PATIENCE_S`.

        Notes
        -----
        A night is finished when there are detections of a later one. One night is counted at a time, the newest
        first, so that a long history does not hold up the notices. Only nights of the last ``background_nights``
        are counted and kept.
        """
        wanted_at = self._next_look + (PATIENCE_S if busy else 0.0)
        if not self._settings.background_nights or self._clock() < wanted_at:
            return None
        self._next_look = self._clock() + CHECKED_EVERY_S
        newest_mjd_tai = self._store.newest_midpoint_mjd_tai()
        if newest_mjd_tai <= 0.0:
            return None
        tonight = night_of(newest_mjd_tai)
        wanted = range(tonight - self._settings.background_nights, tonight)
        missing = [night for night in reversed(wanted) if night not in self._nights]
        if not missing:
            return None
        if len(missing) > 1:
            self._next_look = self._clock() + BETWEEN_NIGHTS_S
        self._nights[missing[0]] = measure_night(self._counts, missing[0])
        self._nights = {night: self._nights[night] for night in wanted if night in self._nights}
        write_nights(self._file, self._nights)
        background = self.current()
        logger.info("The night of MJD %d was counted; background: %s.", missing[0], background.provenance)
        return background


def read_nights(file: Path) -> Nights:
    """Return the nights in a file, none if it is not there.

    Raises
    ------
    ConfigurationError : the file is not one of ours.
    """
    if not file.exists():
        return {}
    try:
        body = _document(file, cell_order=CELL_ORDER, strata=list(SHAPE))
        return {
            int(night): {name: _tally(**one) for name, one in surveys.items()}
            for night, surveys in body["nights"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ConfigurationError(f"{file} holds no counted nights ({error}): remove it.") from error


def write_nights(file: Path, nights: Nights) -> None:
    """Write nights to a file, in place of what is there."""
    body = {
        "version": FORMAT_VERSION,
        "cell_order": CELL_ORDER,
        "strata": list(SHAPE),
        "nights": {
            str(night): {name: _document_of(one) for name, one in sorted(surveys.items())}
            for night, surveys in sorted(nights.items())
        },
    }
    _replace(file, body)


def read_correction(file: Path) -> Correction:
    """Return the correction that ``heliograph calibrate`` left.

    Raises
    ------
    ConfigurationError : there is none, or the file is not one of ours.
    """
    try:
        body = _document(file)
        maps = {
            (str(one["survey"]), str(one["latitude"])): PMap(
                np.array(one["stated"], dtype=np.float64), np.array(one["observed"], dtype=np.float64)
            )
            for one in body["maps"]
        }
        return Correction(maps, str(body["provenance"]))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"HELIOGRAPH_COORDINATOR__APPLY_CALIBRATION is on and {file} is not there: try 'heliograph calibrate'."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file} holds no calibration ({error}): remove it.") from error


def write_correction(file: Path, correction: Correction) -> None:
    """Write a correction to a file, in place of what is there."""
    maps = [
        {"survey": survey, "latitude": latitude, "stated": one.stated.tolist(), "observed": one.observed.tolist()}
        for (survey, latitude), one in sorted(correction.maps.items())
    ]
    _replace(file, {"version": FORMAT_VERSION, "provenance": correction.provenance, "maps": maps})


def _nothing() -> SurveyTally:
    return SurveyTally(np.zeros(SHAPE, dtype=np.int64), np.zeros(N_CELLS, dtype=np.int64), 1)


def _visits(cells: IntArray) -> IntArray:
    visits = np.zeros(N_CELLS, dtype=np.int64)
    visits[cells] = 1
    return visits


def _document_of(one: SurveyTally) -> dict[str, object]:
    """Return one night of a survey as JSON: the strata that are not empty, and runs of visited cells."""
    strata = np.argwhere(one.new_objects)
    cells = np.flatnonzero(one.visits)
    runs = merge_ranges(np.stack((cells, cells + 1), axis=1))
    return {
        "new_objects": [[*place, int(one.new_objects[tuple(place)])] for place in strata.tolist()],
        "visited": runs.tolist(),
    }


def _tally(new_objects: list[list[int]], visited: list[list[int]]) -> SurveyTally:
    counts = np.zeros(SHAPE, dtype=np.int64)
    for group, magnitude, latitude, n in new_objects:
        counts[group, magnitude, latitude] = n
    visits = np.zeros(N_CELLS, dtype=np.int64)
    for start, stop in visited:
        visits[start:stop] = 1
    return SurveyTally(counts, visits, 1)


def _document(file: Path, **bins: object) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of a file of our version and with these bins."""
    body = orjson.loads(file.read_bytes())
    if any(body[name] != wanted for name, wanted in {"version": FORMAT_VERSION, **bins}.items()):
        raise ValueError("it is of another version")
    return body


def _replace(file: Path, body: object) -> None:
    """Write JSON beside a file and move it there, so that a reader sees the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_bytes(orjson.dumps(body))
    beside.replace(file)
