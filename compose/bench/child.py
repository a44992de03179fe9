"""A verb as a process that ends with the one that started it: ``python -m compose.bench.child PID VERB``.

A bench that is killed cannot stop what it started, and a stray coordinator spoils the next measurement.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

import psutil

from compose.cli import main

LOOK_S: Final = 1.0
"""Time between two looks whether the parent is alive [s]."""


def end_with(parent_pid: int) -> None:
    """Ask this process to stop, as a user would, when another is gone; returns then."""
    while psutil.pid_exists(parent_pid):
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv = ["heliograph", *sys.argv[2:]]
    main()
