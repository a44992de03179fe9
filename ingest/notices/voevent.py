"""VOEvent 2.0 packets as plain values, read from hostile bytes.

The document is first parsed with everything dangerous off and refused if it declares a document type: without one
there are no entities to expand and nothing to fetch. Only then does voevent-parse take its root.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import voeventparse
from lxml import etree

from graph.errors import MalformedPacketError
from graph.times import MJD_UNIX_EPOCH, SECONDS_PER_DAY
from ingest.notices import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PACKET_BYTES = 1 << 20
"""Largest VOEvent that is read [bytes]; the largest of some million real ones has 10 kB."""

TJD_ZERO_MJD = 40000.0
"""MJD of truncated Julian day 0 [d]; NASA's definition, 1968-05-24, used by all GCN classic notices."""

UNIX_EPOCH_TJD = MJD_UNIX_EPOCH - TJD_ZERO_MJD
"""Truncated Julian day of 1970-01-01 [d]."""

CLOCK_TOLERANCE = timedelta(days=1)
"""How far an event may lie after its notice: early warnings do by seconds, broken day numbers by years."""


OTHER_TIME_SCALES = frozenset({"TDB", "TCB", "TT", "TAI", "GPS", "ET"})
"""Time scales that VOEvent allows beside UTC; they differ from it by up to 69 s, and no mission read here uses one."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One VOEvent, unchanged but for its shape."""

    ivorn: str
    role: str
    """observation, test, utility or prediction."""
    packet_type: int | None
    """GCN's number of the kind of notice, the only reliable key; None outside GCN."""
    params: Mapping[str, str]
    """Params outside groups."""
    groups: Mapping[str, Mapping[str, str]]
    """Params of each group; groups without a name share the empty one."""
    citations: tuple[tuple[str, str], ...]
    """(followup, supersedes or retraction; IVORN) of each earlier packet."""
    who_date: str
    """Time when the packet was made, as written."""
    iso_time: str
    """Time of the event, as written."""
    time_scale: str
    """Scale of ``iso_time``, from the coordinate system's name."""
    ra_deg: float | None
    dec_deg: float | None
    radii_deg: Mapping[str, float]
    """Radii by element name; nearly always ``Error2Radius`` alone."""

    def number(self, name: str) -> float | None:
        """Return a Param as number."""
        return wire.number(self.params.get(name), name)

    def whole(self, name: str) -> int | None:
        """Return a Param as integer."""
        return wire.whole(self.params.get(name), name)

    def identifier(self, name: str) -> str | None:
        """Return a Param as identifier."""
        return wire.identifier(self.params.get(name), name)

    def in_group(self, group: str, name: str) -> str | None:
        """Return a Param of a group, None when absent or empty."""
        return wire.text(self.groups.get(group, {}).get(name), name)

    def is_set(self, name: str) -> bool:
        """Return whether a flag of any group, or a Param of that name, is true."""
        places = (self.params, *self.groups.values())
        return any(wire.flag(place.get(name), name) is True for place in places)

    def cites(self, how: str) -> bool:
        """Return whether an earlier packet is cited in this way."""
        return any(cite == how for cite, _ in self.citations)

    def made_at(self) -> datetime | None:
        """Return the time when the packet was made."""
        return wire.moment(self.who_date, "Who/Date")

    def event_time(self) -> datetime | None:
        """Return the time of the event; an impossible date is rebuilt from day and second where those are right.

        Raises
        ------
        MalformedPacketError : the time is not in UTC, or impossible and nothing replaces it.
        """
        if not self.iso_time:
            return None
        if self.time_scale != "UTC":
            raise MalformedPacketError(f"the event time is in {self.time_scale[:16]}, not in UTC")
        try:
            return wire.moment(self.iso_time, "ISOTime")
        except MalformedPacketError:
            rebuilt = self._time_of_day_number()
            if rebuilt is None:
                raise MalformedPacketError("the event time is no date and no day number replaces it") from None
            return rebuilt

    def _time_of_day_number(self) -> datetime | None:
        """Return the time from the pair of TJD [d] and seconds of day [s], None where they are garbage too."""
        for name in self.params:
            if name.endswith("_TJD"):
                day, second = self.whole(name), self.number(name.removesuffix("TJD") + "SOD")
                break
        else:
            return None
        latest = self.made_at()
        if day is None or second is None or latest is None or not 0.0 <= second < SECONDS_PER_DAY + 1.0:
            return None
        since_epoch = timedelta(days=day - UNIX_EPOCH_TJD, seconds=second) if abs(day) < 100_000 else None
        if since_epoch is None:
            return None
        result = datetime.fromtimestamp(0, tz=latest.tzinfo) + since_epoch
        return result if wire.EARLIEST_EVENT <= result <= latest + CLOCK_TOLERANCE else None


