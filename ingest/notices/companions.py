"""Sky maps that lie in a folder beside recorded notices which only link to them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from graph.errors import MalformedPacketError
from graph.sky import SkyMap
from ingest.notices.skymap_fits import read_skymap_of_notice

if TYPE_CHECKING:
    from pathlib import Path

    from graph.model import Notice

MAX_FILE_BYTES = 256 << 20
"""Largest file that is read [bytes]; what a compressed one may unpack to is bounded by its reader."""

SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz")
"""Ends of names of sky maps; LVK appends a comma and a version to its own."""

_VERSION = re.compile(r",\d+$")


def with_companion(notice: Notice, folder: Path) -> Notice:
    """Return the notice with the sky map that it links to, if the folder holds it; else the notice itself.

    Raises
    ------
    MalformedPacketError : the file found is no sky map.
    """
    if notice.healpix_url is None or isinstance(notice.localization, SkyMap):
        return notice
    path = _find(notice, folder)
    if path is None:
        return notice
    if path.stat().st_size > MAX_FILE_BYTES:
        raise MalformedPacketError(f"the sky map {path.name} is too large")
    return replace(notice, localization=read_skymap_of_notice(path.read_bytes()))


def _find(notice: Notice, folder: Path) -> Path | None:
    """Return the one file that belongs to the notice's link, None when there is none or a choice.

    Notes
    -----
    LVK's maps of all events have the same few names, so theirs must begin with the event's. Other missions' names
    are unique and taken as they are.
    """
    name = _VERSION.sub("", urlsplit(notice.healpix_url or "").path.rsplit("/", 1)[-1])
    if not name or not folder.is_dir():
        return None
    begin = re.compile(re.escape(notice.event_id) + r"[^0-9A-Za-z]")
    of_event, exact = [], []
    for path in sorted(folder.iterdir()):
        bare = _VERSION.sub("", path.name)
        if not path.is_file() or not bare.endswith(SUFFIXES):
            continue
        belongs = begin.match(bare) is not None
        if belongs or notice.mission != "LVK":
            of_event += [path] if belongs else []
            exact += [path] if bare.removesuffix(".gz").endswith(name.removesuffix(".gz")) else []
    found = exact or of_event
    return found[0] if len(found) == 1 else None
