"""Notices on the simulated events in the missions' own formats.

Each writer returns the notices of one event, from first to last. Positions scatter about the true place as the stated
errors say, but never beyond the 90 % region: the counterpart is inside every published localization.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from graph.times import MJD_UNIX_EPOCH, SECONDS_PER_DAY
from ingest.simulate.events import EventKind, EventPlan
from ingest.simulate.gw_notices import lvk, lvk_retracted
from ingest.simulate.schedule import offset_positions
from ingest.simulate.simulated_notice import SimulatedNotice, file_name, json_bytes, stamp_json
from ingest.simulate.voevent import Document, Group, Param, Position, iso, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NO_POSITION = Position(0.0, 0.0, 0.0)
"""How GCN classic says that it has none."""

GBM_SYSTEMATIC_DEG = 3.7
"""Added in quadrature to GBM's stated radius before the position is drawn [deg]; core of the error model in Connaughton
et al. 2015, doi:10.1088/0067-0049/216/2/32."""


TJD_ZERO_MJD = 40_000
"""MJD of day 0 of ``Burst_TJD``, GCN's truncated Julian date [d]."""

_BURST = "process.variation.burst;em.gamma"


def write_notices(plans: tuple[EventPlan, ...], rng: np.random.Generator) -> tuple[SimulatedNotice, ...]:
    """Return the notices of all events in the order of sending."""
    notices = [notice for plan in plans for notice in WRITERS[plan.kind](plan, rng)]
    return tuple(sorted(notices, key=lambda notice: (notice.alert_time, notice.file_name)))


def _near(plan: EventPlan, rng: np.random.Generator, radius_deg: float, containment: float, digits: int) -> Position:
    """Draw a position whose 90 % circle, given the radius of a containment, holds the true place."""
    sigma = radius_deg / np.sqrt(-2.0 * np.log1p(-containment))
    distance = sigma * np.sqrt(-2.0 * np.log1p(-0.85 * rng.random()))
    ra, dec = offset_positions(
        np.array([plan.ra_deg]), np.array([plan.dec_deg]), np.array([distance]), np.array([rng.uniform(0.0, 360.0)])
    )
    return Position(round(float(ra[0]), digits), round(float(dec[0]), digits), radius_deg)


def _classic(
    plan: EventPlan,
    sent: datetime,
    *,
    topic: str,
    ivorn: str,
    what: Sequence[Param | Group],
    position: Position,
    how: str,
    first: str | None,
) -> SimulatedNotice:
    """Write a notice of GCN's classic family."""
    midnight = plan.trigger_time.replace(hour=0, minute=0, second=0, microsecond=0)
    truncated_jd = int(midnight.timestamp() / SECONDS_PER_DAY + MJD_UNIX_EPOCH) - TJD_ZERO_MJD
    placed = position != NO_POSITION
    document = Document(
        ivorn=f"ivo://nasa.gsfc.gcn/{ivorn}",
        author_ivorn="ivo://nasa.gsfc.tan/gcn",
        author=(("shortName", "VO-GCN"), ("contactName", "Heliograph simulation")),
        date=iso(sent, 0),
        what=[
            *what,
            Param("Burst_TJD", truncated_jd, "days", "time"),
            Param("Burst_SOD", f"{(plan.trigger_time - midnight).total_seconds():.2f}", "sec", "time"),
            Param("Coords_Type", 1 if placed else 0, "dn"),
            Param("Coords_String", "source_object" if placed else "unavailable/inappropriate"),
        ],
        time=iso(plan.trigger_time),
        position=position,
        coordinate_system="UTC-FK5-GEO",
        description=how,
        why=(0.95 if placed else 0.5, 0.9 if placed else 0.5, _BURST),
        citations=(("followup", f"ivo://nasa.gsfc.gcn/{first}"),) if first else (),
    )
    name = file_name(sent, f"{topic.rsplit('.', 1)[-1].lower()}_{plan.event_id}", "xml")
    return SimulatedNotice(topic, render(document), sent, plan.mission, plan.event_id, name)


