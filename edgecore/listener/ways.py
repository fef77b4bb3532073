"""The fast path of one connection: runs of plain PUBLISH packets, forwarded as the bytes that they are.

Whatever is not the plain case is left to the general path, where every rule lives; a property test holds both
to the same result. What a topic's messages need is learnt once and holds until the router's tables change.
"""

from __future__ import annotations

from array import array
from typing import Final, Protocol, runtime_checkable

from edgecore.base.errors import RemoteProtocolError, TopicError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Receiver, Subscriber
from edgecore.base.topic import check_topic
from edgecore.listener.stored_session import StoredSession
from edgecore.mqtt.packets import V5
from edgecore.mqtt.runs import (
    ACKED_PUBLISH,
    PLAIN_PUBLISH,
    PUBACK_BYTE,
    AckedRun,
    acked_run,
    plain_run,
    puback_run,
)
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

    def run_room(self, run: AckedRun) -> int:
        """How many packets of a QoS 1 run it takes now."""
        ...

    def forward_acked(self, frames: bytes, run: AckedRun) -> None:
        """Take a QoS 1 run that it has room for."""
        ...


class Publisher(Protocol):
    """The MQTT session whose packets are looked at: mqtt's ServerSession."""

    @property
    def holding(self) -> bool:
        """Whether acknowledgements wait, which others must not overtake."""
        ...

    def acknowledge_run(self, run: AckedRun) -> None:
        """Answer a run of QoS 1 packets."""
        ...

    def finish_run(self, ids: array[int]) -> bool:
        """Take plain PUBACKs at once, or (False) none of them."""
        ...


class Ways:
    """How one publisher's topics travel: to these connections as they are, or (None) by the general path.

    `via`: the session by which it publishes, for no-local.

    By QoS and topic: at QoS 1 all receivers must get QoS 1, and nothing may have to be durable.
    """

    __slots__ = ("_generation", "_mqtt", "_router", "_sender", "_version", "_via", "_ways")

    def __init__(
        self, router: Router, sender: Principal, via: Receiver, version: int, mqtt: Publisher
    ) -> None:
        self._router = router
        self._sender = sender
        self._via = via
        self._version = version
        self._mqtt = mqtt
        self._ways: dict[tuple[int, bytes], tuple[FrameReceiver, ...] | None] = {}
        self._generation = -1

    def __len__(self) -> int:
        return len(self._ways)

    def forward(self, data: bytes) -> tuple[int, int, int]:
        """Deal with the leading runs. Gives (where it stopped, packets, PUBLISH packets among them)."""
        if self._router.generation != self._generation:
            self._generation = self._router.generation
            self._ways.clear()
        offset, size, packets, publishes = 0, len(data), 0, 0
        while offset < size:
            first = data[offset]
            if first == PLAIN_PUBLISH:
                end, count = self._plain(data, offset)
                publishes += count
            elif first == ACKED_PUBLISH:
                end, count = self._acked(data, offset)
                publishes += count
            elif first == PUBACK_BYTE:
                end, count = self._pubacks(data, offset)
            else:
                break
            if not count:
                break
            packets += count
            offset = end
        return offset, packets, publishes

    def _plain(self, data: bytes, offset: int) -> tuple[int, int]:
        """Forward a run of QoS 0; gives (its end, its packets), 0 packets when it is not for this path."""
        run = plain_run(data, offset, self._version == V5)
        if run is None:
            return offset, 0
        topic, end, count = run
        way = self._ways.get((0, topic), _UNKNOWN)
        if way is _UNKNOWN:
            way = self._learn(0, topic)
        if way is None:
            return offset, 0
        frames = data[offset:end]
        for receiver in way:  # type: ignore[attr-defined]  # the sentinel was dealt with above
            receiver.forward(frames, count)
        router = self._router
        router.published += count
        router.delivered += count * len(way)  # type: ignore[arg-type]  # as above
        return end, count

    def _acked(self, data: bytes, offset: int) -> tuple[int, int]:
        """As `_plain`, for QoS 1: forwarded under the receiver's identifiers, and acknowledged."""
        if self._mqtt.holding:
            return offset, 0
        run = acked_run(data, offset, self._version == V5)
        if run is None:
            return offset, 0
        way = self._ways.get((1, run.topic), _UNKNOWN)
        if way is _UNKNOWN:
            way = self._learn(1, run.topic)
        if way is None:
            return offset, 0
        for receiver in way:  # type: ignore[attr-defined]  # as in _plain
            room = receiver.run_room(run)
            if room < run.number:
                if not room:
                    return offset, 0
                run = run.shorter(room)
        frames = data[offset : run.end]
        for receiver in way:  # type: ignore[attr-defined]  # as above
            receiver.forward_acked(frames, run)
        self._mqtt.acknowledge_run(run)
        router = self._router
        router.published += run.number
        router.delivered += run.number * len(way)  # type: ignore[arg-type]  # as above
        return run.end, run.number

    def _pubacks(self, data: bytes, offset: int) -> tuple[int, int]:
        end, ids = puback_run(data, offset)
        return (end, len(ids)) if ids and self._mqtt.finish_run(ids) else (offset, 0)

    def _learn(self, qos: int, raw_topic: bytes) -> tuple[FrameReceiver, ...] | None:
        """How messages on the topic (length in front) travel until the router's tables change."""
        if len(self._ways) >= MAX_KNOWN_TOPICS:
            self._ways.clear()
        way = self._ways[qos, raw_topic] = self._way_to(qos, raw_topic)
        return way

    def _way_to(self, qos: int, raw_topic: bytes) -> tuple[FrameReceiver, ...] | None:
        try:
            topic = check_topic(text_of(raw_topic[2:]))
        except (TopicError, RemoteProtocolError):
            return None  # the general path says what is wrong with it
        plan = self._router.plan_for(self._sender, topic, self._via)
        if not plan.plain:
            return None
        way: list[FrameReceiver] = []
        for delivery in plan.deliveries:
            subscriber = delivery.subscriber
            if isinstance(subscriber, StoredSession):
                if qos:
                    return None  # durable: one by one
                if not subscriber.connected:
                    continue  # QoS 0 is not kept for those who are away
            receiver = _end_of(subscriber)
            if delivery.qos < qos or receiver is None or not receiver.takes_frames_of(self._version):
                return None
            way.append(receiver)
        return tuple(way)


def _end_of(subscriber: Subscriber) -> FrameReceiver | None:
    """The connection behind a subscriber, or None when it has none that takes frames."""
    end: object = subscriber
    if isinstance(subscriber, StoredSession):
        end = subscriber.connection
    return end if isinstance(end, FrameReceiver) else None
