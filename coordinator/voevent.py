"""Coincidences as VOEvent 2.0, for the robots that read nothing else.

A packet reports one state of one pair: the object's position and first detection, the evidence, the notices and
classifiers behind it. It cites the mission's packet as followed up and our own earlier packet as superseded or, when
the pair was withdrawn, as retracted.

References
----------
VOEvent 2.0, IVOA Recommendation of 11 July 2011.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from coordinator.coincidence import is_real
from coordinator.messages import POSITION_ERROR_DEG, REFERENCE_TYPES, REPORTER, class_of, withdrawal_reason
from coordinator.windows import science_case_of, window_of
from graph.model import AlertType
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from datetime import datetime

    from coordinator.messages import Announcement
    from graph.model import Event

NAMESPACE: Final = "http://www.ivoa.net/xml/VOEvent/v2.0"
"""Namespace of the root element; the elements below it have none."""

INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
"""Namespace of the attribute that names the schema."""

SCHEMA_LOCATION: Final = f"{NAMESPACE} http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd"
"""Where a validating reader finds the schema of the namespace."""

COORDINATE_SYSTEM: Final = "UTC-ICRS-TOPO"
"""Times in UTC, positions ICRS, as seen from the ground: VOEvent's name for it."""

METHOD: Final = (
    "The object was first detected within {start:g} d to {stop:g} d of the event and lies in the credible region of "
    "its localization. The chance probability is that of at least one unrelated new object as central in the whole "
    "window; the joint false-alarm rate is how often chance makes such a pair."
)
"""How a coincidence is found, for people."""

_UNFIT: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to say, not even escaped."""


def voevent(news: Announcement, authority: str) -> bytes:
    """Return a state of a pair as a VOEvent 2.0 document in UTF-8; the same state gives the same bytes.

    Parameters
    ----------
    authority : authority part of our IVORNs.
    """
    ET.register_namespace("voe", NAMESPACE)
    ET.register_namespace("xsi", INSTANCE)
    attributes = {
        "ivorn": news.ivorn,
        "role": "observation" if is_real(news.event) else "test",
        "version": "2.0",
        f"{{{INSTANCE}}}schemaLocation": SCHEMA_LOCATION,
    }
    root = ET.Element(f"{{{NAMESPACE}}}VOEvent", attributes)
    _who(root, news, authority)
    _what(root, news)
    if news.first_seen is not None:
        _where_when(root, news, news.first_seen)
    window = window_of(news.event)
    days = {"start": window.start_s / SECONDS_PER_DAY, "stop": window.stop_s / SECONDS_PER_DAY}
    _text(ET.SubElement(root, "How"), "Description", METHOD.format(**days))
    _why(root, news)
    _citations(root, news)
    ET.indent(root)
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{ET.tostring(root, encoding='unicode')}\n".encode()


def _who(root: ET.Element, news: Announcement, authority: str) -> None:
    who = ET.SubElement(root, "Who")
    _text(who, "AuthorIVORN", f"ivo://{authority}/heliograph")
    author = ET.SubElement(who, "Author")
    _text(author, "title", f"{REPORTER}: coincidences of survey objects and multi-messenger events")
    _text(author, "shortName", REPORTER)
    if news.data_time is not None:
        _text(who, "Date", _iso(news.data_time, "seconds"))


def _what(root: ET.Element, news: Announcement) -> None:
    """Write what is known of the pair, then its evidence and its inputs in groups."""
    pair, event = news.pair, news.event
    what = ET.SubElement(root, "What")
    _param(what, "alert_type", news.alert_type.value)
    _param(what, "record_number", news.number)
    _param(what, "state", pair.state.value)
    _param(what, "event_key", pair.event_key, ucd="meta.id.assoc")
    _param(what, "survey", pair.survey.value)
    _param(what, "object_id", pair.object_id, ucd="meta.id;meta.main")
    _param(what, "delta_t", pair.delta_t_s, "s", "time.interval")
    _param(what, "credible_level", pair.credible_level)
    if pair.separation_deg is not None:
        _param(what, "separation", pair.separation_deg, "deg", "pos.angDistance")
    _param(what, "p_chance", pair.p_chance, ucd="stat.probability")
    _param(what, "far", pair.joint_far_hz, "Hz", "arith.rate;stat.falsealarm")
    _param(what, "log_bayes_factor", pair.log_bayes_factor)
    if event.p_astro is not None:
        _param(what, "p_astro", event.p_astro, ucd="stat.probability")
    for name, probability in (class_of(pair.terms) or {}).items():
        _param(what, "class", name, ucd="src.class")
        _param(what, "class_probability", probability, ucd="stat.probability")
    if pair.terms:
        evidence = ET.SubElement(what, "Group", {"name": "evidence", "type": "log_bayes_factor"})
        for term in pair.terms:
            _param(evidence, term.name, term.value)
    inputs = ET.SubElement(what, "Group", {"name": "inputs"})
    _param(inputs, "event_revision", event.revision)
    for notice_id in event.notice_ids:
        _param(inputs, "notice_id", notice_id)
    if event.localization_notice_id is not None:
        _param(inputs, "localization_notice_id", event.localization_notice_id)
    for classifier, version in () if news.found is None else news.found.classifiers:
        _param(inputs, "classifier", f"{classifier} {version}")


def _where_when(root: ET.Element, news: Announcement, first_seen: datetime) -> None:
    """Write the object's position and the time of its first detection."""
    data = ET.SubElement(ET.SubElement(root, "WhereWhen"), "ObsDataLocation")
    ET.SubElement(data, "ObservatoryLocation", {"id": news.pair.survey.value.upper()})
    place = ET.SubElement(data, "ObservationLocation")
    ET.SubElement(place, "AstroCoordSystem", {"id": COORDINATE_SYSTEM})
    coords = ET.SubElement(place, "AstroCoords", {"coord_system_id": COORDINATE_SYSTEM})
    instant = ET.SubElement(ET.SubElement(coords, "Time", {"unit": "s"}), "TimeInstant")
    _text(instant, "ISOTime", _iso(first_seen, "microseconds"))
    if news.found is None:
        return
    position = ET.SubElement(coords, "Position2D", {"unit": "deg"})
    _text(position, "Name1", "RA")
    _text(position, "Name2", "Dec")
    value = ET.SubElement(position, "Value2")
    _text(value, "C1", repr(news.found.ra_deg))
    _text(value, "C2", repr(news.found.dec_deg))
    _text(position, "Error2Radius", repr(POSITION_ERROR_DEG))


