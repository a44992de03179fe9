"""Every recorded packet against a reader that shares no code with ours: fastavro and plain arithmetic."""

from __future__ import annotations

import io
import math
import struct
import sysconfig
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from fastavro import _read as fastavro_read
from fastavro.utils import generate_one

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry
from ingest.alerts.container import split_container
from ingest.alerts.decode import AlertDecoder
from ingest.alerts.lsst_schemas import LsstSchemas

Record = dict[str, Any]
TAI_MINUS_UTC_D = 37.0 / 86400.0
LN10 = math.log(10.0)


def _read_snappy_block(stream: Any) -> io.BytesIO:
    """Stand in for cramjam, which fastavro would use."""
    raw = fastavro.schemaless_reader(stream, "bytes", None)
    size = 0
    for place, byte in enumerate(raw):
        size |= (byte & 127) << 7 * place
        if byte < 128:
            break
    return io.BytesIO(pa.Codec("snappy").decompress(raw[:-4], size, asbytes=True))


@pytest.fixture(autouse=True)
def _snappy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fastavro_read.BLOCK_READERS, "snappy", _read_snappy_block)


@pytest.fixture(scope="module")
def ztf() -> AlertDecoder:
    return AlertDecoder(Survey.ZTF)


@pytest.fixture(scope="module")
def lsst() -> AlertDecoder:
    return AlertDecoder(Survey.LSST)


def _ok(value: float | None) -> bool:
    return value is not None and not math.isnan(value) and value != -999.0


def _nan(value: float | None) -> float:
    return float(value) if value is not None and _ok(value) else math.nan


def _njy(mag: float) -> float:
    return 10 ** (-0.4 * (mag - 31.4))


def _midpoint(jd: float, exposure_s: float = 30.0) -> float:
    return jd - 2400000.5 + TAI_MINUS_UTC_D + exposure_s / 2.0 / 86400.0


def _ztf_point(part: Record, exposure_s: float = 30.0) -> tuple[float, ...]:
    flux = _njy(part["magpsf"]) * (1 if part["isdiffpos"] in ("t", "1") else -1)
    error = abs(flux) * part["sigmapsf"] * LN10 / 2.5
    return (_midpoint(part["jd"], exposure_s), part["fid"], flux, error, math.nan)


def _ztf_forced(part: Record) -> list[tuple[float, ...]]:
    """Return the point of forced photometry, if it was measured without a warning."""
    if part["procstatus"] != "0" or part["forcediffimflux"] == -99999.0:
        return []
    scale = _njy(part["magzpsci"])
    band = part["fid"]
    return [
        (
            _midpoint(part["jd"], part["exptime"]),
            band,
            part["forcediffimflux"] * scale,
            part["forcediffimfluxunc"] * scale,
        )
    ]


