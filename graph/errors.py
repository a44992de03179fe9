"""The errors of Heliograph, in one tree.

::

    HeliographError
    ├── ConfigurationError      a setting is missing or wrong; the process stops with one sentence
    ├── EnvironmentProblem      the machine lacks something: Java, a port, disk space
    ├── WireError               bytes from outside cannot be understood; they go to the dead letters
    │   ├── MalformedPacketError    truncated, corrupt or out of bounds
    │   ├── UnknownSchemaError      a schema fingerprint or id that nobody registered
    │   └── UnsupportedNoticeError  a well-formed message of a kind that has no parser
    ├── SchemaRegistryError     the schema registry gave no answer that can be used (retryable)
    ├── CatalogueServiceError   a catalogue service gave no answer that can be used (retryable)
    ├── ModelError              a classifier artefact is absent, altered or of another version
    ├── SkyMapError             a localization that is not a probability on the sky
    ├── StoreError              the graph refused or could not be reached (retryable)
    │   ├── QueryRefusedError       a read-only query that tried something else
    │   ├── AlreadyStoredError      a node was to be created whose key is in the graph
    │   └── ArchiveError            the archive could not be written or read (retryable)
    ├── PublishError            a message could not be handed to Kafka (retryable)
    └── NotFoundError           the thing asked for is not there

Raise early, log once where handled, retry only if ``retryable``.
"""

from __future__ import annotations

from typing import ClassVar


class HeliographError(Exception):
    """Base of every error that Heliograph raises on purpose."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without any change."""


class ConfigurationError(HeliographError):
    """A setting is missing or wrong; the message names the setting."""


class EnvironmentProblem(HeliographError):  # noqa: N818 - it is the machine's problem, not ours
    """The machine lacks something that Heliograph needs; the message says what."""


class WireError(HeliographError):
    """Bytes from outside cannot be understood."""

    reason: ClassVar[str] = "unreadable"
    """Short, stable name of the reason, used in dead letters and in the ledger."""


class MalformedPacketError(WireError):
    """The bytes are truncated, corrupt or out of bounds."""

    reason: ClassVar[str] = "malformed"


class UnknownSchemaError(WireError):
    """The schema fingerprint or id is not known."""

    reason: ClassVar[str] = "unknown_schema"


class UnsupportedNoticeError(WireError):
    """A well-formed message of a kind that no parser is registered for."""

    reason: ClassVar[str] = "unsupported_notice"


class SchemaRegistryError(HeliographError):
    """The schema registry could not be reached, or its answer is none; the messages that need it are not at fault."""

    retryable: ClassVar[bool] = True


class CatalogueServiceError(HeliographError):
    """A catalogue service gave no answer that can be used; nothing is known of the positions that it was asked for."""

    retryable: ClassVar[bool] = True


class ModelError(HeliographError):
    """A classifier artefact is absent, altered or of another version."""


class SkyMapError(HeliographError):
    """A localization is not a probability distribution on the sky."""


class StoreError(HeliographError):
    """The graph database refused a statement or could not be reached."""

    retryable: ClassVar[bool] = True


class QueryRefusedError(StoreError):
    """A query on the read-only endpoint tried something that it may not do."""

    retryable: ClassVar[bool] = False


class AlreadyStoredError(StoreError):
    """A node was to be created whose key is in the graph; nothing was written."""

    retryable: ClassVar[bool] = False


class ArchiveError(StoreError):
    """The archive of packets could not be written or read."""


class PublishError(HeliographError):
    """A message could not be handed to Kafka."""

    retryable: ClassVar[bool] = True


class NotFoundError(HeliographError):
    """The thing asked for is not in the graph."""
