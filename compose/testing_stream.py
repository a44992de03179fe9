"""A night with damage and repeats on fixed offsets, and what the alert stream made of it, for tests.

What is left is read by other means than those of the stream: plain Cypher, plain Parquet, the topic itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from confluent_kafka import Producer

from compose.config import Settings
from compose.feed import alert_topic
from compose.testing import Installation
from graph.bus import ensure_topics, read_all
from graph.model import Survey
from graph.topics import DEAD_LETTERS
from ingest.catalogue import build_catalogue
from ingest.simulate import simulate_night
from ingest.simulate.catalogue import SIMULATED_CATALOGUE

DAMAGE_EVERY = 50
"""Every so many alerts a truncated copy follows."""

REPEAT_EVERY = 40
"""Every so many alerts one is delivered again."""

REPEAT_LATER = (0, 1, 400)
"""How many alerts later a repeat comes, in turn: two are on the other partition, one is in another batch."""

PARTITIONS = 2
"""Partitions of the topics, as many as an installation makes by default."""

NIGHT_START = datetime(2026, 11, 20, 2, tzinfo=UTC)
"""Beginning of the night; any would do."""

LEDGER_COUNTS = ("received", "archived", "classified", "loaded", "duplicates", "dead")
"""Numbers of a ledger entry that add up over entries."""

NODES = "MATCH (n:Object|Detection|Class|CatalogSource) RETURN labels(n) AS labels, properties(n) AS properties"
EDGES = (
    "MATCH (a:Object)-[r]->(b) RETURN type(r) AS type, properties(r) AS properties, a.object_key AS first, "
    "coalesce(b.detection_key, b.source_key, b.name) AS last"
)
LEDGER = "MATCH (l:LedgerEntry) RETURN properties(l) AS entry"


@dataclass(frozen=True, slots=True)
class Placed:
    """A message and its place."""

    survey: Survey
    topic: str
    partition: int
    offset: int
    packet: bytes
    damaged: bool = False

    @property
    def source(self) -> str:
        """Place as the stream writes it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an installation holds after the stream has run; two runs over the same night must be equal."""

    graph: frozenset[str]
    """Every node and relationship of alerts with all its properties."""
    ledger: Mapping[tuple[str, int], Mapping[str, int]]
    """(survey, night) -> sums, reasons among them."""
    spans: Mapping[tuple[str, int], Sequence[tuple[int, int]]]
    """(topic, partition) -> first offset and the one after the last of each batch, ascending."""
    archive: Mapping[str, bytes]
    """Source -> packet."""
    archived_rows: int
    """Rows in the archive's files; more than ``archive`` has if one is there twice."""
    dead_letters: Mapping[str, bytes]
    """Source -> packet."""


@dataclass(frozen=True, slots=True)
class MixedNight:
    """Alerts of both surveys, some damaged, some delivered twice."""

    messages: tuple[Placed, ...]
    known_sources: pa.Table
    """The catalogue that comes with the night."""

    @classmethod
    def simulate(cls, settings: Settings, n_ztf: int, n_lsst: int, seed: int) -> MixedNight:
        """Make a night for fresh topics; the same arguments give the same messages at the same places."""
        night = simulate_night(seed, n_ztf, n_lsst, NIGHT_START, 1800.0, cutouts=False)
        messages: list[Placed] = []
        for survey, stream in night.streams.items():
            end: Counter[int] = Counter()
            for number, (packet, damaged) in enumerate(_disturbed(list(stream))):
                partition = number % PARTITIONS
                messages.append(
                    Placed(survey, alert_topic(settings, survey), partition, end[partition], packet, damaged)
                )
                end[partition] += 1
        return cls(tuple(messages), night.catalogue)

    @property
    def readable(self) -> dict[str, bytes]:
        """Source -> packet of what is not damaged."""
        return {one.source: one.packet for one in self.messages if not one.damaged}

    @property
    def damaged(self) -> dict[str, bytes]:
        """Source -> packet of what is."""
        return {one.source: one.packet for one in self.messages if one.damaged}

    @property
    def repeated(self) -> int:
        """Number of messages whose packet came before."""
        return len(self.messages) - len({one.packet for one in self.messages})

    def write_catalogue(self, folder: Path) -> Path:
        """Build the catalogue for the cross-match and return the folder of catalogues."""
        folder.mkdir(parents=True, exist_ok=True)
        pyarrow.csv.write_csv(self.known_sources, folder / "catalogue.csv")
        build_catalogue("simulated", folder / "catalogue.csv", folder / "catalogues", SIMULATED_CATALOGUE)
        return folder / "catalogues"

    def feed(self, settings: Settings, messages: Sequence[Placed] | None = None) -> None:
        """Send messages to their places, all of them unless some are given."""
        topics = sorted({one.topic for one in self.messages})
        ensure_topics(settings.kafka, topics)
        producer = Producer({**settings.kafka.client_config(), "enable.idempotence": True, "log_level": 3})
        for one in self.messages if messages is None else messages:
            producer.produce(one.topic, one.packet, partition=one.partition)
        if producer.flush(60.0):
            raise TimeoutError("Kafka did not take the night in a minute")

    def evidence(self, installation: Installation, archive: Path) -> Evidence:
        """Read what the stream left."""
        first_of: dict[bytes, str] = {}
        for one in self.messages:
            first_of.setdefault(one.packet, one.source)
        # Which of two deliveries came first may be a race between two partitions.
        same = {one.source: first_of[one.packet] for one in self.messages}
        files = [path for path in archive.rglob("*.parquet") if not path.name.startswith(".")]
        rows = [row for path in files for row in pq.ParquetFile(path).read(_ARCHIVED).to_pylist()]
        letters = {
            (message.key() or b"").decode(): message.value() or b""
            for message in read_all(installation.settings.kafka, DEAD_LETTERS)
        }
        entries = [row["entry"] for row in installation.query(LEDGER)]
        return Evidence(
            graph=graph_content(installation, same),
            ledger=_sums(entries),
            spans=_spans(entries),
            archive={f"{row['topic']}/{row['partition']}/{row['offset']}": row["header"] + row["body"] for row in rows},
            archived_rows=len(rows),
            dead_letters=letters,
        )


