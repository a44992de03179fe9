"""Coincidences and pairs of events as VOEvent 2.0, for the robots that read nothing else.

A packet reports one state of one pair: the object's position and first detection, or the two triggers; the evidence,
the notices and classifiers behind it. It cites the missions' packets as followed up and our own earlier packet as
superseded or, when the pair was withdrawn, as retracted.

References
----------
VOEvent 2.0, IVOA Recommendation of 11 July 2011.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from coordinator.coincidence import is_real
from coordinator.event_pair_messages import pair_withdrawal_reason
from coordinator.messages import (
    POSITION_ERROR_DEG,
    REFERENCE_TYPES,
    REPORTER,
    class_of,
    withdrawal_reason,
)
from coordinator.windows import science_case_of, window_of
from graph.model import AlertType
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from coordinator.event_pair_messages import PairAnnouncement
    from coordinator.messages import Announcement
    from graph.model import Event, Term

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

PAIR_METHOD: Final = (
    "The triggers of the two events lie in the window of their kinds and their localizations speak for one place. The "
    "joint false-alarm rate is how often chance makes such a pair, the evidence compares one source with chance."
)
"""How a pair of events is found, for people."""

_UNFIT: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to say, not even escaped."""


def voevent(news: Announcement, authority: str) -> bytes:
    """Return a state of a pair as a VOEvent 2.0 document in UTF-8; the same state gives the same bytes.

    Parameters
    ----------
    authority : authority part of our IVORNs.
    """
    root = _root(news.ivorn, is_observation=is_real(news.event))
    _who(root, news.data_time, authority)
    _what(root, news)
    if news.first_seen is not None:
        _where_when(root, news, news.first_seen)
    window = window_of(news.event)
    days = {"start": window.start_s / SECONDS_PER_DAY, "stop": window.stop_s / SECONDS_PER_DAY}
    _text(ET.SubElement(root, "How"), "Description", METHOD.format(**days))
    _why(root, news)
    _citations(root, news, [news.notices.ivorn])
    return _to_bytes(root)


def event_pair_voevent(news: PairAnnouncement, authority: str) -> bytes:
    """Return a state of a pair of events as a VOEvent 2.0 document in UTF-8; the same state gives the same bytes.

    Parameters
    ----------
    authority : authority part of our IVORNs.
    """
    root = _root(news.ivorn, is_observation=all(is_real(event) for event, _ in news.events))
    _who(root, news.data_time, authority)
    _what_of_pair(root, news)
    first = next((event for event, _ in news.events if event.event_key == news.pair.first_key), None)
    if first is not None and first.trigger_time is not None:
        _coords(root, REPORTER, first.trigger_time)
    _text(ET.SubElement(root, "How"), "Description", PAIR_METHOD)
    why = ET.SubElement(root, "Why")
    if news.alert_type is AlertType.RETRACTION:
        _text(why, "Description", pair_withdrawal_reason(news))
    else:
        inference = ET.SubElement(why, "Inference", {"relation": "associated"})
        for event, _ in news.events:
            _text(inference, "Name", _name_of(event))
        _text(inference, "Concept", "possibly one source")
    _citations(root, news, [facts.ivorn for _, facts in news.events])
    return _to_bytes(root)


def _root(ivorn: str, *, is_observation: bool) -> ET.Element:
    ET.register_namespace("voe", NAMESPACE)
    ET.register_namespace("xsi", INSTANCE)
    attributes = {
        "ivorn": ivorn,
        "role": "observation" if is_observation else "test",
        "version": "2.0",
        f"{{{INSTANCE}}}schemaLocation": SCHEMA_LOCATION,
    }
    return ET.Element(f"{{{NAMESPACE}}}VOEvent", attributes)


def _to_bytes(root: ET.Element) -> bytes:
    ET.indent(root)
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{ET.tostring(root, encoding='unicode')}\n".encode()


def _who(root: ET.Element, data_time: datetime | None, authority: str) -> None:
    who = ET.SubElement(root, "Who")
    _text(who, "AuthorIVORN", f"ivo://{authority}/heliograph")
    author = ET.SubElement(who, "Author")
    _text(author, "title", f"{REPORTER}: coincidences of survey objects and multi-messenger events")
    _text(author, "shortName", REPORTER)
    if data_time is not None:
        _text(who, "Date", _iso(data_time, "seconds"))


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
    if news.association_probability is not None:
        _param(what, "association_probability", news.association_probability, ucd="stat.probability")
    if news.association is not None:
        none = news.association.no_counterpart_probability
        _param(what, "no_counterpart_probability", none, ucd="stat.probability")
    _evidence(what, pair.terms)
    inputs = ET.SubElement(what, "Group", {"name": "inputs"})
    _param(inputs, "event_revision", event.revision)
    for notice_id in event.notice_ids:
        _param(inputs, "notice_id", notice_id)
    if event.localization_notice_id is not None:
        _param(inputs, "localization_notice_id", event.localization_notice_id)
    for classifier, version in () if news.found is None else news.found.classifiers:
        _param(inputs, "classifier", f"{classifier} {version}")


