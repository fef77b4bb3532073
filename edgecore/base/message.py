"""The one message type. Built once per publish, shared by all receivers, never mutated.

A plain slots class and not a frozen dataclass: building one costs a quarter as much (facts:
exemplars.md section 1), and one is built for every PUBLISH that arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgecore.base.identity import Principal

AT_MOST_ONCE: Final = 0
AT_LEAST_ONCE: Final = 1
EXACTLY_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Properties:
    """MQTT 5 properties that travel with a PUBLISH from publisher to receiver (MQTT 5, 3.3.2.3)."""

    payload_format: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


class Message:
    """One published message.

    topic: a validated topic name. payload: bytes. qos: 0, 1 or 2, as published. retain: the
    publisher's RETAIN flag. sender: who published. expires_at: wall time in epoch seconds, or None.
    properties: MQTT 5 properties, or None. origin: the topic that it was published on when a route's
    `as` has renamed it since, else "". images: encodings of this message that transports keep here so
    that each is made once (key: transport's own); no other room reads it.
    """

    __slots__ = (
        "expires_at",
        "images",
        "origin",
        "payload",
        "properties",
        "qos",
        "retain",
        "sender",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        sender: Principal,
        retain: bool = False,
        expires_at: float | None = None,
        properties: Properties | None = None,
        origin: str = "",
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.sender = sender
        self.retain = retain
        self.expires_at = expires_at
        self.properties = properties
        self.origin = origin
        self.images: dict[object, bytes] | None = None

    def expired(self, now: float) -> bool:
        """Whether the message's life has ended at wall time `now`."""
        return self.expires_at is not None and now >= self.expires_at

    def moved(self, topic: str, expires_at: float | None) -> Message:
        """The same message under another topic or with another expiry (a route's `as`, `expiry`)."""
        origin = self.origin or self.topic
        return Message(
            topic,
            self.payload,
            self.qos,
            self.sender,
            self.retain,
            expires_at,
            self.properties,
            origin if origin != topic else "",
        )

    def __repr__(self) -> str:
        return f"Message({self.topic!r}, {len(self.payload)} bytes, qos={self.qos}, from={self.sender.id})"
