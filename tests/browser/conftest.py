"""A headless Chromium spoken to over the DevTools protocol, and the real application for it to open."""

from __future__ import annotations

import base64
import json
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import uvicorn

from api.app import create_app
from api.config import ApiSettings
from api.news import NewsHub
from api.testing import FakeReader
from graph.visits import IntArray, VisitColumns

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--metrics-recording-only",
    "--password-store=basic",
)
PATIENCE_S = 20.0
"""Longest wait for the browser or the page [s]; the first start of a Chromium takes seconds."""


class Browser:
    """One page of a headless Chromium.

    The protocol runs over the pipe on descriptors 3 and 4: JSON messages, each ended by a zero byte.
    """

    def __init__(self, program: str, profile: Path) -> None:
        # The shell moves the pipes to where Chromium expects them; its own chatter goes nowhere.
        wiring = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", wiring, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self._number = 0
        self._session: str | None = None
        self.troubles: list[str] = []
        self.requests: list[str] = []
        targets = self.send("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _read(self) -> None:
        assert self._process.stdout is not None
        held = b""
        while chunk := self._process.stdout.read1(65536):  # type: ignore[attr-defined]
            *whole, held = (held + chunk).split(b"\0")
            for message in whole:
                self._answers.put(json.loads(message))

    def send(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            answer = self._answers.get(timeout=PATIENCE_S)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what should not happen, and what is asked for."""
        method, params = event.get("method"), event.get("params", {})
        if method == "Log.entryAdded" and params["entry"]["level"] in {"warning", "error"}:
            self.troubles.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.troubles.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.troubles.append(json.dumps(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.troubles.append(f"dialog: {params['message']}")
            self.send("Page.handleJavaScriptDialog", accept=True)

    def run(self, expression: str) -> Any:
        """Return the JSON value of an expression, awaited, in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Return once an expression is true in the page."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        """Give the viewport a size [px]."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, url: str, width: int = 1400, height: int = 1000) -> None:
        """Open an address with a clean record and return once the first answers are drawn."""
        self.send("Page.navigate", url="about:blank")
        self.wait_for("document.readyState === 'complete' && location.href === 'about:blank'")
        self.troubles.clear()
        self.requests.clear()
        self.resize(width, height)
        self.send("Page.navigate", url=url)
        self.wait_for(
            "document.readyState === 'complete' && "
            "!/Asking/.test(document.getElementById('status')?.textContent ?? 'Asking')"
        )

    def next_round(self) -> None:
        """Let the page ask again now, as it does when its tab comes to the front."""
        self.run("void document.dispatchEvent(new Event('visibilitychange'))")

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Return a PNG of the viewport, or of the whole page."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End the browser."""
        self._session = None
        try:
            self.send("Browser.close")
            self._process.wait(timeout=5)
        except (OSError, queue.Empty, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._reading.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start a Chromium once; skip where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser on PATH: none of {', '.join(NAMES)}")
    with TemporaryDirectory(prefix="heliograph-browser-", ignore_cleanup_errors=True) as profile:
        browser = Browser(program, Path(profile))
        yield browser
        browser.close()


class OneLook:
    """A source of visits that knows of one look at every place, five minutes before the window closes."""

    def visits(self, cells: IntArray, from_mjd_tai: float, until_mjd_tai: float) -> VisitColumns:  # noqa: ARG002
        text, number = np.array(["ztf", "r"], dtype=object), np.array([until_mjd_tai - 300.0 / 86_400.0, 20.41])
        return VisitColumns(text[:1], number[:1], text[1:], cells[:1], number[1:], np.array([3]))


@contextmanager
def served(reader: FakeReader, news: NewsHub | None = None) -> Iterator[str]:
    """Serve the application on a free port of the loopback address and give its address."""
    app = create_app(ApiSettings(), reader, news=news, visits=OneLook())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join(timeout=PATIENCE_S)


@pytest.fixture
def show(chromium: Browser) -> Iterator[Callable[..., Browser]]:
    """Return what opens the page of a reader; at the end the browser must have nothing to complain of."""
    with ExitStack() as stack:

        def opened(reader: FakeReader, width: int = 1400, height: int = 1000, news: NewsHub | None = None) -> Browser:
            chromium.open(stack.enter_context(served(reader, news)), width, height)
            return chromium

        yield opened
        chromium.send("Page.navigate", url="about:blank")
    assert chromium.troubles == []
