"""Hands to Kafka what the coordinator decided: each message as JSON, pairs as VOEvent too, and twins in Avro if wanted.

Nothing here remembers what was published: the caller marks it in the graph when all is acknowledged, and calls again
with the same arguments after a failure. The message is then the same message, by its IVORN.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coordinator import messages
from coordinator.avro_twin import to_avro
from coordinator.event_pair_messages import PairAnnouncement, event_pair, event_pair_ivorn
from coordinator.messages import Announcement, NoticeFacts, ObjectFacts
from coordinator.voevent import event_pair_voevent, voevent
from graph.model import CoincidenceState
from graph.topics import JOINT_EVENTS, RETRACTIONS, VOEVENT, avro_topic, list_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from coordinator.chains import JointEvent
    from coordinator.config import CoordinatorSettings
    from coordinator.posterior import Association
    from graph.event_store import EventStore
    from graph.model import Coincidence, Event, EventPair, FollowUpList, Notice
    from graph.sender import Sender

NO_NOTICES = NoticeFacts(ivorn=None, newest_time=None)
"""What is said of the notices of an event that were not read: nothing."""

PairKey = tuple[str, str]
"""(object_key, event_key)."""


DEFAULT_AUTHORITY = "heliograph"
"""Authority of our IVORNs where nobody names one."""


class PairTeller:
    """Makes and sends the messages about pairs of events; it neither flushes nor marks."""

    def __init__(
        self,
        sender: Sender,
        facts: Callable[[str], NoticeFacts] = lambda _: NO_NOTICES,
        *,
        authority: str = DEFAULT_AUTHORITY,
        with_avro: bool = False,
    ) -> None:
        self._sender = sender
        self._facts = facts
        self._authority = authority
        self._with_avro = with_avro

    def send(
        self,
        pair: EventPair,
        joint: JointEvent | None,
        events: Sequence[Event],
        digest: str,
        before: tuple[int, str] | None,
    ) -> None:
        """Send a state of a pair in all its forms.

        Parameters
        ----------
        joint : the joint event that it is part of; None for a withdrawn pair.
        events : those of the two that are known, in the order of the pair.
        digest : of what is said about the pair.
        before : number and digest of the message on it that was sent last; None for the first.
        """
        number = 1 if before is None else before[0] + 1
        news = PairAnnouncement(
            pair=pair,
            joint=joint,
            events=tuple((event, self._facts(event.event_key)) for event in events),
            number=number,
            ivorn=event_pair_ivorn(self._authority, pair, number, digest),
            previous_ivorn=None if before is None else event_pair_ivorn(self._authority, pair, *before),
        )
        body = event_pair(news)
        topics = (JOINT_EVENTS,) if pair.state is CoincidenceState.OPEN else (JOINT_EVENTS, RETRACTIONS)
        for topic in topics:
            self._sender.send(topic, pair.first_key, messages.to_bytes(body))
            if self._with_avro:
                self._sender.send(avro_topic(topic), pair.first_key, to_avro(body))
        self._sender.send(VOEVENT, pair.first_key, event_pair_voevent(news, self._authority))


class Publisher:
    """Makes and sends the messages to the world; it neither flushes nor marks."""

    def __init__(self, store: EventStore, sender: Sender, settings: CoordinatorSettings) -> None:
        self._store = store
        self._sender = sender
        self._authority = settings.ivorn_authority
        self._with_avro = settings.publish_avro
        self._facts: dict[str, NoticeFacts] = {}

    def remember(self, event: Event, notices: Iterable[Notice]) -> None:
        """Keep what messages say of an event's notices, until they are told anew."""
        self._facts[event.event_key] = messages.notice_facts(notices, event.localization_notice_id)

    def facts_of(self, event_key: str) -> NoticeFacts:
        """Return what is remembered of an event's notices."""
        return self._facts.get(event_key, NO_NOTICES)

    def teller(self) -> PairTeller:
        """Return what tells of pairs of events in the same way, with the same notices."""
        return PairTeller(self._sender, self.facts_of, authority=self._authority, with_avro=self._with_avro)

    def send_pairs(
        self,
        due: Mapping[PairKey, tuple[Coincidence, str]],
        stored: Mapping[PairKey, Mapping[str, Any]],
        events: Mapping[str, Event],
        associations: Mapping[str, Association] = MappingProxyType({}),
    ) -> None:
        """Send the states of pairs.

        Parameters
        ----------
        due : each pair that is to be told, with the digest of its state.
        stored : properties that the pairs had in the graph before; what was published last is among them.
        events : the events of the pairs, by key.
        associations : what the candidates of each event are worth together, by its key.
        """
        found = self._objects(sorted({object_key for object_key, _ in due}))
        for key, (pair, digest) in due.items():
            before = stored.get(key, {})
            number = int(before.get("published_number") or 0)
            news = Announcement(
                pair=pair,
                event=events[pair.event_key],
                notices=self.facts_of(pair.event_key),
                found=found.get(key[0]),
                number=number + 1,
                ivorn=messages.pair_ivorn(self._authority, pair, number + 1, digest),
                previous_ivorn=messages.pair_ivorn(self._authority, pair, number, before["published_digest"])
                if number
                else None,
                association=associations.get(pair.event_key),
            )
            self._send(JOINT_EVENTS, pair.event_key, messages.joint_event(news))
            if pair.state is CoincidenceState.WITHDRAWN:
                self._send(RETRACTIONS, pair.event_key, messages.retraction(news))
            self._sender.send(VOEVENT, pair.event_key, voevent(news, self._authority))

    def send_list(self, follow_up: FollowUpList) -> None:
        """Send a version of a follow-up list."""
        self._send(list_topic(follow_up.case), follow_up.case.value, messages.follow_up_list(follow_up))

    def _send(self, topic: str, key: str, body: Mapping[str, object]) -> None:
        self._sender.send(topic, key, messages.to_bytes(body))
        if self._with_avro:
            self._sender.send(avro_topic(topic), key, to_avro(body))

    def _objects(self, object_keys: Sequence[str]) -> dict[str, ObjectFacts]:
        """Return what the graph has of the objects; those without a position or a time are left out."""
        if not object_keys:
            return {}
        columns, classifiers = self._store.objects_by_key(object_keys), self._store.classifiers_of(object_keys)
        facts: dict[str, ObjectFacts] = {}
        for row in range(len(columns)):
            ra_deg, dec_deg = float(columns.ra_deg[row]), float(columns.dec_deg[row])
            first_midpoint_mjd_tai = float(columns.first_midpoint_mjd_tai[row])
            if all(math.isfinite(number) for number in (ra_deg, dec_deg, first_midpoint_mjd_tai)):
                survey, object_id = columns.key(row)
                key = f"{survey.value}:{object_id}"
                facts[key] = ObjectFacts(ra_deg, dec_deg, first_midpoint_mjd_tai, classifiers.get(key, ()))
        return facts