def ztf_expected(record: Record) -> Record:
    part = record["candidate"]
    own = _ztf_point(part, part.get("exptime") or 30.0)
    points: list[tuple[float, ...]] = []
    forced = [point for past in record.get("fp_hists") or [] for point in _ztf_forced(past)]
    for past in record["prv_candidates"] or []:
        if "candid" not in past:
            # An archive of 2021 put forced photometry here.
            forced += _ztf_forced(past)
        elif past["candid"] is None:
            # A recorded limit of 2018 is -1006.94 mag.
            if _ok(past["diffmaglim"]) and abs(past["diffmaglim"]) < 40.0:
                points.append((_midpoint(past["jd"]), past["fid"], math.nan, math.nan, _njy(past["diffmaglim"])))
        elif past["candid"] != part["candid"] and _ok(past["magpsf"]):
            points.append(_ztf_point(past))
    points = sorted([*points, own], key=lambda point: point[0])
    name, distance = part.get("ssnamenr"), part.get("ssdistnr")
    is_body = name not in (None, "null", "") and distance is not None and 0 <= distance < 5
    first = min(point[0] for point in points if not math.isnan(point[2]))
    began = part["jdstarthist"]
    return {
        "object_id": record["objectId"],
        "detection_id": part["candid"],
        "ra_deg": part["ra"],
        "dec_deg": part["dec"],
        "midpoint_mjd_tai": own[0],
        "band": part["fid"],
        "psf_flux_njy": own[2],
        "psf_flux_err_njy": own[3],
        "reliability": _nan(part["drb"]) if _ok(part.get("drb")) else _nan(part.get("rb")),
        "solar_system_id": name if is_body else "",
        "is_public": part["programid"] == 1,
        "n_detections": part["ndethist"],
        "first_midpoint_mjd_tai": min(first, _midpoint(began)) if _ok(began) else first,
        "star_galaxy_score": _nan(part.get("sgscore1")),
        "nearest_source_arcsec": _nan(part.get("distpsnr1")),
        "exposure_id": int(str(part["candid"])[:-10]),
        "trail_length_arcsec": math.nan,
        "is_streak": False,
        "extendedness": math.nan,
        "solar_system_separation_arcsec": _nan(part.get("ssdistnr")),
        "template_mag": _nan(part.get("magnr")),
        "template_separation_arcsec": _nan(part.get("distnr")),
        **{f"neighbour_{band}_mag": _nan(part.get(f"s{band}mag1")) for band in "griz"},
        "light_curve": points,
        "forced": sorted(forced, key=lambda point: point[0]),
    }


def _mag(flux_njy: float | None) -> float:
    return 31.4 - 2.5 * math.log10(flux_njy) if flux_njy is not None and flux_njy > 0.0 else math.nan


def _lsst_point(source: Record) -> tuple[float, ...]:
    band = "ugrizy".index(source["band"])
    return (source["midpointMjdTai"], band, _nan(source["psfFlux"]), _nan(source["psfFluxErr"]), math.nan)


def lsst_expected(record: Record) -> Record:
    source, thing = record["diaSource"], record["diaObject"] or {}
    own = _lsst_point(source)
    past = [_lsst_point(p) for p in record["prvDiaSources"] or [] if p["diaSourceId"] != source["diaSourceId"]]
    unseen = [
        (limit["midpointMjdTai"], "ugrizy".index(limit["band"]), math.nan, math.nan, 5 * limit["diaNoise"])
        for limit in record.get("prvDiaNondetectionLimits") or []
    ]
    points = [point for point in [*past, own] if not math.isnan(point[2])]
    points = sorted([*unseen, *points], key=lambda point: point[0])
    forced = [_lsst_point(part)[:4] for part in record.get("prvDiaForcedSources") or []]
    body = record.get("ssSource") or {}
    separation = body.get("ephOffset")
    if body.get("residualRa") is not None:
        # A right ascension shrinks towards the pole.
        east = body["residualRa"] * math.cos(math.radians(source["dec"]))
        separation = 3600.0 * math.sqrt(east**2 + body["residualDec"] ** 2)
    object_id = thing.get("diaObjectId") or source["diaObjectId"] or ""
    counted = thing.get("nDiaSources")
    first = [
        own[0],
        *(point[0] for point in points if not math.isnan(point[2])),
        _nan(thing.get("firstDiaSourceMjdTai")),
    ]
    return {
        "object_id": str(object_id),
        "detection_id": source["diaSourceId"],
        "ra_deg": source["ra"],
        "dec_deg": source["dec"],
        "midpoint_mjd_tai": own[0],
        "band": own[1],
        "psf_flux_njy": own[2],
        "psf_flux_err_njy": own[3],
        "reliability": _nan(source["reliability"]),
        "solar_system_id": str(source["ssObjectId"]) if source["ssObjectId"] else "",
        "is_public": True,
        "n_detections": -1 if counted is None else counted,
        "first_midpoint_mjd_tai": min(time for time in first if not math.isnan(time)),
        "star_galaxy_score": math.nan,
        "nearest_source_arcsec": math.nan,
        "exposure_id": source["visit"] if "visit" in source else source["ccdVisitId"] // 1000,
        "trail_length_arcsec": _nan(source["trailLength"]),
        "is_streak": bool(source.get("glint_trail")),
        "extendedness": _nan(source["extendedness"]),
        "solar_system_separation_arcsec": _nan(separation),
        "template_mag": _mag(source.get("templateFlux")),
        "template_separation_arcsec": math.nan,
        **dict.fromkeys((f"neighbour_{band}_mag" for band in "griz"), math.nan),
        "light_curve": points,
        "forced": sorted((point for point in forced if not math.isnan(point[2])), key=lambda point: point[0]),
    }


