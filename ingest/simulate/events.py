"""The multi-messenger events of a night and the counterparts that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai
from ingest.simulate.population import Sources, still_sources
from ingest.simulate.schedule import antisolar_ra_deg
from ingest.simulate.source_classes import CLASSES, SourceClass, magnitude_to_njy

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class EventKind(StrEnum):
    """Which mission found an event, and what became of it."""

    FERMI = "fermi"
    LVK = "lvk"
    ICECUBE = "icecube"
    SWIFT = "swift"
    LVK_RETRACTED = "lvk_retracted"
    SVOM = "svom"
    KM3NET = "km3net"
    EINSTEIN_PROBE = "einstein_probe"


class Habit(NamedTuple):
    """When a kind of event happens and what it leaves for the telescopes."""

    mission: str
    hours_before: float
    """Trigger before the start of the night's observing [h]; 0 is about a tenth of the night after it."""
    counterpart: SourceClass | None


HABITS: dict[EventKind, Habit] = {
    EventKind.FERMI: Habit("Fermi", 5.0, SourceClass.AFTERGLOW),
    EventKind.LVK: Habit("LVK", 18.0, SourceClass.KILONOVA),
    EventKind.ICECUBE: Habit("IceCube", 10.0, SourceClass.BLAZAR_FLARE),
    EventKind.SWIFT: Habit("Swift", 1.2, SourceClass.AFTERGLOW),
    EventKind.LVK_RETRACTED: Habit("LVK", 7.0, None),
    EventKind.SVOM: Habit("SVOM", 0.0, SourceClass.AFTERGLOW),
    EventKind.KM3NET: Habit("KM3NeT", 26.0, SourceClass.BLAZAR_FLARE),
    EventKind.EINSTEIN_PROBE: Habit("Einstein Probe", 3.0, SourceClass.AFTERGLOW),
}
"""One of each kind in this order, then again."""

DEC_RANGE_DEG = (-22.0, 3.0)
"""Declinations of counterparts: seen by both surveys from their sites [deg]."""

LEAST_GALACTIC_LATITUDE_DEG = 20.0
"""Counterparts keep away from the dust of the plane [deg]."""

LEAST_SEPARATION_DEG = 8.0
"""Between counterparts: more than a ZTF field, so that each has its own [deg]."""

AFTERGLOW_FAINTEST_MAG = 19.3
"""r magnitude at the end of the night, still a magnitude above ZTF's limit."""

KILONOVA_ABSOLUTE_MAG = -15.4
"""r at one day: AT2017gfo at 17.65 mag and 40 Mpc, from the photometry in Villar et al. 2017,
doi:10.3847/2041-8213/aa9c84."""

FERMI_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)
"""Zero of Fermi's mission elapsed time, by which its triggers are named."""

FERMI_LEAP_S = 5
"""Leap seconds between that epoch and today [s]; Fermi counts them, a UTC difference does not."""


@dataclass(frozen=True, slots=True)
class EventPlan:
    """An event as it really was."""

    kind: EventKind
    mission: str
    event_id: str
    """The mission's identifier, as its notices give it."""
    trigger_time: datetime
    ra_deg: float
    """True place [deg, ICRS]."""
    dec_deg: float
    distance_mpc: float
    """Distance of a merger [Mpc]; of no use for the rest."""
    counterpart: SourceClass | None


def plan_events(rng: np.random.Generator, n_events: int, start: datetime, duration_s: float) -> tuple[EventPlan, ...]:
    """Choose what happens: kinds in turn, places far apart in the sky of both surveys."""
    kinds = tuple(EventKind)
    ra, dec = _places(rng, n_events, datetime_to_mjd_tai(start))
    plans: list[EventPlan] = []
    for i in range(n_events):
        kind = kinds[i % len(kinds)]
        habit = HABITS[kind]
        seconds = (
            -3600.0 * habit.hours_before * rng.uniform(0.9, 1.1)
            if habit.hours_before
            else rng.uniform(0.05, 0.15) * duration_s
        )
        trigger = (start + timedelta(seconds=round(seconds, 2))).astimezone(UTC)
        plans.append(
            EventPlan(
                kind,
                habit.mission,
                _event_id(kind, trigger, i, rng),
                trigger,
                float(ra[i]),
                float(dec[i]),
                float(rng.uniform(35.0, 70.0)),
                habit.counterpart,
            )
        )
    return tuple(plans)


