"""Which events one source may have made: gravitational wave, burst and neutrino, or one burst seen by two missions.

Pure: events and built regions in, frozen pairs out. Two events are a pair when the delay of their triggers lies in the
window of their kinds, their localizations speak for one place, chance makes such a pair rarely enough, and one source
is the better explanation. The delay is the second trigger minus the first [s]; first is the gravitational wave, then
light, then the neutrino, and between two bursts the smaller key, so that a pair has one direction whichever event was
told first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from coordinator.coincidence import is_real
from coordinator.joint import targeted_joint_far_hz, untargeted_joint_far_hz
from coordinator.pairs import SMALLEST_P_ASTRO
from coordinator.windows import (
    DEFAULT_EVENT_RATE_PER_YEAR,
    EVENT_RATES_PER_YEAR,
    SECONDS_PER_YEAR,
    TimeWindow,
    event_rate_hz,
    science_case_of,
)
from graph.model import CoincidenceState, Event, EventPair, EventState, Messenger, ScienceCase, Term
from graph.regions import overlap_integral
from graph.times import SECONDS_PER_DAY, datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.regions import Region

PairKey = tuple[str, str]
"""first_key and second_key of a pair."""

KIND_ORDER: Final[Mapping[ScienceCase, int]] = {ScienceCase.GW: 0, ScienceCase.GRB: 1, ScienceCase.NEUTRINO: 2}
"""Place of each kind of event in a pair; radio bursts and other triggers without an established source have none."""


def _even(start_s: float, stop_s: float, reason: str) -> TimeWindow:
    return TimeWindow(start_s, stop_s, softening_s=None, share_before=0.0, reason=reason)


MERGER_BURST: Final = _even(-1.0, 5.0, "Merger and burst: the LVK user guide's window of RAVEN for compact binaries.")
"""Burst minus merger [s]; GRB 170817A came 1.7 s later."""

UNMODELLED_BURST: Final = _even(-60.0, 600.0, "Unmodelled wave and burst: the same guide's window for burst searches.")
"""Burst minus wave [s] for a wave without the classes of a compact binary: a collapse may precede its jet."""

TARGETED_FERMI: Final = _even(-1.0, 11.0, "Sub-threshold Fermi: the same guide's window.")
"""Burst minus wave [s]; the targeted search has triggers of up to 8 s."""

TARGETED_SWIFT: Final = _even(-10.0, 20.0, "Targeted search of Swift's saved events: the same guide's window.")
"""Burst minus wave [s]."""

SUPERNOVA_BURST: Final = _even(-10.0, 10.0, "Core collapse: the same guide's window for SNEWS.")
"""Neutrino burst minus wave [s]; the burst itself lasts 10 s."""

WAVE_NEUTRINO: Final = _even(-500.0, 500.0, "High-energy neutrino and wave: Baret et al. (2011), arXiv:1101.4669.")
"""Neutrino minus wave [s]: precursors, jets and fall-back of a burst's engine; searches by IceCube use the same."""

BURST_NEUTRINO: Final = _even(
    -SECONDS_PER_DAY, SECONDS_PER_DAY, "Choked jets and early afterglows: neutrinos a day around the burst."
)
"""Neutrino minus burst [s]; wide, and so needs a close place to be rarer than chance."""

SAME_BURST: Final = _even(
    -60.0, 60.0, "One burst, two missions: of 44 bursts seen by Fermi GBM and Swift BAT all triggers lie within 60 s."
)
"""Difference of two triggers on one burst [s]: BAT's images take up to 64 s, light to a distant probe some seconds."""

WIDEST_DELAY_S: Final = SECONDS_PER_DAY
"""Largest delay of any window, either sign [s]: how far the search for partners looks."""

TARGETED_FAR_MAX_HZ: Final[Mapping[str, tuple[float, float]]] = {
    "fermi": (1e-4, 1.0 / SECONDS_PER_DAY),
    "swift": (1e-3, 2.0 / SECONDS_PER_DAY),
}
"""Largest rates (of the burst, of the wave) [Hz] that each targeted search takes; RAVEN's settings.

A burst of such a mission that states a false-alarm rate of its own comes from its search below the threshold.
"""

TARGETED_WINDOWS: Final[Mapping[str, TimeWindow]] = {"fermi": TARGETED_FERMI, "swift": TARGETED_SWIFT}
"""Window of each targeted search."""

SUPERNOVA_MISSIONS: Final = frozenset({"superk", "superkamiokande", "snews"})
"""Missions whose neutrinos come from a collapse in our Galaxy, seconds long and of 10 MeV."""

BURST_MISSIONS: Final = ("fermi", "swift", "svom", "integral", "agile", "einsteinprobe")
"""Missions with a known rate of bursts; any of them may give the chance partner of a wave or a neutrino."""

