"""VOEvent 2.0 documents as missions write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Sequence

_VOE = "http://www.ivoa.net/xml/VOEvent/v2.0"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_LOCATION = "http://www.ivoa.net/xml/VOEvent/v2.0  http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd"


class Param(NamedTuple):
    """A named value."""

    name: str
    value: object
    unit: str = ""
    ucd: str = ""


class Group(NamedTuple):
    """Named values under a common name."""

    name: str
    params: tuple[Param, ...]


class Position(NamedTuple):
    """A position with its stated error; zeros stand for none in GCN classic notices."""

    ra_deg: float
    dec_deg: float
    error_deg: float


@dataclass(frozen=True, slots=True)
class Document:
    """What a VOEvent says."""

    ivorn: str
    author_ivorn: str
    author: tuple[tuple[str, str], ...]
    """Elements of ``Author`` and their text."""
    date: str
    what: Sequence[Param | Group]
    time: str
    """ISO time of the trigger, UTC."""
    position: Position | None
    coordinate_system: str
    description: str
    why: tuple[float, float, str] | None = None
    """Importance, probability and concept."""
    citations: tuple[tuple[str, str], ...] = ()
    """Pairs of relation and IVORN."""


def iso(moment: datetime, digits: int = 2) -> str:
    """Return a UTC time without a zone, as GCN classic writes it, cut to so many digits of the second."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[: 20 + digits] if digits else text[:19]


def render(document: Document) -> bytes:
    """Write a document as XML."""
    ET.register_namespace("voe", _VOE)
    ET.register_namespace("xsi", _XSI)
    attributes = {
        "ivorn": document.ivorn,
        "role": "observation",
        "version": "2.0",
        f"{{{_XSI}}}schemaLocation": _LOCATION,
    }
    root = ET.Element(f"{{{_VOE}}}VOEvent", attributes)
    who = ET.SubElement(root, "Who")
    _text(who, "AuthorIVORN", document.author_ivorn)
    author = ET.SubElement(who, "Author")
    for name, value in document.author:
        _text(author, name, value)
    _text(who, "Date", document.date)
    what = ET.SubElement(root, "What")
    for entry in document.what:
        if isinstance(entry, Group):
            group = ET.SubElement(what, "Group", {"name": entry.name})
            for param in entry.params:
                _param(group, param)
        else:
            _param(what, entry)
    _where_when(root, document)
    how = ET.SubElement(root, "How")
    _text(how, "Description", document.description)
    if document.why is not None:
        importance, probability, concept = document.why
        why = ET.SubElement(root, "Why", {"importance": f"{importance:g}"})
        _text(ET.SubElement(why, "Inference", {"probability": f"{probability:g}"}), "Concept", concept)
    if document.citations:
        citations = ET.SubElement(root, "Citations")
        for relation, ivorn in document.citations:
            ET.SubElement(citations, "EventIVORN", {"cite": relation}).text = ivorn
    ET.indent(root)
    return b"<?xml version='1.0' encoding='UTF-8'?>\n" + ET.tostring(root) + b"\n"


def _text(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, name).text = value


def _param(parent: ET.Element, param: Param) -> None:
    value = str(param.value).lower() if isinstance(param.value, bool) else str(param.value)
    optional = {key: text for key, text in (("unit", param.unit), ("ucd", param.ucd)) if text}
    ET.SubElement(parent, "Param", {"name": param.name, "value": value, **optional})


def _where_when(root: ET.Element, document: Document) -> None:
    data = ET.SubElement(ET.SubElement(root, "WhereWhen"), "ObsDataLocation")
    ET.SubElement(data, "ObservatoryLocation", {"id": "GEOLUN"})
    place = ET.SubElement(data, "ObservationLocation")
    ET.SubElement(place, "AstroCoordSystem", {"id": document.coordinate_system})
    coords = ET.SubElement(place, "AstroCoords", {"coord_system_id": document.coordinate_system})
    instant = ET.SubElement(ET.SubElement(coords, "Time", {"unit": "s"}), "TimeInstant")
    _text(instant, "ISOTime", document.time)
    if document.position is None:
        return
    position = ET.SubElement(coords, "Position2D", {"unit": "deg"})
    _text(position, "Name1", "RA")
    _text(position, "Name2", "Dec")
    value = ET.SubElement(position, "Value2")
    _text(value, "C1", f"{document.position.ra_deg:.4f}")
    _text(value, "C2", f"{document.position.dec_deg:.4f}")
    _text(position, "Error2Radius", f"{document.position.error_deg:.4f}")
