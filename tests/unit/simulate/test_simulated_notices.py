"""Simulated notices against our parsers and against what really happened."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix

from graph.model import AlertTense, AlertType, Circle
from graph.regions import SkyMapRegion
from graph.sky import SkyMap, separation_deg
from ingest.notices.registry import parse_notice
from ingest.simulate.events import EventKind, EventPlan, plan_events
from ingest.simulate.notices import WRITERS, write_notices
from ingest.simulate.sky_maps import draw_banana, sky_map_fits

if TYPE_CHECKING:
    from ingest.simulate.simulated_notice import SimulatedNotice

START = datetime(2026, 2, 7, 6, 0, tzinfo=UTC)
PLANS = plan_events(np.random.default_rng(8), 14, START, 3600.0)
NOTICES = write_notices(PLANS, np.random.default_rng(9))


def plan_of(notice: SimulatedNotice) -> EventPlan:
    return next(plan for plan in PLANS if (plan.mission, plan.event_id) == (notice.mission, notice.event_id))


def test_events_are_of_all_kinds_and_have_names_of_their_own() -> None:
    assert {plan.kind for plan in PLANS} == set(EventKind) == set(WRITERS)
    assert len({(plan.mission, plan.event_id) for plan in PLANS}) == len(PLANS)


def test_notices_come_in_the_order_of_sending() -> None:
    times = [notice.alert_time for notice in NOTICES]
    assert times == sorted(times)
    assert len({notice.file_name for notice in NOTICES}) == len(NOTICES)


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: f"{notice.mission}-{notice.file_name}")
def test_parser_reads_what_was_meant(notice: SimulatedNotice) -> None:
    plan, parsed = plan_of(notice), parse_notice(notice.payload, notice.topic)
    assert (parsed.mission, parsed.event_id) == (plan.mission, plan.event_id)
    assert parsed.alert_tense is AlertTense.CURRENT
    assert parsed.is_astrophysical_burst
    # Einstein Probe's notices have no time of their own.
    assert (parsed.alert_time is None) == (plan.kind is EventKind.EINSTEIN_PROBE)
    if parsed.alert_time is not None:
        assert timedelta(0) <= notice.alert_time - parsed.alert_time < timedelta(seconds=1)
    if parsed.alert_type is AlertType.RETRACTION:
        assert plan.kind is EventKind.LVK_RETRACTED
        assert parsed.localization is None
        return
    assert parsed.trigger_time is not None
    assert abs(parsed.trigger_time - plan.trigger_time) <= timedelta(milliseconds=10)
    assert (parsed.localization is None) == notice.topic.endswith("GBM_ALERT")


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: f"{notice.mission}-{notice.file_name}")
def test_true_place_is_inside_the_published_region(notice: SimulatedNotice) -> None:
    plan, where = plan_of(notice), parse_notice(notice.payload, notice.topic).localization
    if isinstance(where, Circle):
        distance = float(separation_deg(where.ra_deg, where.dec_deg, plan.ra_deg, plan.dec_deg))
        sigma = where.error_radius_deg / np.sqrt(-2.0 * np.log(1.0 - where.containment_probability))
        if where.systematic is not None:
            sigma = np.hypot(sigma, 3.7)
        assert distance < 2.146 * sigma
    elif where is not None:
        assert isinstance(where, SkyMap)
        level = SkyMapRegion(where).credible_level(np.array([plan.ra_deg]), np.array([plan.dec_deg]))
        assert level[0] < 0.9


def test_each_kind_tells_its_story_in_order() -> None:
    told = {
        plan.kind: [
            parse_notice(notice.payload, notice.topic).notice_type
            for notice in NOTICES
            if (notice.mission, notice.event_id) == (plan.mission, plan.event_id)
        ]
        for plan in PLANS
    }
    assert told[EventKind.FERMI] == [f"FERMI_GBM_{one}" for one in ("ALERT", "FLT_POS", "GND_POS", "FIN_POS")]
    assert told[EventKind.SWIFT] == ["SWIFT_BAT_GRB_POS_ACK", "SWIFT_XRT_POSITION"]
    assert told[EventKind.LVK] == ["LVC_PRELIMINARY", "LVC_INITIAL"]
    assert told[EventKind.LVK_RETRACTED] == ["LVC_PRELIMINARY", "LVC_RETRACTION"]
    assert told[EventKind.ICECUBE] == ["ICECUBE_ASTROTRACK_GOLD"] * 2
    assert len(told[EventKind.SVOM]) == 2
    assert len(told[EventKind.KM3NET]) == 1


def test_gbm_trigger_is_named_by_mission_time() -> None:
    # The trigger of 2026-02-07T05:42:33.65 was named 792135758.
    for plan in PLANS:
        if plan.kind is EventKind.FERMI:
            known = datetime(2026, 2, 7, 5, 42, 33, 650_000, tzinfo=UTC)
            assert int(plan.event_id) - 792135758 == pytest.approx((plan.trigger_time - known).total_seconds(), abs=1.0)


def test_xml_has_the_root_and_position_of_a_voevent() -> None:
    for notice in NOTICES:
        if not notice.file_name.endswith(".xml"):
            continue
        root = ET.fromstring(notice.payload)  # noqa: S314 - our own bytes
        assert root.tag == "{http://www.ivoa.net/xml/VOEvent/v2.0}VOEvent"
        assert root.get("role") == "observation"
        assert root.find("WhereWhen/ObsDataLocation/ObservationLocation/AstroCoords/Position2D/Value2/C1") is not None


def test_sky_map_is_a_normalised_multi_order_map_of_the_stated_area() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        region = draw_banana(rng, 200.0, -15.0)
        with fits.open(io.BytesIO(sky_map_fits(region, 60.0, "S260207a", 61078.2))) as hdus:
            header, data = hdus[1].header, hdus[1].data
            uniq, density = np.array(data["UNIQ"]), np.array(data["PROBDENSITY"])
            mu, sigma, norm = (np.array(data[name]) for name in ("DISTMU", "DISTSIGMA", "DISTNORM"))
        assert (header["PIXTYPE"], header["ORDERING"], header["TUNIT2"]) == ("HEALPIX", "NUNIQ", "sr-1")
        order = (np.log2(uniq // 4) / 2).astype(int)
        area = 4.0 * np.pi / (12.0 * 4.0**order)
        assert area.sum() == pytest.approx(4.0 * np.pi)
        assert (density * area).sum() == pytest.approx(1.0)
        ranked = np.argsort(-density)
        inside = np.cumsum((density * area)[ranked]) <= 0.9
        area_90 = area[ranked][inside].sum() * np.degrees(1.0) ** 2
        assert area_90 == pytest.approx(region.area_90_deg2, rel=0.1)
        assert 100.0 < area_90 < 1000.0
        # The integral of r^2 N(mu, sigma) over the distance, by brute force.
        r = np.linspace(0.0, 400.0, 20001)
        shape = np.exp(-0.5 * ((r - mu[0]) / sigma[0]) ** 2) / (np.sqrt(2.0 * np.pi) * sigma[0])
        assert norm[0] * np.trapezoid(r**2 * shape, r) == pytest.approx(1.0, rel=1e-3)
        lon, lat = HEALPix(nside=2 ** int(order[ranked[0]]), order="nested").healpix_to_lonlat(
            uniq[ranked[0]] - 4 * 4 ** order[ranked[0]]
        )
        assert float(separation_deg(lon.deg, lat.deg, 200.0, -15.0)) < 45.0


def test_gw_notice_is_json_with_the_map_inside() -> None:
    notice = next(one for one in NOTICES if one.topic == "igwn.gwalert")
    body = json.loads(notice.payload)
    assert body["alert_type"] == "PRELIMINARY"
    assert base64.b64decode(body["event"]["skymap"]).startswith(b"SIMPLE")
