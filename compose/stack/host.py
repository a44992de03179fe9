"""What the child processes share: a JVM in a Python process that ends with its parent."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

import jpype
import psutil

PARENT_POLL_S = 0.5
"""How often a child looks whether its parent is alive [s]."""


def start_jvm(jars: Sequence[str], heap_mb: int, options: Sequence[str] = ()) -> None:
    """Start the JVM of this process with a class path and a heap limit [MiB]."""
    jpype.startJVM(
        f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError", *options, classpath=list(jars), convertStrings=True
    )


def serve_until_stopped(stop: Callable[[], None], parent_pid: int | None) -> None:
    """Block until SIGTERM, SIGINT or the end of the parent; then call ``stop`` and end the process."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    while not asked.wait(PARENT_POLL_S):
        if parent_pid is not None and not psutil.pid_exists(parent_pid):
            break
    watchdog = threading.Timer(15.0, lambda: os._exit(1))
    watchdog.daemon = True
    watchdog.start()
    stop()
    sys.stdout.flush()
    os._exit(0)