MIN_OVERLAP: Final = 1.0
"""Smallest overlap integral of a pair: below it, two unrelated places are the better explanation."""

MAX_JOINT_FAR_HZ: Final = 1.0 / (30.0 * SECONDS_PER_DAY)
"""Largest joint false-alarm rate of a pair [Hz]: one chance pair a month of each kind, LVK's own limit for alerts."""


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """An event that may be one of a pair, with what the search needs of it."""

    event: Event
    region: Region | None
    """Of its localization, None where it has none."""
    trigger_mjd_tai: float
    """Trigger [d, TAI]."""

    @property
    def order(self) -> tuple[int, str]:
        """Place in a pair."""
        return KIND_ORDER[science_case_of(self.event)], self.event.event_key


def member_of(event: Event, region: Region | None, *, include_tests: bool = False) -> Member | None:
    """Return an event as a possible member of pairs; None where it is retracted, untimed or of no known kind."""
    kind = science_case_of(event)
    stands = event.state is EventState.ACTIVE and event.is_astrophysical_burst and event.trigger_time is not None
    if not stands or kind not in KIND_ORDER or not (is_real(event) or include_tests) or event.trigger_time is None:
        return None
    return Member(event, region, datetime_to_mjd_tai(event.trigger_time))


def pair_window(first: Event, second: Event) -> TimeWindow | None:
    """Return the window of the delay, second trigger minus first; None where no source makes both events.

    Parameters
    ----------
    first, second : in the order of a pair.
    """
    kinds = (science_case_of(first), science_case_of(second))
    if kinds == (ScienceCase.GW, ScienceCase.GRB):
        if second.far_hz is not None and (targeted := TARGETED_WINDOWS.get(_mission(second))) is not None:
            return targeted
        return MERGER_BURST if first.classification else UNMODELLED_BURST
    if kinds == (ScienceCase.GW, ScienceCase.NEUTRINO):
        return SUPERNOVA_BURST if _mission(second) in SUPERNOVA_MISSIONS else WAVE_NEUTRINO
    if kinds == (ScienceCase.GRB, ScienceCase.NEUTRINO):
        return None if _mission(second) in SUPERNOVA_MISSIONS else BURST_NEUTRINO
    if kinds == (ScienceCase.GRB, ScienceCase.GRB) and _mission(first) != _mission(second):
        return SAME_BURST
    return None


def pair_key(one: Member, other: Member) -> PairKey:
    """Return the keys of two events in the order of a pair."""
    first, second = sorted((one, other), key=lambda member: member.order)
    return first.event.event_key, second.event.event_key


def find_pair(one: Member, other: Member, known: EventPair | None = None) -> EventPair | None:
    """Return the pair that two events make, None where they make none.

    Parameters
    ----------
    one, other : in any order.
    known : what was found of this pair before; its overlap is taken where neither localization has changed.

    Returns
    -------
    An open pair without its joint event, the same whichever event is given first.
    """
    first, second = sorted((one, other), key=lambda member: member.order)
    window = pair_window(first.event, second.event)
    alike = (is_real(first.event) and is_real(second.event)) or first.event.alert_tense is second.event.alert_tense
    delta_t_s = (second.trigger_mjd_tai - first.trigger_mjd_tai) * SECONDS_PER_DAY
    if window is None or not alike or not window.contains(np.array([delta_t_s]))[0]:
        return None
    overlap = _overlap(first, second, known)
    if overlap is not None and not overlap >= MIN_OVERLAP:
        return None
    joint_far_hz = _joint_far_hz(first, second, window, overlap)
    if joint_far_hz is None or not joint_far_hz <= MAX_JOINT_FAR_HZ:
        return None
    terms = _terms(first, second, delta_t_s, window, overlap)
    log_bayes_factor = sum(term.value for term in terms)
    if not log_bayes_factor > 0.0:
        return None
    return EventPair(
        first_key=first.event.event_key,
        second_key=second.event.event_key,
        delta_t_s=delta_t_s,
        overlap=overlap,
        joint_far_hz=joint_far_hz,
        log_bayes_factor=log_bayes_factor,
        terms=terms,
        state=CoincidenceState.OPEN,
        first_revision=first.event.revision,
        second_revision=second.event.revision,
        joint_event_id=None,
    )


def withdraw_pair(pair: EventPair, revisions: Mapping[str, int]) -> EventPair:
    """Return a pair as withdrawn by new revisions of its events; one withdrawn before stays as it is."""
    if pair.state is CoincidenceState.WITHDRAWN:
        return pair
    return replace(
        pair,
        state=CoincidenceState.WITHDRAWN,
        first_revision=revisions.get(pair.first_key, pair.first_revision),
        second_revision=revisions.get(pair.second_key, pair.second_revision),
        joint_event_id=None,
    )


