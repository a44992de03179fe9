"""Schemas by id: published ones, unknown ones, and ones that are registered later."""

from __future__ import annotations

import copy
import io
from typing import Any

import fastavro
import pytest

from graph.errors import UnknownSchemaError
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.alerts.lsst_schemas import LsstSchemas


def _field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind}


def test_schema_ids() -> None:
    schemas = LsstSchemas()
    decoder = AlertDecoder(Survey.LSST, schemas)
    columns, rejects = decoder.decode([b"\x00\x00\x00\x27\x0f" + b"datum"])
    assert len(columns) == 0
    sentence = "No schema is known for id 9999 (asked: the published schemas)."
    assert (rejects[0].reason, rejects[0].message) == ("unknown_schema", sentence)
    with pytest.raises(UnknownSchemaError):
        schemas.schema(9999)
    source = {"diaSourceId": "long", "ra": "double", "decl": "double", "midPointTai": "double", "filterName": "string"}
    source |= {"psFlux": "float", "psFluxErr": "float", "diaObjectId": "long"}
    fields = [_field(*item) for item in source.items()]
    schemas.register(
        9999,
        {
            "type": "record",
            "name": "alert",
            "fields": [
                _field("diaSource", {"type": "record", "name": "diaSource", "fields": fields}),
                _field("prvDiaSources", ["null", {"type": "array", "items": "diaSource"}]),
            ],
        },
    )
    now = {"diaSourceId": 9, "ra": 1.0, "decl": 2.0, "midPointTai": 60000.5, "filterName": "Y", "psFlux": 3.0}
    now |= {"psFluxErr": 0.5, "diaObjectId": 2**62 + 1}
    stream = io.BytesIO()
    past = [now | {"diaSourceId": 8, "midPointTai": 59999.5}, now]
    fastavro.schemaless_writer(stream, schemas.schema(9999), {"diaSource": now, "prvDiaSources": past})
    columns, rejects = decoder.decode([b"\x00\x00\x00\x27\x0f" + stream.getvalue()])
    assert rejects == []
    assert columns.object_id.tolist() == ["4611686018427387905"]
    assert columns.light_curves.midpoint_mjd_tai.tolist() == [59999.5, 60000.5]
    assert columns.first_midpoint_mjd_tai.tolist() == [59999.5]
    assert columns.light_curves.band.tolist() == [5, 5]


def test_published_schemas_stand_alone() -> None:
    schemas = LsstSchemas()
    assert {704, 900, 1000, 1101} <= set(schemas.ids())
    for schema_id in schemas.ids():
        fastavro.parse_schema(copy.deepcopy(schemas.schema(schema_id)))
