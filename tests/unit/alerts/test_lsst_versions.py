"""LSST packets of versions that nobody recorded: ELAsTiCC's, old ids, ids that stand in for unknown ones."""

from __future__ import annotations

import copy
import io
import math
import struct
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow.parquet as pq
import pytest

from graph.model import Survey
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import AlertDecoder
from ingest.alerts.lsst_schemas import LsstSchemas

Record = dict[str, Any]


def _record_type(name: str, **kinds: Any) -> Record:
    fields = [{"name": field, "type": kind} for field, kind in kinds.items()]
    return {"type": "record", "name": name, "fields": fields}


def _elasticc_schema() -> Any:
    """Return the types of the challenge of 2022 that carry what we read, in its names."""
    visit = {"ccdVisitId": "long", "diaObjectId": "long", "midPointTai": "double", "filterName": "string"}
    flux = {"psFlux": "float", "psFluxErr": "float"}
    source = _record_type("diaSource", diaSourceId="long", ra="double", decl="double", **visit, **flux)
    forced = _record_type("diaForcedSource", diaForcedSourceId="long", **visit, **flux)
    limit = _record_type("limit", ccdVisitId="long", midPointTai="double", filterName="string", diaNoise="float")
    return fastavro.parse_schema(
        _record_type(
            "alert",
            alertId="long",
            diaSource=source,
            prvDiaSources=["null", {"type": "array", "items": "diaSource"}],
            prvDiaForcedSources=["null", {"type": "array", "items": forced}],
            prvDiaNondetectionLimits=["null", {"type": "array", "items": limit}],
            diaObject=["null", _record_type("diaObject", diaObjectId="long", simVersion=["null", "string"])],
        )
    )


def _container(schema: Any, record: Record) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema, [record])
    return stream.getvalue()


@pytest.mark.parametrize(
    "name", ["agn_elasticc_alerts", "elasticc_sample_seed0", "elasticc_earlysnia_2025", "classId=111/part-0-0"]
)
def test_elasticc(shared_data: Path, name: str) -> None:
    table = pq.ParquetFile(shared_data / f"alerts/elasticc/{name}.parquet")
    wanted = ["alertId", "diaSource", "prvDiaSources", "prvDiaForcedSources", "diaObject"]
    rows = next(table.iter_batches(60, columns=wanted)).to_pylist()
    schema = _elasticc_schema()
    columns, rejects = AlertDecoder(Survey.LSST).decode([_container(schema, row) for row in rows])
    assert rejects == []
    sources = [row["diaSource"] for row in rows]
    assert columns.detection_id.tolist() == [source["diaSourceId"] for source in sources]
    assert columns.object_id.tolist() == [str(source["diaObjectId"]) for source in sources]
    assert columns.dec_deg.tolist() == [source["decl"] for source in sources]
    assert columns.midpoint_mjd_tai.tolist() == [source["midPointTai"] for source in sources]
    np.testing.assert_array_equal(columns.psf_flux_njy, np.array([s["psFlux"] for s in sources], np.float32))
    assert columns.band.tolist() == ["ugrizY".index(source["filterName"]) for source in sources]
    assert set(columns.exposure_id.tolist()) == {-1}
    for i, row in enumerate(rows):
        part = slice(columns.forced.offsets[i], columns.forced.offsets[i + 1])
        past = sorted(row["prvDiaForcedSources"] or [], key=lambda point: point["midPointTai"])
        assert columns.forced.midpoint_mjd_tai[part].tolist() == [point["midPointTai"] for point in past]
        np.testing.assert_array_equal(
            columns.forced.psf_flux_njy[part], np.array([p["psFlux"] for p in past], np.float32)
        )
        n_points = columns.light_curves.offsets[i + 1] - columns.light_curves.offsets[i]
        assert n_points == 1 + len(row["prvDiaSources"] or [])


def _least(kind: Any) -> Any:
    """Return a value of a type: null where it may be, else 1, an empty text or a record of such."""
    if isinstance(kind, list):
        return None if "null" in kind else _least(kind[0])
    if isinstance(kind, dict):
        return {field["name"]: _least(field["type"]) for field in kind["fields"]}
    return {"string": "", "boolean": False}.get(kind, 1)


def _datum(schema_id: int, **changes: Any) -> bytes:
    """Return a plausible datum in a published schema."""
    schema = LsstSchemas().schema(schema_id)
    record = _least(schema)
    source = record["diaSource"]
    names = {"midpointMjdTai": "midPointTai", "band": "filterName", "dec": "decl", "psfFlux": "psFlux"}
    values = {"midpointMjdTai": 61000.25, "band": "z", "dec": -60.0, "psfFlux": 512.0, "ra": 10.5, "diaObjectId": 7}
    for name, value in (values | {"diaSourceId": 2**60 + 1} | changes).items():
        (record if name == "ssSource" else source)[name if name in source else names.get(name, name)] = value
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(copy.deepcopy(schema)), record)
    return stream.getvalue()


