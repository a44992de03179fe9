"""A service that a bench started ends when the bench is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from compose.bench.child import LOOK_S

if TYPE_CHECKING:
    from pathlib import Path

TIME_LIMIT_S = 30.0
"""Far more than the child needs to notice and to stop [s]."""


def test_a_service_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HELIOGRAPH_HOME": str(tmp_path),
        "HELIOGRAPH_GRAPH__URI": "bolt://127.0.0.1:1",
        "HELIOGRAPH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    with subprocess.Popen(["sleep", "600"]) as parent:
        command = [sys.executable, "-m", "compose.bench.child", str(parent.pid), "coordinate"]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # No server answers; the service waits for them and does not give up.
            time.sleep(5.0 + LOOK_S)
            assert child.poll() is None
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            assert child.wait(TIME_LIMIT_S) == 0
        finally:
            child.kill()
            child.wait()
