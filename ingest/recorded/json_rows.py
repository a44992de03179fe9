"""JSON as it is found in the wild, cut into rows: one alert, a list, lines, or one after the other.

A row that is damaged must not take its neighbours with it, so that the text is first cut by its brackets, in one
compiled pass, and each row is then read by itself.
"""
# A compiled loop over the letters of a grammar has one branch for each kind of letter.
# ruff: noqa: C901, PLR0912

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from graph.errors import MalformedPacketError

MAX_TEXT_BYTES = 50 * 2**20
"""Largest text that is read [byte, decompressed]; a packet in JSON has some 0.1 to 2 MB."""

MAX_ROWS = 1_000_000
"""Most rows of one text; within `MAX_TEXT_BYTES`, rows that are alerts are fewer than 100,000."""

MAX_DEPTH = 32
"""Deepest nesting of a row; a packet needs 4, a broker's additions a few more."""

GZIP_MAGIC = b"\x1f\x8b"
"""First bytes of a gzip file; RFC 1952."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class JsonRow:
    """One row, not yet read."""

    raw: bytes
    """As it stands in the text."""
    text: bytes
    """The same without trailing commas."""
    depth: int
    """Levels of brackets."""


def read_text(data: bytes, name: str) -> bytes:
    """Return the text of a file that may be compressed.

    Raises
    ------
    MalformedPacketError : it is larger than `MAX_TEXT_BYTES`, or its compression is damaged.
    """
    if data.startswith(GZIP_MAGIC):
        data = _inflate(data, name)
    if len(data) > MAX_TEXT_BYTES:
        raise MalformedPacketError(f"The file {name} holds more than {MAX_TEXT_BYTES} bytes of JSON.")
    return data.removeprefix(_BYTE_ORDER_MARK)


def _inflate(data: bytes, name: str) -> bytes:
    """Undo gzip, never making more than just over the allowed bytes."""
    plain = b""
    try:
        # A file may hold several members, one after the other.
        while data and len(plain) <= MAX_TEXT_BYTES:
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            plain += inflater.decompress(data, MAX_TEXT_BYTES + 1 - len(plain))
            if not inflater.eof and len(plain) <= MAX_TEXT_BYTES:
                raise MalformedPacketError(f"The file {name} is cut short.")
            data = inflater.unused_data.lstrip(b"\x00")
    except zlib.error as error:
        raise MalformedPacketError(f"The file {name} is damaged.") from error
    return plain


def split_rows(text: bytes, name: str) -> Iterator[JsonRow]:
    """Yield the rows of a text in their order.

    Notes
    -----
    Rows are the elements of a list; else the lines, if of several half or more begin and end like an object; else
    the objects that follow each other. What a missing bracket leaves open goes to the end of the text, or of its line.

    Raises
    ------
    MalformedPacketError : there are more than `MAX_ROWS`.
    """
    text = text.strip()
    if not text.startswith(b"["):
        lines = [line for piece in text.split(b"\n") if (line := piece.strip())]
        whole = sum(line.startswith(b"{") and line.endswith(b"}") for line in lines)
        if len(lines) > MAX_ROWS:
            raise MalformedPacketError(f"The file {name} holds more than {MAX_ROWS} rows.")
        if len(lines) > 1 and 2 * whole >= len(lines):
            yield from map(_whole_row, lines)
            return
    mended, spans = _scan(text, name)
    for start, stop, depth in spans.tolist():
        yield JsonRow(text[start:stop], mended[start:stop], depth)


def _whole_row(line: bytes) -> JsonRow:
    """Return a line as one row, whatever is in it."""
    mended, spans = _scan(line, "")
    return JsonRow(line, mended, int(spans[:, 2].max(initial=0)))


def _scan(text: bytes, name: str) -> tuple[bytes, IntArray]:
    """Return the text with blanks for trailing commas, and (n, 3) start, stop and depth of its rows."""
    buf = np.frombuffer(text, dtype=np.uint8)
    mended = buf.copy()
    n = scan_rows(buf, mended, np.empty((0, 3), dtype=np.int64))
    if n > MAX_ROWS:
        raise MalformedPacketError(f"The file {name} holds more than {MAX_ROWS} rows.")
    spans = np.zeros((n, 3), dtype=np.int64)
    scan_rows(buf, mended, spans)
    return mended.tobytes(), spans


@njit(nogil=True, cache=True)
def scan_rows(text: Bytes, mended: Bytes, spans: IntArray) -> int:
    """Find rows by their brackets and return how many; fill those for which there is room.

    Parameters
    ----------
    text : (n,) without blanks before or after.
    mended : (n,) a copy, in which trailing commas are overwritten by blanks.
    spans : (rows, 3) filled with start, stop and depth.
    """
    is_list = len(text) > 0 and text[0] == 91
    base = 1 if is_list else 0
    depth, n, start, stop, deepest, comma = base, 0, -1, 0, 0, -1
    p = base
    while p <= len(text):
        letter = text[p] if p < len(text) else 0
        ends = p == len(text)
        first = p
        if letter in (32, 9, 10, 13):
            p += 1
            continue
        if letter == 34:
            p += 1
            while p < len(text) and text[p] != 34:
                p += 2 if text[p] == 92 else 1
            p = min(p, len(text) - 1)
        closes_list = is_list and base == 1 and depth == 1 and letter == 93
        if letter in (125, 93) and comma >= 0:
            mended[comma] = 32
        comma = -1
        if (letter == 44 and depth == base) or closes_list or ends:
            # Between rows.
            if start >= 0:
                if n < len(spans):
                    spans[n, 0], spans[n, 1], spans[n, 2] = start, stop, deepest
                n, start, deepest = n + 1, -1, 0
            if closes_list:
                # What follows a list is no part of it.
                base, depth = 0, 0
        else:
            if start < 0:
                start = first
            stop = p + 1
            if letter in (123, 91):
                depth += 1
                deepest = max(deepest, depth - base)
            elif letter in (125, 93):
                depth = max(depth - 1, base)
                if depth == 0:
                    if n < len(spans):
                        spans[n, 0], spans[n, 1], spans[n, 2] = start, stop, deepest
                    n, start, deepest = n + 1, -1, 0
            elif letter == 44:
                comma = p
        p += 1
    return n


def parse_row(row: JsonRow) -> object:
    """Read a row: whole numbers exactly, and NaN and infinities as floats.

    Raises
    ------
    ValueError : it is no JSON, too deep, or says a name twice; the text says which, as the end of a sentence.
    """
    if row.depth > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} deep")
    try:
        return json.loads(row.text.decode(), object_pairs_hook=_unique)
    except _RepeatedNameError as error:
        raise ValueError("says a name twice") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error


class _RepeatedNameError(ValueError):
    """An object says a name twice, so that it is not known what was meant."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedNameError
    return found
