"""Sky maps as compact bytes, exact to the last bit."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np

from graph.errors import MalformedPacketError, SkyMapError
from graph.sky import FloatArray, IntArray, SkyMap

MAGIC: Final = b"HSKY"
"""First bytes of every encoded map."""

VERSION: Final = 2
"""Version of the layout; another one is refused."""

LARGEST_MAP: Final = 12 * 4**10
"""Cells of the largest map that is read: a flat map at order 10, the finest in use; bounds memory to 500 MB."""

ZLIB_LEVEL: Final = 6
"""Level of compression; higher ones gain under 1 per cent here."""

_HEADER: Final = struct.Struct("<4sBBI")
"""Magic, version, bits of the layers present, number of cells; little endian."""

_DISTANCE_LAYERS: Final = ("distance_mu_mpc", "distance_sigma_mpc", "distance_norm_mpc2")


def skymap_to_bytes(skymap: SkyMap) -> bytes:
    """Return a map as a header and a deflated body.

    Notes
    -----
    The body holds the gap before each cell and its length, then the layers, each split into planes of equal bytes:
    neighbouring numbers share their high bytes, and deflate finds them there.
    """
    gaps = skymap.start - np.concatenate(([0], skymap.stop[:-1]))
    layers: list[IntArray | FloatArray] = [gaps, skymap.stop - skymap.start, skymap.probability_density_sr]
    bits = 0
    for place, name in enumerate(_DISTANCE_LAYERS):
        layer: FloatArray | None = getattr(skymap, name)
        if layer is not None:
            bits |= 1 << place
            layers.append(layer)
    header = _HEADER.pack(MAGIC, VERSION, bits, len(skymap))
    # As a dictionary the header is part of what the body's checksums hold against it.
    deflate = zlib.compressobj(ZLIB_LEVEL, zdict=header)
    return header + b"".join([*(deflate.compress(_planes(layer)) for layer in layers), deflate.flush()])


def skymap_from_bytes(payload: bytes) -> SkyMap:
    """Rebuild a map.

    Raises
    ------
    MalformedPacketError : the bytes are truncated, altered, of another version, too large or not a probability map.
    """
    if len(payload) < _HEADER.size:
        raise MalformedPacketError("an encoded sky map is shorter than its header")
    magic, version, bits, count = _HEADER.unpack_from(payload)
    if magic != MAGIC or version != VERSION or bits >= 1 << len(_DISTANCE_LAYERS):
        raise MalformedPacketError("the bytes are not an encoded sky map of a known version")
    if not 0 < count <= LARGEST_MAP:
        raise MalformedPacketError(f"a sky map of {count} cells is not accepted")
    names = [name for place, name in enumerate(_DISTANCE_LAYERS) if bits >> place & 1]
    size = 8 * count
    inflate = zlib.decompressobj(zdict=payload[: _HEADER.size])
    try:
        # One byte more than expected is enough to notice a body that goes on.
        body = inflate.decompress(payload[_HEADER.size :], size * (3 + len(names)) + 1)
    except zlib.error as error:
        raise MalformedPacketError("an encoded sky map is corrupt") from error
    if len(body) != size * (3 + len(names)) or not inflate.eof:
        raise MalformedPacketError("an encoded sky map has not the size that its header states")
    gaps, lengths = (_from_planes(body[i * size : (i + 1) * size], count).view(np.int64) for i in range(2))
    layers = [_from_planes(body[i * size : (i + 1) * size], count).view(np.float64) for i in range(2, 3 + len(names))]
    # Sums of hostile lengths wrap around; the map refuses what is then not ascending.
    stop = np.cumsum(gaps + lengths)
    try:
        return SkyMap(stop - lengths, stop, layers[0], **dict(zip(names, layers[1:], strict=True)))
    except SkyMapError as error:
        raise MalformedPacketError(f"an encoded sky map is not a probability: {error}") from error


def _planes(layer: IntArray | FloatArray) -> bytes:
    """Return the first bytes of all numbers, then their second bytes, and so on."""
    return np.ascontiguousarray(layer.astype(layer.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, 8).T).tobytes()


def _from_planes(body: bytes, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the bytes of each number together again."""
    return np.ascontiguousarray(np.frombuffer(body, dtype=np.uint8).reshape(8, count).T).reshape(-1)