def compare(columns: AlertColumns, records: list[Record], expected: Callable[[Record], Record]) -> None:
    assert len(columns) == len(records)
    np.testing.assert_array_equal(columns.row, np.arange(len(records)))
    curves = columns.light_curves
    assert len(curves) == len(records)
    wanted = [expected(record) for record in records]
    for name in wanted[0].keys() - {"light_curve", "forced"}:
        truth, ours = [row[name] for row in wanted], getattr(columns, name)
        if isinstance(truth[0], float):
            np.testing.assert_allclose(ours, truth, rtol=1e-12, atol=0, err_msg=name)
        else:
            assert ours.tolist() == truth, name
    parts = (
        curves.midpoint_mjd_tai,
        curves.band,
        curves.psf_flux_njy,
        curves.psf_flux_err_njy,
        curves.upper_limit_njy,
    )
    np.testing.assert_array_equal(np.diff(curves.offsets), [len(row["light_curve"]) for row in wanted])
    points = np.array([point for row in wanted for point in row["light_curve"]])
    np.testing.assert_allclose(np.column_stack(parts), points, rtol=1e-12, atol=0)
    _compare_forced(columns.forced, [row["forced"] for row in wanted])


def _compare_forced(forced: ForcedPhotometry, wanted: list[list[tuple[float, ...]]]) -> None:
    np.testing.assert_array_equal(np.diff(forced.offsets), [len(points) for points in wanted])
    for place, name in enumerate(("midpoint_mjd_tai", "band", "psf_flux_njy", "psf_flux_err_njy")):
        truth = [point[place] for points in wanted for point in points]
        np.testing.assert_allclose(getattr(forced, name), truth, rtol=1e-12, atol=0, err_msg=name)


def _avro_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.avro"))
    assert files
    return files


def _members(archive: Path) -> Iterator[bytes]:
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None and member.name.endswith(".avro"):
                yield stream.read()


def test_ztf_packets(shared_data: Path, ztf: AlertDecoder) -> None:
    messages = [path.read_bytes() for path in _avro_files(shared_data / "alerts/ztf_packets")]
    records = [record for message in messages for record in fastavro.reader(io.BytesIO(message))]
    for _ in range(2):
        # Writers are new the first time and known the second.
        columns, rejects = ztf.decode(messages)
        assert rejects == []
        compare(columns, records, ztf_expected)


@pytest.mark.parametrize("kind", ["binary", "large_binary", "chunked", "sliced"])
def test_ztf_archives_in_every_arrow_form(shared_data: Path, ztf: AlertDecoder, kind: str) -> None:
    messages = [data for path in sorted((shared_data / "alerts/ztf_tar").glob("*.gz")) for data in _members(path)]
    records = [record for message in messages for record in fastavro.reader(io.BytesIO(message))]
    forms: dict[str, Any] = {
        "binary": pa.array(messages, pa.binary()),
        "large_binary": pa.array(messages, pa.large_binary()),
        "chunked": pa.chunked_array([pa.array(messages[:50]), pa.array(messages[50:])]),
        "sliced": pa.array([b"", b"x", *messages, b"y"])[2:-1],
    }
    columns, rejects = ztf.decode(forms[kind])
    assert rejects == []
    assert len(records) == 130
    compare(columns, records, ztf_expected)


