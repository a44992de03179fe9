"""The producing process: ``python -m compose.bench.producer``, orders on its stdin, answers on its stdout.

A process of its own, so that what it uses is not counted as ours and its interpreter does not delay the stream's. The
first line is a `ProducerPlan`; each further line is one order, ``stage``, ``send_staged`` or ``send``, answered by one
line when it has been carried out. It ends when its stdin does.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from compose.bench.spool import read_spool, write_spool
from compose.config import load_settings
from graph.model import Survey
from graph.sender import KafkaSender, Sender
from ingest.simulate import SimulatedNight, simulate_night
from ingest.simulate.alert_stream import iter_packets

NIGHT_START = datetime(2026, 11, 20, 2, tzinfo=UTC)
"""Beginning of every measured night: evening at Palomar, so that a night of ten hours has one date."""

NIGHT_LENGTH_S = 36_000.0
"""Length of a night of more than `SHORT_NIGHT_ALERTS` [s]: ten hours, a long winter night."""

SHORT_NIGHT_S = 3600.0
"""Length of a smaller night [s]."""

SHORT_NIGHT_ALERTS = 60_000
"""Alerts up to which an hour holds a night: some 17/s."""

TICK_S = 0.05
"""Time between two sendings of a paced producer [s]: short against every latency that is measured."""

TRUTH_FILE = "truth.parquet"
"""Name of the table of truth in the folder of the plan."""


@dataclass(frozen=True, slots=True)
class ProducerPlan:
    """What the process makes; as JSON its first line of input."""

    survey: str
    n_alerts: int
    """Alerts of the night; all orders together cannot take more."""
    seed: int
    folder: str
    """Folder for the spool and for the truth about the packets made so far, in the order of sending."""
    repeat_every: int = 0
    """Every so many alerts one is sent a second time; 0 for never."""
    damage_every: int = 0
    """Every so many alerts a half of one is sent too; 0 for never."""
    cutouts: bool = True
    """False sends packets without images."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What an order sent."""

    alerts: int
    """Packets of the night."""
    messages: int
    """Messages, repeated and damaged ones included."""
    bytes: int
    seconds: float
    late_s: float
    """Largest delay of a tick of a paced sending [s]."""


def make_night(plan: ProducerPlan) -> SimulatedNight:
    """Return the night of a plan; identifiers are unique within it."""
    wanted = Survey(plan.survey)
    counts = {survey: plan.n_alerts if survey is wanted else 0 for survey in Survey}
    return simulate_night(
        seed=plan.seed,
        n_alerts_ztf=counts[Survey.ZTF],
        n_alerts_lsst=counts[Survey.LSST],
        start=NIGHT_START,
        duration_s=SHORT_NIGHT_S if plan.n_alerts <= SHORT_NIGHT_ALERTS else NIGHT_LENGTH_S,
        n_events=0,
        cutouts=plan.cutouts,
    )


def iter_night(
    night: SimulatedNight, plan: ProducerPlan, truth_file: Path | None = None
) -> Generator[bytes, None, None]:
    """Yield the packets of the plan's survey in order of time, and write what is true of them on the way."""
    stream = night.streams[Survey(plan.survey)]
    begin = 0
    with ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for alerts in stream.iter_alerts():
            if truth_file is not None:
                truth = night.truth_of(stream, alerts)
                writer = writer or stack.enter_context(pq.ParquetWriter(truth_file, truth.schema))
                writer.write_table(truth)
            yield from iter_packets(stream.packer.pack(alerts, begin))
            begin += len(alerts)


def with_faults(packets: Iterable[bytes], plan: ProducerPlan) -> Iterator[tuple[bool, bytes]]:
    """Yield each packet, marked True, and the repeated and damaged messages after it, marked False."""
    for number, packet in enumerate(packets, start=1):
        yield True, packet
        if plan.repeat_every and number % plan.repeat_every == 0:
            yield False, packet
        if plan.damage_every and number % plan.damage_every == 0:
            yield False, packet[: len(packet) // 2]


def send_paced(sender: Sender, topic: str, packets: Iterator[bytes], n: int, rate_per_s: float) -> Sent:
    """Send n packets at a rate, a few at each tick of `TICK_S`, after a clock that does not wait for the sending."""
    start = time.monotonic()
    done = size = tick = 0
    late_s = 0.0
    while done < n:
        tick += 1
        wait_s = start + tick * TICK_S - time.monotonic()
        late_s = max(late_s, -wait_s)
        time.sleep(max(wait_s, 0.0))
        for packet in islice(packets, min(n, int(rate_per_s * tick * TICK_S)) - done):
            sender.send(topic, None, packet)
            done += 1
            size += len(packet)
        if done < min(n, int(rate_per_s * tick * TICK_S)):
            break
    sender.flush()
    return Sent(done, done, size, round(time.monotonic() - start, 3), round(late_s, 3))


class Orders:
    """Carries out the orders, one after another."""

    def __init__(self, plan: ProducerPlan, topic: str, sender: Sender) -> None:
        self._topic = topic
        self._sender = sender
        self._spool = Path(plan.folder) / "packets.arrow"
        self._staged = 0
        self._packets = iter_night(make_night(plan), plan, Path(plan.folder) / TRUTH_FILE)
        self._messages = with_faults(self._packets, plan)

    def close(self) -> None:
        """Complete the file of truth."""
        self._packets.close()

    def carry_out(self, order: dict[str, float]) -> dict[str, float]:
        """Carry out an order: {"stage": n}, {"send_staged": n, "rate_per_s": r or 0}, or {"send": n}."""
        if "stage" in order:
            self._staged, size = write_spool(self._spool, self._take(int(order["stage"])))
            return {"alerts": self._staged, "bytes": size}
        if "send_staged" in order:
            packets = read_spool(self._spool)
            n = min(int(order["send_staged"]), self._staged)
            if order.get("rate_per_s"):
                sent = send_paced(self._sender, self._topic, packets, n, order["rate_per_s"])
            else:
                sent = self._send_all((True, packet) for packet in islice(packets, n))
            self._spool.unlink(missing_ok=True)
            return asdict(sent)
        return asdict(self._send_all(self._next(int(order["send"]))))

    def _take(self, n: int) -> Iterator[bytes]:
        return (packet for _, packet in self._next(n))

    def _next(self, n: int) -> Iterator[tuple[bool, bytes]]:
        """Yield the next n messages of the night."""
        return islice(self._messages, n)

    def _send_all(self, messages: Iterable[tuple[bool, bytes]]) -> Sent:
        start = time.monotonic()
        alerts = count = size = 0
        for is_first, packet in messages:
            self._sender.send(self._topic, None, packet)
            alerts += is_first
            count += 1
            size += len(packet)
        self._sender.flush()
        return Sent(alerts, count, size, round(time.monotonic() - start, 3), 0.0)


def main() -> None:
    """Answer orders until stdin ends."""
    opening = json.loads(sys.stdin.readline())
    plan = ProducerPlan(**opening["plan"])
    settings = load_settings()
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": opening["bootstrap_servers"]})
    orders = Orders(plan, opening["topic"], KafkaSender(kafka))
    _answer({"ready": plan.n_alerts})
    with closing(orders):
        for line in sys.stdin:
            _answer(orders.carry_out(json.loads(line)))


def _answer(body: dict[str, float] | dict[str, int]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    pa.set_cpu_count(1)
    main()