def read_packet(payload: bytes) -> Packet:
    """Read a VOEvent.

    Raises
    ------
    MalformedPacketError : the bytes are too many, no XML, no VOEvent, or declare a document type.
    """
    if len(payload) > MAX_PACKET_BYTES:
        raise MalformedPacketError(f"the packet is larger than {MAX_PACKET_BYTES} bytes")
    root = _load(payload.lstrip(b" \t\r\n") if payload[:1].isspace() else payload)
    what = root.find("{*}What")
    params, groups = ({}, {}) if what is None else _params(what)
    place = root.find("{*}WhereWhen/{*}ObsDataLocation/{*}ObservationLocation")
    coords = None if place is None else place.find("{*}AstroCoords")
    position = None if coords is None else coords.find("{*}Position2D")
    ra_deg, dec_deg, radii = _position(position)
    return Packet(
        ivorn=str(root.get("ivorn", "")),
        role=str(root.get("role", "observation")),
        packet_type=wire.whole(params.get("Packet_Type"), "Packet_Type"),
        params=params,
        groups=groups,
        citations=tuple(
            (str(c.get("cite", "")), (c.text or "").strip()) for c in root.iterfind("{*}Citations/{*}EventIVORN")
        ),
        who_date=_text(root, "{*}Who/{*}Date"),
        iso_time=_text(coords, "{*}Time/{*}TimeInstant/{*}ISOTime"),
        time_scale=_time_scale("" if coords is None else str(coords.get("coord_system_id", ""))),
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        radii_deg=radii,
    )


def _load(payload: bytes) -> Any:  # noqa: ANN401 - the tree of an untyped library
    """Return the root of the document once it is known to be harmless."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        tree = etree.fromstring(payload, parser).getroottree()
        if tree.docinfo.internalDTD is not None:
            raise MalformedPacketError("the packet declares a document type")
        if etree.QName(tree.getroot()).localname != "VOEvent":
            raise MalformedPacketError("the document is not a VOEvent")
        return voeventparse.loads(payload, check_version=False)
    except (etree.LxmlError, ValueError, LookupError) as error:
        raise MalformedPacketError("the packet is not well-formed XML") from error


def _params(what: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:  # noqa: ANN401
    """Return the Params outside groups and those of each group."""
    params = {str(p.get("name", "")): _value(p) for p in what.iterfind("{*}Param")}
    groups: dict[str, dict[str, str]] = {}
    for group in what.iterfind("{*}Group"):
        entries = {str(p.get("name", "")): _value(p) for p in group.iterfind("{*}Param")}
        groups.setdefault(str(group.get("name", "")), {}).update(entries)
    return params, groups


def _value(param: Any) -> str:  # noqa: ANN401
    """Return a Param's value, an attribute or, rarely, an element."""
    value = param.get("value")
    return _text(param, "{*}Value") if value is None else str(value).strip()


def _text(element: Any, path: str) -> str:  # noqa: ANN401
    """Return the text at a path, empty when there is none."""
    found = None if element is None else element.find(path)
    return "" if found is None or found.text is None else str(found.text).strip()


def _time_scale(coord_system: str) -> str:
    """Return the time scale of a system such as UTC-FK5-GEO; older packets swap its parts, some state none."""
    stated = OTHER_TIME_SCALES.intersection(coord_system.split("-"))
    return min(stated, default="UTC")


def _position(element: Any) -> tuple[float | None, float | None, dict[str, float]]:  # noqa: ANN401
    """Return right ascension, declination and the radii by name [deg] of a Position2D."""
    if element is None:
        return None, None, {}
    if str(element.get("unit", "deg")) not in {"deg", "deg-deg"}:
        raise MalformedPacketError("the position is not in degrees")
    radii = {}
    for child in element.iterchildren(tag=etree.Element):
        name = etree.QName(child).localname
        if name.startswith("Error2Radius"):
            radius = wire.number(child.text, name)
            if radius is not None:
                radii[name] = radius
    ra, dec = (_text(element, f"{{*}}Value2/{{*}}{axis}") for axis in ("C1", "C2"))
    return wire.number(ra, "right ascension"), wire.number(dec, "declination"), radii