def _why(root: ET.Element, news: Announcement) -> None:
    """Write what the pair may mean, or why it no longer does; a probability of association is not known."""
    why = ET.SubElement(root, "Why")
    if news.alert_type is AlertType.RETRACTION:
        _text(why, "Description", withdrawal_reason(news.event))
        return
    inference = ET.SubElement(why, "Inference", {"relation": "associated"})
    _text(inference, "Name", _name_of(news.event))
    _text(inference, "Concept", "possible counterpart")


def _name_of(event: Event) -> str:
    """Return how people call an event: its kind and its first name."""
    kind = REFERENCE_TYPES.get(science_case_of(event), "")
    return f"{kind} {event.mission} {next(iter(event.event_names), event.event_id)}".strip()


def _citations(root: ET.Element, news: Announcement) -> None:
    """Cite the mission's packet and our own earlier one; the schema has no empty list of citations."""
    own = "retraction" if news.alert_type is AlertType.RETRACTION else "supersedes"
    cited = [(own, news.previous_ivorn), ("followup", news.notices.ivorn)]
    known = [(how, ivorn) for how, ivorn in cited if ivorn is not None]
    if known:
        citations = ET.SubElement(root, "Citations")
        for how, ivorn in known:
            ET.SubElement(citations, "EventIVORN", {"cite": how}).text = ivorn


def _text(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, name).text = _fit(value)


def _param(parent: ET.Element, name: str, value: str | float, unit: str = "", ucd: str = "") -> None:
    kind = "string" if isinstance(value, str) else "int" if isinstance(value, int) else "float"
    text = _fit(value) if isinstance(value, str) else repr(value)
    optional = {key: word for key, word in (("unit", unit), ("ucd", ucd)) if word}
    ET.SubElement(parent, "Param", {"name": _fit(name), "value": text, "dataType": kind, **optional})


def _fit(text: str) -> str:
    """Return text without what XML cannot hold; identifiers from outside may have any characters."""
    return _UNFIT.sub("\ufffd", text)


def _iso(moment: datetime, precision: str) -> str:
    """Return a UTC time as VOEvent writes it: without a zone, which is always UTC."""
    return moment.replace(tzinfo=None).isoformat(timespec=precision)
