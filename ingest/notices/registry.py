"""Which parser reads what: by topic where it is known, by content where it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from graph.errors import MalformedPacketError, SkyMapError, UnknownSchemaError, UnsupportedNoticeError
from graph.model import Notice
from ingest.notices import (
    fermi,
    gcn_json,
    icecube,
    igwn_avro,
    km3net,
    lvk,
    others,
    others_json,
    supernova,
    svom,
    swift,
    wire,
)
from ingest.notices.companions import with_companion
from ingest.notices.gcn_json import Fields
from ingest.notices.voevent import Packet, read_packet

if TYPE_CHECKING:
    from pathlib import Path

Parser = Callable[[bytes], Notice]
"""Reads the message of a topic."""

PacketParser = Callable[[Packet, str], Notice]
FieldsParser = Callable[[Fields, str], Notice]

CLASSIC_PREFIX = "gcn.classic.voevent."
"""GCN's topics of VOEvents, followed by the name of the notice type."""

_SPECIAL: Mapping[int, PacketParser] = {
    **dict.fromkeys((52, 53, 54, 55, 56), others.parse_integral),
    **dict.fromkeys((171, 172), others.parse_amon),
    **dict.fromkeys((188, 189), others.parse_gecam),
}
PACKETS: Mapping[int, PacketParser] = MappingProxyType(
    {
        **dict.fromkeys(others.KINDS, others.parse_voevent),
        **_SPECIAL,
        **dict.fromkeys(fermi.KINDS, fermi.parse_voevent),
        **dict.fromkeys(swift.KINDS, swift.parse_voevent),
        **dict.fromkeys(svom.KINDS, svom.parse_voevent),
        **dict.fromkeys(icecube.KINDS, icecube.parse_voevent),
        **dict.fromkeys(lvk.KINDS, lvk.parse_voevent),
        **dict.fromkeys(supernova.KINDS, supernova.parse_voevent),
    }
)
"""Parsers of VOEvents by ``Packet_Type``."""

POINTINGS = MappingProxyType(
    {
        46: "SWIFT_TOO_FOM",
        47: "SWIFT_TOO_SC_SLEW",
        51: "INTEGRAL_POINTDIR",
        83: "SWIFT_POINTDIR",
        103: "SWIFT_ACTUAL_POINTDIR",
        107: "AGILE_POINTDIR",
        126: "FERMI_SC_SLEW",
        129: "FERMI_POINTDIR",
    }
)
"""Packets that only say where a spacecraft looks; refused, because they are not on an event."""

SCHEMAS: Mapping[str, tuple[str | None, FieldsParser]] = MappingProxyType(
    {
        "boom/alert": ("gcn.notices.boom.alert", others_json.parse_boom),
        "burstcube/alert": ("gcn.notices.burstcube.alert", others_json.parse_burstcube),
        "burstcube/test": (None, others_json.parse_burstcube),
        "chime/frb": ("gcn.notices.chime.frb", others_json.parse_chime),
        "dsa110/frb": ("gcn.notices.dsa110.frb", others_json.parse_dsa110),
        "einstein_probe/wxt/alert": ("gcn.notices.einstein_probe.wxt.alert", others_json.parse_einstein_probe),
        "fermi/gbm/targetedsearch": (None, fermi.parse_targeted_json),
        "fermi/gbm/trigger": ("gcn.notices.fermi.gbm.trigger", fermi.parse_gbm_json),
        "fermi/lat/flare": ("gcn.notices.fermi.lat.flare", fermi.parse_lat_flare_json),
        "glowbug/alert": ("gcn.notices.glowbug.alert", others_json.parse_glowbug),
        "icecube/lvk_nu_track_search": ("gcn.notices.icecube.lvk_nu_track_search", icecube.parse_gw_search_json),
        "icecube/single_neutrino_alerts": (
            "gcn.notices.icecube.gold_bronze_track_alerts",
            icecube.parse_track_json,
        ),
        "km3net/alert": ("gcn.notices.km3net.alert", km3net.parse_json),
        "maxi/gsc.known": ("gcn.notices.maxi.gsc.known", others_json.parse_maxi_known),
        "maxi/gsc.unknown": ("gcn.notices.maxi.gsc.unknown", others_json.parse_maxi_unknown),
        "superk/sn_alert": ("gcn.notices.superk.sn_alert", supernova.parse_superk_json),
        "svom/trigger": (None, svom.parse_json),
        "swift/bat/guano": ("gcn.notices.swift.bat.guano", swift.parse_guano_json),
    }
)
"""Topic and parser of JSON notices by the lower-case path of their schema; no topic where GCN has none (yet)."""

LVK_TOPIC = "igwn.gwalert"
"""LVK's topic at GCN and SCiMMA, JSON or Avro."""

TEST_TOPIC = "gcn.notices.icecube.test.gold_bronze_track_alerts"
"""IceCube's topic whose messages are all tests, whatever they say."""

_KM3NET_TOPIC = "gcn.notices.km3net.voevent"
_SVOM_PREFIX = "gcn.notices.svom.voevent."
_NOT_NOTICES = ((("eventId", "circularId"), "a GCN circular"), (("uid", "object"), "a GraceDB log entry"))
_AUTHORS: Mapping[str, PacketParser] = {"km3": km3net.parse_voevent, "antares": others.parse_antares}
_UNRECOGNIZED = "UNRECOGNIZED_TYPE"
_XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\x00<")


