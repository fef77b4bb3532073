"""Message ⇄ bytes, for what must outlive the process. Versioned; the sender's Principal is kept.

msgspec.msgpack of an array, not of a map: a durable 200-byte message must not double on disk. Its first
element is the version of the layout.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edgecore.base.errors import StoreError
from edgecore.base.identity import Kind, Principal
from edgecore.base.message import Message, Properties

# 2 adds the origin at the end of the array; 1 is read as a message that no route has renamed.
VERSION: Final = 2
READABLE: Final = (1, VERSION)


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    version: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    sender: tuple[Kind, str, str]
    expires_at: float | None
    properties: tuple[int | None, str | None, str | None, bytes | None, tuple[tuple[str, str], ...]] | None
    origin: str = ""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Envelope)


def encode_message(message: Message) -> bytes:
    """The message as bytes for a queue or a table."""
    sender, properties = message.sender, message.properties
    envelope = _Envelope(
        VERSION,
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        (sender.kind, sender.name, sender.thing),
        message.expires_at,
        _flatten(properties) if properties is not None else None,
        message.origin,
    )
    return _encoder.encode(envelope)


def decode_message(record: bytes) -> Message:
    """The message of `encode_message`. Raises StoreError when the bytes are not one that we know."""
    try:
        envelope = _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"a stored message of {len(record)} bytes cannot be read: {error}") from error
    if envelope.version not in READABLE:
        raise StoreError(
            f"a stored message has layout {envelope.version}, expected one of {READABLE}: "
            "written by a newer edgecore"
        )
    return Message(
        envelope.topic,
        envelope.payload,
        envelope.qos,
        Principal(*envelope.sender),
        envelope.retain,
        envelope.expires_at,
        Properties(*envelope.properties) if envelope.properties is not None else None,
        envelope.origin,
    )


def _flatten(
    properties: Properties,
) -> tuple[int | None, str | None, str | None, bytes | None, tuple[tuple[str, str], ...]]:
    return (
        properties.payload_format,
        properties.content_type,
        properties.response_topic,
        properties.correlation_data,
        properties.user_properties,
    )
