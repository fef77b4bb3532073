"""What the simulated cloud keeps for one client id: subscriptions, queue, messages in flight. Pure.

Time is monotonic seconds and comes in as `now`. As at AWS, a message that is not acknowledged is
sent again with a new packet id and without DUP, on the live connection too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311, Publish, SubscriptionOptions
from edgecore.mqtt.properties import PropertyMap
from edgecore.sim.cloud.access import Access
from edgecore.sim.cloud.limits import UNLIMITED, Bucket

# AWS counts queued messages per account and second; a simulator only has to end somewhere. New
# messages beyond it are not queued.
MAX_QUEUED: Final = 100_000
# AWS's client tests expect an unacknowledged message again within 60 s of a live connection.
REDELIVERY_SECONDS: Final = 30.0
# For so long an unacknowledged message is sent again and again; then AWS drops it.
MAX_REDELIVERY_SECONDS: Final = {V311: 3600.0, V5: 960.0}


@dataclass(slots=True)
class Published:
    """A message inside the cloud. `expires_at`: monotonic seconds, or None."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    properties: PropertyMap = field(default_factory=PropertyMap)
    expires_at: float | None = None
    origin: str = ""

    def expired(self, now: float) -> bool:
        """Whether it may no longer be delivered."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(slots=True)
class _Delivery:
    message: Published
    retain: bool
    sent_at: float = 0.0
    first_sent_at: float | None = None


class Session:
    """The state behind a client id. `online` while a connection holds it."""

    def __init__(self, client_id: str, version: int) -> None:
        self.client_id = client_id
        self.version = version
        self.online = False
        self.expires_at: float | None = None
        self.receive_maximum = 0
        self.filters: dict[str, SubscriptionOptions] = {}
        self.dropped = 0
        self.denied = 0
        self._access: Access | None = None
        self._queue: deque[_Delivery] = deque()
        self._stored: deque[_Delivery] = deque()
        self._replay = Bucket(UNLIMITED)
        self._at_most_once: deque[_Delivery] = deque()
        self._in_flight: dict[int, _Delivery] = {}
        self._last_id = 0

    @property
    def queued(self) -> int:
        """Messages that are kept and not sent."""
        return len(self._queue) + len(self._stored)

    @property
    def replaying(self) -> bool:
        """Whether messages of the time away are still to come."""
        return bool(self._stored)

    @property
    def in_flight(self) -> int:
        """Messages that are sent and not acknowledged."""
        return len(self._in_flight)

    def attach(self, receive_maximum: int, access: Access | None = None, replay: float = UNLIMITED) -> None:
        """A connection takes the session over; what was kept comes at `replay` messages a second."""
        self.online = True
        self.expires_at = None
        self.receive_maximum = receive_maximum
        self._access = access
        self._replay = Bucket(replay)
        self._stored, self._queue = self._queue, deque()

    def detach(self, now: float, expiry: int) -> None:
        """The connection is gone: what was in flight waits again, oldest first."""
        self.online = False
        self.expires_at = now + expiry
        self._queue.extendleft(reversed(self._stored))
        self._stored.clear()
        self._queue.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()
        self._at_most_once.clear()

    def offer(self, message: Published, qos: int, retain: bool) -> None:
        """Take a message that matched: queue it at QoS 1, keep it only while online at QoS 0."""
        if qos == 0:
            if self.online and len(self._at_most_once) < MAX_QUEUED:
                self._at_most_once.append(_Delivery(message, retain))
        elif self.queued >= MAX_QUEUED:
            self.dropped += 1
        else:
            self._queue.append(_Delivery(message, retain))

    def take(self, now: float) -> Iterator[Publish]:
        """The packets that may be sent now; each QoS 1 packet is in flight from here on."""
        while self._at_most_once:
            delivery = self._at_most_once.popleft()
            if self._may_have(delivery.message, now):
                yield _packet(delivery, 0, now)
        while self._stored and self._room() and self._replay.take(now):
            yield from self._send(self._stored.popleft(), now)
        while self._queue and self._room():
            yield from self._send(self._queue.popleft(), now)

    def _room(self) -> bool:
        return len(self._in_flight) < self.receive_maximum

    def _send(self, delivery: _Delivery, now: float) -> Iterator[Publish]:
        """The packet of a QoS 1 message; nothing for one that may no longer be delivered."""
        first = delivery.first_sent_at
        if first is not None and now - first >= MAX_REDELIVERY_SECONDS[self.version]:
            self.dropped += 1
        elif self._may_have(delivery.message, now):
            delivery.sent_at = now
            delivery.first_sent_at = now if first is None else first
            packet_id = self._next_id()
            self._in_flight[packet_id] = delivery
            yield _packet(delivery, packet_id, now)

    def _may_have(self, message: Published, now: float) -> bool:
        if message.expired(now):
            self.dropped += 1
            return False
        if (
            self._access is not None
            and self._access.restricted
            and not self._access.may_receive(message.topic)
        ):
            self.denied += 1
            return False
        return True

    def acknowledge(self, packet_id: int) -> bool:
        """The client's PUBACK; False when nothing has that packet id."""
        return self._in_flight.pop(packet_id, None) is not None

    def overdue(self, now: float, after: float) -> int:
        """Put back what was sent `after` seconds ago and not acknowledged; gives how many."""
        late = [one for one, delivery in self._in_flight.items() if now - delivery.sent_at >= after]
        self._queue.extendleft(self._in_flight.pop(packet_id) for packet_id in reversed(late))
        return len(late)

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self._in_flight:
                return self._last_id


def _packet(delivery: _Delivery, packet_id: int, now: float) -> Publish:
    message = delivery.message
    properties = message.properties
    if message.expires_at is not None:
        left = max(1, int(message.expires_at - now))  # 5, 3.3.2.3.3: the time that remains
        properties = PropertyMap({**properties, ids.MESSAGE_EXPIRY_INTERVAL: left})
    qos = 1 if packet_id else 0
    return Publish(
        message.topic, message.payload, qos, delivery.retain, packet_id=packet_id, properties=properties
    )
