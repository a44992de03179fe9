"""Binary tables of FITS files, read from hostile bytes: sizes are checked against the data before anything is made.

Only what a sky map can hold is read: numeric columns of the binary tables, as views on the bytes without a copy. A
general reader would open anything else too (heaps, compressed images, links) and warn where a stream must decide.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graph.errors import MalformedPacketError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 2880
"""Size of a FITS block [bytes]; FITS 4.0, section 3.1."""

CARD_BYTES = 80
"""Size of a header card [bytes]; FITS 4.0, section 4.1."""

MAX_UNPACKED_BYTES = 640 << 20
"""Largest file after decompression [bytes]: a four-column flat map of nside 1024 has 403 MB."""

MAX_HEADER_BYTES = 64 * BLOCK_BYTES
"""Largest header [bytes]; those of LVK maps with a long history have 20 kB."""

MAX_UNITS = 16
"""Header-data units that are looked at in one file."""

MAX_COLUMNS = 100
"""Columns of one table; sky maps have at most some ten."""

_FORMS = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
"""Numeric column codes and their types; FITS 4.0, table 18."""

_SIZES = {"L": 1, "A": 1, "C": 8, "M": 16, "P": 8, "Q": 16} | {code: int(form[-1]) for code, form in _FORMS.items()}
"""Bytes of one element of each column code; bits (X) are packed and reckoned apart."""

_GZIP = b"\x1f\x8b"

Header = Mapping[str, "str | int | float | bool"]


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """One binary table."""

    header: Header
    columns: Mapping[str, NDArray[Any]]
    """Numeric columns by upper-case name, flat; big-endian views on the file."""
    units: Mapping[str, str]
    """Unit of each column as written, empty when there is none."""


def unpack(payload: bytes) -> bytes:
    """Return the bytes of a file that may be compressed with gzip.

    Raises
    ------
    MalformedPacketError : the compressed data are corrupt, truncated or larger than `MAX_UNPACKED_BYTES`.
    """
    if not payload.startswith(_GZIP):
        return payload
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(payload, MAX_UNPACKED_BYTES)
    except zlib.error:
        raise MalformedPacketError("the compressed file is corrupt") from None
    if not inflater.eof:
        raise MalformedPacketError("the compressed file is truncated or too large")
    return data


def read_tables(data: bytes) -> Iterator[Table]:
    """Yield the binary tables of an unpacked FITS file.

    Raises
    ------
    MalformedPacketError : the bytes are no FITS file, or a unit reaches beyond them.
    """
    if not data.startswith(b"SIMPLE  ="):
        raise MalformedPacketError("the bytes are not a FITS file")
    offset = 0
    for _ in range(MAX_UNITS):
        if offset >= len(data):
            return
        header, start = _header(data, offset)
        size = _data_bytes(header)
        if start + size > len(data):
            raise MalformedPacketError("the FITS file is truncated")
        if header.get("XTENSION") == "BINTABLE":
            yield _table(data, header, start)
        offset = start + -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _header(data: bytes, offset: int) -> tuple[Header, int]:
    """Return the header at an offset and the offset of its data."""
    cards: dict[str, str | int | float | bool] = {}
    for place in range(offset, min(offset + MAX_HEADER_BYTES, len(data)), CARD_BYTES):
        card = data[place : place + CARD_BYTES].decode("latin-1")
        keyword = card[:8].strip()
        if keyword == "END":
            return cards, offset + -(-(place + CARD_BYTES - offset) // BLOCK_BYTES) * BLOCK_BYTES
        if card[8:10] == "= ":
            cards[keyword] = _card_value(card[10:])
    raise MalformedPacketError("a FITS header has no end")


def _card_value(field: str) -> str | int | float | bool:
    """Return the value of a card; what is neither text, truth nor number stays text."""
    quoted = re.match(r"\s*'((?:[^']|'')*)'", field)
    if quoted:
        return quoted.group(1).replace("''", "'").rstrip()
    bare = field.split("/", 1)[0].strip()
    if bare in {"T", "F"}:
        return bare == "T"
    for convert in (int, float):
        try:
            return convert(bare.replace("D", "E"))
        except ValueError:
            continue
    return bare


def integer(header: Header, keyword: str, default: int | None = None) -> int:
    """Return an integer of a header that is not negative.

    Raises
    ------
    MalformedPacketError : it is absent without default, no integer, or negative.
    """
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedPacketError(f"the FITS keyword {keyword} is not a count")
    return value


def _data_bytes(header: Header) -> int:
    """Return the size of the data of a unit [bytes]; FITS 4.0, equation 2."""
    n_axes = integer(header, "NAXIS", 0)
    if n_axes == 0:
        return 0
    bits = header.get("BITPIX")
    if n_axes > 8 or bits not in {8, 16, 32, 64, -32, -64}:
        raise MalformedPacketError("a FITS unit has no usable shape")
    elements = 1
    for axis in range(1, n_axes + 1):
        elements *= integer(header, f"NAXIS{axis}")
    return abs(int(bits)) // 8 * integer(header, "GCOUNT", 1) * (integer(header, "PCOUNT", 0) + elements)


def _table(data: bytes, header: Header, start: int) -> Table:
    """Return a table as views on the data."""
    width, rows, n_columns = (integer(header, key) for key in ("NAXIS1", "NAXIS2", "TFIELDS"))
    if n_columns > MAX_COLUMNS:
        raise MalformedPacketError(f"a FITS table has more than {MAX_COLUMNS} columns")
    columns: dict[str, NDArray[Any]] = {}
    units: dict[str, str] = {}
    offset = 0
    for i in range(1, n_columns + 1):
        form = re.match(r"(\d{0,9})([LXBIJKAEDCMPQ])", str(header.get(f"TFORM{i}", "")))
        if form is None:
            raise MalformedPacketError("a FITS column has an unknown form")
        repeat, code = int(form.group(1) or 1), form.group(2)
        size = -(-repeat // 8) if code == "X" else repeat * _SIZES[code]
        if offset + size > width:
            raise MalformedPacketError("a FITS column reaches beyond its row")
        name = str(header.get(f"TTYPE{i}", f"COL{i}")).strip().upper()
        if code in _FORMS and repeat > 0 and rows > 0:
            field = np.ndarray((rows, repeat), _FORMS[code], data, start + offset, (width, _SIZES[code]))
            columns[name] = _scaled(field.reshape(-1), header, i)
            units[name] = str(header.get(f"TUNIT{i}", "")).strip()
        offset += size
    return Table(header=header, columns=columns, units=units)


def _scaled(column: NDArray[Any], header: Header, i: int) -> NDArray[Any]:
    """Return a column in physical values; FITS 4.0, equation 7."""
    scale, zero = header.get(f"TSCAL{i}", 1), header.get(f"TZERO{i}", 0)
    if isinstance(scale, str) or isinstance(zero, str):
        raise MalformedPacketError("the scale of a FITS column is not a number")
    if scale == 1 and zero == 0:
        return column
    return column * float(scale) + float(zero)