def _wire(schema_id: int, datum: bytes) -> bytes:
    return struct.pack(">bi", 0, schema_id) + datum


@pytest.mark.parametrize(("unknown", "nearest"), [(1102, 1101), (401, 400), (799, 704), (602, 601), (1199, 1101)])
def test_an_unknown_id_is_read_like_its_nearest(unknown: int, nearest: int) -> None:
    decoder = AlertDecoder(Survey.LSST)
    datum = _datum(nearest)
    for _ in range(2):
        columns, rejects = decoder.decode([_wire(unknown, datum), _wire(nearest, datum), _wire(unknown, datum)])
        assert rejects == []
        assert columns.detection_id.tolist() == [2**60 + 1] * 3
        assert columns.dec_deg.tolist() == [-60.0] * 3


@pytest.mark.parametrize(
    ("datum", "words"),
    [
        (_datum(1101) + b"\x00", "bytes are left over"),
        (_datum(1101)[:-1], "bytes end before"),
        (_datum(1101, dec=-91.0), "position is not on the sky"),
        (_datum(1101, midpointMjdTai=1.0), "midpointMjdTai"),
        (b"", "bytes end before"),
    ],
)
def test_what_does_not_fit_the_nearest_schema_is_unknown(datum: bytes, words: str) -> None:
    good = _wire(1101, _datum(1101))
    columns, rejects = AlertDecoder(Survey.LSST).decode([good, _wire(1102, datum), good])
    assert columns.row.tolist() == [0, 2]
    assert [(reject.row, reject.reason) for reject in rejects] == [(1, "unknown_schema")]
    opening = "No schema is known for id 1102 (asked: the published schemas), and the nearest, 1101, does not fit: "
    assert rejects[0].message.startswith(opening)
    assert words in rejects[0].message


def test_a_fault_of_a_known_schema_stays_one() -> None:
    _, rejects = AlertDecoder(Survey.LSST).decode([_wire(1101, _datum(1101) + b"\x00")])
    assert [(reject.reason, reject.message) for reject in rejects] == [
        ("malformed", "Bytes are left over after the record.")
    ]


@pytest.mark.parametrize("schema_id", [0, 1, 200, 1200, 2**31 - 1])
def test_no_major_version_no_guess(schema_id: int) -> None:
    _, rejects = AlertDecoder(Survey.LSST).decode([_wire(schema_id, _datum(1101))])
    assert rejects[0].message == f"No schema is known for id {schema_id} (asked: the published schemas)."


def test_many_unknown_ids_leave_room_for_known_ones() -> None:
    """Corrupt ids are no new schemas: they use up nothing."""
    good = _wire(1101, _datum(1101))
    columns, rejects = AlertDecoder(Survey.LSST).decode([*(_wire(k, b"x" * 20) for k in range(5000, 5500)), good])
    assert columns.row.tolist() == [500]
    assert len(rejects) == 500


def _one(**changes: Any) -> AlertColumns:
    version = changes.pop("version", 1101)
    columns, rejects = AlertDecoder(Survey.LSST).decode([_wire(version, _datum(version, **changes))])
    assert rejects == []
    return columns


@pytest.mark.parametrize(
    ("name", "value", "column", "expected"),
    [
        ("visit", 2026071400123, "exposure_id", 2026071400123),
        ("visit", 0, "exposure_id", -1),
        ("trailLength", 4.5, "trail_length_arcsec", 4.5),
        ("trailLength", -1.0, "trail_length_arcsec", math.nan),
        ("trailLength", None, "trail_length_arcsec", math.nan),
        ("glint_trail", True, "is_streak", True),
        ("glint_trail", False, "is_streak", False),
        ("glint_trail", None, "is_streak", False),
        ("extendedness", 0.75, "extendedness", 0.75),
        ("extendedness", math.inf, "extendedness", math.nan),
    ],
)
def test_what_a_source_says_of_its_exposure(name: str, value: object, column: str, expected: float) -> None:
    np.testing.assert_array_equal(getattr(_one(**{name: value}), column), [expected])


@pytest.mark.parametrize(
    ("version", "ours", "arcsec"),
    [
        (1101, {"ephOffset": 0.5, "ephOffsetRa": 9.0}, 0.5),
        (900, {"residualRa": 0.002, "residualDec": -0.001}, 3600.0 * math.hypot(0.001, 0.001)),
        (900, {"residualRa": 0.002, "residualDec": None}, math.nan),
    ],
)
def test_distance_of_moving_bodies(version: int, ours: Record, arcsec: float) -> None:
    kinds = next(part["type"] for part in LsstSchemas().schema(version)["fields"] if part["name"] == "ssSource")
    body = _least(next(kind for kind in kinds if kind != "null"))
    found = _one(version=version, ssSource=body | ours)
    np.testing.assert_allclose(found.solar_system_separation_arcsec, [arcsec], rtol=1e-6)
