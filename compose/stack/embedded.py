"""The embedded stack: Neo4j and Kafka on the loopback address, with their state under one folder."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from compose.config import Settings
from compose.stack import processes
from compose.stack.jars import jar_paths
from compose.stack.java import check_java
from compose.stack.processes import LOOPBACK, ServerRecord

SERVERS = ("kafka", "neo4j")
"""Embedded servers in the order of their start; they are stopped in the reverse order."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack: where the parts of Heliograph find it."""

    bolt_uri: str
    bootstrap_servers: str
    started_here: tuple[str, ...]
    """Servers that this call started; the others were up already."""

    def apply(self, settings: Settings) -> Settings:
        """Return the settings with the embedded addresses where the user named none."""
        graph, kafka = settings.graph, settings.kafka
        return settings.model_copy(
            update={
                "graph": graph if graph.uri else graph.model_copy(update={"uri": self.bolt_uri}),
                "kafka": kafka
                if kafka.bootstrap_servers
                else kafka.model_copy(update={"bootstrap_servers": self.bootstrap_servers}),
            }
        )


def _records_path(home: Path) -> Path:
    return home / "stack.json"


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Keep two ``up`` or ``down`` from meddling with one folder."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "stack.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def wanted_servers(settings: Settings) -> tuple[str, ...]:
    """Return the embedded servers that these settings need: those without an address of the user's."""
    outside = {"neo4j": settings.graph.uri, "kafka": settings.kafka.bootstrap_servers}
    return tuple(name for name in SERVERS if not outside[name])


def up(settings: Settings, *, detached: bool) -> Stack:
    """Start what is wanted and not running; return when every server answers.

    Parameters
    ----------
    detached : True leaves the servers running after this process; False ends them with it.

    Raises
    ------
    EnvironmentProblem : Java, a port, the disk or a server; one sentence.
    """
    home = settings.home
    with _lock(home):
        records = {
            name: record for name, record in processes.read_records(_records_path(home)).items() if record.is_running()
        }
        started: list[str] = []
        missing = [name for name in wanted_servers(settings) if name not in records]
        if missing:
            check_java()
            processes.check_disk(home, settings.stack.min_free_disk_mb)
        try:
            for name in missing:
                records[name] = _START[name](settings, detached)
                started.append(name)
                processes.write_records(_records_path(home), records)
            for name in started:
                answers, record = _ANSWERS[name], records[name]
                processes.wait_until(partial(answers, record.port), record, settings.stack.start_timeout_s)
        except BaseException:
            for name in started:
                processes.stop_child(records.pop(name))
            processes.write_records(_records_path(home), records)
            raise
    return _stack(records, tuple(started))


def find(settings: Settings) -> Stack:
    """Return the running stack without starting anything."""
    return _stack(processes.read_records(_records_path(settings.home)), ())


def down(settings: Settings, only: tuple[str, ...] = SERVERS) -> tuple[str, ...]:
    """Stop the embedded servers and return the names of those that were running."""
    with _lock(settings.home):
        records = processes.read_records(_records_path(settings.home))
        stopped = [name for name in reversed(SERVERS) if name in records and name in only]
        running = tuple(name for name in stopped if records[name].is_running())
        for name in stopped:
            processes.stop_child(records.pop(name))
        processes.write_records(_records_path(settings.home), records)
    return running


def status(settings: Settings) -> dict[str, dict[str, str | int]]:
    """Return for each embedded server its state: running, silent (does not answer), crashed or stopped."""
    records = processes.read_records(_records_path(settings.home))
    report: dict[str, dict[str, str | int]] = {}
    for name in SERVERS:
        record = records.get(name)
        if record is None:
            report[name] = {"state": "stopped"}
        elif not record.is_running():
            report[name] = {"state": "crashed", "log": record.log, "last_line": processes.last_line(Path(record.log))}
        else:
            state = "running" if _ANSWERS[name](record.port) else "silent"
            report[name] = {"state": state, "port": record.port, "pid": record.pid, "log": record.log}
    return report


def _stack(records: dict[str, ServerRecord], started: tuple[str, ...]) -> Stack:
    def address(name: str) -> str:
        record = records.get(name)
        return f"{LOOPBACK}:{record.port}" if record is not None and record.is_running() else ""

    bolt = address("neo4j")
    return Stack(f"bolt://{bolt}" if bolt else "", address("kafka"), started)


def _start_neo4j(settings: Settings, detached: bool) -> ServerRecord:
    home, stack = settings.home, settings.stack
    config = {
        "home": str(home / "neo4j"),
        "jars": jar_paths("neo4j"),
        "heap_mb": stack.neo4j_heap_mb,
        "page_cache_mb": stack.neo4j_page_cache_mb,
    }
    port = processes.claim_port(stack.neo4j_port, "HELIOGRAPH_STACK__NEO4J_PORT")
    log = home / "logs" / "neo4j.log"
    return processes.start_child("neo4j", "compose.stack.neo4j_server", config, port, log, detached=detached)


def _start_kafka(settings: Settings, detached: bool) -> ServerRecord:
    home, stack = settings.home, settings.stack
    config = {
        "home": str(home / "kafka"),
        "jars": jar_paths("kafka"),
        "heap_mb": stack.kafka_heap_mb,
        "controller_port": processes.free_port(),
        "max_message_bytes": settings.kafka.max_message_bytes,
    }
    port = processes.claim_port(stack.kafka_port, "HELIOGRAPH_STACK__KAFKA_PORT")
    log = home / "logs" / "kafka.log"
    return processes.start_child("kafka", "compose.stack.kafka_server", config, port, log, detached=detached)


def _bolt_answers(port: int) -> bool:
    """Return whether a Bolt handshake is answered: the port alone opens before the database does."""
    hello = b"\x60\x60\xb0\x17" + b"\x00\x00\x04\x05" + b"\x00\x00\x00\x00" * 3
    try:
        with closing(socket.create_connection((LOOPBACK, port), timeout=1.0)) as connection:
            connection.sendall(hello)
            connection.settimeout(2.0)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def _kafka_answers(port: int) -> bool:
    try:
        with closing(socket.create_connection((LOOPBACK, port), timeout=1.0)):
            pass
        admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0, "socket.timeout.ms": 3000})
        return len(admin.list_topics(timeout=3).brokers) > 0
    except (OSError, KafkaException):
        return False


_START: dict[str, Callable[[Settings, bool], ServerRecord]] = {"kafka": _start_kafka, "neo4j": _start_neo4j}
_ANSWERS: dict[str, Callable[[int], bool]] = {"kafka": _kafka_answers, "neo4j": _bolt_answers}