def fermi(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return GBM's chain: alert without a position, then flight, ground and final positions."""
    fraction = int((plan.trigger_time.timestamp() % SECONDS_PER_DAY) / SECONDS_PER_DAY * 1000)
    burst = f"bn{plan.trigger_time:%y%m%d}{fraction:03d}"
    folder = f"http://heasarc.gsfc.nasa.gov/FTP/fermi/data/gbm/triggers/{plan.trigger_time:%Y}/{burst}/quicklook"
    first = f"Fermi#GBM_Alert_{iso(plan.trigger_time)}_{plan.event_id}_1-{int(rng.integers(1000)):03d}"
    how = "Fermi Satellite, GBM Instrument"
    flags = Group(
        "Trigger_ID",
        (Param("Def_NOT_a_GRB", value=False), Param("Long_short", "Long"), Param("Test_Submission", value=False)),
    )
    flight = [
        Param("Data_Signif", "14.20", "sigma", "stat.snr"),
        Param("Most_Likely_Index", 4, "dn"),
        Param("Most_Likely_Prob", 94),
        Param("Sec_Most_Likely_Index", 6, "dn"),
        Param("Sec_Most_Likely_Prob", 3),
    ]
    final = [Param("LocationMap_URL", f"{folder}/glg_locplot_all_{burst}.png", ucd="meta.ref.url")]
    steps: tuple[tuple[str, int, float, float, list[Param]], ...] = (
        ("ALERT", 110, 5.0, 0.0, [Param("Trig_Signif", "6.1", "sigma", "stat.snr")]),
        ("FLT_POS", 111, 29.0, rng.uniform(5.0, 12.0), flight),
        ("GND_POS", 112, 43.0, rng.uniform(2.5, 6.0), [Param("Burst_Signif", "15.00", "sigma", "stat.snr")]),
        ("FIN_POS", 115, 563.0, rng.uniform(1.0, 3.0), final),
    )
    notices: list[SimulatedNotice] = []
    for number, (kind, packet_type, delay_s, error_deg, extra) in enumerate(steps):
        position = NO_POSITION
        if error_deg:
            error = round(float(error_deg), 2)
            drawn = _near(plan, rng, float(np.hypot(error, GBM_SYSTEMATIC_DEG)), 0.68, 2)
            position = Position(drawn.ra_deg, drawn.dec_deg, error)
        what: list[Param | Group] = [
            Param("Packet_Type", packet_type),
            Param("Pkt_Ser_Num", 1),
            Param("TrigID", plan.event_id, ucd="meta.id"),
            Param("Sequence_Num", number + 1, ucd="meta.id.part"),
            *extra,
            *([flags] if error_deg else []),
            Param("LightCurve_URL", f"{folder}/glg_lc_medres34_{burst}.gif", ucd="meta.ref.url"),
        ]
        ivorn = (
            first if number == 0 else f"Fermi#GBM_{kind.title()}_{iso(plan.trigger_time)}_{plan.event_id}_{number}-001"
        )
        sent = plan.trigger_time + timedelta(seconds=delay_s)
        topic = f"gcn.classic.voevent.FERMI_GBM_{kind}"
        cited = first if number else None
        notices.append(
            _classic(plan, sent, topic=topic, ivorn=ivorn, what=what, position=position, how=how, first=cited)
        )
    return notices


def swift(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return BAT's position and XRT's."""
    first = f"SWIFT#BAT_GRB_Pos_{plan.event_id}-{int(rng.integers(1000)):03d}"
    bat_status = (
        ("Point_Source", True),
        ("GRB_Identified", True),
        ("Def_NOT_a_GRB", False),
        ("Target_in_Flt_Catalog", False),
        ("Target_in_Gnd_Catalog", False),
        ("StarTrack_Lost_Lock", False),
        ("Test_Submission", False),
    )
    xrt_status = (("Def_NOT_a_GRB", False), ("Target_in_Gnd_Catalog", False), ("Test_Submission", False))
    steps = (
        ("BAT_GRB_POS_ACK", 61, 62.0, 0.05, bat_status, first, None, "Swift Satellite, BAT Instrument"),
        ("XRT_POSITION", 67, 249.0, 0.0013, xrt_status, f"SWIFT#XRT_Pos_{plan.event_id}-001", first,
         "Swift Satellite, XRT Instrument"),
    )  # fmt: skip
    notices: list[SimulatedNotice] = []
    for kind, packet_type, delay_s, error_deg, status, ivorn, cited, how in steps:
        what: list[Param | Group] = [
            Param("Packet_Type", packet_type),
            Param("Pkt_Ser_Num", 1),
            Param("TrigID", plan.event_id, ucd="meta.id"),
            Param("Segment_Num", 0, ucd="meta.id.part"),
            Param("Image_Signif", "9.40", "sigma", "stat.snr"),
            Group("Solution_Status", tuple(Param(name, value) for name, value in status)),
        ]
        sent = plan.trigger_time + timedelta(seconds=delay_s)
        position = _near(plan, rng, error_deg, 0.9, 4)
        topic = f"gcn.classic.voevent.SWIFT_{kind}"
        notices.append(
            _classic(plan, sent, topic=topic, ivorn=ivorn, what=what, position=position, how=how, first=cited)
        )
    return notices


def svom(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return ECLAIRs' wakeup and MXT's position of the second quality."""
    steps = (
        ("eclairs-wakeup", 202, 62.0, 0.0, 0.1, "ECLAIRs", "N1e", "eclairs", ()),
        ("mxt-initial_qf2", 209, 420.0, 300.0, 0.025, "MXT", "N2m", "mxt", ("eclairs-wakeup",)),
    )
    notices: list[SimulatedNotice] = []
    for kind, packet_type, delay_s, late_s, error_deg, instrument, level, topic, cited in steps:
        sent = plan.trigger_time + timedelta(seconds=delay_s)
        document = Document(
            ivorn=f"ivo://org.svom/fsc#{plan.event_id}_{kind}",
            author_ivorn="ivo://org.svom/fsc",
            author=(("title", "SVOM French Science Center"), ("shortName", "FSC")),
            date=iso(sent, 0) + "+00:00",
            what=[
                Param("Packet_Type", packet_type, ucd="meta.id"),
                Param("Pkt_Ser_Num", 1, ucd="meta.id"),
                Param("Instrument", instrument, ucd="instr"),
                Group(
                    "Svom_Identifiers",
                    (
                        Param("Notice_Level", level, ucd="meta.id"),
                        Param("Burst_Id", plan.event_id, ucd="meta.id"),
                        Param("Alert_Seq_T0", stamp_json(plan.trigger_time, 3), ucd="time.start"),
                    ),
                ),
                Group("Detection_Info", (Param("SNR", "13.90", "sigma", "stat.snr"),)),
                Group("Satellite_Info", (Param("Slew_Status", "accepted", ucd="meta.code.status"),)),
            ],
            # An instrument's own window: MXT looks minutes after the burst.
            time=iso(plan.trigger_time + timedelta(seconds=late_s), 6),
            position=_near(plan, rng, error_deg, 0.9, 4),
            coordinate_system="UTC-ICRS-GEO",
            description=f"{level} notice, data from {instrument}",
            citations=tuple(("followup", f"ivo://org.svom/fsc#{plan.event_id}_{one}") for one in cited),
        )
        name = file_name(sent, f"svom_{plan.event_id}_{kind}", "xml")
        topic_name = f"gcn.notices.svom.voevent.{topic}"
        notices.append(SimulatedNotice(topic_name, render(document), sent, plan.mission, plan.event_id, name))
    return notices


def _json_notice(plan: EventPlan, sent: datetime, topic: str, what: str, fields: dict[str, Any]) -> SimulatedNotice:
    schema = f"https://gcn.nasa.gov/schema/v6.0.0/gcn/notices/{what}.schema.json"
    payload = json_bytes({"$schema": schema, **fields})
    name = file_name(sent, f"{plan.mission.lower().replace(' ', '_')}_{plan.event_id}", "json")
    return SimulatedNotice(topic, payload, sent, plan.mission, plan.event_id, name)


def icecube(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return a gold track and its revision, whose error is larger because it holds the systematics."""
    energy, p_astro = float(rng.uniform(120.0, 400.0)), float(rng.uniform(0.5, 0.9))
    far_hz = float(10.0 ** rng.uniform(-8.2, -7.4))
    notices: list[SimulatedNotice] = []
    for record, delay_s, error_deg in ((0, 47.0, 0.6), (1, 12_600.0, 1.4)):
        sent = plan.trigger_time + timedelta(seconds=delay_s)
        position = _near(plan, rng, error_deg, 0.9, 2)
        fields = {
            "mission": "IceCube",
            "instrument": "IC86",
            "messenger": "Neutrino",
            "pipeline": "Gold Track Alert",
            "record_number": record,
            "event_name": [f"IceCube-{plan.trigger_time:%y%m%d}A"],
            "id": [plan.event_id],
            "alert_datetime": stamp_json(sent, 2),
            "alert_type": "update" if record else "initial",
            "alert_tense": "current",
            "alert_topology": "Track",
            "number_of_events": 1,
            "ra": position.ra_deg,
            "dec": position.dec_deg,
            "ra_dec_error": error_deg,
            "containment_probability": 0.9,
            "systematic_included": bool(record),
            "healpix_url": None,
            "trigger_time": stamp_json(plan.trigger_time),
            "nu_energy": energy,
            "p_astro": p_astro,
            "far": far_hz,
        }
        topic = "gcn.notices.icecube.gold_bronze_track_alerts"
        notices.append(_json_notice(plan, sent, topic, "icecube/single_neutrino_alerts", fields))
    return notices


def km3net(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return one track of ARCA."""
    sent = plan.trigger_time + timedelta(seconds=900.0)
    position = _near(plan, rng, 0.9, 0.9, 2)
    fields = {
        "messenger": "Neutrino",
        "mission": "KM3NeT",
        "instrument": "ARCA033",
        "pipeline": "arca_HE",
        "alert_tense": "current",
        "alert_type": "initial",
        "record_number": 1,
        "alert_datetime": stamp_json(sent, 2),
        "id": plan.event_id,
        "event_name": f"KM3-{plan.trigger_time:%y%m%d}A",
        "trigger_time": stamp_json(plan.trigger_time, 2),
        "ra": position.ra_deg,
        "dec": position.dec_deg,
        "ra_dec_error": 0.9,
        "far": float(10.0 ** rng.uniform(-8.0, -6.5)),
        "alert_topology": "Track",
        "number_of_events": 1,
        "src_error_50": 0.49,
        "potential_counterpart": False,
        "counterpart_info": "No search",
    }
    return [_json_notice(plan, sent, "gcn.notices.km3net.alert", "km3net/alert", fields)]


def einstein_probe(plan: EventPlan, rng: np.random.Generator) -> list[SimulatedNotice]:
    """Return WXT's alert on a new X-ray source, found on board."""
    sent = plan.trigger_time + timedelta(seconds=780.0)
    error_deg = round(float(rng.uniform(0.05, 0.054)), 8)
    position = _near(plan, rng, error_deg, 0.9, 3)
    fields = {
        "instrument": "WXT",
        "trigger_time": stamp_json(plan.trigger_time),
        "id": [plan.event_id],
        "ra": position.ra_deg,
        "dec": position.dec_deg,
        "ra_dec_error": error_deg,
        "image_energy_range": [0.5, 4.0],
        "net_count_rate": round(float(rng.uniform(0.05, 0.6)), 2),
        "image_snr": round(float(rng.uniform(7.0, 14.0)), 1),
    }
    topic = "gcn.notices.einstein_probe.wxt.alert"
    return [_json_notice(plan, sent, topic, "einstein_probe/wxt/alert", fields)]


WRITERS: dict[EventKind, Callable[[EventPlan, np.random.Generator], list[SimulatedNotice]]] = {
    EventKind.FERMI: fermi,
    EventKind.LVK: lvk,
    EventKind.ICECUBE: icecube,
    EventKind.SWIFT: swift,
    EventKind.LVK_RETRACTED: lvk_retracted,
    EventKind.SVOM: svom,
    EventKind.KM3NET: km3net,
    EventKind.EINSTEIN_PROBE: einstein_probe,
}
"""Who writes the notices of each kind of event."""
