"""A whole night with a kill in its middle, and whether anything was lost, doubled or miscounted.

The alert stream is a process of its own, ``heliograph ingest``, as an operator would run it. Alerts are made in pace
with what the ledger says is done, and what is done is deleted from Kafka, so that a night of a million packets fits on
a small disk. Some alerts are sent twice and some are damaged. In the middle the stream is killed without warning and
started again. At the end the ledger, the dead letters and the graph are held against the table of truth.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from compose import services
from compose.audit import ALL_NIGHTS
from compose.bench.broker import trim, trim_points, watermarks
from compose.bench.feeder import Feeder
from compose.bench.ingest_process import IngestProcess
from compose.bench.meters import FamilyMeter, cpu_between, cpu_per_thousand, peak_memory_mb
from compose.bench.producer import TRUTH_FILE, ProducerPlan
from compose.bench.timeline import STALL_TIMEOUT_S
from compose.bench.verdict import Counted, Truth, judge
from compose.config import Settings
from compose.feed import alert_topic
from graph.bus import read_all
from graph.errors import StoreError
from graph.model import Survey
from graph.reader import GraphReader
from graph.topics import DEAD_LETTERS

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a stage, how much is done, and how much there is if that is known."""

AHEAD_ALERTS = 50_000
"""Messages that the producer may be ahead of the ledger: 3 GB on Kafka, and the stream never waits."""

MESSAGES_PER_ORDER = 2000
"""Messages made and sent between two looks at the ledger: about half a second of work."""

POLL_S = 0.5
"""Pause between two looks at the ledger when the producer may not send [s]."""

TRIM_INTERVAL_S = 5.0
"""Time between two deletions on the topic [s]."""

REPEAT_EVERY = 97
"""Every so many alerts one is delivered twice: often enough that a short night has dozens."""

DAMAGE_EVERY = 499
"""Every so many alerts a damaged one comes too: often enough that a short night has several."""

IDS_PER_QUERY = 100_000
"""Identifiers read from the graph at a time: some 20 MB."""

QUERY_TIMEOUT_S = 300.0
"""Time allowed for a query at the end [s]; it looks at every detection."""

IDS_QUERY = "MATCH (d:Detection {survey: $survey}) WHERE d.detection_id % $slices = $slice RETURN d.detection_id"
"""A slice of the identifiers of all detections."""


