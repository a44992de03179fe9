"""One request over HTTP: bounded in time and size, and every way to fail told apart."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import httpx

from graph.errors import ConfigurationError
from ingest.xmatch.columns import FailReason
from ingest.xmatch.failures import UnansweredError
from ingest.xmatch.pacing import Pacing, read_retry_after
from ingest.xmatch.protocol import AnswerFormat, Upload

CDS_URL = "http://cdsxmatch.u-strasbg.fr/xmatch/api/v1/sync"
"""Address of the X-match service of the CDS, Strasbourg."""

CONNECT_S = 5.0
"""Time allowed for a connection [s]; a server that is up answers within one round trip."""

MAX_ANSWER_BYTES = 256_000_000
"""Longest answer that is read, unpacked [byte]: 20,000 rows of the widest catalogues have some 50 MB."""

_WAIT = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
_AGAIN = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY})


def checked_url(url: str) -> str:
    """Return an address of a service.

    Raises
    ------
    ConfigurationError : it is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigurationError("The address of the X-match service is no web address.") from error
    if not usable or "@" in parts.netloc or parts.fragment:
        raise ConfigurationError("The address of the X-match service must read http(s)://host[:port]/path.")
    return url


def tls_context(url: str) -> ssl.SSLContext:
    """Return what the certificates of an address are checked with, to be made once.

    Notes
    -----
    Reading the authorities takes some 50 ms. An address without TLS gets a context that trusts none of them.
    """
    if urlsplit(url).scheme == "https":
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def open_http(timeout_s: float, max_concurrent: int, context: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a client for the requests of one event loop.

    Parameters
    ----------
    timeout_s : longest silence of the service [s]; `exchange` bounds the whole.
    """
    return httpx.AsyncClient(
        verify=context,
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        limits=httpx.Limits(max_connections=max_concurrent, max_keepalive_connections=max_concurrent),
        headers={"User-Agent": "heliograph"},
    )


async def exchange(http: httpx.AsyncClient, url: str, upload: Upload, *, timeout_s: float, pacing: Pacing) -> bytes:
    """Send one request and return the whole body of its answer.

    Parameters
    ----------
    timeout_s : time allowed from the first byte sent to the last byte read [s].

    Raises
    ------
    UnansweredError : there is no answer, no whole one, or one with another status than 200.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(http, url, upload, pacing)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise UnansweredError(FailReason.TIMEOUT, f"The service took more than {timeout_s:g} s.") from error
    except httpx.RemoteProtocolError as error:
        raise UnansweredError(FailReason.INCOMPLETE, "The service ended its answer too early.") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise UnansweredError(FailReason.CONNECTION, f"The service gave no answer ({type(error).__name__}).") from error


async def _exchange(http: httpx.AsyncClient, url: str, upload: Upload, pacing: Pacing) -> bytes:
    files = {"cat1": ("positions.csv", upload.table, "text/csv")}
    # A compressed stream that was cut is unpacked as far as it goes: only a format with an end may be compressed.
    coding = "gzip" if upload.form is AnswerFormat.VOTABLE else "identity"
    request = http.stream("POST", url, data=upload.fields, files=files, headers={"Accept-Encoding": coding})
    async with request as response:
        _check_status(response, pacing)
        framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        if upload.form is AnswerFormat.CSV and not framed:
            raise UnansweredError(FailReason.INCOMPLETE, "The answer does not say where it ends.")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise UnansweredError(FailReason.OVERFLOW, f"The answer has more than {MAX_ANSWER_BYTES} bytes.")
        return bytes(body)


def _check_status(response: httpx.Response, pacing: Pacing) -> None:
    """Raise what a status other than 200 says."""
    status = response.status_code
    if status == httpx.codes.OK:
        return
    said = f"The service answered with status {status}."
    if status in _WAIT:
        later = read_retry_after(response.headers.get("Retry-After", ""), pacing)
        raise UnansweredError(FailReason.BUSY, said, retry_after_s=later)
    broken = status >= httpx.codes.INTERNAL_SERVER_ERROR or status in _AGAIN
    raise UnansweredError(FailReason.SERVER_ERROR if broken else FailReason.REFUSED, said)
