"""What sessions keep on the disk, as bytes: a session's record, a message and what belongs to it.

Versioned arrays of msgpack; the message itself is as everywhere in the store. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edgecore.base.errors import StoreError
from edgecore.base.identity import Kind, Principal
from edgecore.base.message import Message, Properties
from edgecore.store import decode_message, encode_message

VERSION: Final = 1
# Where a message keeps the bytes that the store knows it by: made once for all sessions that get it.
_IMAGE: Final = "record"


class WillRecord(msgspec.Struct, array_like=True, frozen=True):
    """A will. `delay` and `expiry` in seconds; no expiry: None."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay: int = 0
    expiry: int | None = None
    payload_format: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()

    def message(self, sender: Principal, now: float) -> Message:
        """The message that is published when the client is lost. `now`: wall time."""
        properties = Properties(
            self.payload_format,
            self.content_type,
            self.response_topic,
            self.correlation_data,
            self.user_properties,
        )
        return Message(
            self.topic,
            self.payload,
            self.qos,
            sender,
            self.retain,
            None if self.expiry is None else now + self.expiry,
            properties if properties != Properties() else None,
        )


class SubscriptionRecord(msgspec.Struct, array_like=True, frozen=True):
    """What a client asked for with one topic filter. `identifier`: 0 for none."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    identifier: int = 0


class SessionRecord(msgspec.Struct, array_like=True, frozen=True):
    """A session that is kept.

    `expiry`: seconds that it outlives its connection, 0 when it ends with it and only the will is kept.
    `ended`: the core's age in seconds when the connection ended; None while it lasts. `will`: what is due.
    `sent_to`: when it ended, the last of its messages that was ever sent.
    """

    version: int
    principal: tuple[Kind, str, str]
    client_id: str
    expiry: int
    ended: float | None
    subscriptions: tuple[SubscriptionRecord, ...] = ()
    will: WillRecord | None = None
    sent_to: int = 0


_encoder: Final = msgspec.msgpack.Encoder()
_sessions: Final = msgspec.msgpack.Decoder(SessionRecord)
_extras: Final = msgspec.msgpack.Decoder(tuple[tuple[int, ...], str])


def encode_session(record: SessionRecord) -> bytes:
    """The record as bytes."""
    return _encoder.encode(record)


def decode_session(data: bytes) -> SessionRecord:
    """The record of `encode_session`. Raises StoreError for bytes that are none."""
    try:
        record = _sessions.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"a stored session cannot be read: {error}") from error
    if record.version != VERSION:
        raise StoreError(f"a stored session has layout {record.version}, expected {VERSION}")
    return record


def message_bytes(message: Message) -> bytes:
    """The message as the store keeps it; made once, however many sessions get it."""
    images = message.images
    if images is None:
        images = message.images = {}
    found = images.get(_IMAGE)
    if found is None:
        found = images[_IMAGE] = encode_message(message)
    return found


def extra_bytes(identifiers: tuple[int, ...], share: str) -> bytes | None:
    """What one session's copy has beside the message, or None for nothing."""
    return _encoder.encode((identifiers, share)) if identifiers or share else None


def read_message(record: bytes, extra: bytes | None) -> tuple[Message, tuple[int, ...], str]:
    """(message, subscription identifiers, share) of a row. Raises StoreError."""
    message = decode_message(record)
    if extra is None:
        return message, (), ""
    try:
        identifiers, share = _extras.decode(extra)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"what belongs to a stored message cannot be read: {error}") from error
    return message, identifiers, share
