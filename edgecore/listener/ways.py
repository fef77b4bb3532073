"""The fast path of one publisher: runs of plain QoS 0 PUBLISH packets, forwarded as the bytes that they are.

Whatever is not the plain case is left to the general path, where every rule lives; a property test holds both
to the same result. What a topic's messages need is learnt once and holds until the router's tables change.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from edgecore.base.errors import RemoteProtocolError, TopicError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Subscriber
from edgecore.base.topic import check_topic
from edgecore.listener.stored_session import StoredSession
from edgecore.mqtt.packets import V5
from edgecore.mqtt.runs import PLAIN_PUBLISH, plain_run
from edgecore.mqtt.wire import text_of
from edgecore.router import Router

# Topics that one device uses at a time; beyond it their routes are looked up anew.
MAX_KNOWN_TOPICS: Final = 256

_UNKNOWN: Final = object()


@runtime_checkable
class FrameReceiver(Protocol):
    """A connection that may take another one's packets unchanged."""

    def takes_frames_of(self, version: int) -> bool:
        """Whether packets of a session of that version may be forwarded here unchanged."""
        ...

    def forward(self, frames: bytes, count: int) -> None:
        """Take `count` packets at QoS 0."""
        ...


class Ways:
    """How one publisher's topics travel: to these connections as they are, or (None) by the general path."""

    __slots__ = ("_generation", "_router", "_sender", "_version", "_ways")

    def __init__(self, router: Router, sender: Principal, version: int) -> None:
        self._router = router
        self._sender = sender
        self._version = version
        self._ways: dict[bytes, tuple[FrameReceiver, ...] | None] = {}
        self._generation = -1

    def forward(self, data: bytes) -> tuple[int, int]:
        """Forward the leading plain PUBLISH packets. Gives (where it stopped, how many there were)."""
        router, ways = self._router, self._ways
        if router.generation != self._generation:
            self._generation = router.generation
            ways.clear()
        has_properties = self._version == V5
        offset, size, total = 0, len(data), 0
        while offset < size and data[offset] == PLAIN_PUBLISH:
            run = plain_run(data, offset, has_properties)
            if run is None:
                break
            topic, end, count = run
            way = ways.get(topic, _UNKNOWN)
            if way is _UNKNOWN:
                way = self._learn(topic)
            if way is None:
                break
            frames = data[offset:end]
            for receiver in way:  # type: ignore[attr-defined]  # the sentinel was dealt with above
                receiver.forward(frames, count)
            total += count
            router.delivered += count * len(way)  # type: ignore[arg-type]  # as above
            offset = end
        router.published += total
        return offset, total

    def _learn(self, raw_topic: bytes) -> tuple[FrameReceiver, ...] | None:
        """How messages on the topic (length in front) travel until the router's tables change."""
        if len(self._ways) >= MAX_KNOWN_TOPICS:
            self._ways.clear()
        way = self._ways[raw_topic] = self._way_to(raw_topic)
        return way

    def _way_to(self, raw_topic: bytes) -> tuple[FrameReceiver, ...] | None:
        try:
            topic = check_topic(text_of(raw_topic[2:]))
        except (TopicError, RemoteProtocolError):
            return None  # the general path says what is wrong with it
        plan = self._router.plan_for(self._sender, topic)
        if not plan.plain:
            return None
        way: list[FrameReceiver] = []
        for delivery in plan.deliveries:
            if isinstance(delivery.subscriber, StoredSession) and not delivery.subscriber.connected:
                continue  # QoS 0 is not kept for those who are away
            receiver = _end_of(delivery.subscriber)
            if receiver is None or not receiver.takes_frames_of(self._version):
                return None
            way.append(receiver)
        return tuple(way)


def _end_of(subscriber: Subscriber) -> FrameReceiver | None:
    """The connection behind a subscriber, or None when it has none that takes frames."""
    end: object = subscriber
    if isinstance(subscriber, StoredSession):
        end = subscriber.connection
    return end if isinstance(end, FrameReceiver) else None
