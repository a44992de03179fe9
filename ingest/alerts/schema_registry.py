"""Schemas by id from a registry that speaks Confluent's REST interface.

A registry is asked once for each id; what it does not know is remembered for a while, and after a failure it is left
alone for some seconds. A registry that is down is no fault of the messages: the error says that a retry may help.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from graph.errors import ConfigurationError, SchemaRegistryError, UnknownSchemaError
from ingest.alerts.avro_schema import MAX_SCHEMA_BYTES, parse_declared

TIMEOUT_S = 5.0
"""Time allowed for one answer [s]; the stream waits for it, and a registry answers within some 10 ms."""

ABSENT_S = 30.0
"""How long an id that the registry does not know is not asked for again [s]; new schemas are registered hours ahead."""

DOWN_S = 5.0
"""How long a registry that failed is left alone [s]; shorter than Spark takes to give a batch up for good."""

MAX_ANSWER_BYTES = 2 * MAX_SCHEMA_BYTES
"""Longest answer that is read [byte]: the longest schema with its quotation marks escaped."""

MAX_ABSENT = 1024
"""Ids that are remembered as absent; hostile messages can name any. When full, all are forgotten."""

MAX_REDIRECTS = 3
"""Redirects that are followed, all to the same host."""

NOT_FOUND = 40403
"""Error code of an id that does not exist; Confluent Schema Registry API, ``GET /schemas/ids/{id}``."""

_CHUNK_BYTES = 65_536


class SchemaRegistry:
    """A schema registry; one request for each unknown id, none for ids that were asked for a moment ago."""

    def __init__(
        self, url: str, user: str = "", password: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = _checked_root(url)
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if user:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
            self._headers["Authorization"] = f"Basic {pair}"
        self._clock = clock
        self._absent: dict[int, float] = {}
        self._down: tuple[float, str] = (-float("inf"), "")

    def schema(self, schema_id: int) -> dict[str, Any]:
        """Return the schema of an id.

        Raises
        ------
        UnknownSchemaError : the registry does not have this id, or has no Avro record for it.
        SchemaRegistryError : the registry did not answer, or not as one does; the same call may succeed later.
        ConfigurationError : the registry refuses the user or the password.
        """
        if self._clock() < self._absent.get(schema_id, -float("inf")):
            raise UnknownSchemaError(f"The schema registry does not know id {schema_id}.")
        if self._clock() < self._down[0]:
            raise SchemaRegistryError(self._down[1])
        try:
            return self._ask(schema_id)
        except SchemaRegistryError as error:
            self._down = (self._clock() + DOWN_S, str(error))
            raise
        except UnknownSchemaError:
            if len(self._absent) >= MAX_ABSENT:
                self._absent.clear()
            self._absent[schema_id] = self._clock() + ABSENT_S
            raise

    def _ask(self, schema_id: int) -> dict[str, Any]:
        status, body = self._get(f"{self._root.geturl()}/schemas/ids/{schema_id}")
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise ConfigurationError("The schema registry refuses the user or the password that are set for it.")
        answer = _json_object(body)
        if status == http.client.NOT_FOUND and answer is not None and answer.get("error_code") == NOT_FOUND:
            raise UnknownSchemaError(f"The schema registry does not know id {schema_id}.")
        if status != http.client.OK:
            raise SchemaRegistryError(f"The schema registry answered with status {status}.")
        text = None if answer is None else answer.get("schema")
        if answer is None or not isinstance(text, str):
            raise SchemaRegistryError("The schema registry's answer holds no schema.")
        schema = _json_object(text) if answer.get("schemaType", "AVRO") == "AVRO" else None
        if schema is None:
            raise UnknownSchemaError(f"The schema registry has no Avro record for id {schema_id}.")
        # Refuses what nests too deep before anybody walks it.
        parse_declared(schema)
        return schema

    def _get(self, url: str) -> tuple[int, bytes]:
        """Return status and body; redirects are followed on the same host only."""
        deadline = self._clock() + TIMEOUT_S
        for _ in range(1 + MAX_REDIRECTS):
            status, location, body = self._exchange(url, deadline)
            if location is None:
                return status, body
            url = urljoin(url, location)
            if urlsplit(url)[:2] != self._root[:2]:
                raise SchemaRegistryError("The schema registry points to another host, which is not followed.")
        raise SchemaRegistryError("The schema registry points from one address to the next.")

    def _exchange(self, url: str, deadline: float) -> tuple[int, str | None, bytes]:
        """Send one request; return status, the address it points to, and the body."""
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=TIMEOUT_S)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, None, self._headers)
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                return response.status, response.getheader("Location", ""), b""
            return response.status, None, self._read(response, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SchemaRegistryError(f"The schema registry gave no answer ({type(error).__name__}).") from error
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        """Read a body, never more than is allowed and never longer."""
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise SchemaRegistryError(f"The schema registry's answer has more than {MAX_ANSWER_BYTES} bytes.")
            if self._clock() > deadline:
                raise SchemaRegistryError(f"The schema registry took more than {TIMEOUT_S:g} s to answer.")
        return bytes(body)


def open_registry(url: str, user: str, password: str) -> SchemaRegistry | None:
    """Return the registry at an address, None for an empty one.

    Raises
    ------
    ConfigurationError : the address is none.
    """
    return SchemaRegistry(url, user, password) if url else None


def _checked_root(url: str) -> SplitResult:
    """Return the parts of the registry's address, without a slash at its end."""
    try:
        parts = urlsplit(url.rstrip("/"))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigurationError("HELIOGRAPH_INGEST__SCHEMA_REGISTRY_URL is not a web address.") from error
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            "HELIOGRAPH_INGEST__SCHEMA_REGISTRY_URL must read http(s)://host[:port][/path], user and password apart."
        )
    return parts


def _json_object(text: bytes | str) -> dict[str, Any] | None:
    """Return a JSON object, None for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
