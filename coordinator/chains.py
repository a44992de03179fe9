"""Chains of pairs of events as joint events: connected components, their rate and their evidence.

Pure. The identity of a joint event is a hash of its members, so it depends neither on the order of arrival nor on a
counter.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graph.event_pair_rows import joint_event_id
from graph.model import CoincidenceState, EventPair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_COUNTERPARTS: Final = 20
"""Objects named in a message about a joint event at most: what a telescope can look at in a night."""

MIN_COINCIDENCES: Final = 2
"""Events of a joint event that an object must coincide with to be named: one alone is told by its coincidence."""


@dataclass(frozen=True, slots=True)
class JointEvent:
    """Events linked by open pairs, taken as one occurrence."""

    joint_event_id: str
    """sha256 of the members' keys, first 16 hex digits."""
    event_keys: tuple[str, ...]
    """Sorted; two or more."""
    joint_far_hz: float
    """Of its rarest pair [Hz]: chance makes the whole chain no more often."""
    log_bayes_factor: float
    """Of the strongest pairs that hold the chain together: pairs that close a ring repeat what the others said."""
    counterparts: tuple[tuple[str, float], ...] = ()
    """(object_key, summed log Bayes factor) of objects that coincide with two or more members, strongest first."""


def joint_events(
    pairs: Iterable[EventPair], coincidences: Iterable[tuple[str, str, float]] = ()
) -> tuple[JointEvent, ...]:
    """Return the joint events that pairs make, in the order of their smallest member.

    Parameters
    ----------
    pairs : withdrawn ones are passed over.
    coincidences : (object_key, event_key, log Bayes factor) of the open coincidences with these events.
    """
    ranked = sorted(
        (pair for pair in pairs if pair.state is CoincidenceState.OPEN),
        key=lambda pair: (-pair.log_bayes_factor, pair.first_key, pair.second_key),
    )
    root: dict[str, str] = {}

    def find(key: str) -> str:
        while root.setdefault(key, key) != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    bonds: list[EventPair] = []
    for pair in ranked:
        one, other = find(pair.first_key), find(pair.second_key)
        if one != other:
            root[one] = other
            bonds.append(pair)
    members: dict[str, list[str]] = defaultdict(list)
    for key in sorted(root):
        members[find(key)].append(key)
    far: dict[str, float] = {}
    evidence: dict[str, float] = defaultdict(float)
    for pair in ranked:
        top = find(pair.first_key)
        far[top] = min(far.get(top, pair.joint_far_hz), pair.joint_far_hz)
    for pair in bonds:
        evidence[find(pair.first_key)] += pair.log_bayes_factor
    named = _counterparts({key: find(key) for key in root}, coincidences)
    return tuple(
        JointEvent(joint_event_id(keys), tuple(keys), far[top], evidence[top], named.get(top, ()))
        for top, keys in members.items()
    )


def _counterparts(
    component: Mapping[str, str], coincidences: Iterable[tuple[str, str, float]]
) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return the objects of each component that coincide with several of its members, strongest first."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for object_key, event_key, log_bayes_factor in coincidences:
        if event_key in component:
            found[component[event_key], object_key][event_key] = log_bayes_factor
    named: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for (top, object_key), by_event in found.items():
        if len(by_event) >= MIN_COINCIDENCES:
            named[top].append((object_key, sum(by_event[key] for key in sorted(by_event))))
    return {
        top: tuple(sorted(objects, key=lambda item: (-item[1], item[0]))[:MAX_COUNTERPARTS])
        for top, objects in named.items()
    }
