"""Pairs of events kept in memory, in the graph and on the topics; chains of pairs are joint events.

A joint event is a connected component of open pairs: a wave, the burst that two missions saw and the neutrino that
came with it are one (`coordinator.chains`). Components are followed outwards from the events that changed and from
their partners, never over all events. Every step may be repeated: a pair is written, published, then marked as
published.
"""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from coordinator.chains import MIN_COINCIDENCES, JointEvent, joint_events
from coordinator.coincidence import is_real
from coordinator.event_pair_messages import event_pair_body
from coordinator.event_pairs import WIDEST_DELAY_S, Member, PairKey, find_pair, member_of, pair_key, withdraw_pair
from coordinator.publish import PairTeller
from graph.event_pair_rows import joint_event_id, stored_event_pair
from graph.model import Coincidence, CoincidenceState, Event, EventPair
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from graph.regions import Region
    from graph.sender import Sender

logger = logging.getLogger(__name__)

MAX_PARTNERS: Final = 500
"""Events that one event is compared with at most: a day has some hundred, and a flood must not stall the others."""

OPEN: Final = CoincidenceState.OPEN


class PairStore(Protocol):
    """What the graph is asked for; `graph.event_store.EventStore` is one."""

    def event_pairs(self) -> Mapping[PairKey, Mapping[str, Any]]:
        """Return what is stored of all pairs."""

    def write_event_pairs(self, pairs: Iterable[EventPair]) -> None:
        """Set pairs."""

    def mark_event_pairs_published(self, digests: Mapping[PairKey, str]) -> None:
        """Remember which message about each pair was sent."""

    def coincidences_of(self, event_keys: Sequence[str]) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Return what is stored of the coincidences with some events, by (object_key, event_key)."""


class JointEvents:
    """Keeps the pairs of events up to date; every method may be repeated without changing the outcome."""

    def __init__(
        self, store: PairStore, sender: Sender, teller: PairTeller | None = None, *, include_tests: bool = False
    ) -> None:
        self._store = store
        self._sender = sender
        self._teller = PairTeller(sender) if teller is None else teller
        self._include_tests = include_tests
        self._members: dict[str, Member] = {}
        self._times: list[tuple[float, str]] = []
        self._pairs: dict[PairKey, EventPair] = {}
        self._of_event: dict[str, set[PairKey]] = defaultdict(set)
        self._written: dict[PairKey, EventPair] = {}
        self._published: dict[PairKey, tuple[int, str]] = {}

    @property
    def pairs(self) -> Mapping[PairKey, EventPair]:
        """All pairs that ever stood, each in its newest state."""
        return self._pairs

    def load(self) -> None:
        """Read the pairs from the graph; to be called once, before the first event."""
        for key, stored in self._store.event_pairs().items():
            self._keep(stored_event_pair(key, stored))
            self._written[key] = self._pairs[key]
            if "published_digest" in stored:
                # Graphs of older versions do not count the messages.
                self._published[key] = (int(stored.get("published_number") or 1), str(stored["published_digest"]))

    def remember(self, event: Event, region: Region | None) -> None:
        """Make an event a possible partner, or forget it when it can be none any more."""
        old = self._members.pop(event.event_key, None)
        if old is not None:
            del self._times[bisect_left(self._times, (old.trigger_mjd_tai, event.event_key))]
        member = member_of(event, region, include_tests=self._include_tests)
        if member is not None:
            self._members[event.event_key] = member
            insort(self._times, (member.trigger_mjd_tai, event.event_key))

    def form(self, events: Sequence[tuple[Event, Region | None]]) -> None:
        """Pair events that were formed anew with those near in time; write and publish what that changes."""
        for event, region in events:
            self.remember(event, region)
        formed = {event.event_key: event for event, _ in events}
        for event_key in formed:
            self._pair(event_key, formed)
        keys = {key for event_key in formed for key in self._of_event.get(event_key, ())}
        # A pair that lapsed may have split a joint event: its partners' remaining pairs belong to another one now.
        for members in self._components({*formed, *(event_key for key in keys for event_key in key)}):
            identity = joint_event_id(members)
            for key in self._open_among(members):
                keys.add(key)
                self._keep(replace(self._pairs[key], joint_event_id=identity))
        differing = [key for key in sorted(keys) if self._written.get(key) != self._pairs[key]]
        self._store.write_event_pairs([self._pairs[key] for key in differing])
        self._written |= {key: self._pairs[key] for key in differing}
        self._publish(keys, formed)

    def match(self, coincidences: Iterable[Coincidence]) -> None:
        """Tell anew of joint events that objects may have joined or left.

        Parameters
        ----------
        coincidences : of changed objects, with all their events, withdrawn ones too.
        """
        by_object: dict[tuple[str, str], set[str]] = defaultdict(set)
        for pair in coincidences:
            if pair.event_key in self._of_event:
                by_object[pair.survey.value, pair.object_id].add(pair.event_key)
        touched = {key for keys in by_object.values() if len(keys) >= MIN_COINCIDENCES for key in keys}
        self._publish({key for members in self._components(touched) for key in self._open_among(members)}, {})

    def _pair(self, event_key: str, formed: Mapping[str, Event]) -> None:
        """Set every pair of an event, those that lapsed included."""
        member = self._members.get(event_key)
        lapsed = set(self._of_event.get(event_key, ()))
        for one, other in [] if member is None else [(member, partner) for partner in self._near(member)]:
            key = pair_key(one, other)
            pair = find_pair(one, other, self._pairs.get(key))
            if pair is not None:
                lapsed.discard(key)
                self._keep(pair)
        for key in lapsed:
            revisions = {name: self._members[name].event.revision for name in key if name in self._members}
            revisions |= {name: formed[name].revision for name in key if name in formed}
            self._keep(withdraw_pair(self._pairs[key], revisions))

    def _near(self, member: Member) -> list[Member]:
        """Return the events whose triggers lie within the widest window of one's own, without itself."""
        reach_d = (WIDEST_DELAY_S + 1.0) / SECONDS_PER_DAY
        first = bisect_left(self._times, (member.trigger_mjd_tai - reach_d, ""))
        last = bisect_left(self._times, (member.trigger_mjd_tai + reach_d, ""))
        near = [(abs(time - member.trigger_mjd_tai), key) for time, key in self._times[first:last]]
        near = sorted(entry for entry in near if entry[1] != member.event.event_key)
        if len(near) > MAX_PARTNERS:
            logger.error("%s: only the %d events nearest in time were compared", member.event.event_key, MAX_PARTNERS)
        return [self._members[key] for _, key in near[:MAX_PARTNERS]]

    def _keep(self, pair: EventPair) -> None:
        key = (pair.first_key, pair.second_key)
        self._pairs[key] = pair
        for event_key in key:
            self._of_event[event_key].add(key)

    def _components(self, event_keys: Iterable[str]) -> list[set[str]]:
        """Return the members of each joint event that any of some events is part of."""
        seen: set[str] = set()
        components: list[set[str]] = []
        for start in event_keys:
            members, waiting = {start}, [start]
            while waiting and start not in seen:
                for key in self._of_event.get(waiting.pop(), ()):
                    if self._pairs[key].state is OPEN:
                        waiting += set(key) - members
                        members |= set(key)
            if start not in seen and len(members) > 1:
                components.append(members)
            seen |= members
        return components

    def _open_among(self, members: Iterable[str]) -> set[PairKey]:
        """Return the open pairs of some events."""
        return {key for name in members for key in self._of_event[name] if self._pairs[key].state is OPEN}

    def _publish(self, keys: Iterable[PairKey], formed: Mapping[str, Event]) -> None:
        """Publish the pairs whose message differs from the last one that was sent."""
        wanted = sorted(key for key in keys if self._is_real(key, formed))
        told = self._told([key for key in wanted if self._pairs[key].state is OPEN])
        digests: dict[PairKey, str] = {}
        for key in wanted:
            pair = self._pairs[key]
            joint = told.get(key[0]) if pair.state is OPEN else None
            body = event_pair_body(pair, joint)
            digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
            before = self._published.get(key)
            if before is not None and before[1] == digest:
                continue
            self._teller.send(pair, joint, self._known(key, formed), digest, before)
            digests[key] = digest
        if digests:
            self._sender.flush()
            self._store.mark_event_pairs_published(digests)
            for key, digest in digests.items():
                self._published[key] = (self._published.get(key, (0, ""))[0] + 1, digest)

    def _told(self, keys: Sequence[PairKey]) -> dict[str, JointEvent]:
        """Return the joint event of each member of some open pairs, with its counterparts as the graph has them."""
        pairs = [self._pairs[key] for key in keys]
        members = sorted({event_key for key in keys for event_key in key})
        coincidences = self._store.coincidences_of(members) if members else {}
        standing = [
            (object_key, event_key, float(stored["log_bayes_factor"]))
            for (object_key, event_key), stored in sorted(coincidences.items(), key=lambda item: item[0])
            if stored["state"] == OPEN.value
        ]
        return {key: joint for joint in joint_events(pairs, standing) for key in joint.event_keys}

    def _is_real(self, key: PairKey, formed: Mapping[str, Event]) -> bool:
        """Return whether a pair is about the sky; both its events are or neither is."""
        return all(is_real(event) for event in self._known(key, formed))

    def _known(self, key: PairKey, formed: Mapping[str, Event]) -> list[Event]:
        """Return the events of a pair as they are now; one that stands no more is known while it is formed anew."""
        return [
            formed.get(name) or self._members[name].event for name in key if name in formed or name in self._members
        ]
