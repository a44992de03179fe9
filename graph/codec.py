"""The common language as JSON: notices, events, coincidences, targets and lists to bytes and back, exactly.

Keys are the field names of `graph.model`. A body carries ``$schema`` with its kind and version, so that a reader of
another version refuses it instead of guessing. The conversion follows the types of the fields: it has no table to
keep in step with the model.
"""

from __future__ import annotations

import base64
import binascii
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from graph import model
from graph.errors import MalformedPacketError, UnknownSchemaError
from graph.sky import SkyMap
from graph.skymap_bytes import skymap_from_bytes, skymap_to_bytes
from graph.times import format_utc, parse_utc

ModelT = TypeVar("ModelT")

SCHEMAS: Final[Mapping[type, str]] = {
    model.Notice: "heliograph/notice/1",
    model.Event: "heliograph/event/1",
    model.Coincidence: "heliograph/coincidence/1",
    model.EventPair: "heliograph/event-pair/1",
    model.Target: "heliograph/target/1",
    model.FollowUpList: "heliograph/follow-up-list/1",
}
"""Kind and version of each body; a change that an older reader would misread gets a new number."""

_LOCALIZATION_KINDS: Final[Mapping[str, type]] = {"circle": model.Circle, "ellipse": model.Ellipse}
_LARGEST_JSON_INT: Final = 2**63 - 1
"""Integers beyond 64 bits, which some packets carry as identifiers, have no JSON form here and become text."""
_DEEPEST_EXTRA: Final = 32
"""Levels of nested foreign content that are kept: no notice has more than 6, and a hostile one must not recurse."""


def to_json(value: object) -> dict[str, object]:
    """Return a value of the model as JSON-ready mappings, lists, text, numbers and None.

    Raises
    ------
    ValueError : a field of the model is not finite; such a value has no JSON form.
    """
    body = _encode(value)
    if not isinstance(body, dict):
        raise TypeError(f"{type(value).__name__} is not a value of the model")
    schema = SCHEMAS.get(type(value))
    return body if schema is None else {"$schema": schema, **body}


def from_json(kind: type[ModelT], body: object) -> ModelT:
    """Rebuild a value of the model from what `to_json` made.

    Raises
    ------
    UnknownSchemaError : the body is of another kind or version.
    MalformedPacketError : a field is absent, unknown to its type or out of bounds.
    """
    if not isinstance(body, dict):
        raise MalformedPacketError(f"a {kind.__name__} is a JSON object")
    if body.get("$schema") != SCHEMAS.get(kind):
        raise UnknownSchemaError(f"the schema {str(body.get('$schema'))[:80]!r} is not that of a {kind.__name__}")
    result: ModelT = _decode_fields(kind, body, kind.__name__)
    return result


def to_bytes(value: object) -> bytes:
    """Return a value of the model as UTF-8 JSON with sorted keys: the same value gives the same bytes."""
    return orjson.dumps(to_json(value), option=orjson.OPT_SORT_KEYS)


def from_bytes(kind: type[ModelT], payload: bytes) -> ModelT:
    """Rebuild a value of the model from UTF-8 JSON.

    Raises
    ------
    UnknownSchemaError : the body is of another kind or version.
    MalformedPacketError : the bytes are not JSON, or a field is wrong.
    """
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedPacketError(f"a {kind.__name__} is not JSON: {error}") from error
    return from_json(kind, body)


def _encode(value: Any) -> object:  # noqa: ANN401, PLR0911 - every type of the model, one return for each
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, SkyMap):
        return {"kind": "skymap", "skymap": base64.b64encode(skymap_to_bytes(value)).decode("ascii")}
    if isinstance(value, model.Circle | model.Ellipse):
        return {"kind": type(value).__name__.lower(), **_encode_fields(value)}
    if is_dataclass(value):
        return _encode_fields(value)
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"a {type(value).__name__} of {value} has no JSON form")
    return str(value) if isinstance(value, str) else value


def _encode_fields(value: Any) -> dict[str, object]:  # noqa: ANN401 - any dataclass of the model
    return {
        field.name: (_wire if field.name == "extra" else _encode)(getattr(value, field.name)) for field in fields(value)
    }


def _wire(value: Any, depth: int = 0) -> object:  # noqa: ANN401 - wire content of any quality
    """Return foreign content as JSON; what JSON cannot say becomes None or text instead of an error."""
    if isinstance(value, Mapping | tuple | list):
        if depth == _DEEPEST_EXTRA:
            return None
        if isinstance(value, Mapping):
            return {str(key): _wire(item, depth + 1) for key, item in value.items()}
        return [_wire(item, depth + 1) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _LARGEST_JSON_INT):
        return value
    return str(value)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _decode_fields(kind: type, body: Mapping[str, object], path: str) -> Any:  # noqa: ANN401 - the kind says which
    hints = _hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in body:
            values[field.name] = _decode(hints[field.name], body[field.name], f"{path}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise MalformedPacketError(f"{path}.{field.name} is absent")
    return kind(**values)


def _decode(hint: Any, value: Any, path: str) -> Any:  # noqa: ANN401, C901, PLR0911 - one return for each kind of type
    """Return a JSON value as the type of a field; raise `MalformedPacketError` where it is not one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(arguments, value, path)
    if origin is tuple and isinstance(value, list):
        return tuple(_decode(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: _decode(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if hint is object:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is datetime and isinstance(value, str):
        try:
            return parse_utc(value)
        except (ValueError, OverflowError) as error:
            raise MalformedPacketError(f"{path} is not a time") from error
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        try:
            return hint(value)
        except ValueError as error:
            raise MalformedPacketError(f"{path} is not a {hint.__name__}") from error
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict):
        return _decode_fields(hint, value, path)
    raise MalformedPacketError(f"{path} is of the wrong type")


def _decode_union(arguments: tuple[Any, ...], value: Any, path: str) -> Any:  # noqa: ANN401 - see _decode
    if value is None and type(None) in arguments:
        return None
    if SkyMap in arguments:
        return _decode_localization(value, path)
    # A term's inputs are numbers, text or nothing: the JSON type decides.
    if isinstance(value, str) and str in arguments:
        return value
    (argument,) = [argument for argument in arguments if argument not in (str, type(None))] or [str]
    return _decode(argument, value, path)


def _decode_localization(value: Any, path: str) -> model.Localization:  # noqa: ANN401 - see _decode
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "skymap" and isinstance(value.get("skymap"), str):
        try:
            return skymap_from_bytes(base64.b64decode(value["skymap"], validate=True))
        except (binascii.Error, ValueError) as error:
            raise MalformedPacketError(f"{path}.skymap is not base64") from error
    if not isinstance(kind, str) or kind not in _LOCALIZATION_KINDS:
        raise MalformedPacketError(f"{path} is not a circle, an ellipse or a sky map")
    result: model.Localization = _decode_fields(_LOCALIZATION_KINDS[kind], value, path)
    return result
