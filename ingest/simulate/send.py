"""A simulated night onto topics, at a wanted rate."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graph.sender import Sender
    from ingest.simulate.alert_stream import AlertStream

SLICES_PER_S = 20.0
"""Slices sent in one second [1/s]: a consumer sees an even stream, and the clock is looked at for each slice only."""

FASTEST_SLICE = 512
"""Packets of a slice where no rate is asked for, as many as are made at a time."""


def send_streams(
    streams: Mapping[str, AlertStream],
    sender: Sender,
    rate: float | None = None,
    *,
    on_sent: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Send the packets of each stream to its topic and return how many went to each.

    Parameters
    ----------
    streams : topic to stream; several are sent in turn, slice by slice.
    rate : packets a second for each stream; None for as fast as they are made and taken.
    on_sent : called with the packets sent so far.
    clock, sleep : seconds that pass [s], and how to let them pass.

    Raises
    ------
    PublishError : Kafka refused a message or did not answer in time.
    """
    size = FASTEST_SLICE if rate is None else max(1, round(rate / SLICES_PER_S))
    left = {topic: iter(stream) for topic, stream in streams.items()}
    sent = dict.fromkeys(streams, 0)
    start = clock()
    number = 0
    while left:
        for topic, packets in list(left.items()):
            count = 0
            for packet in packets:
                sender.send(topic, None, packet)
                count += 1
                if count == size:
                    break
            sent[topic] += count
            if count < size:
                del left[topic]
        number += 1
        on_sent(sum(sent.values()))
        if rate is not None:
            sleep(max(0.0, start + number * size / rate - clock()))
    sender.flush()
    return sent
