"""Answers of a catalogue service on disk: what matched, and what is known to match nothing. Failures are never kept.

One SQLite file. A key is the catalogue with its version, columns and radius, the HEALPix cell of order 16, which puts
neighbours onto the same pages, and the position itself to the last bit, so that no two positions share an answer.
Several processes may use the file at once, on a local disk. It is only a copy of what can be asked again: a damaged
file is replaced by an empty one.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from graph.sky import MAX_ORDER, ang2pix
from ingest.xmatch.columns import EntryColumns, FloatArray, IntArray, TextArray

CELL_ORDER = 16
"""HEALPix order of the cell in a key; a cell is 3.2 arcsec wide, so alerts of one object share it or its neighbours."""

FILE_NAME = "xmatch.sqlite"

LAYOUT = 1
"""Number of the tables' layout; a file with another one is replaced."""

APPLICATION_ID = 0x48454C58
"""Marks the file as ours ("HELX"), SQLite's ``application_id``."""

BUSY_S = 10.0
"""How long to wait for another process that writes [s]; a chunk of 20,000 answers takes some 0.2 s."""

SWITCH_ATTEMPTS = 100
"""Attempts to switch the file to a write-ahead log in that time: one each tenth of a second."""

FREED = 0.25
"""Share of the answers that is deleted, oldest first, when the file is full: seldom enough to cost nothing."""

_TABLES = f"""
CREATE TABLE scopes (scope INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE answers (
    scope INTEGER NOT NULL, cell INTEGER NOT NULL, ra_deg REAL NOT NULL, dec_deg REAL NOT NULL,
    separation_arcsec REAL, label TEXT, source_name TEXT, asked_unix_s REAL NOT NULL,
    PRIMARY KEY (scope, cell, ra_deg, dec_deg)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {LAYOUT};
"""

_WANTED = """
CREATE TEMP TABLE IF NOT EXISTS wanted (
    place INTEGER PRIMARY KEY, cell INTEGER NOT NULL, ra_deg REAL NOT NULL, dec_deg REAL NOT NULL)
"""

_KEEP = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

_LOOK_UP = """
SELECT place, separation_arcsec, label, source_name, asked_unix_s FROM wanted CROSS JOIN answers
USING (cell, ra_deg, dec_deg)
WHERE scope = (SELECT scope FROM scopes WHERE name = ?) AND asked_unix_s > ? ORDER BY place
"""

_log = logging.getLogger(__name__)

T = TypeVar("T")
KeptRow = tuple[int, float | None, str, str, float]


@dataclass(frozen=True, eq=False, slots=True)
class KeptAnswers:
    """Answers found in the cache."""

    place: IntArray
    """(m,) index of the position; ascending."""
    asked_unix_s: FloatArray
    """(m,) when the service answered [s since 1970 UTC]."""
    found: EntryColumns
    """The entries among them; ``row`` counts within ``place``."""