@pytest.mark.parametrize("codec", ["as it is", "deflate"])
def test_ztf_files_of_many_records(shared_data: Path, ztf: AlertDecoder, codec: str) -> None:
    for path in _avro_files(shared_data / "alerts/ztf_bulk"):
        data = path.read_bytes()
        reader = fastavro.reader(io.BytesIO(data))
        records = list(reader)
        messages = list(split_container(data))
        if codec == "deflate":
            messages = [_pack(reader.writer_schema, record, "deflate") for record in records[:8]]
            records = records[:8]
        columns, rejects = ztf.decode(messages)
        assert rejects == [], path.name
        compare(columns, records, ztf_expected)


def _pack(schema: Any, record: Record, codec: str) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema, [record], codec=codec)
    return stream.getvalue()


@pytest.mark.parametrize("folder", ["lsst_packets", "lsst_ocf", "lsst_bulk"])
def test_lsst_containers(shared_data: Path, lsst: AlertDecoder, folder: str) -> None:
    paths = _avro_files(shared_data / "alerts" / folder)
    records = [record for path in paths for record in fastavro.reader(io.BytesIO(path.read_bytes()))]
    messages = [message for path in paths for message in split_container(path.read_bytes())]
    columns, rejects = lsst.decode(messages)
    assert rejects == []
    compare(columns, records, lsst_expected)
    if folder == "lsst_packets":
        whole, rejects = lsst.decode([path.read_bytes() for path in paths])
        assert rejects == []
        compare(whole, records, lsst_expected)


def _published_schema(schema_id: int) -> Any:
    major, minor = divmod(schema_id, 100)
    folder = Path(sysconfig.get_paths()["purelib"]) / f"lsst/alert/packet/schema/{major}/{minor}"
    return fastavro.schema.load_schema(str(folder / f"lsst.v{major}_{minor}.alert.avsc"))


def test_lsst_wire(shared_data: Path, lsst: AlertDecoder) -> None:
    messages = [path.read_bytes() for path in _avro_files(shared_data / "alerts/lsst_wire")]
    records = []
    for message in messages:
        zero, schema_id = struct.unpack(">bi", message[:5])
        assert zero == 0
        records.append(fastavro.schemaless_reader(io.BytesIO(message[5:]), _published_schema(schema_id), None))
    for _ in range(2):
        columns, rejects = lsst.decode(messages)
        assert rejects == []
        compare(columns, records, lsst_expected)


def test_samples_of_every_lsst_version(shared_data: Path, lsst: AlertDecoder) -> None:
    """Those before 8.0 state seconds where days belong: read, found impossible, refused."""
    paths = _avro_files(shared_data / "alerts/lsst_schema_samples")
    records = [next(fastavro.reader(io.BytesIO(path.read_bytes()))) for path in paths]
    columns, rejects = lsst.decode([path.read_bytes() for path in paths])
    late = [i for i, record in enumerate(records) if record["diaSource"]["midpointMjdTai"] < 1e6]
    assert columns.row.tolist() == late
    assert len(late) >= 4
    assert {reject.message for reject in rejects} == {"The packet's midpointMjdTai is not a time of the survey."}
    assert columns.object_id.tolist() == [str(records[i]["diaObject"]["diaObjectId"]) for i in late]
    alone, rejects = lsst.decode([paths[i].read_bytes() for i in late])
    assert rejects == []
    compare(alone, [records[i] for i in late], lsst_expected)


