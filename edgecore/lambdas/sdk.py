"""What authors of handlers import: `from edgecore.lambdas import sdk`. Worker side, stdlib only.

    def handler(event, context):
        sdk.logger.info("%s cars", event["cars"])
        sdk.publish("junction/north/cars", {"cars": event["cars"]}, qos=1)

A function may publish only what a route of its group lets it publish.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from edgecore.base.errors import EdgecoreError, NotAuthorizedError, RefusedError, StoreError, TopicError
from edgecore.base.topic import check_topic
from edgecore.lambdas.channel import Channel
from edgecore.lambdas.frames import PUBLISH

__all__ = ["NotAuthorizedError", "RefusedError", "StoreError", "TopicError", "logger", "publish"]

# Which error a refusal becomes; the words are those of publishing.py on the daemon's side.
ERRORS: dict[str, type[EdgecoreError]] = {
    "not authorized": NotAuthorizedError,
    "refused": RefusedError,
    "invalid": TopicError,
    "store": StoreError,
}

logger = logging.getLogger("function")
logger.setLevel(logging.INFO)


class Connection:
    """Holds the channel that this process publishes through; the worker puts it in."""

    __slots__ = ("channel",)

    def __init__(self) -> None:
        self.channel: Channel | None = None


connection = Connection()


def publish(topic: str, payload: bytes | str | dict[str, Any] | list[Any], qos: int = 0) -> None:
    """Publish `payload` on `topic` as this function; a dict or list is sent as JSON, a str as UTF-8.

    At QoS 0 it returns at once, and what no route allows is dropped, logged and counted. At QoS 1 and 2
    it returns when the message is durable wherever it must be. Raises TopicError for a topic that MQTT
    does not allow, NotAuthorizedError when no route lets this function publish there, RefusedError
    when a queue is full, StoreError when it could not be stored, TypeError and ValueError for a
    payload that cannot be sent.
    """
    if connection.channel is None:
        raise RuntimeError("sdk.publish works inside a function that edgecore runs; replace it in unit tests")
    if qos not in (0, 1, 2):
        raise ValueError(f"found qos={qos!r}, expected 0, 1 or 2")
    meta: dict[str, object] = {"topic": check_topic(topic), "qos": qos}
    data = encoded(payload)
    if qos == 0:
        connection.channel.send(PUBLISH, {**meta, "seq": 0}, data)
        return
    answer = connection.channel.ask(PUBLISH, meta, data)
    if error := answer.text("error"):
        raise ERRORS.get(error, EdgecoreError)(answer.text("reason"))


def encoded(payload: object) -> bytes:
    """The bytes of a payload. Raises TypeError or ValueError when it has none."""
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, dict | list):
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    raise TypeError(f"found a payload of type {type(payload).__name__}, expected bytes, str, dict or list")
