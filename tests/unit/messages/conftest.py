"""Builders of what is announced, and the judge of JSON against its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from coordinator.messages import Announcement, NoticeFacts, ObjectFacts, pair_ivorn
from graph.model import (
    AlertTense,
    AlertType,
    Coincidence,
    CoincidenceState,
    Event,
    EventState,
    FollowUpList,
    Messenger,
    Notice,
    ScienceCase,
    Survey,
    Target,
    Term,
)

TRIGGER = datetime(2020, 5, 24, 5, 4, 0, 360_000, tzinfo=UTC)
IVORN = "ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos2020-05-24T05:04:00.36_611989445_0-345"
TERMS = (
    Term("position", 6.5, {"probability_density_sr": 52.9, "localization_notice_id": "n2"}),
    Term("class", 0.25, {"top_class": "KN", "class_probability": 0.5}),
)


def build_pair(**changes: Any) -> Coincidence:
    fields: dict[str, Any] = {
        "survey": Survey.ZTF,
        "object_id": "ZTF20abbiixp",
        "event_key": "Fermi:611989445",
        "delta_t_s": 6659.64,
        "credible_level": 0.7,
        "separation_deg": 2.5,
        "p_chance": 0.02,
        "joint_far_hz": 1.6e-7,
        "log_bayes_factor": 6.75,
        "terms": TERMS,
        "state": CoincidenceState.OPEN,
        "revision": 2,
    }
    return Coincidence(**{**fields, **changes})


def build_event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "event_key": "Fermi:611989445",
        "mission": "Fermi",
        "event_id": "611989445",
        "event_names": ("bn200524211",),
        "messenger": Messenger.EM,
        "trigger_time": TRIGGER,
        "state": EventState.ACTIVE,
        "alert_tense": AlertTense.CURRENT,
        "revision": 2,
        "notice_ids": ("n1", "n2"),
        "localization": None,
        "localization_notice_id": "n2",
    }
    return Event(**{**fields, **changes})


def build_notice(**changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "notice_id": "n1",
        "mission": "Fermi",
        "instrument": "GBM",
        "messenger": Messenger.EM,
        "notice_type": "FERMI_GBM_FIN_POS",
        "alert_type": AlertType.UPDATE,
        "alert_tense": AlertTense.CURRENT,
        "event_id": "611989445",
        "event_names": (),
        "record_number": None,
        "trigger_time": TRIGGER,
        "alert_time": TRIGGER,
        "localization": None,
    }
    return Notice(**{**fields, **changes})


def build_news(
    pair: Coincidence | None = None, event: Event | None = None, previous: str | None = None, **changes: Any
) -> Announcement:
    pair = build_pair() if pair is None else pair
    fields: dict[str, Any] = {
        "pair": pair,
        "event": build_event() if event is None else event,
        "notices": NoticeFacts(IVORN, TRIGGER.replace(hour=6)),
        "found": ObjectFacts(213.0431, 60.9053, 58993.28864583, (("coarse-ztf", "3"),)),
        "number": 1 if previous is None else 2,
        "ivorn": pair_ivorn("heliograph", pair, 1 if previous is None else 2, "0123456789abcdef"),
        "previous_ivorn": previous,
    }
    return Announcement(**{**fields, **changes})


def build_list(**changes: Any) -> FollowUpList:
    fields: dict[str, Any] = {
        "rank": 1,
        "survey": Survey.LSST,
        "object_id": "170055",
        "ra_deg": 10.0,
        "dec_deg": -20.0,
        "score": 6.75,
        "terms": TERMS,
        "event_key": "Fermi:611989445",
        "top_class": "KN",
        "class_probability": 0.5,
        "latest_mag": 20.5,
        "first_midpoint_mjd_tai": 61000.25,
        "p_chance": 0.02,
        "joint_far_hz": 1.6e-7,
    }
    without_event = {"rank": 2, "event_key": None, "top_class": None, "class_probability": None, "latest_mag": None}
    bare = Target(**{**fields, **without_event, "p_chance": None, "joint_far_hz": None})
    return FollowUpList(ScienceCase.GRB, 1, "0123456789abcdef", (Target(**{**fields, **changes}), bare))


def unnamed(schema: Mapping[str, Any], value: Any, path: str = "$") -> Iterator[str]:
    """Yield the keys of a value that its schema does not name."""
    if isinstance(value, list):
        for item in value:
            yield from unnamed(schema["items"], item, f"{path}[]")
    if isinstance(value, dict) and "properties" in schema:
        for name, item in value.items():
            if name not in schema["properties"]:
                yield f"{path}.{name}"
            else:
                yield from unnamed(schema["properties"][name], item, f"{path}.{name}")


class Build:
    pair = staticmethod(build_pair)
    event = staticmethod(build_event)
    notice = staticmethod(build_notice)
    news = staticmethod(build_news)
    follow_up = staticmethod(build_list)
    trigger = TRIGGER
    ivorn = IVORN


@pytest.fixture(scope="session")
def build() -> type[Build]:
    return Build


@pytest.fixture(scope="session")
def broken() -> Callable[[Mapping[str, Any], Any], list[str]]:
    checker = Draft202012Validator.FORMAT_CHECKER
    return lambda schema, value: [
        error.message for error in Draft202012Validator(schema, format_checker=checker).iter_errors(value)
    ]


@pytest.fixture(scope="session")
def undeclared() -> Callable[[Mapping[str, Any], Any], list[str]]:
    return lambda schema, value: list(unnamed(schema, value))
