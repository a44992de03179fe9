"""Joint events as components of the whole graph, held against those that the service keeps. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from graph.event_pair_rows import joint_event_id


@dataclass(frozen=True, slots=True)
class JointEventCheck:
    """How the joint events that follow from the open pairs agree with those that are stored on them."""

    equal: int
    """Joint events of the same members and the same identity."""
    missing: tuple[tuple[str, ...], ...]
    """Keys of the events of each joint event that follows from the pairs and is not kept, sorted."""
    extra: tuple[tuple[str, ...], ...]
    """Keys of the events of each joint event that is kept and does not follow from the pairs, sorted."""

    @property
    def agrees(self) -> bool:
        """Return whether nothing is missing and nothing too much."""
        return not self.missing and not self.extra


def kept_joint_events(pairs: Iterable[Mapping[str, str | None]]) -> dict[str | None, tuple[str, ...]]:
    """Return the members, sorted, of each joint event that open pairs name.

    Parameters
    ----------
    pairs : with ``src``, ``dst`` and ``joint_event_id``; pairs without an identity come together under None.
    """
    members: dict[str | None, set[str]] = defaultdict(set)
    for pair in pairs:
        members[pair["joint_event_id"]] |= {str(pair["src"]), str(pair["dst"])}
    return {identity: tuple(sorted(keys)) for identity, keys in members.items()}


def check_joint_events(found: Iterable[Sequence[str]], kept: Mapping[str | None, tuple[str, ...]]) -> JointEventCheck:
    """Compare joint events by identity and members.

    Parameters
    ----------
    found : members of each component of the open pairs.
    kept : see `kept_joint_events`.
    """
    expected = {joint_event_id(keys): tuple(sorted(keys)) for keys in found}
    equal = sum(kept.get(identity) == keys for identity, keys in expected.items())
    missing = sorted(keys for identity, keys in expected.items() if kept.get(identity) != keys)
    extra = sorted(keys for identity, keys in kept.items() if identity is None or expected.get(identity) != keys)
    return JointEventCheck(equal, tuple(missing), tuple(extra))