def _what_of_pair(root: ET.Element, news: PairAnnouncement) -> None:
    """Write what is known of a pair of events, then its evidence, its inputs and the joint event in groups."""
    pair = news.pair
    what = ET.SubElement(root, "What")
    _param(what, "alert_type", news.alert_type.value)
    _param(what, "record_number", news.number)
    _param(what, "state", pair.state.value)
    _param(what, "first_key", pair.first_key, ucd="meta.id.assoc")
    _param(what, "second_key", pair.second_key, ucd="meta.id.assoc")
    _param(what, "delta_t", pair.delta_t_s, "s", "time.interval")
    if pair.overlap is not None:
        _param(what, "overlap", pair.overlap)
    _param(what, "far", pair.joint_far_hz, "Hz", "arith.rate;stat.falsealarm")
    _param(what, "log_bayes_factor", pair.log_bayes_factor)
    _evidence(what, pair.terms)
    for event, _ in news.events:
        inputs = ET.SubElement(what, "Group", {"name": _fit(event.event_key), "type": "inputs"})
        _param(inputs, "event_revision", event.revision)
        if event.p_astro is not None:
            _param(inputs, "p_astro", event.p_astro, ucd="stat.probability")
        if event.far_hz is not None:
            _param(inputs, "far", event.far_hz, "Hz", "arith.rate;stat.falsealarm")
        for notice_id in event.notice_ids:
            _param(inputs, "notice_id", notice_id)
    if news.joint is not None:
        whole = ET.SubElement(what, "Group", {"name": "joint_event"})
        _param(whole, "joint_event_id", news.joint.joint_event_id, ucd="meta.id")
        _param(whole, "far", news.joint.joint_far_hz, "Hz", "arith.rate;stat.falsealarm")
        for event_key in news.joint.event_keys:
            _param(whole, "event_key", event_key, ucd="meta.id.assoc")
        for object_key, _ in news.joint.counterparts:
            _param(whole, "object_key", object_key, ucd="meta.id.assoc")


def _evidence(what: ET.Element, terms: Sequence[Term]) -> None:
    if terms:
        evidence = ET.SubElement(what, "Group", {"name": "evidence", "type": "log_bayes_factor"})
        for term in terms:
            _param(evidence, term.name, term.value)


def _where_when(root: ET.Element, news: Announcement, first_seen: datetime) -> None:
    """Write the object's position and the time of its first detection."""
    coords = _coords(root, news.pair.survey.value.upper(), first_seen)
    if news.found is None:
        return
    position = ET.SubElement(coords, "Position2D", {"unit": "deg"})
    _text(position, "Name1", "RA")
    _text(position, "Name2", "Dec")
    value = ET.SubElement(position, "Value2")
    _text(value, "C1", repr(news.found.ra_deg))
    _text(value, "C2", repr(news.found.dec_deg))
    _text(position, "Error2Radius", repr(POSITION_ERROR_DEG))


def _coords(root: ET.Element, observatory: str, moment: datetime) -> ET.Element:
    """Write when something was seen; return where its position may be added."""
    data = ET.SubElement(ET.SubElement(root, "WhereWhen"), "ObsDataLocation")
    ET.SubElement(data, "ObservatoryLocation", {"id": observatory})
    place = ET.SubElement(data, "ObservationLocation")
    ET.SubElement(place, "AstroCoordSystem", {"id": COORDINATE_SYSTEM})
    coords = ET.SubElement(place, "AstroCoords", {"coord_system_id": COORDINATE_SYSTEM})
    instant = ET.SubElement(ET.SubElement(coords, "Time", {"unit": "s"}), "TimeInstant")
    _text(instant, "ISOTime", _iso(moment, "microseconds"))
    return coords


def _why(root: ET.Element, news: Announcement) -> None:
    """Write what the pair may mean and how probable that is, or why it no longer does."""
    why = ET.SubElement(root, "Why")
    if news.alert_type is AlertType.RETRACTION:
        _text(why, "Description", withdrawal_reason(news.event))
        return
    known = news.association_probability
    probable = {} if known is None else {"probability": repr(known)}
    inference = ET.SubElement(why, "Inference", {**probable, "relation": "associated"})
    _text(inference, "Name", _name_of(news.event))
    _text(inference, "Concept", "possible counterpart")


def _name_of(event: Event) -> str:
    """Return how people call an event: its kind and its first name."""
    kind = REFERENCE_TYPES.get(science_case_of(event), "")
    return f"{kind} {event.mission} {next(iter(event.event_names), event.event_id)}".strip()


def _citations(root: ET.Element, news: Announcement | PairAnnouncement, followed: Sequence[str | None]) -> None:
    """Cite our own earlier packet and the missions' ones; the schema has no empty list of citations."""
    own = "retraction" if news.alert_type is AlertType.RETRACTION else "supersedes"
    cited = [(own, news.previous_ivorn), *(("followup", ivorn) for ivorn in followed)]
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
