"""Event pairs as properties of the graph's JOINT_WITH relationship, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from graph.errors import StoreError
from graph.model import CoincidenceState, EventPair, Term

PLAIN_FIELDS = ("delta_t_s", "joint_far_hz", "log_bayes_factor", "first_revision", "second_revision")
"""Fields of an `EventPair` that are properties of the same name and always there."""


def joint_event_id(event_keys: Iterable[str]) -> str:
    """Return the identity of the joint event of some events, whatever their order."""
    return hashlib.sha256("\n".join(sorted(event_keys)).encode()).hexdigest()[:16]


def event_pair_row(pair: EventPair) -> dict[str, object]:
    """Return the parameters of ``write_event_pairs`` for one pair."""
    return {"first_key": pair.first_key, "second_key": pair.second_key, "properties": event_pair_properties(pair)}


def event_pair_properties(pair: EventPair) -> dict[str, object]:
    """Return the properties of a JOINT_WITH relationship."""
    terms = [{"name": term.name, "value": term.value, "inputs": dict(term.inputs)} for term in pair.terms]
    return {
        **{name: getattr(pair, name) for name in PLAIN_FIELDS},
        "overlap": pair.overlap,
        "terms": orjson.dumps(terms).decode(),
        "state": pair.state.value,
        "revision": pair.revision,
        "joint_event_id": pair.joint_event_id,
        "pair_id": joint_event_id((pair.first_key, pair.second_key)),
    }


def stored_event_pair(key: tuple[str, str], stored: Mapping[str, Any]) -> EventPair:
    """Return a stored pair as a value of the model.

    Parameters
    ----------
    key : first_key and second_key.
    stored : properties of its relationship.

    Raises
    ------
    StoreError : a property is absent or not what `event_pair_properties` makes.
    """
    try:
        return EventPair(
            first_key=key[0],
            second_key=key[1],
            overlap=stored.get("overlap"),
            terms=tuple(Term(**term) for term in orjson.loads(stored["terms"])),
            state=CoincidenceState(stored["state"]),
            joint_event_id=stored.get("joint_event_id"),
            **{name: stored[name] for name in PLAIN_FIELDS},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the pair of {key[0]} and {key[1]} in the graph was written by something else") from error