@pytest.mark.parametrize("version", ["6.0", "6.1", "7.0", "7.1", "7.2", "7.3", "7.4"])
def test_limits_and_forced_photometry_before_8(shared_data: Path, lsst: AlertDecoder, version: str) -> None:
    """The samples with days for seconds, and with the histories that they leave out."""
    data = (shared_data / f"alerts/lsst_schema_samples/fakeAlert_v{version}.avro").read_bytes()
    reader = fastavro.reader(io.BytesIO(data))
    record: Any = next(reader)
    for k, source in enumerate([record["diaSource"], *record["prvDiaSources"]]):
        source |= {"midpointMjdTai": 61000.5 - k, "band": "ugrizy"[k], "trailLength": 0.5 * k, "extendedness": 0.25}
        source["diaSourceId"] += k
    where: Record = dict.fromkeys(("ccdVisitId", "visit", "diaForcedSourceId", "detector"), 7001)
    place = {"diaObjectId": 5, "ra": 1.0, "dec": 2.0, "ccdVisitId": 7001, "psfFlux": -12.5, "psfFluxErr": 3.0}
    record["prvDiaForcedSources"] = [
        where | place | {"midpointMjdTai": 60990.0 + k, "band": "gri"[k], "psfFlux": flux}
        for k, flux in enumerate((-12.5, None, math.nan))
    ]
    record["prvDiaNondetectionLimits"] = [
        where | {"midpointMjdTai": 60999.0 - 7 * k, "band": "zyr"[k], "diaNoise": 40.0 + k} for k in range(3)
    ]
    stream = io.BytesIO()
    fastavro.writer(stream, reader.writer_schema, [record])
    truth: Any = next(fastavro.reader(io.BytesIO(stream.getvalue())))
    plain = stream.getvalue()
    columns, rejects = lsst.decode([plain, data, plain])
    assert [reject.row for reject in rejects] == [1]
    assert columns.row.tolist() == [0, 2]
    compare(lsst.decode([plain, plain])[0], [truth, truth], lsst_expected)
    assert np.isfinite(columns.light_curves.upper_limit_njy).sum() == 6
    assert np.diff(columns.forced.offsets).tolist() == [1, 1]
    assert (columns.first_midpoint_mjd_tai == 60998.5).all()


@pytest.mark.parametrize("schema_id", LsstSchemas().ids())
def test_wire_of_every_published_lsst_version(lsst: AlertDecoder, schema_id: int) -> None:
    schema = fastavro.parse_schema(_published_schema(schema_id))
    rng = np.random.default_rng(schema_id)
    record = generate_one(schema)
    source = record["diaSource"]
    names = {"midpointMjdTai": "midPointTai", "band": "filterName", "dec": "decl", "psfFlux": "psFlux"}
    values = {"midpointMjdTai": 61000.25, "band": "z", "dec": -30.5, "psfFlux": 512.0, "ra": 10.5}
    for name, value in values.items():
        source[name if name in source else names[name]] = value
    source["diaSourceId"] = int(rng.integers(2**53, 2**62))
    source["diaObjectId"] = 7
    record["diaObject"] = None
    record["prvDiaSources"] = None
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, record)
    columns, rejects = lsst.decode([struct.pack(">bi", 0, schema_id) + stream.getvalue()])
    assert rejects == []
    assert columns.detection_id.tolist() == [source["diaSourceId"]]
    assert (columns.dec_deg[0], columns.midpoint_mjd_tai[0], columns.psf_flux_njy[0]) == (-30.5, 61000.25, 512.0)
    assert (columns.band[0], columns.object_id[0]) == (4, "7")


def test_corrupt_files_do_not_hurt_their_neighbours(shared_data: Path, ztf: AlertDecoder) -> None:
    corrupt = [path.read_bytes() for path in _avro_files(shared_data / "alerts/malformed")]
    good = [path.read_bytes() for path in _avro_files(shared_data / "alerts/ztf_packets/20180601")[: len(corrupt) + 1]]
    records = [next(fastavro.reader(io.BytesIO(message))) for message in good]
    mixed = [message for pair in zip(good, [*corrupt, b""], strict=True) for message in pair]
    columns, rejects = ztf.decode(mixed)
    assert columns.row.tolist() == list(range(0, len(mixed), 2))
    assert [reject.row for reject in rejects] == list(range(1, len(mixed), 2))
    assert {reject.reason for reject in rejects} == {"malformed"}
    assert columns.detection_id.tolist() == [record["candid"] for record in records]
