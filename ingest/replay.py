"""Recorded packets and notices, read back as the messages they were.

Pure readers: what a file holds comes out as a consumer of the topic would have got it, in the sorted order of the
paths. Damaged packets come out too: it is the decoder that must see and refuse them. Alerts that a broker distributes
as Parquet or JSON become Avro containers again.
"""

from __future__ import annotations

import logging
import tarfile
import zlib
from itertools import chain, islice
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from graph.errors import MalformedPacketError, NotFoundError, WireError
from graph.model import Survey
from ingest.alerts.container import split_container
from ingest.recorded.json_alerts import holds_alerts, iter_json
from ingest.recorded.parquet import PARQUET_MAGIC, iter_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

PARQUET_SUFFIXES = (".parquet",)
"""Ends of the names of Parquet files."""

JSON_SUFFIXES = tuple(f"{end}{packed}" for end in (".json", ".jsonl", ".ndjson") for packed in ("", ".gz"))
"""Ends of the names of JSON files."""

ALERT_SUFFIXES = (".avro", *PARQUET_SUFFIXES, *JSON_SUFFIXES)
"""Ends of the names of alert files inside folders and archives."""

NOTICE_SUFFIXES = (".xml", ".json", ".avro")
"""Ends of the names of notice files inside folders and archives."""

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz")
"""Ends of the names of archives; ZTF publishes its nights as ``.tar.gz``."""

MAX_FILE_BYTES = 1 << 30
"""Largest file that is read whole [byte]; a packet has some 0.1 MB, a merged night of them some 0.1 GB."""

TOPIC_PREFIXES = ("gcn.", "igwn.")
"""A folder with such a name is taken as the topic of the notices in it."""

OCF_MAGIC = b"Obj\x01"
"""First bytes of an Avro object container file; Avro 1.11 specification."""

WIRE_MAGIC = 0
"""First byte of Confluent's wire format; a schema id of four bytes follows."""

_log = logging.getLogger(__name__)

_ARCHIVE_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error, LZMAError)


def iter_alert_messages(path: Path) -> Iterator[tuple[Survey, bytes]]:
    """Yield every alert of a file, a folder or an archive with its survey.

    Parameters
    ----------
    path : a file of any name; a folder, searched to any depth for packets and archives, in sorted order; or an
        archive, in the order of its members.

    Notes
    -----
    An Avro container of several records is split into containers of one, Parquet and JSON are encoded as such. Inside
    folders and archives, Parquet and JSON without alerts are passed over. See `guess_survey` for whose a packet is.

    Raises
    ------
    NotFoundError : there is nothing at the path.
    MalformedPacketError : an archive or a Parquet file is damaged, a file is too large to be an alert, or the path is
        Parquet or JSON without alerts.
    """
    for name, source in _files(path, ALERT_SUFFIXES):
        messages = _alerts(name, source)
        if messages is not None:
            yield from messages
        elif name == path:
            raise MalformedPacketError(f"The file {name.name} holds no alerts.")
        else:
            _log.debug("%s holds no alerts", name)


def is_alert_json(data: bytes, name: Path) -> bool:
    """Return whether a file is JSON by its name and holds alerts, not a notice."""
    return _ends(name.name, JSON_SUFFIXES) and holds_alerts(data, name.name)


def _alerts(name: Path, source: Path | bytes) -> Iterator[tuple[Survey, bytes]] | None:
    """Return the alerts of one file, None if it is of a kind that can hold other things and does."""
    if isinstance(source, Path) or _ends(name.name, PARQUET_SUFFIXES) or source.startswith(PARQUET_MAGIC):
        return iter_parquet(source, name.name)
    if _ends(name.name, JSON_SUFFIXES):
        return iter_json(source, name.name) if holds_alerts(source, name.name) else None
    survey = guess_survey(source, name)
    return ((survey, message) for message in _single_records(source))


def iter_notice_messages(path: Path) -> Iterator[tuple[str | None, Path, bytes]]:
    """Yield every notice of a file, a folder or an archive with its topic, where that is known, and its file.

    Notes
    -----
    The topic is known for files in a folder that is named like one, as ``heliograph simulate`` writes them. A file
    inside an archive is named as if the archive were a folder.

    Raises
    ------
    NotFoundError : there is nothing at the path.
    MalformedPacketError : an archive is damaged, or a file is too large to be a notice.
    """
    for name, source in _files(path, NOTICE_SUFFIXES):
        # Parquet holds no notices.
        if not isinstance(source, Path):
            topic = name.parent.name if name.parent.name.startswith(TOPIC_PREFIXES) else None
            yield topic, name, source


def guess_survey(data: bytes, name: Path) -> Survey:
    """Return the survey that sent a message.

    Notes
    -----
    Confluent's wire format is LSST's. A container is LSST's if its header names a ``diaSource``, ZTF's if it names
    ``candid``. What is neither, being damaged, is LSST's if a folder or the file is called so, otherwise ZTF's.
    """
    if data.startswith(OCF_MAGIC):
        # The schema stands in the header, before any record.
        header = data[: 1 << 17]
        if b"diaSource" in header:
            return Survey.LSST
        if b"candid" in header:
            return Survey.ZTF
    elif len(data) > 5 and data[0] == WIRE_MAGIC:
        return Survey.LSST
    return Survey.LSST if any(Survey.LSST.value in part.lower() for part in name.parts) else Survey.ZTF


def _single_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a container as containers of one; anything else as it is."""
    if not data.startswith(OCF_MAGIC):
        yield data
        return
    records = split_container(data)
    try:
        first = list(islice(records, 2))
    except WireError:
        yield data
        return
    if len(first) < 2:
        # The only record stays as it was sent, compression and all; so does a container of none.
        yield data
        return
    try:
        yield from chain(first, records)
    except WireError:
        # The records before the damage are out; the whole stands for what cannot be read after it.
        yield data


def _files(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, Path | bytes]]:
    """Yield the name of each file in question and its bytes, or for Parquet, which is read in parts, where it lies."""
    if path.is_dir():
        for child in sorted(path.rglob("*")):
            if child.is_file() and _ends(child.name, (*suffixes, *ARCHIVE_SUFFIXES)):
                yield from _files(child, suffixes)
    elif not path.is_file():
        raise NotFoundError(f"There is no file or folder {path}.")
    elif _ends(path.name, ARCHIVE_SUFFIXES):
        yield from _members(path, suffixes)
    elif _ends(path.name, PARQUET_SUFFIXES):
        yield path, path
    elif path.stat().st_size > MAX_FILE_BYTES:
        raise MalformedPacketError(f"The file {path.name} is larger than {MAX_FILE_BYTES} bytes.")
    else:
        yield path, path.read_bytes()


def _members(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, bytes]]:
    """Yield the files of an archive in its own order: sorting would mean unpacking it many times over."""
    try:
        with tarfile.open(path, mode="r:*") as archive:
            for member in archive:
                if not member.isfile() or not _ends(member.name, suffixes):
                    continue
                if member.size > MAX_FILE_BYTES:
                    raise MalformedPacketError(f"A file in {path.name} is larger than {MAX_FILE_BYTES} bytes.")
                stream = archive.extractfile(member)
                if stream is not None:
                    yield path / PurePosixPath(member.name), stream.read()
    except _ARCHIVE_ERRORS as error:
        raise MalformedPacketError(f"The archive {path.name} is damaged.") from error


def _ends(name: str, suffixes: tuple[str, ...]) -> bool:
    # Hidden files are the leftovers of editors and of macOS archives.
    return name.lower().endswith(suffixes) and not PurePosixPath(name).name.startswith(".")
