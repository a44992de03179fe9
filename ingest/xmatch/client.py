"""Ask a catalogue service about positions: in chunks, a few at once, again where that helps, and not in vain.

What the cache knows is not asked. What is asked is sorted by sky cell, so that a request covers a small part of the
catalogue, and cut into chunks; each is answered as a whole or not at all. A chunk that fails is a status of its rows,
never a label, and never kept.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass

import httpx
import numpy as np

from graph.errors import ConfigurationError
from graph.sky import ang2pix, on_sky
from ingest.xmatch.answers import read_answer
from ingest.xmatch.breaker import BreakerState, CircuitBreaker
from ingest.xmatch.cache import MatchCache
from ingest.xmatch.catalogues import DEFAULT_RADIUS_ARCSEC, MAX_RADIUS_ARCSEC, RemoteCatalogue
from ingest.xmatch.columns import (
    EntryColumns,
    FailReason,
    FloatArray,
    IntArray,
    XMatchColumns,
    fill_answers,
    fill_failure,
    take_rows,
    unasked,
)
from ingest.xmatch.failures import UnansweredError
from ingest.xmatch.pacing import MAX_PAUSE_S, Pacing, pause_s
from ingest.xmatch.protocol import MAX_UPLOAD_BYTES, AnswerFormat, make_upload, rows_for
from ingest.xmatch.transport import CDS_URL, checked_url, exchange, open_http, tls_context

MAX_ATTEMPTS = 4
"""How often a chunk is sent at most; the pauses before the repetitions are 0.25, 0.5 and 1 s in the mean."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a service is asked.

    Raises
    ------
    ConfigurationError : an address, a radius or a number that cannot be meant.
    """

    url: str = CDS_URL
    radius_arcsec: float = DEFAULT_RADIUS_ARCSEC
    timeout_s: float = 30.0
    """Time allowed for one answer [s]."""
    max_concurrent: int = 4
    """Requests under way at once."""
    rows_per_request: int = 20_000
    """Positions in one request at most."""
    max_attempts: int = MAX_ATTEMPTS
    answer_format: AnswerFormat = AnswerFormat.VOTABLE

    def __post_init__(self) -> None:
        """Refuse what the service would refuse, or what would ask it nothing."""
        checked_url(self.url)
        if not 0.0 < self.radius_arcsec <= MAX_RADIUS_ARCSEC:
            raise ConfigurationError(f"The radius of a cross-match lies between 0 and {MAX_RADIUS_ARCSEC:g} arcsec.")
        if not 0.0 < self.timeout_s < float("inf") or min(self.max_concurrent, self.rows_per_request) < 1:
            raise ConfigurationError("Time-out, requests at once and positions in a request must be positive.")
        if self.max_attempts < 1:
            raise ConfigurationError("A request is sent at least once.")


class XMatch:
    """Cross-matches with one catalogue of a service; its breaker lasts as long as the object does.

    May be used from several threads: calls of `match` follow one another, so that the number of requests under way
    stays bounded.
    """

    def __init__(
        self,
        catalogue: RemoteCatalogue,
        options: ServiceOptions | None = None,
        *,
        cache: MatchCache | None = None,
        breaker: CircuitBreaker | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._options = options or ServiceOptions()
        self._cache = cache
        self._pacing = pacing or Pacing()
        name = f"the X-match service for {catalogue.name}"
        self._breaker = breaker or CircuitBreaker(name, monotonic=self._pacing.monotonic)
        self._context = tls_context(self._options.url)
        self._turn = threading.Lock()

    def close(self) -> None:
        """Close the cache; a later call opens it again."""
        if self._cache is not None:
            self._cache.close()

    @property
    def breaker(self) -> CircuitBreaker:
        """The breaker of this service and catalogue."""
        return self._breaker

    def match(self, ra_deg: FloatArray, dec_deg: FloatArray, previous: XMatchColumns | None = None) -> XMatchColumns:
        """Return what the catalogue has at positions, from a thread without an event loop; see `match_async`."""
        with self._turn:
            return asyncio.run(self.match_async(ra_deg, dec_deg, previous))

    async def match_async(
        self, ra_deg: FloatArray, dec_deg: FloatArray, previous: XMatchColumns | None = None
    ) -> XMatchColumns:
        """Return what the catalogue has at positions.

        Parameters
        ----------
        ra_deg, dec_deg : (n,) [deg, ICRS, epoch J2000]; a position that is not on the sky is not asked for.
        previous : an earlier result for the same positions, whose answered rows are taken as they are.

        Returns
        -------
        One row for each position, in order; never raises for what the service does.

        Raises
        ------
        ConfigurationError : the columns differ in length, or the earlier result is one of another catalogue.
        """
        ra, dec = _positions(ra_deg, dec_deg)
        columns = unasked(len(ra), self._catalogue.name, self._catalogue.version)
        open_rows = on_sky(ra, dec)
        if previous is not None:
            if (len(previous), previous.catalogue_id, previous.version) != (len(ra), *self._identity):
                raise ConfigurationError("The earlier result is not one of these positions and this catalogue.")
            kept = np.flatnonzero(open_rows & previous.answered)
            take_rows(columns, previous, kept, kept)
            open_rows[kept] = False
        rows = np.flatnonzero(open_rows)
        if not len(rows):
            return columns
        places, back = np.unique(ra[rows] + 1j * dec[rows], return_inverse=True)
        distinct = await self._match_distinct(np.ascontiguousarray(places.real), np.ascontiguousarray(places.imag))
        take_rows(columns, distinct, rows, back)
        return columns

    @property
    def _identity(self) -> tuple[str, str]:
        return self._catalogue.name, self._catalogue.version

    @property
    def _scope(self) -> str:
        """What an answer depends on beside its position."""
        item, radius = self._catalogue, self._options.radius_arcsec
        return "\x1f".join((item.name, item.version, item.name_column, item.label_column, repr(float(radius))))

    async def _match_distinct(self, ra: FloatArray, dec: FloatArray) -> XMatchColumns:
        """Match positions of which no two are the same, all on the sky."""
        columns = unasked(len(ra), *self._identity)
        open_rows = np.ones(len(ra), dtype=np.bool_)
        if self._cache is not None:
            known = await asyncio.to_thread(self._cache.find, self._scope, ra, dec)
            fill_answers(columns, known.place, known.found, known.asked_unix_s)
            open_rows[known.place] = False
        rows = np.flatnonzero(open_rows)
        if len(rows):
            rows = rows[np.argsort(ang2pix(ra[rows], dec[rows]), kind="stable")]
            await self._ask_all(columns, rows, ra, dec)
        return columns

    async def _ask_all(self, columns: XMatchColumns, rows: IntArray, ra: FloatArray, dec: FloatArray) -> None:
        """Ask about rows, chunk by chunk, and write what is answered."""
        size = min(self._options.rows_per_request, rows_for(MAX_UPLOAD_BYTES))
        chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
        reasons: dict[FailReason, int] = {}
        places = asyncio.Semaphore(self._options.max_concurrent)
        async with open_http(self._options.timeout_s, self._options.max_concurrent, self._context) as http:

            async def ask(chunk: IntArray) -> None:
                async with places:
                    try:
                        found = await self._ask(http, ra[chunk], dec[chunk])
                    except UnansweredError as error:
                        fill_failure(columns, chunk, error.reason)
                        reasons[error.reason] = reasons.get(error.reason, 0) + len(chunk)
                        return
                    asked = self._pacing.unix_s()
                    fill_answers(columns, chunk, found, asked)
                    if self._cache is not None:
                        await asyncio.to_thread(self._cache.keep, self._scope, ra[chunk], dec[chunk], found, asked)

            if self._breaker.state is not BreakerState.CLOSED:
                # One request tells whether the service is back; the others would be refused while it is under way.
                await ask(chunks.pop(0))
            async with asyncio.TaskGroup() as group:
                for chunk in chunks:
                    group.create_task(ask(chunk))
        if reasons:
            told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            _log.warning("The X-match service has not answered for %s: %s", self._catalogue.name, told)

    async def _ask(self, http: httpx.AsyncClient, ra: FloatArray, dec: FloatArray) -> EntryColumns:
        """Return the entries at the positions of one chunk, after as many attempts as it takes or is worth."""
        options = self._options
        upload = make_upload(self._catalogue, ra, dec, options.radius_arcsec, options.answer_format)
        failure: UnansweredError | None = None
        for attempt in range(options.max_attempts):
            if failure is not None:
                await self._pacing.sleep(pause_s(attempt, failure.retry_after_s, self._pacing))
            ticket = self._breaker.admit()
            if ticket is None:
                raise failure or UnansweredError(FailReason.BREAKER_OPEN, "The service is left alone for a while.")
            settled = False
            try:
                body = await exchange(http, options.url, upload, timeout_s=options.timeout_s, pacing=self._pacing)
                found = await asyncio.to_thread(read_answer, body, upload, self._catalogue)
            except UnansweredError as error:
                settled, failure = True, error
                hold_s = error.retry_after_s if error.retry_after_s > MAX_PAUSE_S else 0.0
                self._breaker.fail(ticket, hold_s)
                if not error.reason.worth_retrying or hold_s > 0.0:
                    raise
            else:
                settled = True
                self._breaker.succeed(ticket)
                return found
            finally:
                if not settled:
                    self._breaker.abandon(ticket)
        raise failure or UnansweredError(FailReason.BREAKER_OPEN, "The service was not asked.")


def _positions(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return positions as columns, with one number for each place."""
    ra, dec = np.asarray(ra_deg, dtype=np.float64), np.asarray(dec_deg, dtype=np.float64)
    if ra.ndim != 1 or ra.shape != dec.shape:
        raise ConfigurationError("Right ascensions and declinations must be two columns of one length.")
    with np.errstate(invalid="ignore"):
        wrapped = ra % 360.0
    # The remainder of a tiny negative number is 360, and adding 0 turns -0 into 0.
    return np.where(wrapped == 360.0, 0.0, wrapped) + 0.0, dec + 0.0
