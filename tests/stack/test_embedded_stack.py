"""The embedded servers as a user meets them: up, status, a crash, down."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from compose.config import Settings, load_settings
from compose.stack import embedded, processes
from graph.errors import EnvironmentProblem

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def test_a_second_up_starts_nothing(stack_settings: Settings) -> None:
    again = embedded.up(load_settings().model_copy(update={"home": stack_settings.home}), detached=False)
    assert again.started_here == ()
    assert again.bolt_uri == stack_settings.graph.uri
    assert again.bootstrap_servers == stack_settings.kafka.bootstrap_servers


def test_servers_listen_on_the_loopback_address_only(stack_settings: Settings) -> None:
    report = embedded.status(load_settings().model_copy(update={"home": stack_settings.home}))
    assert {server["state"] for server in report.values()} == {"running"}
    for server in report.values():
        listening = [
            c for c in psutil.Process(int(server["pid"])).net_connections("tcp") if c.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_a_crash_is_named_and_mended(tmp_path: Path) -> None:
    # Kafka alone: the address of a graph that nobody asks for keeps a second Neo4j from being started.
    settings = load_settings().model_copy(update={"home": tmp_path})
    settings = settings.model_copy(update={"graph": settings.graph.model_copy(update={"uri": "bolt://127.0.0.1:1"})})
    embedded.up(settings, detached=True)
    try:
        pid = int(embedded.status(settings)["kafka"]["pid"])
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
        assert embedded.status(settings)["kafka"]["state"] == "crashed"
        assert embedded.up(settings, detached=True).started_here == ("kafka",)
        assert embedded.status(settings)["kafka"]["state"] == "running"
    finally:
        assert embedded.down(settings) == ("kafka",)
    assert embedded.status(settings)["kafka"]["state"] == "stopped"


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from compose.config import load_settings\n"
        "from compose.stack import embedded\n"
        "settings = load_settings()\n"
        "embedded.up(settings, detached=False)\n"
        "print(embedded.status(settings)['kafka']['pid'], flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "HELIOGRAPH_HOME": str(tmp_path), "HELIOGRAPH_GRAPH__URI": "bolt://127.0.0.1:1"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    child.wait(timeout=processes.STOP_GRACE_S)
    assert not child.is_running()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = load_settings()
        stack = settings.stack.model_copy(update={"kafka_port": port})
        settings = settings.model_copy(update={"home": tmp_path, "stack": stack})
        with pytest.raises(EnvironmentProblem, match=f"Port {port} of HELIOGRAPH_STACK__KAFKA_PORT is taken"):
            embedded.up(settings, detached=False)
