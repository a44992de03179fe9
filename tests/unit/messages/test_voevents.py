"""VOEvents are valid, read by voevent-parse and by our own reader, whatever the objects are called."""

from __future__ import annotations

from typing import Any

import pytest
import voeventparse
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.messages import NoticeFacts
from coordinator.voevent import voevent
from graph.model import AlertTense, CoincidenceState, EventState
from ingest.notices.voevent import read_packet


def params(packet: Any, group: str | None = None) -> dict[str, str]:
    place = packet.What if group is None else next(g for g in packet.What.Group if g.get("name") == group)
    return {param.get("name"): param.get("value") for param in place.Param}


def test_a_packet_is_valid_and_says_what_is_known(build: Any) -> None:
    packet = voeventparse.loads(voevent(build.news(), "heliograph"))
    voeventparse.assert_valid_as_v2_0(packet)
    assert packet.get("ivorn") == "ivo://heliograph/heliograph#Fermi:611989445/ztf:ZTF20abbiixp/1-0123456789abcdef"
    assert packet.get("role") == "observation"
    assert packet.Who.AuthorIVORN == "ivo://heliograph/heliograph"
    assert str(packet.Who.Date) == "2020-05-24T06:55:01"
    where = voeventparse.get_event_position(packet)
    assert (where.ra, where.dec, where.units, where.system) == (213.0431, 60.9053, "deg", "UTC-ICRS-TOPO")
    # 90 per cent of a Gaussian of 0.3 arcsec on each axis lie within 2.1460 sigma.
    assert where.err == pytest.approx(0.3 / 3600 * 2.1460, rel=1e-4)
    assert str(voeventparse.get_event_time_as_utc(packet)).startswith("2020-05-24 06:55:0")
    told = params(packet)
    assert float(told["far"]) == 1.6e-7
    assert told["alert_type"] == "initial"
    assert (told["class"], told["class_probability"]) == ("KN", "0.5")
    assert params(packet, "evidence") == {"position": "6.5", "class": "0.25"}
    assert params(packet, "inputs")["classifier"] == "coarse-ztf 3"
    assert packet.Why.Inference.Name == "GRB Fermi bn200524211"


@pytest.mark.parametrize(
    ("state", "previous", "cited"),
    [
        (CoincidenceState.OPEN, None, []),
        (CoincidenceState.OPEN, "ivo://a/b#1", [("supersedes", "ivo://a/b#1")]),
        (CoincidenceState.WITHDRAWN, "ivo://a/b#1", [("retraction", "ivo://a/b#1")]),
    ],
)
@pytest.mark.parametrize("notice", [None, "ivo://nasa.gsfc.gcn/Fermi#x&y_1-2"])
def test_a_packet_cites_what_it_follows(
    build: Any, state: CoincidenceState, previous: str | None, cited: list[tuple[str, str]], notice: str | None
) -> None:
    news = build.news(build.pair(state=state), previous=previous, notices=NoticeFacts(notice, None))
    payload = voevent(news, "heliograph")
    packet = voeventparse.loads(payload)
    voeventparse.assert_valid_as_v2_0(packet)
    assert list(read_packet(payload).citations) == cited + ([("followup", notice)] if notice else [])


def test_a_withdrawal_says_why_instead_of_what_it_may_be(build: Any) -> None:
    event = build.event(state=EventState.RETRACTED)
    news = build.news(build.pair(state=CoincidenceState.WITHDRAWN), event, previous="ivo://a/b#1")
    packet = voeventparse.loads(voevent(news, "heliograph"))
    voeventparse.assert_valid_as_v2_0(packet)
    assert packet.Why.Description == "The event was retracted."
    assert not packet.xpath("Why/Inference")
    assert params(packet)["alert_type"] == "retraction"


@pytest.mark.parametrize(
    ("tense", "role"),
    [
        (AlertTense.CURRENT, "observation"),
        (AlertTense.ARCHIVAL, "observation"),
        (AlertTense.TEST, "test"),
        (AlertTense.INJECTION, "test"),
    ],
)
def test_the_role_follows_the_tense(build: Any, tense: AlertTense, role: str) -> None:
    assert read_packet(voevent(build.news(event=build.event(alert_tense=tense)), "heliograph")).role == role


def test_a_packet_without_a_position_is_valid(build: Any) -> None:
    news = build.news(build.pair(terms=(), separation_deg=None), found=None, notices=NoticeFacts(None, None))
    packet = voeventparse.loads(voevent(news, "heliograph"))
    voeventparse.assert_valid_as_v2_0(packet)
    assert not packet.xpath("WhereWhen")
    assert not packet.xpath("Citations")


@given(
    text=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40),
    number=st.floats(allow_nan=False, allow_infinity=False),
)
@settings(max_examples=80, deadline=None)
def test_no_name_breaks_the_document(build: Any, text: str, number: float) -> None:
    event = build.event(event_names=(text,), event_key=f"Fermi:{text}", notice_ids=(text,))
    pair = build.pair(object_id=text, event_key=f"Fermi:{text}", delta_t_s=number)
    payload = voevent(build.news(pair, event), "heliograph")
    assert voeventparse.valid_as_v2_0(voeventparse.loads(payload))
    packet = read_packet(payload)
    allowed = "".join(c if c in "\t\n\r" or " " <= c not in "\ufffe\uffff" else "\ufffd" for c in text)
    assert packet.params["object_id"] == allowed.strip()
    assert float(packet.params["delta_t"]) == number


def test_the_same_state_gives_the_same_bytes(build: Any) -> None:
    assert voevent(build.news(), "heliograph") == voevent(build.news(), "heliograph")
    assert b"<!DOCTYPE" not in voevent(build.news(), "heliograph")
