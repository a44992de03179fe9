"""Recorded notices against their manifest and against values read from the files by other means."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from graph.errors import MalformedPacketError, UnsupportedNoticeError, WireError
from graph.model import AlertTense, AlertType, Circle, Ellipse, Notice
from graph.sky import SkyMap
from ingest.notices.lines import notice_line
from ingest.notices.registry import TOPICS, parse_notice, topic_of

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = (
    *("fermi", "swift", "svom", "icecube", "km3net", "lvk", "integral", "einstein_probe", "maxi", "calet", "agile"),
    *("gecam", "konus", "ipn", "hawc", "amon", "antares", "superk_snews", "frb", "boom"),
)
OWN_IDS = {"integral", "gecam", "ipn"}


def rows(shared_data: Path, family: str) -> list[dict[str, str]]:
    with (shared_data / "notices" / "MANIFEST.csv").open() as lines:
        return [row for row in csv.DictReader(lines) if row["family"] == family]


def read(shared_data: Path, file: str) -> Notice:
    return parse_notice((shared_data / "notices" / file).read_bytes())


def one(shared_data: Path, pattern: str) -> Notice:
    path = min((shared_data / "notices").glob(pattern))
    return parse_notice(path.read_bytes())


def utc(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


@pytest.mark.parametrize("family", FAMILIES)
def test_family_agrees_with_manifest(shared_data: Path, family: str) -> None:
    parsed = 0
    for row in rows(shared_data, family):
        try:
            notice = read(shared_data, row["file"])
        except WireError:
            continue
        parsed += 1
        stated = re.split(r"[ ,]", row["event_id"].strip("[]").replace("'", ""))[0]
        if stated and family not in OWN_IDS and "LAT.flare" not in row["notice_type"] and "EP240508" not in row["file"]:
            assert notice.event_id.startswith(stated) or stated.startswith(notice.event_id), row["file"]
        when = utc(row["event_time_utc"])
        if when and notice.trigger_time and notice.instrument != "MXT":
            assert abs((when - notice.trigger_time).total_seconds()) < 1e-3, row["file"]
        place = notice.localization
        if isinstance(place, Circle):
            assert (place.ra_deg, place.dec_deg) == pytest.approx((float(row["ra"]), float(row["dec"]))), row["file"]
            if re.fullmatch(r"[\d.]+", row["error_radius_deg"]) and notice.notice_type != "SK_SN":
                assert place.error_radius_deg == pytest.approx(float(row["error_radius_deg"])), row["file"]
        if "role=test" in row["flag"]:
            assert notice.alert_tense is AlertTense.TEST
        line = notice_line(row["file"], notice)
        assert len(line) == 22
        topic = topic_of(notice)
        if topic is not None:
            assert TOPICS[topic]((shared_data / "notices" / row["file"]).read_bytes()) is not None
    assert parsed > 0


def test_counts_of_refusals(shared_data: Path) -> None:
    refused: dict[str, int] = {}
    total = 0
    with (shared_data / "notices" / "MANIFEST.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["family"] in {"schema", "bulk", "skymaps"}:
                continue
            total += 1
            try:
                read(shared_data, row["file"])
            except WireError as error:
                refused[error.reason] = refused.get(error.reason, 0) + 1
    assert total == 1627
    assert refused == {"unsupported_notice": 39, "malformed": 6, "unknown_schema": 1}


def test_gbm_positions_have_68_per_cent_and_a_systematic_error(shared_data: Path) -> None:
    for kind, core in (("Flt", 7.52), ("Gnd", 3.72)):
        place = one(shared_data, f"fermi/Fermi_GBM_{kind}_Pos_2020-05-24*").localization
        assert isinstance(place, Circle)
        assert place.containment_probability == 0.68
        assert place.systematic is not None
        assert place.systematic.sigma_deg[0] == pytest.approx(0.66 * core)
        assert sum(place.systematic.weight) == pytest.approx(1.0)


def test_gbm_json_flight_includes_systematic_and_final_does_not(shared_data: Path) -> None:
    flight = read(shared_data, "fermi/gcnschema_fermi_gbm_trigger.flight3.example.json")
    final = read(shared_data, "fermi/gcnschema_fermi_gbm_trigger.final.example.json")
    assert flight.notice_type == "FERMI_GBM_FLT_POS"
    assert flight.classification == {"GRB": 0.85, "GENERIC_SGR": 0.14}
    assert isinstance(flight.localization, Circle)
    assert flight.localization.systematic_included
    assert flight.localization.systematic is None
    assert isinstance(final.localization, Circle)
    assert final.localization.systematic is not None
    assert final.event_names == ("bn240812094",)
    assert final.healpix_url is not None


def test_gbm_class_decides_what_is_a_burst(shared_data: Path) -> None:
    seen = set()
    for path in (shared_data / "notices" / "fermi").glob("*.xml"):
        text = path.read_text()
        index = re.search(r'"Most_Likely_Index"\s+(?:dataType="\w+"\s+)?value="(\d+)"', text)
        if index and 'Packet_Type"' in text:
            notice = parse_notice(path.read_bytes())
            seen.add(index[1])
            assert notice.is_astrophysical_burst == (index[1] in {"1", "4", "6"}), path.name
    assert {"1", "3", "4", "8", "19"} <= seen


def test_gbm_sentinel_and_alert_have_no_position(shared_data: Path) -> None:
    sentinel = one(shared_data, "fermi/Fermi_GBM_Flt_Pos_2014-12-03T135007.90_439307410_49*")
    assert sentinel.localization is None
    assert one(shared_data, "fermi/Fermi_GBM_Alert_2016*").localization is None


def test_impossible_dates_are_rebuilt_or_refused(shared_data: Path) -> None:
    replayed = one(shared_data, "fermi/Fermi_GBM_Alert_2022-01--4918T110920*")
    assert replayed.trigger_time == datetime(2008, 7, 14, 11, 9, 20, 470000, tzinfo=UTC)
    new_year = one(shared_data, "superk_snews/SK_SN_Event_2022-01-00*")
    assert new_year.trigger_time is not None
    assert (new_year.trigger_time.year, new_year.trigger_time.day) == (2021, 31)
    for file in ("SWIFT_BAT_Scaledmap_667392-511.xml", "SWIFT_BAT_QuickLook_Pos_16453627-507.xml"):
        with pytest.raises(MalformedPacketError, match="event time"):
            read(shared_data, f"swift/{file}")


def test_swift_known_sources_lost_lock_and_pointings(shared_data: Path) -> None:
    for row in rows(shared_data, "swift"):
        if "BAT_GRB_POS_ACK" in row["notice_type"]:
            doubtful = "not_a_GRB" in row["flag"] or "Lost_Lock" in row["flag"]
            assert read(shared_data, row["file"]).is_astrophysical_burst != doubtful, row["file"]
    assert one(shared_data, "swift/SWIFT_UVOT_Nack_Pos*").localization is None
    assert one(shared_data, "swift/SWIFT_XRT_Nack_Pos*").localization is None
    with pytest.raises(UnsupportedNoticeError):
        one(shared_data, "swift/SWIFT_Point_Dir*")


def test_swift_guano_json(shared_data: Path) -> None:
    place = read(shared_data, "swift/gcnschema_swift_bat_guano.loc_arc_min.example.json")
    assert isinstance(place.localization, Circle)
    assert place.localization.systematic_included
    withdrawn = read(shared_data, "swift/gcnschema_swift_bat_Guano.Retraction.example.json")
    assert (withdrawn.alert_type, withdrawn.localization) == (AlertType.RETRACTION, None)
    assert withdrawn.event_id == place.event_id == "694215995"


def test_svom_chain_shares_its_burst_and_its_start(shared_data: Path) -> None:
    chain = [parse_notice(path.read_bytes()) for path in sorted((shared_data / "notices/svom").glob("sb26051004*.xml"))]
    assert {notice.event_key for notice in chain} == {"SVOM:sb26051004"}
    mxt = next(notice for notice in chain if notice.instrument == "MXT")
    assert mxt.trigger_time is not None
    assert mxt.trigger_time.isoformat().startswith("2026-05-10T17:13:44.569")
    retraction = one(shared_data, "svom/*_retraction*.xml")
    assert retraction.alert_type is AlertType.RETRACTION
    assert retraction.alert_tense is AlertTense.CURRENT
    assert one(shared_data, "svom/sb26042101_grm-trigger*").localization is None
    assert not one(shared_data, "svom/*eclairs-catalog*").is_astrophysical_burst


def test_icecube_rates_and_radii(shared_data: Path) -> None:
    gold = one(shared_data, "icecube/AMON_ICECUBE_GOLD_Event2023-11-25*_1.xml")
    assert gold.event_id == "138599_39138591"
    assert (gold.record_number, gold.alert_type) == (1, AlertType.UPDATE)
    assert gold.far_hz == pytest.approx(0.1472 / 31557600.0)
    assert gold.p_astro == 0.6312
    json = read(shared_data, "icecube/gcnschema_icecube_single_neutrino_alerts.gold_bronze_track_alerts.example.json")
    assert json.far_hz == 8.029e-8
    assert json.notice_type == "ICECUBE_ASTROTRACK_BRONZE"
    assert read(shared_data, "icecube/gwcelery_kafka_alert_icecube_bronze.json").event_id == "137840_57034692"
    contents = {"GOLD": (0.9, False), "Cascade": (0.9, True), "EHE": (0.5, False)}
    for name, expected in contents.items():
        place = one(shared_data, f"icecube/AMON_ICECUBE_{name}*").localization
        assert isinstance(place, Circle)
        assert (place.containment_probability, place.systematic_included) == expected


def test_km3net_takes_the_sky_not_the_detector(shared_data: Path) -> None:
    event = read(shared_data, "km3net/KM3-230213A_voevent.xml")
    assert event.event_id == "KM3-230213A"
    assert event.localization == Circle(94.3, -7.8, 2.2, 0.9, systematic_included=True)
    xml, json = (read(shared_data, f"km3net/{f}") for f in ("doc_km3net_1.xml", "gcnschema_km3net_alert.example.json"))
    assert xml.far_hz == json.far_hz == 8.029e-8
    assert xml.event_key == json.event_key
    assert xml.localization == json.localization
    assert xml.trigger_time == json.trigger_time


def test_lvk_forms(shared_data: Path) -> None:
    initial = read(shared_data, "lvk/S230518h-INITIAL.json")
    assert isinstance(initial.localization, SkyMap)
    assert initial.p_astro == pytest.approx(0.9009815408264142)
    assert initial.trigger_time == datetime(2023, 5, 18, 12, 59, 8, 167000, tzinfo=UTC)
    assert notice_line("x", initial)["area_90_deg2"] == pytest.approx(666.0, abs=0.5)
    avro = read(shared_data, "lvk/userguide_MS181101ab-initial.avro")
    assert isinstance(avro.localization, SkyMap)
    assert avro.alert_tense is AlertTense.TEST
    for form in ("avro", "json"):
        withdrawn = read(shared_data, f"lvk/userguide_MS181101ab-retraction.{form}")
        assert (withdrawn.alert_type, withdrawn.localization) == (AlertType.RETRACTION, None)
    voevent = read(shared_data, "lvk/S190425z-1-Initial.xml")
    assert voevent.classification["BNS"] > 0.99
    assert voevent.healpix_url is not None
    assert voevent.record_number == 1
    for row in rows(shared_data, "lvk"):
        if "etraction" in row["file"]:
            assert read(shared_data, row["file"]).alert_type is AlertType.RETRACTION


def test_companion_map_is_found_by_event(shared_data: Path) -> None:
    inside = read(shared_data, "lvk/S230518h-INITIAL.json").localization
    assert isinstance(inside, SkyMap)
    linked = 0
    for path in (shared_data / "notices/lvk").glob("S230518h*.xml"):
        alone, accompanied = (
            parse_notice(path.read_bytes(), companions=folder) for folder in (None, shared_data / "notices" / "skymaps")
        )
        assert alone.localization is None
        assert alone.healpix_url is not None
        assert isinstance(accompanied.localization, SkyMap)
        assert accompanied.localization.start.tolist() == inside.start.tolist()
        linked += 1
    assert linked > 0
    other = (shared_data / "notices/lvk/S190425z-1-Initial.xml").read_bytes()
    assert parse_notice(other, companions=shared_data / "notices" / "lvk").localization is None


def test_integral_numbers_and_retraction(shared_data: Path) -> None:
    chain = [one(shared_data, f"integral/INTEGRAL_{kind}_Pos_008213*") for kind in ("Wakeup", "Offline")]
    assert {notice.event_id for notice in chain} == {"8213"}
    assert [notice.alert_type for notice in chain] == [AlertType.INITIAL, AlertType.RETRACTION]
    assert [notice.record_number for notice in chain] == [0, 1]


def test_radii_that_mean_something_else(shared_data: Path) -> None:
    coincidence = one(shared_data, "amon/AMON_NU_EM*").localization
    assert isinstance(coincidence, Circle)
    assert coincidence.containment_probability == 0.5
    assert one(shared_data, "superk_snews/SNEWS_Event*").localization is None
    supernova = one(shared_data, "superk_snews/SK_SN_Event_2023*").localization
    assert isinstance(supernova, Circle)
    assert (supernova.error_radius_deg, supernova.containment_probability) == (0.9, 0.9)
    burst = read(shared_data, "frb/gcnschema_chime_frb.detection.example.json").localization
    assert isinstance(burst, Ellipse)
    assert burst.semi_major_deg == 0.598921231135782
    assert burst.position_angle_deg == 90.0
    assert one(shared_data, "calet/*.xml").localization is None
