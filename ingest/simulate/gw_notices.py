"""Notices of LIGO, Virgo and KAGRA: JSON with the sky map inside, and a retraction."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from graph.times import MJD_UNIX_EPOCH, SECONDS_PER_DAY
from ingest.simulate.simulated_notice import SimulatedNotice, file_name, json_bytes, stamp_json
from ingest.simulate.sky_maps import Banana, draw_banana, sky_map_fits

if TYPE_CHECKING:
    import numpy as np

    from ingest.simulate.events import EventPlan

TOPIC = "igwn.gwalert"
"""LVK's topic at GCN."""

PRELIMINARY_S, INITIAL_S, RETRACTION_S = 298.0, 2411.0, 1504.0
"""From the merger to the notice [s]; medians of 2,811 notices of O3 and O4."""


def lvk(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return a preliminary notice and an initial one with the smaller of two maps."""
    far_hz = float(10.0 ** rng.uniform(-13.0, -9.0))
    regions = sorted((draw_banana(rng, plan.ra_deg, plan.dec_deg) for _ in range(2)), key=_area, reverse=True)
    return [
        gw_alert(plan, "PRELIMINARY", PRELIMINARY_S, far_hz, regions[0]),
        gw_alert(plan, "INITIAL", INITIAL_S, far_hz, regions[1]),
    ]


def lvk_retracted(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return a preliminary notice and its retraction."""
    region = draw_banana(rng, plan.ra_deg, plan.dec_deg)
    sent = plan.trigger_time + timedelta(seconds=RETRACTION_S)
    body = {**_envelope(plan, "RETRACTION", sent), "event": None, "external_coinc": None}
    return [
        gw_alert(plan, "PRELIMINARY", PRELIMINARY_S, float(10.0 ** rng.uniform(-8.5, -7.6)), region),
        _notice(plan, "RETRACTION", sent, body),
    ]


def _area(region: Banana) -> float:
    return region.area_90_deg2


def _envelope(plan: EventPlan, alert_type: str, sent: datetime) -> dict[str, Any]:
    return {
        "alert_type": alert_type,
        "time_created": stamp_json(sent, 0),
        "superevent_id": plan.event_id,
        "urls": {"gracedb": f"https://gracedb.ligo.org/superevents/{plan.event_id}/view/"},
    }


def gw_alert(plan: EventPlan, alert_type: str, delay_s: float, far_hz: float, region: Banana) -> SimulatedNotice:
    """Return a notice that brings a sky map.

    Parameters
    ----------
    alert_type : ``PRELIMINARY``, ``INITIAL`` or ``UPDATE``.
    delay_s : from the merger to the notice [s].
    """
    sent = plan.trigger_time + timedelta(seconds=delay_s)
    mjd = plan.trigger_time.timestamp() / SECONDS_PER_DAY + MJD_UNIX_EPOCH
    sky_map = sky_map_fits(region, plan.distance_mpc, plan.event_id, mjd)
    body = {
        **_envelope(plan, alert_type, sent),
        "event": {
            "significant": True,
            "time": stamp_json(plan.trigger_time, 3),
            "far": far_hz,
            "instruments": ["H1", "L1"],
            "group": "CBC",
            "pipeline": "gstlal",
            "search": "AllSky",
            "properties": {"HasNS": 1.0, "HasRemnant": 0.98, "HasMassGap": 0.01},
            "classification": {"BNS": 0.92, "NSBH": 0.05, "BBH": 0.0, "Terrestrial": 0.03},
            "duration": None,
            "central_frequency": None,
            "skymap": base64.b64encode(sky_map).decode(),
        },
        "external_coinc": None,
    }
    return _notice(plan, alert_type, sent, body)


def _notice(plan: EventPlan, alert_type: str, sent: datetime, body: dict[str, Any]) -> SimulatedNotice:
    name = file_name(sent, f"lvk_{plan.event_id}_{alert_type.lower()}", "json")
    return SimulatedNotice(TOPIC, json_bytes(body), sent, plan.mission, plan.event_id, name)
