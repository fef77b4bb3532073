"""The fast path of one connection: runs of plain PUBLISH packets, forwarded as the bytes that they are.

Whatever is not the plain case is left to the general path, where every rule lives; a property test holds both
to the same result. What a topic's messages need is learnt once and holds until the router's tables change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, RemoteProtocolError, TopicError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Receiver, Subscriber
from edgecore.base.topic import check_topic
from edgecore.listener.bodies import MAX_RUN
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


@runtime_checkable
class FrameReceiver(Protocol):
    """A connection that may take another one's packets unchanged."""

    def takes_frames_of(self, version: int) -> bool:
        """Whether packets of a session of that version may be forwarded here unchanged."""
        ...

    def forward(self, frames: bytes, count: int) -> None:
        """Take `count` packets at QoS 0."""
        ...

    def forward_acked(self, frames: bytes, run: AckedRun) -> None:
        """Take a run of QoS 1 packets."""
        ...


class Publisher(Protocol):
    """The MQTT session whose packets are looked at: mqtt's ServerSession."""

    @property
    def holding(self) -> bool:
        """Whether acknowledgements wait, which others must not overtake."""
        ...

    @property
    def receive_room(self) -> int:
        """How many more messages may be unacknowledged."""
        ...

    def finish_run(self, ids: Sequence[int]) -> bool:
        """Take plain PUBACKs at once, or (False) none of them."""
        ...


class Answers(Protocol):
    """Who acknowledges: Acknowledging."""

    def answer_run(self, run: AckedRun, commits: Sequence[Commit]) -> None:
        """Acknowledge a run of QoS 1 packets: now, or after the commits."""
        ...


class Way(NamedTuple):
    """To whom a topic's messages go: to connections as they are, and to kept sessions in one row."""

    connections: tuple[FrameReceiver, ...]
    sessions: tuple[StoredSession, ...] = ()


class Ways:
    """How one publisher's topics travel, by QoS and topic; None: by the general path.

    `via`: the session by which it publishes, for no-local. At QoS 1 all receivers must get QoS 1.
    """

    __slots__ = (
        "_acked_ways",
        "_answers",
        "_generation",
        "_has_properties",
        "_mqtt",
        "_plain",
        "_router",
        "_sender",
        "_version",
        "_via",
    )

    def __init__(
        self,
        router: Router,
        sender: Principal,
        via: Receiver,
        version: int,
        mqtt: Publisher,
        answers: Answers,
    ) -> None:
        self._router = router
        self._sender = sender
        self._via = via
        self._version = version
        self._mqtt = mqtt
        self._answers = answers
        self._has_properties = version == V5
        self._plain: dict[bytes, tuple[FrameReceiver, ...] | None] = {}
        self._acked_ways: dict[bytes, Way | None] = {}
        self._generation = -1

    def __len__(self) -> int:
        return len(self._plain) + len(self._acked_ways)

    def forward(self, data: bytes) -> tuple[int, int, int]:
        """Deal with the leading runs. Gives (where it stopped, packets, PUBLISH packets among them)."""
        router, plain = self._router, self._plain
        if router.generation != self._generation:
            self._generation = router.generation
            plain.clear()
            self._acked_ways.clear()
        offset, size, packets, publishes = 0, len(data), 0, 0
        while offset < size:
            first = data[offset]
            if first == PLAIN_PUBLISH:
                # In line, because most packets of most sites are one of these and nothing else.
                run = plain_run(data, offset, self._has_properties)
                if run is None:
                    break
                topic, end, count = run
                receivers = plain[topic] if topic in plain else self._learn_plain(topic)
                if receivers is None:
                    break
                frames = data[offset:end]
                for receiver in receivers:
                    receiver.forward(frames, count)
                router.published += count
                router.delivered += count * len(receivers)
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

    def _acked(self, data: bytes, offset: int) -> tuple[int, int]:
        """As `_plain`, for QoS 1: under the receiver's identifiers, kept where that is due, and answered."""
        run = acked_run(data, offset, self._has_properties)
        if run is None:
            return offset, 0
        ways, raw_topic = self._acked_ways, run.topic
        way = ways[raw_topic] if raw_topic in ways else self._learn_acked(raw_topic)
        room = 0 if way is None else self._room(way, run)
        if way is None or not room:
            return offset, 0
        if room < run.number:
            run = run.shorter(room)
        frames = data[offset : run.end]
        commits: list[Commit] = []
        if way.sessions:
            topic = text_of(run.topic[2:])
            try:
                for session in way.sessions:
                    commits += session.deliver_run(self._sender, topic, self._version, run, frames)
            except RefusedError:
                return offset, 0  # the general path says so
        for receiver in way.connections:
            receiver.forward_acked(frames, run)
        self._answers.answer_run(run, commits)
        router = self._router
        router.published += run.number
        router.delivered += run.number * (len(way.connections) + len(way.sessions))
        return run.end, run.number

    def _room(self, way: Way, run: AckedRun) -> int:
        """How many packets of the run can go now."""
        room = run.number
        if way.sessions:
            room = min(room, MAX_RUN)
            if self._has_properties:
                room = min(room, self._mqtt.receive_room)
        elif self._mqtt.holding:
            return 0  # what is answered at once must not overtake what is not
        return max(room, 0)

    def _pubacks(self, data: bytes, offset: int) -> tuple[int, int]:
        end, ids = puback_run(data, offset)
        return (end, len(ids)) if ids and self._mqtt.finish_run(ids) else (offset, 0)

    def _learn_plain(self, raw_topic: bytes) -> tuple[FrameReceiver, ...] | None:
        """How QoS 0 messages on the topic (length in front) travel until the router's tables change."""
        if len(self._plain) >= MAX_KNOWN_TOPICS:
            self._plain.clear()
        way = self._way_to(0, raw_topic)
        receivers = self._plain[raw_topic] = None if way is None else way.connections
        return receivers

    def _learn_acked(self, raw_topic: bytes) -> Way | None:
        """As `_learn_plain`, for QoS 1."""
        if len(self._acked_ways) >= MAX_KNOWN_TOPICS:
            self._acked_ways.clear()
        way = self._acked_ways[raw_topic] = self._way_to(1, raw_topic)
        return way

    def _way_to(self, qos: int, raw_topic: bytes) -> Way | None:
        try:
            topic = check_topic(text_of(raw_topic[2:]))
        except (TopicError, RemoteProtocolError):
            return None  # the general path says what is wrong with it
        plan = self._router.plan_for(self._sender, topic, self._via)
        if not plan.plain:
            return None
        connections: list[FrameReceiver] = []
        sessions: list[StoredSession] = []
        for delivery in plan.deliveries:
            subscriber = delivery.subscriber
            if delivery.qos < qos:
                return None
            if isinstance(subscriber, StoredSession) and qos:
                sessions.append(subscriber)
                continue
            if isinstance(subscriber, StoredSession) and not subscriber.connected:
                continue  # QoS 0 is not kept for those who are away
            receiver = _end_of(subscriber)
            if receiver is None or not receiver.takes_frames_of(self._version):
                return None
            connections.append(receiver)
        return Way(tuple(connections), tuple(sessions))


def _end_of(subscriber: Subscriber) -> FrameReceiver | None:
    """The connection behind a subscriber, or None when it has none that takes frames."""
    end: object = subscriber
    if isinstance(subscriber, StoredSession):
        end = subscriber.connection
    return end if isinstance(end, FrameReceiver) else None
