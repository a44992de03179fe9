"""The near end of the producing process: orders out, answers in."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from compose.bench.producer import ProducerPlan, Sent
from compose.config import Settings
from graph.errors import PublishError

STOP_GRACE_S = 10.0
"""Time allowed for the process to end when its orders do [s]."""


class Feeder:
    """A producing process that this process started and ends."""

    def __init__(self, settings: Settings, plan: ProducerPlan, topic: str) -> None:
        """Start it; it answers its first order when the night is drawn."""
        folder = Path(plan.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "compose.bench.producer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # An interrupt from the terminal is for us: we end the process in order.
            start_new_session=True,
        )
        self.sent_alerts = 0
        self.sent_messages = 0
        opening = {"plan": asdict(plan), "topic": topic, "bootstrap_servers": settings.kafka.bootstrap_servers}
        try:
            self._ask(opening)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        """Return itself, to be ended with the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._end()

    def _end(self) -> None:
        if self.process.stdin is not None:
            # What it could not be told any more does not matter now.
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_GRACE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stage(self, n: int) -> tuple[int, int]:
        """Make the next n packets ahead; return how many there are and how many bytes they have."""
        answer = self._ask({"stage": n})
        return int(answer["alerts"]), int(answer["bytes"])

    def send_staged(self, n: int, rate_per_s: float = 0.0) -> Sent:
        """Send what was made ahead, at a rate or, for 0, as fast as Kafka takes it."""
        return self._sent(self._ask({"send_staged": n, "rate_per_s": rate_per_s}))

    def send(self, n: int) -> Sent:
        """Make and send the next n messages."""
        return self._sent(self._ask({"send": n}))

    def _sent(self, answer: dict[str, float]) -> Sent:
        sent = Sent(
            int(answer["alerts"]),
            int(answer["messages"]),
            int(answer["bytes"]),
            float(answer["seconds"]),
            float(answer["late_s"]),
        )
        self.sent_alerts += sent.alerts
        self.sent_messages += sent.messages
        return sent

    def _ask(self, order: object) -> dict[str, float]:
        """Give an order and return its answer.

        Raises
        ------
        PublishError : the process has ended; what it had to say stands on stderr.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        line = ""
        if stdin is not None and stdout is not None:
            try:
                stdin.write(json.dumps(order) + "\n")
                stdin.flush()
                line = stdout.readline()
            except OSError:
                line = ""
        if not line:
            raise PublishError(f"The producing process ended with status {self.process.wait(STOP_GRACE_S)}.")
        answer: dict[str, float] = json.loads(line)
        return answer
