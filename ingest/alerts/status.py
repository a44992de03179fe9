"""What can become of a message in the loops, and what a dead letter says of it."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What became of a message."""

    OK = 0
    TRUNCATED = -1
    BAD_VARINT = -2
    BAD_BRANCH = -3
    BAD_LENGTH = -4
    BAD_COUNT = -5
    BAD_BOOLEAN = -6
    TRAILING = -7
    LOST_SYNC = -8
    NOT_ONE_RECORD = -9
    TOO_LARGE = -10
    NOT_AVRO = -11
    TOO_MANY = -12
    NEW_HEADER = -20
    """An object container whose header is not among the given ones."""
    NEW_ID = -21
    """A schema id that is not among the given ones."""
    TABLE_FULL = -30


SENTENCES = {
    Status.TRUNCATED: "The bytes end before the record does.",
    Status.BAD_VARINT: "An integer of the record does not fit into 64 bits.",
    Status.BAD_BRANCH: "The record names a branch of a union or a symbol of an enum that does not exist.",
    Status.BAD_LENGTH: "A length in the record is negative or passes the end of the message.",
    Status.BAD_COUNT: "A list of the record claims more items than its bytes can hold.",
    Status.TOO_MANY: "A list of the record holds more items than an alert can have.",
    Status.BAD_BOOLEAN: "A truth value of the record is neither 0 nor 1.",
    Status.TRAILING: "Bytes are left over after the record.",
    Status.LOST_SYNC: "The container does not end with its sync marker.",
    Status.NOT_ONE_RECORD: "The container does not hold exactly one record.",
    Status.TOO_LARGE: "The message is larger than allowed.",
    Status.NOT_AVRO: "The message is neither an Avro container nor framed with a schema id.",
}
"""What a dead letter says of each fault."""