def _overlap(first: Member, second: Member, known: EventPair | None) -> float | None:
    """Return the overlap integral, from before where both localizations are still the same."""
    if first.region is None or second.region is None:
        return None
    places = _places(first, second)
    if known is not None and known.overlap is not None and None not in places.values():
        inputs = next((term.inputs for term in known.terms if term.name == "overlap"), {})
        if all(inputs.get(name) == place for name, place in places.items()):
            return known.overlap
    return overlap_integral(first.region, second.region)


def _places(first: Member, second: Member) -> dict[str, str | None]:
    return {
        "first_localization_notice_id": first.event.localization_notice_id,
        "second_localization_notice_id": second.event.localization_notice_id,
    }


def _joint_far_hz(first: Member, second: Member, window: TimeWindow, overlap: float | None) -> float | None:
    """Return the rate of chance pairs [Hz]; None where a targeted search would not have taken one of the two."""
    far_hz, gw_far_hz = second.event.far_hz, first.event.far_hz
    targeted = window in TARGETED_WINDOWS.values()
    if targeted and far_hz is not None and gw_far_hz is not None:
        far_max_hz, gw_far_max_hz = TARGETED_FAR_MAX_HZ[_mission(second.event)]
        if not (0.0 <= far_hz <= far_max_hz and 0.0 <= gw_far_hz <= gw_far_max_hz):
            return None
        return targeted_joint_far_hz(window.length_s, far_hz, gw_far_hz, far_max_hz, gw_far_max_hz, overlap=overlap)
    first_rate_hz, second_rate_hz = chance_rates_hz(first, second)
    return untargeted_joint_far_hz(window.length_s, second_rate_hz, first_rate_hz, overlap)


def chance_rates_hz(first: Member, second: Member) -> tuple[float, float]:
    """Return how often events like the two of a pair come by themselves [Hz].

    Notes
    -----
    The partner of another messenger may be a burst of any mission, so all of them count. Two missions' bursts are
    compared with each other only. A burst without a place counts as one of `DEFAULT_EVENT_RATE_PER_YEAR` at least:
    most such triggers are particles and flares. One that states a false-alarm rate comes that often at least.
    """
    same_kind = first.event.messenger is second.event.messenger
    return _rate_hz(first, alone=same_kind), _rate_hz(second, alone=same_kind)


def _rate_hz(member: Member, *, alone: bool) -> float:
    """Return the rate of chance events like one [Hz], of its own mission alone or of all that see its messenger."""
    rate_hz = event_rate_hz(member.event)
    if member.event.messenger is not Messenger.EM:
        return rate_hz
    if not alone:
        named = math.fsum(EVENT_RATES_PER_YEAR[mission] for mission in BURST_MISSIONS) / SECONDS_PER_YEAR
        rate_hz = named if _mission(member.event) in BURST_MISSIONS else named + rate_hz
    if member.region is None:
        rate_hz = max(rate_hz, DEFAULT_EVENT_RATE_PER_YEAR / SECONDS_PER_YEAR)
    return max(rate_hz, member.event.far_hz or 0.0)


def _terms(
    first: Member, second: Member, delta_t_s: float, window: TimeWindow, overlap: float | None
) -> tuple[Term, ...]:
    """Return the addends of the log Bayes factor: one place, one time, and whether each event is real.

    The second addend compares the density of delays of true pairs with the rate of chance partners, of whichever
    event is the more frequent: the other choice would make any pair with one rare event look certain.
    """
    density_per_s = float(window.density_per_s(np.array([delta_t_s]))[0])
    partner_rate_hz = max(chance_rates_hz(first, second))
    delay: dict[str, float | str | None] = {
        "delta_t_s": delta_t_s,
        "window_start_s": window.start_s,
        "window_stop_s": window.stop_s,
        "partner_rate_hz": partner_rate_hz,
    }
    terms = [
        Term("overlap", 0.0 if overlap is None else math.log(overlap), {"overlap": overlap, **_places(first, second)}),
        Term("delay", math.log(density_per_s / partner_rate_hz), delay),
    ]
    for name, member in (("first", first), ("second", second)):
        p_astro = member.event.p_astro
        if p_astro is not None:
            value = math.log(max(p_astro, SMALLEST_P_ASTRO))
            terms.append(Term(f"{name}_astrophysical_origin", value, {"p_astro": p_astro}))
    return tuple(terms)


def _mission(event: Event) -> str:
    """Return the letters and digits of a mission's name in lower case: missions are spelled in several ways."""
    return "".join(letter for letter in event.mission.casefold() if letter.isalnum())
