"""An HTTP server on the loopback address that speaks the service's protocol, and fails when told to. For tests.

It reads the upload, matches it with a small catalogue in memory, and answers as CSV or VOTable with the separation, the
upload's columns and the catalogue's, in this order, as the service does.
"""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree  # type: ignore[import-untyped, unused-ignore]

from ingest.xmatch.columns import FloatArray

SLOW_PAUSE_S = 0.05
"""Pause between bytes of a slow answer [s]."""

RETRY_AFTER_S = 7
"""What a busy answer asks for [s]."""


class Fault(StrEnum):
    """How one answer goes wrong."""

    NONE = "none"
    SERVER_ERROR = "server_error"
    BUSY = "busy"
    """Status 503 with Retry-After."""
    BAD_REQUEST = "bad_request"
    TOO_MANY_JOBS = "too_many_jobs"
    """Status 200, and the table says that the service is overloaded."""
    OVERFLOW = "overflow"
    """The table says that it is cut."""
    CUT_IN_ROW = "cut_in_row"
    """A proxy passes on, as if it were whole, what it got before the service died."""
    CUT_BETWEEN_ROWS = "cut_between_rows"
    SHORT = "short"
    """Fewer bytes than Content-Length says."""
    UNFRAMED = "unframed"
    """Neither Content-Length nor chunks: ends with the connection, after half of the rows."""
    SLOW = "slow"
    SILENT = "silent"
    """Takes the request and says nothing."""
    RESET = "reset"
    HTML = "html"
    EMPTY = "empty"
    WRONG_COLUMNS = "wrong_columns"
    DUPLICATED = "duplicated"
    FOREIGN_ROWS = "foreign_rows"
    MOVED_ROWS = "moved_rows"
    """Rows under numbers that were asked for, but for other positions."""
    FAR_ROWS = "far_rows"
    """Separations beyond the radius."""
    NOT_NUMBERS = "not_numbers"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came."""

    form: Mapping[str, str]
    rows: int
    """Lines of the upload."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, catalogues: Mapping[str, pd.DataFrame], faults: Iterable[Fault]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.catalogues = dict(catalogues)
        self.trees = {
            name: cKDTree(_unit_vectors(table["ra"].to_numpy(), table["dec"].to_numpy()))
            for name, table in catalogues.items()
        }
        self.faults = deque(faults)
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._counting = threading.Lock()
        self.released = threading.Event()

    def count(self, step: int) -> None:
        """Count a request that begins (1) or ends (-1)."""
        with self._counting:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what the tests are about."""


class ImitatedService:
    """The service, as a context manager; faults are taken one for each request, then all is well."""

    def __init__(self, catalogues: Mapping[str, pd.DataFrame], faults: Iterable[Fault] = ()) -> None:
        """Take tables by the name that ``cat2`` gives them; each has columns ``ra`` and ``dec`` [deg, ICRS]."""
        self._server = _Server(catalogues, faults)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, also in the middle of an answer."""
        self._server.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Address of the service."""
        return f"http://127.0.0.1:{self._server.server_port}/xmatch/api/v1/sync"

    @property
    def asked(self) -> list[Asked]:
        """Requests so far."""
        return self._server.asked

    @property
    def most_at_once(self) -> int:
        """Most requests that were under way at once."""
        return self._server.most_at_once

    def fail(self, *faults: Fault) -> None:
        """Let the next requests fail so, one each."""
        self._server.faults.extend(faults)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer one request, or fail as told."""
        self.server.count(1)
        try:
            self._answer()
        finally:
            self.server.count(-1)

    def _answer(self) -> None:
        form, upload = _parts(self.headers.get("Content-Type", ""), self._body())
        table = pd.read_csv(io.BytesIO(upload))
        self.server.asked.append(Asked(form, len(table)))
        fault = self.server.faults.popleft() if self.server.faults else Fault.NONE
        if fault in _STATUSES:
            status, headers = _STATUSES[fault]
            self._send(status, b"<html><body>Mauvaise requete</body></html>", headers)
        elif fault is Fault.RESET:
            self._hang_up()
        elif fault is Fault.SILENT:
            self.server.released.wait(10.0)
            self.close_connection = True
        else:
            matches = _spoil(_match(self.server, form, table), fault)
            votable = form.get("RESPONSEFORMAT") == "votable"
            body = _votable(matches, fault) if votable else matches.to_csv(index=False).encode()
            self._send_faulty(fault, body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length != _UNFRAMED:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _send_faulty(self, fault: Fault, body: bytes) -> None:
        half = body[: max(body.rfind(b"\n", 0, max(len(body) - 10, 1)) // 2, 0)]
        lines = body.splitlines(keepends=True)
        if fault is Fault.SHORT:
            self._send(200, half, {}, len(body))
            self.close_connection = True
        elif fault is Fault.UNFRAMED:
            self._send(200, b"".join(lines[: max(len(lines) // 2, 1)]), {"Connection": "close"}, _UNFRAMED)
        elif fault is Fault.SLOW:
            self._send(200, b"", {}, len(body))
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self.server.released.wait(SLOW_PAUSE_S):
                    break
            self.close_connection = True
        else:
            self._send(200, _replaced(fault, body, half, lines), {})

    def _hang_up(self) -> None:
        # A linger time of 0 sends a reset instead of the end of the stream.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.rfile.close()
        self.connection.close()
        self.close_connection = True


_UNFRAMED = -1
_ARCSEC = np.pi / 180.0 / 3600.0

_STATUSES: Mapping[Fault, tuple[int, Mapping[str, str]]] = {
    Fault.SERVER_ERROR: (500, {}),
    Fault.BUSY: (503, {"Retry-After": str(RETRY_AFTER_S)}),
    Fault.BAD_REQUEST: (400, {}),
}


def _replaced(fault: Fault, body: bytes, half: bytes, lines: list[bytes]) -> bytes:
    """Return the bytes that are sent as if they were the whole answer."""
    bodies = {
        Fault.CUT_IN_ROW: half,
        Fault.CUT_BETWEEN_ROWS: b"".join(lines[: max(len(lines) // 2, 1)]),
        Fault.HTML: b"<html><head><title>504 Gateway Time-out</title></head><body><hr></body></html>\n",
        Fault.EMPTY: b"",
        Fault.NOISE: bytes(range(256)) * 8,
        Fault.TOO_MANY_JOBS: _status_table("ERROR", "Message: Too many jobs are being processed, try later!"),
    }
    return bodies.get(fault, body)


def _parts(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the fields and the uploaded table of a multipart body; RFC 7578."""
    boundary = re.search(r"boundary=\"?([^\";]+)", content_type)
    form: dict[str, str] = {}
    upload = b""
    for part in body.split(b"--" + (boundary.group(1) if boundary else "").encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        content = content.removesuffix(b"\r\n")
        if b"filename=" in head:
            upload = content
        elif name is not None:
            form[name.group(1).decode()] = content.decode()
    return form, upload


def _match(server: _Server, form: Mapping[str, str], table: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs within the radius, the best one or all, with the columns of both tables."""
    catalogue, tree = server.catalogues[form["cat2"]], server.trees[form["cat2"]]
    ours = _unit_vectors(table[form["colRA1"]].to_numpy(), table[form["colDec1"]].to_numpy())
    chord = 2.0 * np.sin(0.5 * float(form["distMaxArcsec"]) * _ARCSEC)
    if form.get("selection", "all") == "best":
        distance, place = tree.query(ours, distance_upper_bound=np.nextafter(chord, 1.0))
        row = np.flatnonzero(np.isfinite(distance))
        place = place[row]
    else:
        pairs = [(i, j) for i, near in enumerate(tree.query_ball_point(ours, chord)) for j in near]
        row, place = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    row, place = row[: int(form["MAXREC"])], place[: int(form["MAXREC"])]
    theirs = catalogue.iloc[place].reset_index(drop=True)
    separation = _separation_arcsec(ours[row], _unit_vectors(theirs["ra"].to_numpy(), theirs["dec"].to_numpy()))
    # Columns of one name stay, as the service leaves them.
    first = pd.DataFrame({"angDist": np.round(separation, 6)})
    return pd.concat([first, table.iloc[row].reset_index(drop=True), theirs], axis=1)


def _unit_vectors(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _separation_arcsec(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Return separations of unit vectors [arcsec]."""
    chord = np.linalg.norm(ours - theirs, axis=1)
    return np.asarray(2.0 * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0)) / _ARCSEC, dtype=np.float64)


def _spoil(matches: pd.DataFrame, fault: Fault) -> pd.DataFrame:
    """Return the table with rows or columns that should not be there."""
    changed = matches.copy()
    if fault is Fault.WRONG_COLUMNS:
        kept = [name for name in changed if str(name).startswith(("angDist", "heliograph"))]
        return changed[kept].assign(other=1)
    if fault is Fault.DUPLICATED:
        return pd.concat([changed, changed.iloc[::-1]], ignore_index=True)
    changes: dict[Fault, tuple[str, Any]] = {
        Fault.FOREIGN_ROWS: ("heliograph_row", 1_000_000),
        Fault.MOVED_ROWS: ("heliograph_ra", 0.01),
        Fault.FAR_ROWS: ("angDist", 1000.0),
    }
    if fault in changes:
        name, added = changes[fault]
        changed[name] = changed[name] + added
    elif fault is Fault.NOT_NUMBERS:
        changed["angDist"] = "near"
    return changed


def _status_table(value: str, text: str) -> bytes:
    info = f'<INFO name="QUERY_STATUS" value="{value}">{escape(text)}</INFO>'
    return f'<?xml version="1.0"?>\n<VOTABLE version="1.2"><RESOURCE>{info}</RESOURCE></VOTABLE>\n'.encode()


def _votable(matches: pd.DataFrame, fault: Fault) -> bytes:
    """Return a table as VOTable 1.2 with its cells in TABLEDATA."""
    status = "OVERFLOW" if fault is Fault.OVERFLOW else "OK"
    fields = "".join(
        f'<FIELD name={quoteattr(str(name))} datatype="char" arraysize="*"/>\n' for name in matches.columns
    )
    cells = [[escape(text) for text in matches.iloc[:, i].astype(str)] for i in range(matches.shape[1])]
    rows = "".join("<TR>" + "".join(f"<TD>{cell}</TD>" for cell in row) + "</TR>\n" for row in zip(*cells, strict=True))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.2" xmlns="http://www.ivoa.net/xml/VOTable/v1.2">\n'
        f'<RESOURCE><INFO name="QUERY_STATUS" value="{status}"/>\n<TABLE>\n{fields}<DATA><TABLEDATA>\n{rows}'
        "</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>\n"
    ).encode()
