"""Child processes of the embedded stack: start, watch, stop, and tell whether one is still ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from graph.errors import EnvironmentProblem

LOOPBACK = "127.0.0.1"
"""The only address that embedded servers bind to: they have no login."""

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Servers started by this process: kept so that the system can tell us how they ended."""

STOP_GRACE_S = 20.0
"""Time allowed for an orderly stop before a kill [s]; Neo4j writes a checkpoint of a few seconds."""


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A started server as written to disk, so that another process can find it."""

    name: str
    pid: int
    created: float
    """Start time of the process [s, Unix]; with the pid it is an identity that is not reused."""
    port: int
    log: str

    def is_running(self) -> bool:
        """Return whether that very process is alive."""
        if self.pid in _CHILDREN:
            return _CHILDREN[self.pid].poll() is None
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def free_port() -> int:
    """Return a TCP port on the loopback address that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def claim_port(wanted: int, setting: str) -> int:
    """Return ``wanted`` if it is free, any free port for 0.

    Raises
    ------
    EnvironmentProblem : the wanted port is taken.
    """
    if wanted == 0:
        return free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError as error:
            raise EnvironmentProblem(f"Port {wanted} of {setting} is taken by another program.") from error
    return wanted


def check_disk(folder: Path, need_mb: int) -> None:
    """Raise `EnvironmentProblem` when less than ``need_mb`` [MiB] are free where ``folder`` lies."""
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < need_mb:
        raise EnvironmentProblem(f"The disk of {folder} has {free_mb} MiB left, {need_mb} MiB are needed.")


def start_child(
    name: str, module: str, config: Mapping[str, object], port: int, log: Path, *, detached: bool
) -> ServerRecord:
    """Start ``python -m module`` with a JSON configuration as its argument.

    A child that is not detached ends by itself when this process is gone, however it went: it watches our pid.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    parent = None if detached else os.getpid()
    argument = json.dumps({**config, "port": port, "parent_pid": parent})
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", module, argument],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            cwd=log.parent,
        )
    _CHILDREN[child.pid] = child
    return ServerRecord(name, child.pid, psutil.Process(child.pid).create_time(), port, str(log))


def wait_until(ready: Callable[[], bool], record: ServerRecord, timeout_s: float) -> None:
    """Wait until a server answers.

    Raises
    ------
    EnvironmentProblem : it ended or did not answer in time; the sentence ends with the last line of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not record.is_running():
            raise EnvironmentProblem(f"The embedded {record.name} ended while starting: {last_line(Path(record.log))}")
        if time.monotonic() > deadline:
            raise EnvironmentProblem(f"The embedded {record.name} did not answer in {timeout_s:g} s; see {record.log}.")
        time.sleep(0.1)


def stop_child(record: ServerRecord) -> None:
    """Stop a server in order; kill it after `STOP_GRACE_S`."""
    if not record.is_running():
        return
    process = psutil.Process(record.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_GRACE_S)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_GRACE_S)
    if record.pid in _CHILDREN:
        _CHILDREN.pop(record.pid).wait(STOP_GRACE_S)


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = (
        [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    )
    return lines[-1] if lines else "its log is empty"


def write_records(path: Path, records: Mapping[str, ServerRecord]) -> None:
    """Write the records of running servers, atomically."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({name: asdict(record) for name, record in records.items()}, indent=2))
    draft.replace(path)


def read_records(path: Path) -> dict[str, ServerRecord]:
    """Read the records written by `write_records`; none when there is no file."""
    if not path.exists():
        return {}
    return {name: ServerRecord(**fields) for name, fields in json.loads(path.read_text()).items()}