@dataclass(frozen=True, slots=True)
class NightPlan:
    """What kind of night."""

    n_alerts: int
    survey: Survey = Survey.ZTF
    kill: bool = False
    """Kill the stream when half of the night is in the ledger."""
    seed: int = 1
    ahead: int = AHEAD_ALERTS
    """Messages that the producer may be ahead of the ledger."""
    cutouts: bool = True

    @property
    def messages(self) -> int:
        """Messages in all, repeated and damaged ones included."""
        return self.n_alerts + self.n_alerts // REPEAT_EVERY + self.n_alerts // DAMAGE_EVERY


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of the night."""

    at_s: float
    received: int


class _Ledger:
    """How far the ledger is."""

    def __init__(self, reader: GraphReader, topic: str, partitions: Iterable[int]) -> None:
        self._reader = reader
        self._places = [(topic, number) for number in partitions]
        self.until: dict[int, int] = {}

    def look(self) -> None:
        """Read it anew."""
        self.until = {number: offset for (_, number), offset in self._reader.ledger_positions(self._places).items()}

    @property
    def received(self) -> int:
        """Messages that it covers: a topic of our own begins at offset 0 and has no gaps."""
        return sum(self.until.values())


def bench_night(settings: Settings, plan: NightPlan, progress: Progress) -> dict[str, object]:
    """Run a night and compare what is left of it with the truth.

    Returns
    -------
    JSON-ready figures; ``nothing_lost`` says whether every count is as it must be, ``checks`` which are.

    Raises
    ------
    StoreError : the stream ended by itself, or the ledger did not move.
    PublishError : the producing process ended, or Kafka does not answer.
    """
    services.prepare(settings).close()
    folder = settings.home / "bench"
    producer = ProducerPlan(
        plan.survey.value, plan.n_alerts, plan.seed, str(folder), REPEAT_EVERY, DAMAGE_EVERY, plan.cutouts
    )
    topic = alert_topic(settings, plan.survey)
    with GraphReader.open(settings.graph) as reader, FamilyMeter("watcher") as meter:
        ledger = _Ledger(reader, topic, watermarks(settings.kafka, topic))
        with Feeder(settings, producer, topic) as feeder, IngestProcess(settings) as stream:
            night = _Night(settings, plan, topic, feeder, stream, ledger, progress)
            night.run()
        marks = watermarks(settings.kafka, topic)
        truth = _read_truth(folder / TRUTH_FILE)
        counted = _count(settings, plan, reader, sum(high for _, high in marks.values()))
        checks = judge(truth, counted)
        figures = night.figures(meter)
    return {
        "nothing_lost": all(checks.values()),
        "checks": checks,
        "n": plan.n_alerts,
        "received": counted.received,
        "archived": counted.archived,
        "loaded": counted.loaded,
        "filtered": dict(sorted(counted.filtered.items())),
        "duplicates": counted.duplicates,
        "dead": counted.dead,
        "dead_letters": counted.dead_letters,
        "detections_in_graph": len(counted.detection_ids),
        "balanced": counted.balanced,
        "expected": truth.expected(counted.detection_ids),
        "set_aside_by_class": truth.set_aside_by_class(counted.detection_ids),
        **figures,
        "deleted_from_topic": sum(low for low, _ in marks.values()),
        "ledger": [{**asdict(night), "balanced": night.balanced} for night in counted.nights],
    }


@dataclass(slots=True)
class _Night:
    """The night while it lasts."""

    settings: Settings
    plan: NightPlan
    topic: str
    feeder: Feeder
    stream: IngestProcess
    ledger: _Ledger
    progress: Progress
    start_s: float = field(default_factory=time.perf_counter)
    marks: list[Mark] = field(default_factory=list)
    """The end of each tenth."""
    moved_s: float = 0.0
    """When the ledger moved last [s]."""
    trimmed_s: float = 0.0
    killed: Mark | None = None
    resumed_s: float | None = None
    """When the ledger moved again after the kill [s]."""

    def __post_init__(self) -> None:
        """Begin the first tenth."""
        self.marks.append(Mark(self.start_s, 0))
        self.moved_s = self.trimmed_s = self.start_s

    def run(self) -> None:
        """Send, watch and kill until every message is in the ledger."""
        while self.ledger.received < self.plan.messages:
            sent, ahead = self.feeder.sent_messages, self.feeder.sent_messages - self.ledger.received
            room = min(self.plan.messages - sent, self.plan.ahead - ahead, MESSAGES_PER_ORDER)
            if room > 0:
                self.feeder.send(room)
            else:
                time.sleep(POLL_S)
            self.stream.check()
            self._look()
            if self.plan.kill and self.killed is None and 2 * self.ledger.received >= self.plan.messages:
                self.stream.kill_and_restart()
                # The ledger may have moved between the last look and the kill.
                self.ledger.look()
                self.killed = Mark(time.perf_counter(), self.ledger.received)
            self._make_room()

    def _look(self) -> None:
        before = self.ledger.received
        self.ledger.look()
        now_s, received = time.perf_counter(), self.ledger.received
        if received > before:
            self.moved_s = now_s
            if self.killed is not None and self.resumed_s is None and received > self.killed.received:
                self.resumed_s = now_s
        elif now_s - self.moved_s > STALL_TIMEOUT_S:
            raise StoreError(f"The ledger stands at {received} of {self.plan.messages} messages and does not move.")
        if received - self.marks[-1].received >= self.plan.messages / 10 or received >= self.plan.messages:
            self.marks.append(Mark(now_s, received))
        self.progress("to Kafka", self.feeder.sent_messages, self.plan.messages)
        self.progress("in the ledger", received, self.plan.messages)

    def _make_room(self) -> None:
        """Let Kafka forget what the ledger has, but for what a killed batch may have to read again."""
        now_s = time.perf_counter()
        if now_s - self.trimmed_s >= TRIM_INTERVAL_S:
            self.trimmed_s = now_s
            margin = 2 * self.settings.ingest.max_offsets_per_batch
            trim(self.settings.kafka, self.topic, trim_points(self.ledger.until, margin))

    def figures(self, meter: FamilyMeter) -> dict[str, object]:
        """Return rates, memory and the outage."""
        samples, last = meter.samples, self.marks[-1]
        deciles = [
            {
                "received": end.received,
                "alerts_per_s": round((end.received - start.received) / max(end.at_s - start.at_s, 1e-9), 1),
                "memory_mb": peak_memory_mb(samples, start.at_s, end.at_s),
                "cpu_s_per_1000": cpu_per_thousand(
                    cpu_between(samples, start.at_s, end.at_s), end.received - start.received
                ),
            }
            for start, end in zip(self.marks, self.marks[1:], strict=False)
        ]
        killed, resumed_s = self.killed, self.resumed_s
        return {
            "seconds": round(last.at_s - self.start_s, 1),
            "alerts_per_s": round(last.received / max(last.at_s - self.start_s, 1e-9), 1),
            "peak_memory_mb": peak_memory_mb(samples, self.start_s, last.at_s).get("total"),
            "deciles": deciles,
            "killed_at": None if killed is None else killed.received,
            "outage_s": None if killed is None or resumed_s is None else round(resumed_s - killed.at_s, 1),
        }


def _read_truth(path: Path) -> Truth:
    table = pq.read_table(path, columns=["detection_id", "object_id", "class", "solar_system_id"])
    named = table.column("solar_system_id").is_valid().to_numpy(zero_copy_only=False)
    return Truth(
        detection_ids=table.column("detection_id").to_numpy(),
        classes=table.column("class").to_numpy(zero_copy_only=False),
        is_moving=named | (table.column("object_id").to_numpy(zero_copy_only=False) == ""),
        repeat_every=REPEAT_EVERY,
        damage_every=DAMAGE_EVERY,
    )


def _count(settings: Settings, plan: NightPlan, reader: GraphReader, on_topic: int) -> Counted:
    """Count what became of the night, each figure from the place that holds the truth of it."""
    nights = reader.ledger(ALL_NIGHTS)
    slices = plan.n_alerts // IDS_PER_QUERY + 1
    ids: set[int] = set()
    for number in range(slices):
        asked = {"survey": plan.survey.value, "slices": slices, "slice": number}
        answer = reader.read_query(IDS_QUERY, asked, QUERY_TIMEOUT_S, plan.n_alerts + 1)
        ids.update(int(str(row[0])) for row in answer.rows)
    filtered: Counter[str] = Counter()
    for night in nights:
        filtered.update(night.filtered)
    return Counted(
        on_topic=on_topic,
        received=sum(night.received for night in nights),
        loaded=sum(night.loaded for night in nights),
        filtered=filtered,
        duplicates=sum(night.duplicates for night in nights),
        dead=sum(night.dead for night in nights),
        archived=sum(night.archived or 0 for night in nights) if any(night.archived for night in nights) else None,
        balanced=all(night.balanced for night in nights),
        dead_letters=len({message.key() for message in read_all(settings.kafka, DEAD_LETTERS)}),
        detection_ids=ids,
        nights=nights,
    )
