"""The page in a real browser: what the service knows is seen, and nothing from outside is run."""

# ruff: noqa: RUF001 - the page writes real minus signs and dashes

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.testing import FakeGraph, FakeReader
from graph.errors import StoreError
from graph.model import AlertTense, CoincidenceState, EventState, Messenger, ScienceCase, Survey, Term
from graph.views import (
    CoincidenceCounts,
    CoincidenceView,
    EventView,
    ListSummaryView,
    ListView,
    LocalizationView,
    ObjectView,
    TargetView,
)

pytestmark = pytest.mark.browser

Show = Callable[..., Any]

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTILE = "<script>window.run = 1</script><img src=x onerror='window.run = 2'>\"'`"
NOTICE_ID = "7c1f0a94d5e2b86f31aa04c9d7be5f02"


def event(mission: str, event_id: str, hours: float, place: tuple[float, ...] | float | None, **more: Any) -> EventView:
    """Return an event so many hours old: at a circle, on a sky map of so many square degrees, or nowhere."""
    where = None
    if isinstance(place, tuple):
        ra, dec, radius, area = place
        where = LocalizationView(NOTICE_ID, "circle", ra, dec, radius, 0.9, area)
    elif place is not None:
        where = LocalizationView(NOTICE_ID, "skymap", None, None, None, None, place)
    plain = EventView(
        f"{mission}:{event_id}", mission, event_id, (), Messenger.EM, NOW - timedelta(hours=hours), EventState.ACTIVE,
        AlertTense.CURRENT, 1, None, None, {}, True, None, None, 1, 0, where,
    )  # fmt: skip
    return replace(plain, **more)


EVENTS = (
    event("SVOM", "sb26071503", 0.6, (118.204, 22.617, 0.13, 0.031), instrument="ECLAIRs",
          notice_type="SVOM_ECLAIRS_WAKEUP", event_names=("GRB 260715C",), n_open_coincidences=1),
    event("LVK", "S260715k", 2.3, 1264.0, messenger=Messenger.GW, instrument="LVK", notice_type="LVK_PRELIMINARY",
          far_hz=2.1e-10, p_astro=0.99991, classification={"BNS": 0.91, "NSBH": 0.08}, revision=3,
          n_open_coincidences=4),
    event("Fermi", "805781402", 2.3005, (213.71, 61.44, 4.86, 103.2), instrument="GBM", far_hz=6.3e-7,
          notice_type="FERMI_GBM_FLT_POS", event_names=("bn260715312",), classification={"GRB": 0.96}, revision=4,
          n_open_coincidences=2),
    event("IceCube", "141007_41377235", 7.9, (77.358, 5.693, 0.71, 0.85), messenger=Messenger.NEUTRINO,
          instrument="IC86", notice_type="ICECUBE_ASTROTRACK_GOLD", far_hz=1.27e-8, p_astro=0.56, revision=2,
          event_names=("IceCube-260715A",), n_open_coincidences=1),
    event("Fermi", "805761177", 7.95, (266.1, -28.3, 9.2, 371.0), instrument="GBM", notice_type="FERMI_GBM_FIN_POS",
          is_astrophysical_burst=False, event_names=("bn260715078",)),
    event("KM3NeT", "17", 13.2, (341.2, -62.9, 1.9, 8.1), messenger=Messenger.NEUTRINO, instrument="KM3NeT",
          notice_type="KM3NET_ALERT", far_hz=3.2e-6),
    event("LVK", "MS260714x", 21.0, 24_700.0, messenger=Messenger.GW, instrument="LVK", notice_type="LVK_EARLY_WARNING",
          alert_tense=AlertTense.TEST, far_hz=9.1e-6, p_astro=0.07, classification={"Terrestrial": 0.93}),
    event("Swift", "1391204", 26.4, (356.8, 41.9, 0.05, 0.0068), instrument="XRT", notice_type="SWIFT_XRT_POSITION",
          event_names=("GRB 260714A",), revision=5),
    event("AGILE", "20260713T202144", 61.0, None, instrument="MCAL", notice_type="AGILE_MCAL_ALERT"),
    event("Fermi", "805544021", 90.0, (12.4, -71.3, 16.4, 1180.0), instrument="GBM", notice_type="FERMI_GBM_RETRACTION",
          state=EventState.RETRACTED, revision=2, event_names=(HOSTILE,)),
)  # fmt: skip