def counterparts(rng: np.random.Generator, plans: tuple[EventPlan, ...], field_of: IntArray, end: datetime) -> Sources:
    """Return the sources that the events left, in the fields given for each event."""
    rows = [i for i, plan in enumerate(plans) if plan.counterpart is not None]
    chosen = [plans[i] for i in rows]
    n = len(rows)
    classes = [plan.counterpart for plan in chosen if plan.counterpart is not None]
    magnitude = np.array([_magnitude(rng, plan, end) for plan in chosen])
    flare = np.array([one is SourceClass.BLAZAR_FLARE for one in classes], dtype=np.bool_)
    trigger = np.array([datetime_to_mjd_tai(plan.trigger_time) for plan in chosen])
    return still_sources(
        np.array([CLASSES.index(one) for one in classes], dtype=np.int64),
        field_of[rows],
        (np.array([plan.ra_deg for plan in chosen]), np.array([plan.dec_deg for plan in chosen])),
        # A flare peaks half a day after the neutrino; everything else begins with its event.
        epoch_mjd_tai=trigger + np.where(flare, 0.5, 0.0),
        peak_njy=magnitude_to_njy(magnitude),
        amplitude_mag=np.where(flare, rng.uniform(1.0, 1.6, n), 0.0),
        timescale_d=np.where(flare, 3.0, 1.0),
        phase=rng.random(n),
        event=np.array(rows, dtype=np.int64),
    )


def _magnitude(rng: np.random.Generator, plan: EventPlan, end: datetime) -> float:
    """Return the r magnitude by which the model of the counterpart is scaled."""
    if plan.counterpart is SourceClass.KILONOVA:
        return KILONOVA_ABSOLUTE_MAG + 5.0 * float(np.log10(plan.distance_mpc * 1e5))
    if plan.counterpart is SourceClass.BLAZAR_FLARE:
        return float(rng.uniform(17.3, 18.2))
    hours = (end - plan.trigger_time).total_seconds() / 3600.0
    at_one_hour = AFTERGLOW_FAINTEST_MAG - 2.5 * 1.1 * float(np.log10(hours)) - rng.uniform(0.0, 1.0)
    return float(min(at_one_hour, 18.3))


def _places(rng: np.random.Generator, n: int, mjd: float) -> tuple[FloatArray, FloatArray]:
    """Return n places away from the plane of the Galaxy and from one another where that is possible."""
    tries = 400 + 40 * n
    ra = np.mod(antisolar_ra_deg(mjd) + rng.uniform(-50.0, 50.0, tries), 360.0)
    low, high = np.sin(np.radians(DEC_RANGE_DEG))
    dec = np.degrees(np.arcsin(rng.uniform(low, high, tries)))
    sky = SkyCoord(ra * units.deg, dec * units.deg)
    clear = np.flatnonzero(np.abs(sky.galactic.b.deg) > LEAST_GALACTIC_LATITUDE_DEG)
    chosen: list[int] = []
    for i in clear:
        if len(chosen) == n:
            break
        if not chosen or sky[i].separation(sky[chosen]).deg.min() > LEAST_SEPARATION_DEG:
            chosen.append(int(i))
    # A crowded night doubles up: fields may then hold two events.
    chosen.extend(int(i) for i in clear[: n - len(chosen)])
    return ra[chosen], dec[chosen]


def _event_id(kind: EventKind, trigger: datetime, index: int, rng: np.random.Generator) -> str:
    """Return the identifier that the mission would give."""
    day = trigger.strftime("%y%m%d")
    if kind is EventKind.FERMI:
        return str(int((trigger - FERMI_EPOCH).total_seconds()) + FERMI_LEAP_S)
    if kind is EventKind.SWIFT:
        return str(1_300_000 + int(rng.integers(0, 90_000)) + index)
    if kind is EventKind.SVOM:
        return f"sb{day}{1 + index % 99:02d}"
    if kind is EventKind.ICECUBE:
        return f"{141_000 + index}_{int(rng.integers(10_000_000, 80_000_000))}"
    if kind is EventKind.EINSTEIN_PROBE:
        return f"{1_709_270_000 + 100 * index + int(rng.integers(0, 100)):011d}"
    return str(1 + index) if kind is EventKind.KM3NET else f"S{day}{_letters(index)}"


def _letters(number: int) -> str:
    """Return the number in letters: a, b, ..., z, aa, ab, ..."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def night_end(start: datetime, duration_s: float) -> datetime:
    """Return the end of the night's observing."""
    return start + timedelta(days=duration_s / SECONDS_PER_DAY)
