"""Small images as the packets carry them: a pool is made once, alerts draw from it."""

from __future__ import annotations

import gzip
import io
from functools import cache
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ingest.alerts.container import write_varint

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ZTF_STAMP_PIXELS = 63
"""Side of a ZTF stamp [pixel], 1 arcsec each; Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

LSST_STAMP_PIXELS, LSST_PSF_PIXELS = 30, 41
"""Sides of an LSST stamp and of the image of its point spread function [pixel], 0.2 arcsec each; the smallest stamps of
the alerts of 2026, whose three take 100 to 140 kB together."""

N_STAMPS = 24
"""Triples in the pool: enough that neighbours in the stream differ."""


class StampTriple(NamedTuple):
    """The three stamps of an alert, as bytes."""

    science: bytes
    template: bytes
    difference: bytes


class StampPool(NamedTuple):
    """Stamps as Avro bytes, ready to be copied into packets."""

    data: NDArray[np.uint8]
    start: IntArray
    """(3, n) first byte of each stamp: science, template, difference."""
    stop: IntArray
    """(3, n) the byte after its last."""


def pack_stamps(triples: list[StampTriple], prefix: bytes) -> StampPool:
    """Return the stamps, each after a prefix and its length as an Avro number."""
    pieces = [[prefix + write_varint(len(one)) + one for one in kind] for kind in zip(*triples, strict=True)]
    flat = [piece for kind in pieces for piece in kind]
    ends = np.cumsum([len(piece) for piece in flat], dtype=np.int64)
    starts = ends - np.array([len(piece) for piece in flat], dtype=np.int64)
    shape = (3, len(triples))
    return StampPool(np.frombuffer(b"".join(flat), dtype=np.uint8), starts.reshape(shape), ends.reshape(shape))


def ztf_stamps(rng: np.random.Generator, n: int = N_STAMPS) -> list[StampTriple]:
    """Return n triples of gzipped FITS stamps."""
    return [StampTriple(*(_gzipped(image) for image in _images(rng, ZTF_STAMP_PIXELS, 2.0))) for _ in range(n)]


def lsst_stamps(rng: np.random.Generator, n: int = N_STAMPS) -> list[StampTriple]:
    """Return n triples of FITS files: image, its variance and the point spread function, not compressed."""
    return [StampTriple(*(_with_planes(image) for image in _images(rng, LSST_STAMP_PIXELS, 3.5))) for _ in range(n)]


def _images(rng: np.random.Generator, side: int, seeing_sigma: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return science, template and difference: noise, a host or star at the centre, and what changed."""
    axis = np.arange(side) - side // 2
    spot = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / seeing_sigma**2)
    steady = rng.uniform(0.0, 3000.0) * spot
    change = rng.uniform(100.0, 1500.0) * spot
    template = 200.0 + steady + rng.normal(0.0, 4.0, (side, side))
    science = 200.0 + steady + change + rng.normal(0.0, 12.0, (side, side))
    return science, template, science - template


def _gzipped(image: FloatArray) -> bytes:
    # A fixed time in the gzip header: the same seed gives the same bytes.
    return gzip.compress(_filled(image, _blank_image(len(image))), mtime=0)


def _with_planes(image: FloatArray) -> bytes:
    return _filled(image, _blank_planes(len(image)))


def _filled(image: FloatArray, blank: tuple[bytes, int]) -> bytes:
    """Return a FITS file with the pixels of its first image put in: astropy needs milliseconds to write one."""
    whole, at = blank
    pixels = image.astype(">f4").tobytes()
    return whole[:at] + pixels + whole[at + len(pixels) :]


@cache
def _blank_image(side: int) -> tuple[bytes, int]:
    """Return a FITS file of one empty image and where its pixels begin."""
    return _written(fits.HDUList([fits.PrimaryHDU(np.zeros((side, side), dtype=np.float32))]))


@cache
def _blank_planes(side: int) -> tuple[bytes, int]:
    """Return a FITS file of an empty image, its variance and the point spread function, likewise."""
    axis = np.arange(LSST_PSF_PIXELS) - LSST_PSF_PIXELS // 2
    spread = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / 3.5**2)
    planes = [
        fits.PrimaryHDU(np.zeros((side, side), dtype=np.float32)),
        fits.ImageHDU(np.full((side, side), 12.0, dtype=np.float32), name="UNCERT"),
        fits.ImageHDU(spread / spread.sum(), name="PSFIMAGE"),
    ]
    return _written(fits.HDUList(planes))


def _written(planes: fits.HDUList) -> tuple[bytes, int]:
    out = io.BytesIO()
    planes.writeto(out)
    with fits.open(io.BytesIO(out.getvalue())) as opened:
        return out.getvalue(), int(opened[0].fileinfo()["datLoc"])