def parse_notice(payload: bytes, topic: str | None = None, *, companions: Path | None = None) -> Notice:
    """Read a notice of any mission.

    Parameters
    ----------
    payload : the message as received: VOEvent XML, GCN JSON, or LVK JSON or Avro.
    topic : where it came from; None lets the content decide.
    companions : folder of sky maps that the notice may link to.

    Raises
    ------
    UnsupportedNoticeError : a well-formed message of a kind, or on a topic, that has no parser.
    UnknownSchemaError : a JSON or Avro schema that nobody registered.
    MalformedPacketError : the bytes are truncated, corrupt or out of bounds.
    """
    parser: Parser | None = _by_content if topic is None else TOPICS.get(topic)
    if parser is None:
        raise UnsupportedNoticeError(f"no parser is registered for the topic {topic}")
    try:
        notice = parser(payload)
        return notice if companions is None else with_companion(notice, companions)
    except SkyMapError as error:
        raise MalformedPacketError(str(error)) from error


def topic_of(notice: Notice) -> str | None:
    """Return the topic on which a notice would have come; None when GCN has none for it."""
    if notice.extra.get("format") == "voevent":
        if notice.mission == "SVOM":
            return _SVOM_PREFIX + notice.instrument.lower()
        topic = _KM3NET_TOPIC if notice.mission == "KM3NeT" else CLASSIC_PREFIX + notice.notice_type
        return topic if topic in TOPICS else None
    if notice.mission == "LVK":
        return LVK_TOPIC
    if notice.notice_type == "SWIFT_BAT_GUANO":
        # Its first messages named no schema.
        return SCHEMAS["swift/bat/guano"][0]
    name = gcn_json.schema_name(notice.extra)
    return None if name is None or name not in SCHEMAS else SCHEMAS[name][0]


def _by_content(payload: bytes) -> Notice:
    """Read a message by what it looks like."""
    start = payload[:64].lstrip()
    if start.startswith(igwn_avro.MAGIC):
        return _gw_alert(payload)
    if start.startswith(_XML_STARTS):
        return _voevent(payload)
    if start.removeprefix(b"\xef\xbb\xbf").startswith(b"{"):
        return _json(payload)
    raise MalformedPacketError("the message is neither XML, JSON nor Avro")


def _voevent(payload: bytes) -> Notice:
    """Read a VOEvent by its type number, or by its author where it has none."""
    packet = read_packet(payload)
    notice_id = wire.notice_id(payload)
    number = packet.packet_type
    if number is not None:
        if number in POINTINGS:
            raise gcn_json.unsupported(POINTINGS[number])
        parser = PACKETS.get(number)
    else:
        authors = (parse for author, parse in _AUTHORS.items() if author in packet.ivorn.lower())
        parser = next(authors, None)
    if parser is not None and _UNRECOGNIZED not in packet.ivorn:
        return parser(packet, notice_id)
    raise UnsupportedNoticeError(f"no parser reads VOEvents of Packet_Type {number} from {_author(packet)}")


def _author(packet: Packet) -> str:
    """Return the stream of a packet, fit for a message."""
    stream = packet.ivorn.split("#")[0][:64]
    return stream if stream.isprintable() and stream else "an unnamed stream"


def _json(payload: bytes) -> Notice:
    """Read a JSON message by its schema, or by its fields where it names none."""
    fields = gcn_json.read_fields(payload)
    for keys, what in _NOT_NOTICES:
        if all(key in fields for key in keys):
            raise gcn_json.unsupported(what)
    name = gcn_json.schema_name(fields)
    notice_id = wire.notice_id(payload)
    if name is not None:
        if name not in SCHEMAS:
            raise UnknownSchemaError(f"no parser is registered for the schema {name}")
        return SCHEMAS[name][1](fields, notice_id)
    if "superevent_id" in fields:
        return lvk.parse_alert(fields, notice_id)
    if fields.get("mission") == "Swift" and fields.get("instrument") == "BAT-GUANO":
        return swift.parse_guano_json(fields, notice_id)
    raise UnsupportedNoticeError("a JSON message without schema is of a kind that no parser reads")


def _gw_alert(payload: bytes) -> Notice:
    """Read a message of LVK's topic."""
    is_avro = payload.startswith(igwn_avro.MAGIC)
    fields = igwn_avro.read_alert(payload) if is_avro else gcn_json.read_fields(payload)
    return lvk.parse_alert(fields, wire.notice_id(payload))


def _fields(payload: bytes, *, parser: FieldsParser) -> Notice:
    """Read a JSON message whose parser is known from its topic."""
    return parser(gcn_json.read_fields(payload), wire.notice_id(payload))


def _test_track(payload: bytes) -> Notice:
    """Read a message of IceCube's test topic."""
    return gcn_json.as_test(_fields(payload, parser=icecube.parse_track_json))


_CLASSIC_KINDS = chain.from_iterable(
    module.KINDS.values() for module in (fermi, swift, icecube, lvk, others, supernova)
)
TOPICS: Mapping[str, Parser] = MappingProxyType(
    {
        LVK_TOPIC: _gw_alert,
        TEST_TOPIC: _test_track,
        _KM3NET_TOPIC: _voevent,
        **{_SVOM_PREFIX + instrument: _voevent for instrument in ("grm", "eclairs", "mxt", "vt")},
        **{topic: partial(_fields, parser=parser) for topic, parser in SCHEMAS.values() if topic is not None},
        **{CLASSIC_PREFIX + kind.notice_type: _voevent for kind in _CLASSIC_KINDS if kind.notice_type != "TEST"},
    }
)
"""Parser of each topic; the keys are what a consumer of all missions subscribes to."""