def target(rank: int, survey: Survey, name: str, place: tuple[float, float], score: float, **more: Any) -> TargetView:
    """Return a target whose two terms sum to its score."""
    terms = (
        Term("position", score - 1.25, {"probability_density_sr": 41.87, "localization_notice_id": NOTICE_ID}),
        Term("delay", 1.25, {"delta_t_s": 8211.0, "window_start_s": -86400.0, "window_stop_s": 604800.0}),
    )
    plain = TargetView(
        rank, name, survey, name, *place, score, terms, None, None, "SN Ia", 0.912, 19.31, None, None
    )  # fmt: skip
    return replace(plain, **more)


def listed(case: ScienceCase, version: int, n_targets: int, *targets: TargetView) -> ListView:
    return ListView(ListSummaryView(f"{case}:{version}", case, version, "0" * 16, n_targets, True), targets)


LISTS = (
    listed(ScienceCase.GRB, 12, 3,
           target(1, Survey.ZTF, "ZTF26aaqzkfd", (213.0427, 60.9052), 11.82, event_key="Fermi:805781402",
                  event_state=EventState.ACTIVE, p_chance=3.1e-4, joint_far_hz=2.6e-10, top_class="AGN"),
           target(2, Survey.LSST, "170032882292654128", (118.2071, 22.6093), 6.4, event_key="SVOM:sb26071503",
                  event_state=EventState.ACTIVE, p_chance=0.021, joint_far_hz=3.1e-8, top_class=None,
                  class_probability=None, latest_mag=22.874),
           target(3, Survey.ZTF, "ZTF26aaqmmno", (12.9, -70.81), -0.31, event_key="Fermi:805544021",
                  event_state=EventState.RETRACTED, p_chance=0.78, joint_far_hz=5.9e-7, top_class="CV")),
    listed(ScienceCase.GW, 3, 87, *(
        target(k + 1, Survey.LSST, str(170032882292654000 + 37 * k), (196.2 + 1.3 * k, -22.9 - 0.7 * k), 8.1 - 0.4 * k,
               event_key="LVK:S260715k", event_state=EventState.ACTIVE, p_chance=0.004 * (k + 1),
               joint_far_hz=1.1e-9 * (k + 1), top_class="SN CC" if k % 3 else "SN Ia", class_probability=0.88 - 0.05 * k,
               latest_mag=20.41 + 0.17 * k) for k in range(4))),
    listed(ScienceCase.NEUTRINO, 2, 0),
    listed(ScienceCase.SUPERNOVA, 31, 412, *(
        target(k + 1, Survey.ZTF, f"ZTF26aap{'bcdfghjkmn'[k]}vxr", (25.0 + 31.7 * k, 71.0 - 13.1 * k), 4.92 - 0.21 * k,
               latest_mag=17.02 + 0.2 * k, class_probability=0.995 - 0.01 * k) for k in range(10))),
    listed(ScienceCase.UNKNOWN, 9, 1,
           target(1, Survey.ZTF, HOSTILE, (301.2, -11.4), 2.07, top_class=HOSTILE, class_probability=0.23)),
)  # fmt: skip


def pair(object_key: str, event_key: str, delta_t_s: float, level: float) -> CoincidenceView:
    return CoincidenceView(
        object_key, event_key, delta_t_s, level, 0.61, 0.0003, 2.6e-10, 11.8, (), CoincidenceState.OPEN, 1
    )


def seen(name: str) -> ObjectView:
    return ObjectView(
        f"ztf:{name}", Survey.ZTF, name, 213.04, 60.9, 3 * 10**18, 61234.1, 61236.4, None, 19.31, "g", "AGN", 0.9
    )


NIGHT = FakeGraph(
    objects=(seen("ZTF26aaqzkfd"), seen("ZTF26aaqzabc")),
    events=EVENTS,
    coincidences=(
        pair("ztf:ZTF26aaqzkfd", "Fermi:805781402", 8211.0, 0.31),
        pair("ztf:ZTF26aaqzabc", "Fermi:805781402", -30.0, 0.874),
    ),
    lists=LISTS,
    coincidence_counts=CoincidenceCounts(8, 3, 1),
)
