"""The coordinator on the real graph finds what nature showed, and lets go of what was withdrawn."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from compose import services
from compose.testing import Installation
from coordinator.forming import CoordinatorReport
from graph import codec
from graph.alert_store import AlertRows, AlertStore, MatchRows
from graph.bus import read_all
from graph.event_store import EventStore, notice_row
from graph.model import AlertTense, AlertType, Circle, FollowUpList, Messenger, Notice, ScienceCase, Survey
from graph.reader import GraphReader
from graph.sender import KafkaSender
from graph.sky import ang2pix
from graph.sky_counts import SkyCounts
from graph.times import datetime_to_mjd_tai
from graph.topics import JOINT_EVENTS, OBJECTS, RETRACTIONS, list_topic
from ingest.listen import NoticeListener
from ingest.notices.skymap_fits import read_skymap
from ingest.rows import classification_rows
from ingest.training.labels import GraphLabels

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

NO_MATCHES = MatchRows(*(np.array([], dtype=kind) for kind in (np.int64, object, object, object, *(float,) * 8)))
GW170817 = datetime(2017, 8, 17, 12, 41, 4, 400_000, tzinfo=UTC)
GRB200524A = datetime(2020, 5, 24, 5, 4, 0, 360_000, tzinfo=UTC)
ICECUBE_170922A = datetime(2017, 9, 22, 20, 54, 30, 430_000, tzinfo=UTC)
"""With its place (77.43, 5.72) deg and signalness 0.565; doi:10.1126/science.aat1378."""
TXS = ("TXS 0506+056", 77.3582, 5.6931)
"""Name and place [deg, ICRS]; same source."""


def put_object(
    installation: Installation,
    object_id: str,
    ra_deg: float,
    dec_deg: float,
    first: datetime,
    mag_ab: float,
    *,
    seen: datetime | None = None,
    flare_flux_ratio: float = math.nan,
) -> None:
    """Load one detection as the stream does, the first unless ``seen`` is later, and tell the coordinator of it."""

    def floats(value: float) -> np.ndarray:
        return np.array([value])

    mjd = datetime_to_mjd_tai(first)
    identifier = abs(hash((object_id, seen))) % 2**60
    rows = AlertRows(
        Survey.ZTF,
        np.array([object_id], object),
        np.array([identifier]),
        np.array(["test/0/0"], object),
        floats(ra_deg),
        floats(dec_deg),
        ang2pix(floats(ra_deg), floats(dec_deg)),
        floats(datetime_to_mjd_tai(seen or first)),
        floats(mjd),
        floats(mag_ab),
        np.array(["r"], object),
        floats(mjd - 1.0),
        floats(20.5),
        np.array(["r"], object),
        np.array([3]),
        np.array(["r"], object),
        floats(10 ** (0.4 * (31.4 - mag_ab))),
        floats(100.0),
        floats(mag_ab),
        floats(0.9),
        np.array([""], object),
        *(floats(np.nan) for _ in range(3)),
        floats(flare_flux_ratio),
    )
    AlertStore(installation.connection).write(rows, NO_MATCHES, classification_rows(()))
    sender = KafkaSender(installation.settings.kafka)
    sender.send(OBJECTS, "ztf", orjson.dumps({"survey": "ztf", "object_id": [object_id]}))
    sender.flush()


def put_type(installation: Installation, object_id: str, object_type: str | None) -> None:
    """Match an object with the same entry of TNS, of which a type is known by now, or none."""
    entry = {"source_key": f"tns:{object_id}", "catalog": "tns", "name": object_id, "object_type": object_type}
    numbers = dict.fromkeys(
        ("source_ra_deg", "source_dec_deg", "redshift", "distance_mpc", "log_bayes_factor", "p_chance"), 0.0
    )
    match = {"midpoint_mjd_tai": 57983.0, "separation_arcsec": 0.1, "probability": 0.99}
    columns = {"object_key": f"ztf:{object_id}"} | entry | numbers | match
    installation.connection.write_all([("write_matches", {name: [value] for name, value in columns.items()})])


def put_notice(installation: Installation, notice: Notice) -> None:
    """Store a canonical notice and tell the coordinator of it."""
    body = codec.to_bytes(notice)
    EventStore(installation.connection).write_notices([notice_row(notice, body)])
    sender = KafkaSender(installation.settings.kafka)
    sender.send("heliograph.notices", notice.event_key, body)
    sender.flush()


def put_files(installation: Installation, files: list[Path]) -> None:
    """Hand real notices to the listener."""
    listener = NoticeListener(EventStore(installation.connection), KafkaSender(installation.settings.kafka))
    for path in files:
        listener.handle(path.read_bytes(), None, path.name)
    listener.flush()
    assert not [name for name in listener.outcomes if name.startswith("dead")]


def coordinate(installation: Installation) -> CoordinatorReport:
    # As behind a filter for extragalactic transients: 1e4 ZTF discoveries a year over three quarters of the sky.
    chosen = installation.settings.coordinator.model_copy(update={"new_ztf_objects_per_deg2_day": 1e-3})
    settings = installation.settings.model_copy(update={"coordinator": chosen})
    return services.run_coordinate(settings, lambda report: None, once=True)


def pairs(installation: Installation) -> dict[tuple[str, str], dict[str, object]]:
    rows = installation.query(
        "MATCH (o:Object)-[c:COINCIDES_WITH]->(e:Event) RETURN o.object_id AS o, e.event_key AS e, properties(c) AS c"
    )
    return {(row["o"], row["e"]): row["c"] for row in rows}


def newest_list(installation: Installation, case: ScienceCase) -> FollowUpList:
    messages = [
        codec.from_bytes(FollowUpList, m.value()) for m in read_all(installation.settings.kafka, list_topic(case))
    ]
    return max(messages, key=lambda follow_up: follow_up.version)


def gw170817(skymap: bytes, alert_type: AlertType, number: int) -> Notice:
    return Notice(
        notice_id=f"{number:032x}",
        mission="LVK",
        instrument="HLV",
        messenger=Messenger.GW,
        notice_type=alert_type.name,
        alert_type=alert_type,
        alert_tense=AlertTense.ARCHIVAL,
        event_id="GW170817",
        event_names=(),
        record_number=number,
        trigger_time=GW170817,
        alert_time=GW170817.replace(hour=13 + number),
        localization=None if alert_type is AlertType.RETRACTION else read_skymap(skymap),
        far_hz=1e-12,
    )


def test_at2017gfo_is_found_in_the_real_map_and_withdrawn_with_it(
    installation: Installation, shared_data: Path
) -> None:
    services.prepare(installation.settings).close()
    skymap = (shared_data / "notices" / "skymaps" / "GW170817_HLV_relabelled_MS181101ab.multiorder.fits").read_bytes()
    # One object before the notice and one after it: forward and reverse match.
    put_object(installation, "AT2017gfo", 197.4504, -23.3815, datetime(2017, 8, 17, 23, 33, tzinfo=UTC), 17.5)
    put_object(installation, "elsewhere", 17.0, 40.0, datetime(2017, 8, 17, 23, 33, tzinfo=UTC), 17.5)
    # Its type is reported after it was first matched, and an older catalogue knows nothing of it.
    for object_type in ("unclassified", "Kilonova", None):
        put_type(installation, "AT2017gfo", object_type)
    with GraphReader.open(installation.settings.graph) as reader:
        labels = GraphLabels(reader, Survey.ZTF, ["AT2017gfo", "elsewhere", "nowhere"]).labels()
    assert labels == {"AT2017gfo": "KN"}
    put_notice(installation, gw170817(skymap, AlertType.INITIAL, 0))
    coordinate(installation)
    found = pairs(installation)
    assert set(found) == {("AT2017gfo", "LVK:GW170817")}
    forward = found["AT2017gfo", "LVK:GW170817"]
    assert forward["credible_level"] == pytest.approx(0.556, abs=2e-3)
    assert forward["delta_t_s"] == pytest.approx(10 * 3600 + 51 * 60 + 55.6, abs=1e-3)
    # The 55.6 per cent region of this map has 10 to 12 deg2, the window 21 d.
    assert 1 - math.exp(-1e-3 * 10 * 21) < forward["p_chance"] < 1 - math.exp(-1e-3 * 12 * 21)
    assert forward["joint_far_hz"] == pytest.approx(-1e-12 * math.log1p(-forward["p_chance"]))
    assert newest_list(installation, ScienceCase.GW).targets[0].object_id == "AT2017gfo"

    put_object(installation, "late", 197.45, -23.38, datetime(2017, 8, 18, 1, 0, tzinfo=UTC), 17.8)
    coordinate(installation)
    found = pairs(installation)
    assert set(found) == {("AT2017gfo", "LVK:GW170817"), ("late", "LVK:GW170817")}
    assert {pair["state"] for pair in found.values()} == {"open"}
    # The reverse match gives the very numbers that the forward match gave.
    assert found["AT2017gfo", "LVK:GW170817"] == forward
    assert len(newest_list(installation, ScienceCase.GW).targets) == 2

    put_notice(installation, gw170817(skymap, AlertType.RETRACTION, 1))
    coordinate(installation)
    assert {pair["state"] for pair in pairs(installation).values()} == {"withdrawn"}
    withdrawn = newest_list(installation, ScienceCase.GW)
    assert withdrawn.targets == ()
    assert withdrawn.version == 3
    told = {orjson.loads(m.value())["object_id"] for m in read_all(installation.settings.kafka, RETRACTIONS)}
    assert told == {"AT2017gfo", "late"}


def test_ztf20abbiixp_is_found_at_every_position_of_grb200524a(installation: Installation, shared_data: Path) -> None:
    services.prepare(installation.settings).close()
    put_object(installation, "ZTF20abbiixp", 213.0431, 60.9053, datetime(2020, 5, 24, 6, 55, tzinfo=UTC), 17.35)
    chain = sorted((shared_data / "notices" / "fermi").glob("*611989445*.xml"), key=order_of_arrival)
    assert len(chain) >= 4
    states = []
    for path in chain:
        put_files(installation, [path])
        coordinate(installation)
        states.append((path.name, pairs(installation).get(("ZTF20abbiixp", "Fermi:611989445"), {}).get("state")))
    alerts, positions = [s for n, s in states if "Alert" in n], [s for n, s in states if "Pos" in n]
    assert set(alerts) <= {None}
    assert positions
    assert set(positions) == {"open"}
    pair = pairs(installation)["ZTF20abbiixp", "Fermi:611989445"]
    assert pair["delta_t_s"] == pytest.approx(6659.64, abs=1e-3)
    assert newest_list(installation, ScienceCase.GRB).targets[0].event_key == "Fermi:611989445"
    published = [orjson.loads(m.value()) for m in read_all(installation.settings.kafka, JOINT_EVENTS)]
    assert published[-1]["joint_far_hz"] == pair["joint_far_hz"]


def first_notice(*, trigger_time: datetime, **fields: Any) -> Notice:
    """Return the first notice of an event, made when it was triggered."""
    return Notice(
        notice_id="a" * 32,
        alert_type=AlertType.INITIAL,
        record_number=0,
        trigger_time=trigger_time,
        alert_time=trigger_time,
        **fields,
    )


def order_of_arrival(path: Path) -> tuple[int, str]:
    """Return the place of a GBM notice in its chain: alert, flight, ground, final."""
    return next((place for place, part in enumerate(("Alert", "Flt", "Gnd", "Fin")) if part in path.name), 9), path.name


def test_a_restart_publishes_nothing_again(installation: Installation) -> None:
    services.prepare(installation.settings).close()
    put_object(installation, "ZTF20abbiixp", 213.0431, 60.9053, datetime(2020, 5, 24, 6, 55, tzinfo=UTC), 17.35)
    notice = first_notice(
        mission="Swift",
        instrument="BAT",
        messenger=Messenger.EM,
        notice_type="SWIFT_BAT_GRB_POS_ACK",
        alert_tense=AlertTense.CURRENT,
        event_id="1",
        event_names=(),
        trigger_time=GRB200524A,
        localization=Circle(213.05, 60.9, 0.05),
    )
    put_notice(installation, notice)
    first = coordinate(installation)
    # The object is on two lists: it may belong to the burst, and nobody has classified it.
    assert (first.pairs_published, first.lists_published) == (1, 2)
    put_notice(installation, notice)
    sender = KafkaSender(installation.settings.kafka)
    sender.send(OBJECTS, "ztf", orjson.dumps({"survey": "ztf", "object_id": ["ZTF20abbiixp"]}))
    sender.flush()
    again = coordinate(installation)
    assert (again.events_formed, again.objects_matched) == (1, 1)
    assert (again.pairs_written, again.pairs_published, again.lists_published) == (0, 0, 0)


def test_txs_0506_056_is_found_in_its_flare_though_it_is_an_old_object(installation: Installation) -> None:
    services.prepare(installation.settings).close()
    first = datetime(2016, 1, 1, tzinfo=UTC)
    # Quiet ever since, bright in the week of the neutrino as ASAS-SN saw it (ATel 10794), brighter again a year later.
    put_object(installation, *TXS, first, 15.0)
    put_object(installation, *TXS, first, 14.5, seen=datetime(2017, 9, 15, tzinfo=UTC), flare_flux_ratio=1.6)
    put_object(installation, *TXS, first, 14.0, seen=datetime(2018, 11, 15, tzinfo=UTC), flare_flux_ratio=2.5)
    put_object(installation, "a quiet neighbour", 77.5, 5.8, first, 15.0)
    notice = first_notice(
        mission="IceCube",
        instrument="IceCube",
        messenger=Messenger.NEUTRINO,
        notice_type="EHE",
        alert_tense=AlertTense.ARCHIVAL,
        event_id="130033_50579430",
        event_names=("IceCube-170922A",),
        trigger_time=ICECUBE_170922A,
        localization=Circle(77.43, 5.72, 0.65, containment_probability=0.9, systematic_included=True),
        p_astro=0.565,
    )
    put_notice(installation, notice)
    coordinate(installation)
    key = TXS[0], notice.event_key
    forward = pairs(installation)
    assert set(forward) == {key}
    assert forward[key]["delta_t_s"] == pytest.approx(-(7 * 86400 + 75270.43), abs=1e-3)
    terms = {term["name"]: term for term in orjson.loads(str(forward[key]["terms"]))}
    assert terms["flare"]["inputs"] == {"flux_ratio": 1.6}
    assert newest_list(installation, ScienceCase.NEUTRINO).targets[0].object_id == TXS[0]
    # Two detections in a flare are one blazar.
    counts = SkyCounts(installation.connection)
    years = [datetime_to_mjd_tai(datetime(year, 1, 1, tzinfo=UTC)) for year in (2017, 2018, 2019)]
    assert [counts.flaring_blazars(years[0], year) for year in years] == [{}, {"ztf": 1}, {"ztf": 1}]
    # A later detection changes nothing of it, a brighter one in its window does.
    put_object(installation, *TXS, first, 14.9, seen=datetime(2018, 12, 1, tzinfo=UTC))
    again = coordinate(installation)
    assert (again.pairs_written, pairs(installation)) == (0, forward)
    put_object(installation, *TXS, first, 14.2, seen=datetime(2017, 9, 25, tzinfo=UTC), flare_flux_ratio=2.0)
    coordinate(installation)
    brighter = pairs(installation)[key]
    assert brighter["state"] == "open"
    assert float(str(brighter["log_bayes_factor"])) - float(str(forward[key]["log_bayes_factor"])) == pytest.approx(
        math.log(2.0 / 1.6)
    )
