"""The alert topic as the measurements see it: how much was ever written, and making room behind what is done."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from graph.bus import ADMIN_TIMEOUT_S, admin_client
from graph.config import KafkaSettings
from graph.errors import PublishError

UNSETTLED = frozenset(
    {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
"""What a broker answers for a moment about a topic that was just made."""

RETRY_PAUSE_S = 0.2
"""Pause before a broker is asked again that is still choosing leaders for a new topic [s]."""


def watermarks(settings: KafkaSettings, topic: str) -> dict[int, tuple[int, int]]:
    """Return for each partition the first offset that is kept and the offset after the last.

    Raises
    ------
    PublishError : the broker does not answer, or not in `ADMIN_TIMEOUT_S`.
    """
    probe = Consumer({**settings.client_config(), "group.id": "heliograph-bench", "log_level": 0})
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    try:
        while True:
            try:
                partitions = probe.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic].partitions
                return {
                    number: probe.get_watermark_offsets(TopicPartition(topic, number), timeout=ADMIN_TIMEOUT_S)
                    for number in partitions
                }
            except KafkaException as error:
                if error.args[0].code() not in UNSETTLED or time.monotonic() > deadline:
                    raise PublishError(f"Kafka did not say what lies on {topic}: {error}.") from error
            time.sleep(RETRY_PAUSE_S)
    finally:
        probe.close()


def written(settings: KafkaSettings, topic: str) -> int:
    """Return how many messages were ever written to a topic, deleted ones included."""
    return sum(high for _, high in watermarks(settings, topic).values())


def trim(settings: KafkaSettings, topic: str, keep_from: Mapping[int, int]) -> None:
    """Let the broker delete what lies before an offset of each partition.

    Raises
    ------
    PublishError : the broker refuses.
    """
    places = [TopicPartition(topic, number, offset) for number, offset in keep_from.items() if offset > 0]
    if not places:
        return
    # The answers come on a thread that ends with the client.
    admin = admin_client(settings)
    try:
        for future in admin.delete_records(places, request_timeout=ADMIN_TIMEOUT_S).values():
            future.result(2 * ADMIN_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise PublishError(f"Kafka did not delete what is done on {topic}: {error}.") from error


def trim_points(until: Mapping[int, int], margin: int) -> dict[int, int]:
    """Return the offset of each partition before which nothing is needed again.

    Parameters
    ----------
    until : offset after the last message of each partition that the ledger knows.
    margin : messages kept behind it in each partition, for a batch that has to be read again.
    """
    return {number: max(0, offset - margin) for number, offset in until.items()}