_ARCHIVED = ["topic", "partition", "offset", "header", "body"]


def _disturbed(packets: list[bytes]) -> list[tuple[bytes, bool]]:
    """Return packets with damaged and repeated ones among them, and whether each is damaged."""
    messages: list[tuple[bytes, bool]] = []
    due: dict[int, list[bytes]] = defaultdict(list)
    for number, packet in enumerate(packets):
        messages.append((packet, False))
        if number % REPEAT_EVERY == 0:
            due[number + REPEAT_LATER[number // REPEAT_EVERY % len(REPEAT_LATER)]].append(packet)
        messages += [(again, False) for again in due.pop(number, ())]
        if number % DAMAGE_EVERY == DAMAGE_EVERY - 1:
            messages.append((packet[: len(packet) - 7 - number % 13], True))
    return messages + [(again, False) for late in due.values() for again in late]


def graph_content(installation: Installation, same: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return every node and relationship of alerts as text.

    Parameters
    ----------
    same : source -> the source to write in its place; None leaves sources out.
    """
    nodes = installation.query(NODES)
    for row in nodes:
        properties = row["properties"]
        if "source" in properties:
            properties["source"] = same[properties["source"]] if same is not None else ""
    found = [json.dumps(row, sort_keys=True) for row in (*nodes, *installation.query(EDGES))]
    content = frozenset(found)
    if len(content) != len(found):
        raise AssertionError("a node or relationship is there twice")
    return content


def _sums(entries: Sequence[Mapping[str, object]]) -> dict[tuple[str, int], dict[str, int]]:
    """Add up the ledger by survey and night."""
    sums: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for entry in entries:
        total = sums[str(entry["survey"]), int(str(entry["night"]))]
        total.update({name: int(str(entry[name])) for name in LEDGER_COUNTS if entry.get(name) is not None})
        for kind in ("filtered", "dead_reasons"):
            total.update({f"{kind}:{reason}": n for reason, n in json.loads(str(entry[kind])).items()})
    return {key: dict(total) for key, total in sums.items()}


def _spans(entries: Sequence[Mapping[str, object]]) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """Return the ranges of offsets that the ledger counts, by partition."""
    spans: dict[tuple[str, int], set[tuple[int, int]]] = defaultdict(set)
    for entry in entries:
        span = (int(str(entry["offset_from"])), int(str(entry["offset_until"])))
        spans[str(entry["topic"]), int(str(entry["partition"]))].add(span)
    return {place: sorted(found) for place, found in spans.items()}


def start_ingest(settings: Settings, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``heliograph ingest`` as a session of its own; it logs to ``ingest.log`` below its home."""
    located = {
        "HELIOGRAPH_HOME": str(settings.home),
        "HELIOGRAPH_GRAPH__URI": settings.graph.uri,
        "HELIOGRAPH_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
    }
    command = [sys.executable, "-c", "from compose.cli import main; main()", "ingest", *arguments]
    with (settings.home / "ingest.log").open("ab") as sink:
        return subprocess.Popen(
            command,
            env={**os.environ, **located, **environment},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
