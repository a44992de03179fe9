"""The alert stream, or another service, as a process of its own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from compose.config import Settings
from compose.stack.processes import last_line
from graph.errors import StoreError

STOP_GRACE_S = 60.0
"""Time allowed for the stream to end in order [s]: its batch is finished first."""


class IngestProcess:
    """``heliograph ingest``, or another verb, on the servers of some settings; its output goes to ``logs``."""

    def __init__(self, settings: Settings, verb: str = "ingest") -> None:
        self._settings = settings
        self._verb = verb
        self._log = settings.home / "logs" / f"{verb}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._start()

    def __enter__(self) -> Self:
        """Return itself, to be stopped with the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "HELIOGRAPH_HOME": str(self._settings.home),
            "HELIOGRAPH_GRAPH__URI": self._settings.graph.uri,
            "HELIOGRAPH_KAFKA__BOOTSTRAP_SERVERS": self._settings.kafka.bootstrap_servers,
        }
        command = [sys.executable, "-m", "compose.bench.child", str(os.getpid()), self._verb]
        with self._log.open("ab") as sink:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )

    def check(self) -> None:
        """Raise `StoreError` when it has ended by itself."""
        status = self._process.poll()
        if status is not None:
            raise StoreError(f"'{self._verb}' ended with status {status}: {last_line(self._log)}")

    def kill_and_restart(self) -> None:
        """End the process and its JVM at once, as a power cut would, and start it again."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = self._start()

    def stop(self) -> None:
        """Let it finish its batch and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