class MatchCache:
    """The cache in a folder; may be used from several threads and processes.

    Raises
    ------
    OSError : the folder cannot be made.
    """

    def __init__(self, folder: Path, *, max_age_s: float, max_bytes: int, unix_s: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE_NAME
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._unix_s = unix_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._close()

    def find(self, scope: str, ra_deg: FloatArray, dec_deg: FloatArray) -> KeptAnswers:
        """Return the answers that are there and not too old.

        Parameters
        ----------
        scope : whatever else an answer depends on: catalogue, version, columns, radius.
        ra_deg, dec_deg : (n,) [deg, ICRS], on the sky.
        """
        rows: list[KeptRow] = []
        if len(ra_deg):
            wanted = list(zip(*(column.tolist() for column in _key(ra_deg, dec_deg)), strict=True))
            oldest = self._unix_s() - self._max_age_s

            def look_up(connection: sqlite3.Connection) -> list[KeptRow]:
                connection.execute(_WANTED)
                connection.execute("DELETE FROM wanted")
                connection.executemany("INSERT INTO wanted (cell, ra_deg, dec_deg) VALUES (?, ?, ?)", wanted)
                return connection.execute(_LOOK_UP, (scope, oldest)).fetchall()

            rows = self._run(look_up, rows)
        place, separation, label, name, asked = zip(*rows, strict=True) if rows else ((),) * 5
        separations = np.array(separation, dtype=np.float64)
        matched = np.flatnonzero(np.isfinite(separations))
        found = EntryColumns(matched, _texts(label)[matched], _texts(name)[matched], separations[matched])
        # Primary keys begin with 1.
        return KeptAnswers(np.array(place, dtype=np.int64) - 1, np.array(asked, dtype=np.float64), found)

    def keep(
        self, scope: str, ra_deg: FloatArray, dec_deg: FloatArray, found: EntryColumns, asked_unix_s: float
    ) -> None:
        """Keep what the service answered about some positions; newer answers replace older ones.

        Parameters
        ----------
        found : entries whose ``row`` counts within the positions; the others matched nothing.
        """
        separation = np.full(len(ra_deg), None, dtype=object)
        label, name = np.full(len(ra_deg), "", dtype=object), np.full(len(ra_deg), "", dtype=object)
        separation[found.row] = found.separation_arcsec.tolist()
        label[found.row], name[found.row] = found.label, found.source_name
        columns = (*_key(ra_deg, dec_deg), separation, label, name, np.full(len(ra_deg), asked_unix_s))
        rows = list(zip(*(column.tolist() for column in columns), strict=True))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR IGNORE INTO scopes (name) VALUES (?)", (scope,))
            (number,) = connection.execute("SELECT scope FROM scopes WHERE name = ?", (scope,)).fetchone()
            connection.executemany(_KEEP, [(number, *row) for row in rows])
            self._make_room(connection)

        self._run(write, None)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest answers when the file has grown to its limit."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size <= self._max_bytes:
            return
        (count,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        (oldest,) = connection.execute(
            "SELECT asked_unix_s FROM answers ORDER BY asked_unix_s LIMIT 1 OFFSET ?", (int(FREED * count),)
        ).fetchone()
        limit = max(oldest, self._unix_s() - self._max_age_s)
        connection.execute("DELETE FROM answers WHERE asked_unix_s <= ?", (limit,))

    def _run(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Return what some work in one transaction returns; a failure costs requests, not results."""
        with self._lock:
            try:
                connection = self._connection = self._connection or self._open()
                with connection:
                    return work(connection)
            except sqlite3.OperationalError as error:
                # Locked for too long, or a full disk: the file is whole.
                _log.warning("The cache of cross-matches cannot be used: %s", error)
            except sqlite3.DatabaseError as error:
                _log.warning("The cache of cross-matches is damaged and begins anew: %s", error)
                self._remove()
        return otherwise

    def _open(self) -> sqlite3.Connection:
        """Open the file; one that is damaged or of another layout is replaced."""
        try:
            return self._opened()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _log.warning("The cache of cross-matches is damaged and begins anew: %s", error)
            self._remove()
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        # Immediate: a transaction that reads first and writes later is refused at once where another wrote meanwhile.
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA temp_store = MEMORY")
            with connection:
                # Another process may be making the tables at this moment.
                connection.execute("BEGIN IMMEDIATE")
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                if not tables:
                    for statement in _TABLES.split(";"):
                        connection.execute(statement)
            _check_marks(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        """Remove the file and what belongs to it; a journal without its file would damage the next one."""
        with suppress(sqlite3.Error):
            self._close()
        self._connection = None
        for end in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side; SQLite does not wait by itself where two ask for this at once."""
    for attempt in range(SWITCH_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if attempt == SWITCH_ATTEMPTS - 1:
                raise
            time.sleep(BUSY_S / SWITCH_ATTEMPTS)
        else:
            return


def _check_marks(connection: sqlite3.Connection) -> None:
    """Refuse a file of another layout or of somebody else."""
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if marks != [APPLICATION_ID, LAYOUT]:
        raise sqlite3.DatabaseError("the file has another layout")


def _key(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return cell and position of a key."""
    return ang2pix(ra_deg, dec_deg) >> (2 * (MAX_ORDER - CELL_ORDER)), ra_deg, dec_deg


def _texts(values: tuple[str, ...]) -> TextArray:
    """Return texts as an array of objects, also when there are none."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
