"""What belongs to an event in time, by science case, and how often events come.

A delay is an object's first detection minus the trigger [s]; negative is before the trigger. The first detection is
the middle of an exposure and only bounds the onset from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Event, Messenger, ScienceCase
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]

DAYS_PER_YEAR: Final = 365.25
"""Julian year [d]; rates of missions are quoted per year."""

SECONDS_PER_YEAR: Final = DAYS_PER_YEAR * SECONDS_PER_DAY
"""Julian year [s]."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Delays at which a counterpart may first be seen, and how likely each is if it is one.

    Before the trigger the density is even; after it, it falls as 1 / (delay + softening) or is even throughout.
    """

    start_s: float
    """Earliest delay [s]; negative or 0."""
    stop_s: float
    """Latest delay [s]; positive."""
    softening_s: float | None
    """Delay below which the density is flat [s]; None for an even density over the whole window."""
    share_before: float
    """Probability of a first detection before the trigger; used only with a softening."""
    reason: str
    """Where the numbers come from."""

    @property
    def length_s(self) -> float:
        """Length of the window [s]."""
        return self.stop_s - self.start_s

    def span_mjd_tai(self, trigger_mjd_tai: float) -> tuple[float, float]:
        """Return begin and end of the window [d, TAI] of a trigger."""
        return trigger_mjd_tai + self.start_s / SECONDS_PER_DAY, trigger_mjd_tai + self.stop_s / SECONDS_PER_DAY

    def contains(self, delta_t_s: FloatArray) -> NDArray[np.bool_]:
        """Return which delays (n,) [s] lie in the window, both ends included."""
        return np.asarray((delta_t_s >= self.start_s) & (delta_t_s <= self.stop_s), dtype=np.bool_)

    def density_per_s(self, delta_t_s: FloatArray) -> FloatArray:
        """Return the probability density (n,) [1/s] of delays of true counterparts; 0 outside the window."""
        if self.softening_s is None:
            density = np.full(np.shape(delta_t_s), 1.0 / self.length_s)
        else:
            norm = (1.0 - self.share_before) / np.log1p(self.stop_s / self.softening_s)
            after = norm / (np.maximum(delta_t_s, 0.0) + self.softening_s)
            before = self.share_before / -self.start_s if self.start_s < 0.0 else 0.0
            density = np.where(np.asarray(delta_t_s) < 0.0, before, after)
        return np.where(self.contains(delta_t_s), density, 0.0)


WINDOWS: Final[Mapping[ScienceCase, TimeWindow]] = {
    ScienceCase.GRB: TimeWindow(
        start_s=-15.0,
        stop_s=5.0 * SECONDS_PER_DAY,
        softening_s=0.02 * SECONDS_PER_DAY,
        share_before=1e-3,
        reason="Afterglows fade as 1/t: few surveys see one for the first time after 5 d. An exposure of 30 s whose "
        "middle is 15 s early still holds the burst. The flat part is the spacing of a survey's pair of visits.",
    ),
    ScienceCase.GW: TimeWindow(
        start_s=-1.0 * SECONDS_PER_DAY,
        stop_s=20.0 * SECONDS_PER_DAY,
        softening_s=1.0 * SECONDS_PER_DAY,
        share_before=0.02,
        reason="Kilonovae peak within days and are gone in the optical after about 20 d; AT 2017gfo was first seen "
        "after 0.45 d (doi:10.3847/2041-8213/aa91c9). The day before covers early-warning triggers and precursors.",
    ),
    ScienceCase.NEUTRINO: TimeWindow(
        start_s=-10.0 * SECONDS_PER_DAY,
        stop_s=30.0 * SECONDS_PER_DAY,
        softening_s=None,
        share_before=0.0,
        reason="Interacting supernovae and tidal disruptions may be seen before or after their neutrino; no delay is "
        "preferred. Blazars are older objects, which `coordinator.flares` finds by their flares.",
    ),
    ScienceCase.UNKNOWN: TimeWindow(
        start_s=-1.0 * SECONDS_PER_DAY,
        stop_s=5.0 * SECONDS_PER_DAY,
        softening_s=None,
        share_before=0.0,
        reason="Radio bursts and other triggers without an established optical counterpart: short, and even.",
    ),
}
"""Window of each science case that begins with an event."""

UNPROVEN_MISSIONS: Final = frozenset({"chime", "dsa110", "boom"})
"""Missions whose events have no established counterpart of another wavelength, or are optical themselves."""

EVENT_RATES_PER_YEAR: Final[Mapping[str, float]] = {
    "fermi": 240.0 + 18.0,
    "swift": 75.0 + 8.0,
    "svom": 60.0 + 130.0,
    "integral": 5.0,
    "agile": 5.0,
    "einsteinprobe": 100.0,
    "icecube": 10.0 + 16.0 + 8.0,
    "amon": 6.0,
    "km3net": 24.0,
    "lvk": 5.0 + 11.0 + 520.0,
    "chime": 600.0,
}
"""Astrophysical events a year [1/yr] by mission, letters and digits of its name in lower case.

Sources: the mission pages of gcn.nasa.gov (Fermi GBM short 40 and long 200, LAT 18; Swift BAT long 75 and short 8;
SVOM ECLAIRs 60 and GRM 130; Einstein Probe WXT 100; IceCube gold 10, bronze 16, cascades 8; AMON neutrino-EM 6;
KM3NeT tracks 12 and showers 12; CHIME 600); the LVK user guide for O5 (5 + 11 + 520); RAVEN's settings for INTEGRAL
and AGILE, arXiv:1712.05392.
"""

DEFAULT_EVENT_RATE_PER_YEAR: Final = 365.25
"""Rate of a mission without a source [1/yr]: one a day is more than any mission here, so it overstates chance."""


def science_case_of(event: Event) -> ScienceCase:
    """Return the science case whose list an event feeds."""
    if event.messenger is Messenger.GW:
        return ScienceCase.GW
    if event.messenger is Messenger.NEUTRINO:
        return ScienceCase.NEUTRINO
    return ScienceCase.UNKNOWN if _plain_name(event.mission) in UNPROVEN_MISSIONS else ScienceCase.GRB


def window_of(event: Event) -> TimeWindow:
    """Return the window of an event's science case."""
    return WINDOWS[science_case_of(event)]


def event_rate_hz(event: Event) -> float:
    """Return how often an event like this comes [Hz].

    The false-alarm rate that came with a gravitational-wave or neutrino event says it best; else the mission's rate.
    """
    if event.far_hz is not None and event.far_hz > 0.0 and event.messenger is not Messenger.EM:
        return event.far_hz
    rate = EVENT_RATES_PER_YEAR.get(_plain_name(event.mission), DEFAULT_EVENT_RATE_PER_YEAR)
    return rate / SECONDS_PER_YEAR


def _plain_name(mission: str) -> str:
    """Return the letters and digits of a name in lower case: missions are spelled in several ways."""
    return "".join(letter for letter in mission.casefold() if letter.isalnum())
