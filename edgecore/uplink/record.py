"""A record of the outbox: when it was appended, then the message. Pure."""

from __future__ import annotations

import struct
from typing import Final

from edgecore.base.errors import StoreError
from edgecore.base.message import Message
from edgecore.store import encode_message

# In front of each record: when it was appended, in epoch seconds.
_STAMP: Final = struct.Struct(">d")


def make_record(message: Message, now: float) -> bytes:
    """The record of a message that is appended now."""
    return _STAMP.pack(now) + encode_message(message)


def read_record(record: bytes) -> tuple[float, bytes]:
    """When it was appended, and the encoded message. Raises StoreError."""
    return read_stamp(record), record[_STAMP.size :]


def read_stamp(record: bytes) -> float:
    """When it was appended. Raises StoreError."""
    if len(record) < _STAMP.size:
        raise StoreError(f"{len(record)} bytes are no outbox record")
    stamp: float = _STAMP.unpack_from(record)[0]
    return stamp
