"""Events from sets of notices: the same whatever the order of arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.lifecycle import event_from_notices, localization_stage
from graph.model import AlertTense, AlertType, Circle, EventState, Messenger

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
FLT, GND, FIN, ALERT = (f"FERMI_GBM_{stage}" for stage in ("FLT_POS", "GND_POS", "FIN_POS", "ALERT"))


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def burst(make_notice: Any) -> list[Any]:
    return [
        make_notice(notice_id="a", notice_type=ALERT, alert_time=after(5), event_names=("bn260301500",)),
        make_notice(
            notice_id="b",
            notice_type=FLT,
            alert_time=after(30),
            record_number=1,
            localization=Circle(10, 10, 9, 0.68),
            classification={"GRB": 0.9},
        ),
        make_notice(
            notice_id="c",
            notice_type=GND,
            alert_time=after(45),
            localization=Circle(12, 10, 4, 0.68),
            trigger_time=after(-1),
        ),
        make_notice(
            notice_id="d",
            notice_type=FIN,
            alert_time=after(560),
            localization=Circle(13, 10, 1, 0.68),
            event_names=("GRB 260301A",),
        ),
        # A flight position that was delayed by most of a day is newer, but not better.
        make_notice(
            notice_id="e",
            notice_type=FLT,
            alert_time=after(70_000),
            record_number=2,
            localization=Circle(9, 10, 9, 0.68),
            classification={"GRB": 0.97},
        ),
    ]


def test_a_burst_in_any_order(burst: list[Any]) -> None:
    event = event_from_notices(burst)
    assert event.localization == Circle(13, 10, 1, 0.68)
    assert event.localization_notice_id == "d"
    assert event.trigger_time == T0
    assert event.event_names == ("bn260301500", "GRB 260301A")
    assert event.classification == {"GRB": 0.97}
    assert (event.revision, event.notice_ids) == (5, ("a", "b", "c", "d", "e"))
    assert event.state is EventState.ACTIVE
    for order in permutations(burst):
        assert event_from_notices(order) == event
    assert event_from_notices([*burst, *burst]) == event


def test_the_class_of_the_flight_notice_is_carried_forward(burst: list[Any]) -> None:
    assert event_from_notices(burst[:4]).classification == {"GRB": 0.9}
    assert event_from_notices([burst[0], burst[3]]).classification == {}


def test_later_times_revise_the_trigger(burst: list[Any]) -> None:
    assert event_from_notices(burst[:3]).trigger_time == after(-1)


def test_an_event_without_a_position_has_none(burst: list[Any]) -> None:
    event = event_from_notices(burst[:1])
    assert event.localization is None
    assert event.localization_notice_id is None


def test_retraction_and_revival(make_notice: Any) -> None:
    def lvk(notice_id: str, seconds: float | None, kind: AlertType, **more: Any) -> Any:
        return make_notice(
            notice_id=notice_id,
            mission="LVK",
            messenger=Messenger.GW,
            event_id="S260301a",
            notice_type=kind.value,
            alert_type=kind,
            alert_time=None if seconds is None else after(seconds),
            **more,
        )

    initial = lvk("a", 100, AlertType.INITIAL, localization=Circle(1, 2, 3), far_hz=1e-9, p_astro=0.8)
    update = lvk("b", 1000, AlertType.UPDATE, localization=Circle(1, 2, 1), far_hz=1e-10)
    retraction = lvk("c", 2000, AlertType.RETRACTION, trigger_time=None, localization=Circle(0, 0, 0.1))
    timeless = lvk("d", None, AlertType.RETRACTION, trigger_time=None)
    late = lvk("e", 3000, AlertType.UPDATE)
    gone = event_from_notices([retraction, update, initial])
    assert gone.state is EventState.RETRACTED
    assert gone.localization == Circle(1, 2, 1)
    assert (gone.trigger_time, gone.far_hz, gone.p_astro) == (T0, 1e-10, 0.8)
    assert event_from_notices([late, retraction, initial]).state is EventState.ACTIVE
    assert event_from_notices([late, timeless]).state is EventState.RETRACTED
    assert event_from_notices([retraction]).localization == Circle(0, 0, 0.1)


def test_tests_and_reality_do_not_mix(make_notice: Any) -> None:
    real = make_notice(notice_id="a", localization=Circle(1, 1, 1))
    drill = make_notice(
        notice_id="b", alert_tense=AlertTense.TEST, alert_type=AlertType.RETRACTION, alert_time=after(99)
    )
    both = event_from_notices([drill, real])
    assert (both.alert_tense, both.state, both.notice_ids) == (AlertTense.CURRENT, EventState.ACTIVE, ("a",))
    assert event_from_notices([drill]).alert_tense is AlertTense.TEST


def test_the_last_statement_on_what_it_is_holds(make_notice: Any) -> None:
    solar = make_notice(
        notice_id="a", alert_time=after(30), classification={"SFLARE": 0.9}, is_astrophysical_burst=False
    )
    ground = make_notice(notice_id="b", alert_time=after(45), notice_type=GND)
    better = make_notice(notice_id="c", alert_time=after(60), classification={"GRB": 0.9})
    assert not event_from_notices([ground, solar]).is_astrophysical_burst
    assert event_from_notices([ground, better, solar]).is_astrophysical_burst
    known = make_notice(
        notice_id="d", mission="Swift", notice_type="SWIFT_BAT_GRB_POS_ACK", is_astrophysical_burst=False
    )
    xrt = make_notice(notice_id="e", mission="Swift", notice_type="SWIFT_XRT_POSITION", alert_time=after(300))
    again = make_notice(notice_id="f", mission="Swift", notice_type="SWIFT_BAT_GRB_POS_ACK", alert_time=after(400))
    assert not event_from_notices([known, xrt]).is_astrophysical_burst
    assert event_from_notices([known, xrt, again]).is_astrophysical_burst


@pytest.mark.parametrize(
    ("mission", "kind", "instrument", "stage"),
    [
        ("Fermi", "FERMI_GBM_FIN_POS", "GBM", 3),
        ("Fermi", "GROUND_POSITION", "GBM", 2),
        ("Fermi", "FERMI_LAT_OFFLINE", "LAT", 4),
        ("Fermi", "FERMI_GBM_ALERT", "GBM", 0),
        ("SWIFT", "SWIFT_XRT_POSITION", "XRT", 2),
        ("SVOM", "mxt-initial_qf3", "MXT", 3),
        ("SVOM", "not-slewing", "ECLAIRs", 2),
        ("SVOM", "grm-trigger", "GRM", 1),
        ("LVK", "INITIAL", "H1L1", 0),
    ],
)
def test_stages(make_notice: Any, mission: str, kind: str, instrument: str, stage: int) -> None:
    assert localization_stage(make_notice(mission=mission, notice_type=kind, instrument=instrument)) == stage


def test_notices_of_two_events_or_of_none_are_refused(make_notice: Any) -> None:
    with pytest.raises(ValueError, match="one event_key"):
        event_from_notices([])
    with pytest.raises(ValueError, match="one event_key"):
        event_from_notices([make_notice(event_id="1"), make_notice(event_id="2", notice_id="n2")])


@settings(deadline=None)
@given(st.data())
def test_any_set_in_any_order_forms_one_event(make_notice: Any, data: st.DataObject) -> None:
    few = st.sampled_from
    notices = [
        make_notice(
            notice_id=str(i),
            notice_type=data.draw(few([FLT, GND, FIN, ALERT])),
            alert_type=data.draw(few(AlertType)),
            alert_tense=data.draw(few([AlertTense.CURRENT, AlertTense.TEST])),
            record_number=data.draw(few([None, 0, 1])),
            alert_time=data.draw(few([None, T0, after(1)])),
            trigger_time=data.draw(few([None, T0, after(1)])),
            localization=data.draw(few([None, Circle(1, 1, 1), Circle(2, 2, 2)])),
            classification=data.draw(few([{}, {"GRB": 0.5}, {"TGF": 1.0}])),
            is_astrophysical_burst=data.draw(st.booleans()),
            far_hz=data.draw(few([None, 1e-9, 1e-8])),
            event_names=data.draw(few([(), ("x",), ("y", "x")])),
        )
        for i in range(data.draw(st.integers(1, 5)))
    ]
    event = event_from_notices(notices)
    shuffled = data.draw(st.permutations(notices))
    assert event_from_notices([*shuffled, shuffled[0]]) == event
    assert event.revision == len(event.notice_ids) == len(set(event.notice_ids))
    if event.localization_notice_id is not None:
        (standing,) = [n for n in notices if n.notice_id == event.localization_notice_id]
        assert standing.localization == event.localization
