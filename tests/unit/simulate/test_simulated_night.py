"""A simulated night: packets against fastavro and our decoder, events against truth."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow.compute as pc
import pytest

from graph.model import Survey
from graph.sky import separation_deg
from graph.times import datetime_to_mjd_tai, jd_utc_to_mjd_tai, parse_utc
from ingest.alerts.decode import decode_alerts
from ingest.alerts.ztf_schema import schema_json
from ingest.replay import iter_alert_messages, iter_notice_messages
from ingest.simulate import SimulatedNight, simulate_night, write_night
from ingest.simulate.lsst_schema import load_lsst_schema
from ingest.simulate.schedule import offset_positions

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 10, 12, 3, 0, tzinfo=UTC)
N_ZTF, N_LSST = 700, 400


def make(seed: int = 11, **changes: Any) -> SimulatedNight:
    arguments: dict[str, Any] = {
        "seed": seed,
        "n_alerts_ztf": N_ZTF,
        "n_alerts_lsst": N_LSST,
        "start": START,
        "duration_s": 1800.0,
        **changes,
    }
    return simulate_night(**arguments)


@pytest.fixture(scope="module")
def night() -> SimulatedNight:
    return make()


@pytest.fixture(scope="module")
def ztf_messages(night: SimulatedNight) -> list[bytes]:
    return list(night.ztf)


@pytest.fixture(scope="module")
def lsst_messages(night: SimulatedNight) -> list[bytes]:
    return list(night.lsst)


@pytest.fixture(scope="module")
def ztf_records(ztf_messages: list[bytes]) -> list[dict[str, Any]]:
    return [next(fastavro.reader(io.BytesIO(message))) for message in ztf_messages]


@pytest.fixture(scope="module")
def lsst_records(lsst_messages: list[bytes]) -> list[dict[str, Any]]:
    schema = load_lsst_schema().alert
    return [fastavro.schemaless_reader(io.BytesIO(message[5:]), schema) for message in lsst_messages]


def truth(night: SimulatedNight, survey: Survey) -> dict[str, Any]:
    rows = night.truth.filter(pc.field("survey") == survey.value)
    return {name: np.array(rows[name].to_pylist()) for name in rows.column_names}


def digest(night: SimulatedNight) -> str:
    total = hashlib.sha256()
    for message in (*night.ztf, *night.lsst, *(notice.payload for notice in night.notices)):
        total.update(message)
    total.update(repr(night.truth.to_pydict()).encode())
    total.update(repr(night.catalogue.to_pydict()).encode())
    return total.hexdigest()


def test_same_seed_same_bytes_other_seed_others() -> None:
    small = {"n_alerts_ztf": 60, "n_alerts_lsst": 40, "duration_s": 400.0}
    assert digest(make(5, **small)) == digest(make(5, **small))
    assert digest(make(5, **small)) != digest(make(6, **small))


def test_counts_are_exact_and_ids_unique(
    night: SimulatedNight, ztf_messages: list[bytes], lsst_messages: list[bytes]
) -> None:
    assert (len(night.ztf), len(night.lsst)) == (len(ztf_messages), len(lsst_messages)) == (N_ZTF, N_LSST)
    for survey in Survey:
        ids = truth(night, survey)["detection_id"]
        assert len(set(ids.tolist())) == len(ids)


@pytest.mark.parametrize(("ztf", "lsst", "events"), [(0, 0, 0), (1, 0, 3), (0, 9, 1), (40, 25, 16)])
def test_small_nights(ztf: int, lsst: int, events: int) -> None:
    small = make(n_alerts_ztf=ztf, n_alerts_lsst=lsst, n_events=events, duration_s=300.0)
    assert (len(list(small.ztf)), len(list(small.lsst)), len(small.events)) == (ztf, lsst, events)


def test_crowded_seconds_still_have_ids_of_their_own() -> None:
    crowded = make(n_alerts_ztf=300, n_alerts_lsst=300, n_events=14, duration_s=5.0)
    for survey in Survey:
        assert len(set(truth(crowded, survey)["detection_id"].tolist())) == 300


@pytest.mark.parametrize("wrong", [{"n_alerts_ztf": -1}, {"duration_s": 0.0}, {"duration_s": 1e6}])
def test_impossible_nights_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="night"):
        make(**wrong)
    with pytest.raises(ValueError, match="naive"):
        make(start=datetime(2026, 10, 12))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize("name", ["v4_02", "v3_3"])
def test_ztf_schema_has_every_field_of_a_real_packet(shared_data: Path, name: str) -> None:
    path = next((shared_data / "alerts" / "ztf_packets" / "pgb_client").glob(f"*{name}.avro"))
    with path.open("rb") as stream:
        real: Any = fastavro.reader(stream).writer_schema
    ours: Any = fastavro.parse_schema(json.loads(schema_json()))
    if name == "v4_02":
        assert flat(ours) == flat(real)
    for record, fields in flat(real).items():
        mine = [field for field in flat(ours)[record] if field in fields]
        assert mine == fields, record


def flat(schema: Any, into: dict[str, list[tuple[str, str]]] | None = None) -> dict[str, list[tuple[str, str]]]:
    """Return (field, type) of every record, nested types by their last name."""
    found = {} if into is None else into
    if isinstance(schema, list):
        for branch in schema:
            flat(branch, found)
    elif isinstance(schema, dict) and schema.get("type") == "array":
        flat(schema["items"], found)
    elif isinstance(schema, dict) and schema.get("type") == "record":
        fields = found.setdefault(schema["name"].split(".")[-1], [])
        for field in schema["fields"]:
            fields.append((field["name"], kind(field["type"])))
            flat(field["type"], found)
    return found


def kind(declared: Any) -> str:
    if isinstance(declared, list):
        # Version 3.3 writes one union with null last.
        return "|".join(sorted(kind(branch) for branch in declared))
    if isinstance(declared, dict):
        if declared["type"] == "array":
            return f"[{kind(declared['items'])}]"
        return kind(declared["name"] if declared["type"] == "record" else declared["type"])
    return str(declared).split(".")[-1]


def test_ztf_packets_say_what_is_true(night: SimulatedNight, ztf_records: list[dict[str, Any]]) -> None:
    expected = truth(night, Survey.ZTF)
    candidates = [record["candidate"] for record in ztf_records]
    assert [record["candid"] for record in ztf_records] == expected["detection_id"].tolist()
    assert [record["objectId"] for record in ztf_records] == expected["object_id"].tolist()
    magnitude = np.array([one["magpsf"] for one in candidates])
    sign = np.array([1.0 if one["isdiffpos"] == "t" else -1.0 for one in candidates])
    np.testing.assert_allclose(sign * 10 ** (0.4 * (31.4 - magnitude)), expected["psf_flux_njy"], rtol=1e-5)
    midpoint = jd_utc_to_mjd_tai([one["jd"] + 15.0 / 86400.0 for one in candidates])
    np.testing.assert_allclose(midpoint, expected["midpoint_mjd_tai"], atol=1e-7, rtol=0)
    ra, dec = (np.array([one[name] for one in candidates]) for name in ("ra", "dec"))
    assert separation_deg(ra, dec, expected["ra_deg"], expected["dec_deg"]).max() * 3600.0 < 0.15
    # The identifier begins with the night and its fraction, as every real one does.
    for one in candidates:
        assert one["candid"] // 10**10 == int((one["jd"] - 2457754.5) * 1e5)


def test_decoder_reads_ztf_packets(night: SimulatedNight, ztf_messages: list[bytes]) -> None:
    columns, rejects = decode_alerts(Survey.ZTF, ztf_messages)
    expected = truth(night, Survey.ZTF)
    assert not rejects
    assert columns.detection_id.tolist() == expected["detection_id"].tolist()
    assert columns.object_id.tolist() == expected["object_id"].tolist()
    assert columns.solar_system_id.tolist() == [name or "" for name in expected["solar_system_id"].tolist()]
    np.testing.assert_allclose(columns.midpoint_mjd_tai, expected["midpoint_mjd_tai"], atol=1e-7, rtol=0)
    np.testing.assert_allclose(columns.psf_flux_njy, expected["psf_flux_njy"], rtol=1e-5)
    np.testing.assert_allclose(columns.psf_flux_err_njy, expected["psf_flux_err_njy"], rtol=1e-5)
    bogus = expected["class"] == "bogus"
    assert columns.reliability[bogus].max() < 0.5 < columns.reliability[~bogus].min()


def test_decoder_reads_lsst_messages(night: SimulatedNight, lsst_messages: list[bytes]) -> None:
    columns, rejects = decode_alerts(Survey.LSST, lsst_messages)
    expected = truth(night, Survey.LSST)
    assert not rejects
    assert columns.detection_id.tolist() == expected["detection_id"].tolist()
    assert columns.object_id.tolist() == expected["object_id"].tolist()
    assert columns.solar_system_id.tolist() == [name or "" for name in expected["solar_system_id"].tolist()]
    np.testing.assert_allclose(columns.midpoint_mjd_tai, expected["midpoint_mjd_tai"], atol=1e-9, rtol=0)
    np.testing.assert_allclose(columns.psf_flux_njy, expected["psf_flux_njy"], rtol=1e-6)


def test_history_of_an_object_is_the_same_in_all_its_ztf_alerts(ztf_records: list[dict[str, Any]]) -> None:
    by_object = defaultdict(list)
    for record in ztf_records:
        by_object[record["objectId"]].append(record)
    repeated = [records for records in by_object.values() if len(records) > 1]
    assert len(repeated) > 50
    for earlier, later in (pair for records in repeated for pair in pairwise(records)):
        before, after = earlier["prv_candidates"] or [], later["prv_candidates"]
        assert after[: len(before)] == before
        # The first alert of the night is the last point behind the second.
        assert after[len(before)]["candid"] == earlier["candid"]
        for field in ("jd", "fid", "magpsf", "sigmapsf", "isdiffpos", "diffmaglim", "ra", "rb"):
            assert after[len(before)][field] == earlier["candidate"][field]
        assert later["candidate"]["ndethist"] == earlier["candidate"]["ndethist"] + 1
        assert later["candidate"]["jdstarthist"] == pytest.approx(earlier["candidate"]["jdstarthist"], abs=1e-7)


def test_ztf_history_is_ordered_and_within_a_month(ztf_records: list[dict[str, Any]]) -> None:
    limits = 0
    for record in ztf_records:
        times = [point["jd"] for point in record["prv_candidates"] or []]
        assert times == sorted(times)
        if times:
            assert times[-1] < record["candidate"]["jd"] < times[0] + 30.5
        limits += sum(point["magpsf"] is None for point in record["prv_candidates"] or [])
        for point in record["prv_candidates"] or []:
            assert (point["candid"] is None) == (point["magpsf"] is None) == (point["ra"] is None)
            assert point["diffmaglim"] is not None
    assert limits > N_ZTF


def test_ztf_cutouts_are_images(ztf_records: list[dict[str, Any]]) -> None:
    from gzip import decompress

    from astropy.io import fits

    stamps = [ztf_records[0][f"cutout{name}"]["stampData"] for name in ("Science", "Template", "Difference")]
    assert 30_000 < sum(len(stamp) for stamp in stamps) < 50_000
    with fits.open(io.BytesIO(decompress(stamps[0]))) as hdus:
        assert hdus[0].data.shape == (63, 63)


def test_lsst_records_keep_to_the_rules_of_the_stream(lsst_records: list[dict[str, Any]]) -> None:
    kinds = set()
    for record in lsst_records:
        source = record["diaSource"]
        moving = source["ssObjectId"] > 0
        kinds.add(moving)
        assert record["diaSourceId"] == source["diaSourceId"]
        assert (record["diaObject"] is None) == (record["ssSource"] is not None) == moving
        assert source["isNegative"] == (source["psfFlux"] < 0.0)
        previous = record["prvDiaSources"] or []
        assert all(one["midpointMjdTai"] < source["midpointMjdTai"] for one in previous)
        if moving:
            assert not previous
            assert record["ssSource"]["ssObjectId"] == source["ssObjectId"]
            continue
        assert record["diaObject"]["diaObjectId"] == source["diaObjectId"]
        assert {one["diaObjectId"] for one in previous} <= {source["diaObjectId"]}
        assert record["diaObject"]["nDiaSources"] > len(previous)
        forced = {(one["visit"], one["psfFlux"]) for one in record["prvDiaForcedSources"]}
        assert not forced or {(one["visit"], one["psfFlux"]) for one in previous} <= forced
        flux = [one["psfFlux"] for one in (*previous, source) if one["band"] == source["band"]]
        assert record["diaObject"][f"{source['band']}_psfFluxMean"] == pytest.approx(np.mean(flux), rel=1e-4)
    assert kinds == {True, False}


@pytest.mark.parametrize("schema_id", [1100, 1101])
def test_newer_lsst_schemas_are_written_too(schema_id: int) -> None:
    small = make(n_alerts_ztf=0, n_alerts_lsst=30, lsst_schema_id=schema_id, duration_s=300.0)
    schema = load_lsst_schema(schema_id).alert
    for message in small.lsst:
        assert message[:5] == b"\x00" + schema_id.to_bytes(4, "big")
        stream = io.BytesIO(message[5:])
        fastavro.schemaless_reader(stream, schema)
        assert stream.read() == b""


def test_every_event_but_the_retracted_has_a_counterpart_after_its_trigger(night: SimulatedNight) -> None:
    for survey in Survey:
        expected = truth(night, survey)
        for plan in night.events:
            rows = (expected["event_id"] == plan.event_id) & (expected["mission"] == plan.mission)
            assert rows.any() == (plan.counterpart is not None), (survey, plan.kind)
            assert (expected["midpoint_mjd_tai"][rows] > datetime_to_mjd_tai(plan.trigger_time)).all()
            assert set(expected["class"][rows]) <= {plan.counterpart}


def test_mix_is_that_of_a_survey_night(night: SimulatedNight) -> None:
    for survey in Survey:
        names, counts = np.unique(truth(night, survey)["class"], return_counts=True)
        share = dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))
        assert {"RRL", "EB", "LPV", "AGN", "SSO", "SN Ia", "bogus"} <= share.keys()
        assert share["RRL"] + share["EB"] + share["LPV"] + share["AGN"] + share["SSO"] > 0.6
        assert share["SN Ia"] + share.get("SN II", 0.0) < 0.12


def test_both_surveys_see_some_of_the_same_sources(night: SimulatedNight) -> None:
    ztf, lsst = truth(night, Survey.ZTF), truth(night, Survey.LSST)
    same = set(zip(ztf["ra_deg"], ztf["dec_deg"], strict=True)) & set(zip(lsst["ra_deg"], lsst["dec_deg"], strict=True))
    assert len(same) >= len(night.events) - 1


def test_written_night_replays_in_order(tmp_path: Path) -> None:
    small = make(n_alerts_ztf=30, n_alerts_lsst=20, duration_s=300.0)
    summary = write_night(small, tmp_path)
    messages = list(iter_alert_messages(tmp_path / "alerts"))
    assert [message for survey, message in messages if survey is Survey.ZTF] == list(small.ztf)
    assert [message for survey, message in messages if survey is Survey.LSST] == list(small.lsst)
    notices = {(topic, payload) for topic, _, payload in iter_notice_messages(tmp_path / "notices")}
    assert notices == {(notice.topic, notice.payload) for notice in small.notices}
    assert summary["alerts"] == {"ztf": 30, "lsst": 20}
    assert (tmp_path / "truth.parquet").is_file()
    header = (tmp_path / "catalogue.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.replace('"', "") == "catalog_id,class,ra_deg,dec_deg,r_mag,distance_mpc"


def test_offsets_agree_with_astropy() -> None:
    from astropy import units
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 200), rng.uniform(-89, 89, 200)
    far, angle = rng.uniform(0, 170, 200), rng.uniform(0, 360, 200)
    got_ra, got_dec = offset_positions(ra, dec, far, angle)
    expected = SkyCoord(ra * units.deg, dec * units.deg).directional_offset_by(angle * units.deg, far * units.deg)
    assert expected.separation(SkyCoord(got_ra * units.deg, got_dec * units.deg)).deg.max() < 1e-9


def test_start_is_kept_in_any_zone() -> None:
    moved = make(n_alerts_ztf=5, n_alerts_lsst=0, start=parse_utc("2026-10-12T05:00:00+02:00"), duration_s=300.0)
    same = make(n_alerts_ztf=5, n_alerts_lsst=0, duration_s=300.0)
    assert list(moved.ztf) == list(same.ztf)
