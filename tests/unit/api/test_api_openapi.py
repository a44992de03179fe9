"""The OpenAPI document is valid, complete and described in docs/api.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

DOCS = Path(__file__).resolve().parents[3] / "docs" / "api.md"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(client: TestClient) -> Any:
    return client.get("/openapi.json").json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield path, method, operation


def walk(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from walk(child)


def test_references_resolve(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    references = {one["$ref"] for one in walk(document) if isinstance(one, dict) and isinstance(one.get("$ref"), str)}
    assert references
    for reference in references:
        place = document
        assert reference.startswith("#/")
        for part in reference[2:].split("/"):
            assert part in place, reference
            place = place[part]


def test_operations_are_described(document: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names) > 10
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"].endswith("."), path
        assert operation["tags"], path
        named = set(re.findall(r"{(\w+)}", path))
        parameters = operation.get("parameters", [])
        assert named == {one["name"] for one in parameters if one["in"] == "path"}, path
        for one in parameters:
            assert one["description"], (path, one["name"])
            assert one["in"] != "path" or one["required"] is True
        for status, response in operation["responses"].items():
            kinds = set(response["content"])
            content = "application/fits" if "/cutouts/" in path else "application/json"
            content = "text/event-stream" if path.endswith("/stream") else content
            assert kinds == ({content} if status.startswith("2") else {"application/problem+json"}), (method, path)
            assert "HTTPValidationError" not in str(response)


def test_every_field_is_described_and_numbers_carry_units(document: Any) -> None:
    units = {
        "_deg": "[deg]", "_deg2": "[deg^2]", "_arcsec": "[arcsec]", "_njy": "[nJy]",
        "_hz": "[Hz]", "_mjd_tai": "MJD [d, TAI]", "_s": "[s]",
    }  # fmt: skip
    for name, schema in document["components"]["schemas"].items():
        for field, shape in schema.get("properties", {}).items():
            referred = document["components"]["schemas"].get(shape.get("$ref", "").rpartition("/")[2], {})
            described = shape.get("description") or referred.get("description", "")
            assert described.endswith("."), (name, field)
            for suffix, unit in units.items():
                if field.endswith(suffix):
                    assert unit in described, (name, field, described)


def test_64_bit_integers_are_text(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["DetectionResponse"]["properties"]["detection_id"]["type"] == "string"
    assert schemas["ObjectResponse"]["properties"]["healpix29"]["type"] == "string"


def test_docs_describe_exactly_the_routes_there_are(document: Any, app: FastAPI) -> None:
    written = set(re.findall(r"^### `(GET|POST) (\S+)`$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE))
    served = {(method.upper(), path) for path, method, _ in operations(document)} | {
        ("GET", "/"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
    }
    assert written == served
    assert app.docs_url is None, "the framework's page loads scripts from elsewhere"


def test_docs_name_every_parameter(document: Any) -> None:
    sections = re.split(r"^### ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = {section.partition("\n")[0].strip("`"): section for section in sections}
    for path, method, operation in operations(document):
        for one in operation.get("parameters", []):
            assert f"`{one['name']}`" in texts[f"{method.upper()} {path}"], (path, one["name"])
