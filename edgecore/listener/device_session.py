"""One connected device: its MQTT session joined to the router. Knows no sockets, TLS or tasks.

Bytes come in through `data`, messages through `deliver`; what goes out gathers in the MQTT session until
`flush`. PUBLISH packets at QoS 0 that need nothing but forwarding take the fast path (`_forward_runs`);
everything else takes the general one, and a property test holds both to the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final, Protocol

from edgecore.base.commit import when_all_done
from edgecore.base.errors import NotAuthorizedError, RemoteProtocolError, TopicError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.base.topic import SHARE_PREFIX, check_topic
from edgecore.listener.credential import Credential, reason_of
from edgecore.listener.door import Door
from edgecore.mqtt import packets as p
from edgecore.mqtt.acceptance import objection
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.images import message_properties
from edgecore.mqtt.inbound import Pending
from edgecore.mqtt.packets import V5
from edgecore.mqtt.properties import MESSAGE_EXPIRY_INTERVAL, PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.runs import MAX_PLAIN_PACKET, PLAIN_PUBLISH, plain_run
from edgecore.mqtt.server_session import LIVE, OVER, ServerSession
from edgecore.mqtt.wire import text_of

# A CONNECT holds a will of at most 64 KB, names and properties. Before it a peer is nobody.
MAX_CONNECT_BYTES: Final = 96 * 1024
# Bytes for one receiver after which it is not worth waiting for the end of the turn: some TLS records.
FLUSH_AT: Final = 64 * 1024
# First bytes of PUBLISH: type 3, whatever its flags.
_FIRST_PUBLISH: Final = p.PUBLISH << 4
_AFTER_PUBLISH: Final = _FIRST_PUBLISH + 0x10
# Topics that one device uses at a time; beyond it their routes are looked up anew.
MAX_KNOWN_TOPICS: Final = 256

# How a topic's messages travel: to these sessions as they are, or (None) by the general path.
_Way = "tuple[DeviceSession, ...] | None"
_UNKNOWN: Final = object()


class Wire(Protocol):
    """What a session needs of its connection."""

    @property
    def blocked(self) -> bool:
        """Whether the peer reads too slowly: send nothing now."""
        ...

    def send(self, data: bytes) -> None:
        """Send bytes; never raises."""
        ...

    def finish(self) -> None:
        """Close once what was sent is out."""
        ...

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading."""
        ...


class DeviceSession:
    """The subscriber that the router knows, for as long as its connection lasts."""

    __slots__ = (
        "_clock",
        "_credential",
        "_early",
        "_filters",
        "_finished",
        "_framer",
        "_generation",
        "_held",
        "_marked",
        "_mqtt",
        "_peer",
        "_principal",
        "_refusals",
        "_router",
        "_sessions",
        "_settings",
        "_timed",
        "_traffic",
        "_turn",
        "_ways",
        "_wire",
    )

    def __init__(
        self,
        wire: Wire,
        credential: Credential,
        peer: str,
        door: Door,
    ) -> None:
        self._wire = wire
        self._credential = credential
        self._peer = peer
        self._settings = door.settings
        self._router = door.router
        self._sessions = door.sessions
        self._traffic = door.sessions.traffic
        self._timed: Pending | None = None
        self._refusals = door.refusals
        self._turn = door.turn
        self._clock = door.clock
        self._early: list[tuple[int, bytes]] | None = None  # what came behind a CONNECT not answered yet
        self._held = False
        self._mqtt = ServerSession(door.settings.session)
        self._framer = Framer(MAX_CONNECT_BYTES, only=p.CONNECT)
        self._principal: Principal | None = None
        self._filters: set[str] = set()
        self._ways: dict[bytes, tuple[DeviceSession, ...] | None] = {}
        self._generation = -1
        self._marked = False
        self._finished = False

    @property
    def principal(self) -> Principal:
        """Who is connected. Only after CONNECT was accepted."""
        assert self._principal is not None
        return self._principal

    @property
    def client_id(self) -> str:
        """The client id in use."""
        return self._mqtt.client_id

    @property
    def live(self) -> bool:
        """Whether CONNECT was accepted and nothing has ended the session."""
        return self._mqtt.state == LIVE

    @property
    def queued(self) -> int:
        """Messages at QoS 1 and 2 that wait for a place in flight."""
        return len(self._mqtt.outbound.waiting)

    @property
    def in_flight(self) -> int:
        """Messages at QoS 1 and 2 that were sent and are not acknowledged."""
        return self._mqtt.outbound.in_flight

    @property
    def dropped(self) -> int:
        """Messages that this client did not get because it was too slow, or too small for them."""
        return self._mqtt.dropped + self._mqtt.outbound.dropped

    # Bytes in -----------------------------------------------------------------------------------

    def data(self, data: bytes, now: float) -> None:
        """Take bytes from the client. `now`: monotonic seconds."""
        mqtt, framer = self._mqtt, self._framer
        mqtt.last_heard = now
        self._traffic.bytes_received += len(data)
        try:
            if mqtt.state is LIVE:
                if 0 < framer.pending <= MAX_PLAIN_PACKET:
                    data = framer.take_back() + data
                if not framer.pending and data[0] == PLAIN_PUBLISH:
                    offset = self._forward_runs(data)
                    data = data[offset:] if offset else data
            if data:
                self._packets(data)
        except RemoteProtocolError as error:
            self._broken(error)

    def _broken(self, error: RemoteProtocolError) -> None:
        self._refusals.note("protocol", self._name(), str(error), self._clock.monotonic())
        self._mqtt.fail(error)
        self._end()

    def _packets(self, data: bytes) -> None:
        """The general path: every packet decoded, every rule applied."""
        mqtt = self._mqtt
        packets = publishes = 0
        try:
            for first_byte, body in self._framer.feed(data):
                packets += 1
                publishes += _FIRST_PUBLISH <= first_byte < _AFTER_PUBLISH
                if self._early is not None:
                    self._early.append((first_byte, body))
                    continue
                self._packet(first_byte, body)
                if mqtt.state is OVER:
                    self._end()
                    return
        finally:
            self._traffic.received += packets
            self._traffic.publishes_received += publishes
        if mqtt.outbound.waiting:
            mqtt.pump(self._clock.now())
        if mqtt.outgoing:
            self._mark()

    def _packet(self, first_byte: int, body: bytes) -> None:
        packet = self._mqtt.receive(first_byte, body)
        if packet is not None:
            self._ACTIONS[type(packet)](self, packet)

    def _forward_runs(self, data: bytes) -> int:
        """The fast path: forward the leading plain PUBLISH packets unchanged. Gives where it stopped."""
        router, ways = self._router, self._ways
        if router.generation != self._generation:
            self._generation = router.generation
            ways.clear()
        has_properties = self._mqtt.version == V5
        offset, size = 0, len(data)
        published = router.published
        while offset < size and data[offset] == PLAIN_PUBLISH:
            run = plain_run(data, offset, has_properties)
            if run is None:
                break
            topic, end, count = run
            way = ways.get(topic, _UNKNOWN)
            if way is _UNKNOWN:
                way = self._learn_way(topic)
            if way is None:
                break
            frames = data[offset:end]
            for receiver in way:  # type: ignore[attr-defined]  # the sentinel was dealt with above
                receiver.forward(frames, count)
            router.published += count
            router.delivered += count * len(way)  # type: ignore[arg-type]  # as above
            offset = end
        self._traffic.received += router.published - published
        self._traffic.publishes_received += router.published - published
        return offset

    def _learn_way(self, raw_topic: bytes) -> tuple[DeviceSession, ...] | None:
        """How messages on the topic (length in front) travel until the router's tables change."""
        if len(self._ways) >= MAX_KNOWN_TOPICS:
            self._ways.clear()
        way = self._ways[raw_topic] = self._way_to(raw_topic)
        return way

    def _way_to(self, raw_topic: bytes) -> tuple[DeviceSession, ...] | None:
        try:
            topic = check_topic(text_of(raw_topic[2:]))
        except (TopicError, RemoteProtocolError):
            return None  # the general path says what is wrong with it
        plan = self._router.plan_for(self.principal, topic)
        if not plan.plain:
            return None
        way = []
        for delivery in plan.deliveries:
            receiver = delivery.subscriber
            if not isinstance(receiver, DeviceSession) or not receiver.takes_frames_of(self._mqtt.version):
                return None
            way.append(receiver)
        return tuple(way)

    # What the client asks for ---------------------------------------------------------------------

    def _connect(self, packet: p.Connect) -> None:
        found = objection(packet)
        if found is not None:
            self._refuse(*found)
            return
        self._framer.only = None
        self._early = []
        self._credential.identify(packet, partial(self._identified, packet))
        if self._early is not None:
            self._held = True  # whose it is will be known later: no more until then
            self._wire.hold_reading(hold=True)

    def _identified(self, packet: p.Connect, found: Principal | NotAuthorizedError) -> None:
        """Go on with CONNECT, and with what came behind it, now that it is known whose it is."""
        if self._mqtt.state is OVER:
            return
        try:
            if isinstance(found, NotAuthorizedError):
                raise found
            self._check_will(found, packet.will)
        except NotAuthorizedError as error:
            self._refuse(reason_of(error), str(error))
        else:
            self._enter(packet, found)
        self._catch_up()

    def _catch_up(self) -> None:
        """Deal with the packets that came behind CONNECT, now that it is answered."""
        early, self._early = self._early or [], None
        if not self._held:
            return  # it was answered at once: the packets are still on their way here
        self._held = False
        self._wire.hold_reading(hold=False)
        try:
            for first_byte, body in early:
                if self._mqtt.state is OVER:
                    break
                self._packet(first_byte, body)
        except RemoteProtocolError as error:
            self._broken(error)
        if self._mqtt.state is OVER:
            self._end()
        elif self._mqtt.outgoing:
            self._mark()

    def _enter(self, packet: p.Connect, principal: Principal) -> None:
        crowd = self._sessions.devices
        most = self._settings.max_connections_per_device
        if crowd.count(principal.id) >= most and not self._sessions.holds(principal, packet.client_id):
            text = f"{principal} has {most} connections: listener.max_connections_per_device is reached"
            self._refuse(ReasonCode.QUOTA_EXCEEDED, text)
            return
        crowd.enter(principal.id)
        self._principal = principal
        self._framer.max_packet_size = self._settings.max_packet_size
        self._mqtt.accept(packet, self._sessions.assign_id() if not packet.client_id else "")
        self._sessions.enter(self)

    def _check_will(self, principal: Principal, will: p.Will | None) -> None:
        if will is not None and not self._router.plan_for(principal, will.topic).allowed:
            raise NotAuthorizedError(
                f"{principal} may not publish its will on {will.topic!r}: no route allows it"
            )

    def _refuse(self, reason_code: ReasonCode, text: str) -> None:
        self._refusals.note("connect", self._name(), text, self._clock.monotonic())
        self._mqtt.refuse(reason_code, text)

    def _publish(self, packet: p.Publish) -> None:
        receipt = self._router.publish(self._message(packet))
        if packet.qos:
            self._answer(packet.packet_id, packet.qos, receipt)

    def _message(self, packet: p.Publish) -> Message:
        properties = packet.properties
        if properties is None:
            return Message(packet.topic, packet.payload, packet.qos, self.principal, packet.retain)
        return Message(
            packet.topic,
            packet.payload,
            packet.qos,
            self.principal,
            packet.retain,
            self._expiry(properties),
            message_properties(properties),
        )

    def _expiry(self, properties: PropertyMap) -> float | None:
        if MESSAGE_EXPIRY_INTERVAL not in properties:
            return None
        return self._clock.now() + properties.integer(MESSAGE_EXPIRY_INTERVAL)

    def _answer(self, packet_id: int, qos: int, receipt: Receipt) -> None:
        """Acknowledge by what became of the publish: now, or when it is durable."""
        if receipt.commits and not receipt.refused:
            pending = self._mqtt.hold(packet_id, qos)
            began = 0.0
            if self._timed is None:
                self._timed, began = pending, self._clock.monotonic()
            when_all_done(receipt.commits, partial(self._durable, pending, began))
            if self._mqtt.congested:
                self._wire.hold_reading(hold=True)
        elif receipt.refused:
            if self._mqtt.version == V5:
                self._mqtt.acknowledge(packet_id, qos, ReasonCode.QUOTA_EXCEEDED)
            else:
                self._not_stored(receipt.refused)
        elif not receipt.allowed and self._mqtt.version == V5:
            self._mqtt.acknowledge(packet_id, qos, ReasonCode.NOT_AUTHORIZED)
        else:
            self._mqtt.acknowledge(packet_id, qos)

    def _not_stored(self, reason: str) -> None:
        """3.1.1 has no word for a refusal: no acknowledgement and an end, so that the client sends again."""
        self._refusals.note("full", self._name(), reason, self._clock.monotonic())
        self._mqtt.goodbye(ReasonCode.QUOTA_EXCEEDED)

    def _durable(self, pending: Pending, began: float, error: Exception | None) -> None:
        """Settle what waited for commits; called by the store, perhaps after the connection is gone.

        `began`: when the one that is timed came, by the monotonic clock.
        """
        mqtt = self._mqtt
        if pending is self._timed:
            self._timed = None
            if error is None:
                self._traffic.acknowledged.observe(self._clock.monotonic() - began)
        if mqtt.state is not LIVE:
            return
        if error is None:
            mqtt.settle(pending)
        elif mqtt.version == V5:
            mqtt.settle(pending, ReasonCode.QUOTA_EXCEEDED)
        else:
            self._not_stored(str(error))
            self._end()
            return
        if not mqtt.congested:
            self._wire.hold_reading(hold=False)
        self._mark()

    def _subscribe(self, packet: p.Subscribe) -> None:
        known = set(self._filters)
        granted = [self._subscribe_one(each) for each in packet.filters]
        self._mqtt.suback(packet.packet_id, granted)
        for options, code in zip(packet.filters, granted, strict=True):
            is_new = options.topic_filter not in known
            if code <= 2 and (options.retain_handling == 0 or (options.retain_handling == 1 and is_new)):
                self._send_retained(options.topic_filter, code)

    def _subscribe_one(self, options: p.SubscriptionOptions) -> int:
        topic_filter = options.topic_filter
        if topic_filter.startswith(SHARE_PREFIX):
            return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if topic_filter not in self._filters and len(self._filters) >= self._settings.max_subscriptions:
            return ReasonCode.QUOTA_EXCEEDED
        allowed = self._router.subscribe(
            self,
            topic_filter,
            options.qos,
            no_local=options.no_local,
            retain_as_published=options.retain_as_published,
        )
        if not allowed:
            return ReasonCode.NOT_AUTHORIZED
        self._filters.add(topic_filter)
        return options.qos

    def _send_retained(self, topic_filter: str, granted: int) -> None:
        for message, cap in self._router.retained_for(self, topic_filter):
            self.deliver(message, min(message.qos, cap, granted), retain=True)

    def _unsubscribe(self, packet: p.Unsubscribe) -> None:
        codes: list[int] = []
        for topic_filter in packet.filters:
            existed = self._router.unsubscribe(self, topic_filter)
            self._filters.discard(topic_filter)
            codes.append(ReasonCode.SUCCESS if existed else ReasonCode.NO_SUBSCRIPTION_EXISTED)
        self._mqtt.unsuback(packet.packet_id, codes)

    def _disconnect(self, _packet: p.Disconnect) -> None:
        pass  # the MQTT session is over now, and with it the connection

    _ACTIONS: ClassVar[dict[type, Callable[..., None]]] = {
        p.Connect: _connect,
        p.Publish: _publish,
        p.Subscribe: _subscribe,
        p.Unsubscribe: _unsubscribe,
        p.Disconnect: _disconnect,
    }

    # Messages and bytes out -----------------------------------------------------------------------

    def deliver(self, message: Message, qos: int, retain: bool) -> None:
        """Take a message from the router (base Subscriber)."""
        now = self._clock.now() if message.expires_at is not None else 0.0
        self._mqtt.deliver(message, qos, retain, now)
        if not self._marked:
            self._mark()

    def forward(self, frames: bytes, count: int) -> None:
        """Take `count` packets at QoS 0 as another session of the same version sent them."""
        mqtt = self._mqtt
        mqtt.forward(frames, count)
        if not self._marked:
            self._marked = True
            self._turn.add(self)
        elif mqtt.unsent > FLUSH_AT:
            self._write()

    def takes_frames_of(self, version: int) -> bool:
        """Whether packets of a session of that version may be forwarded here unchanged."""
        return self._mqtt.version == version and self._mqtt.takes_frames

    def flush(self) -> None:
        """Send what has gathered in this turn."""
        self._marked = False
        self._write()

    def writable(self) -> None:
        """Go on after the connection was blocked."""
        if self._mqtt.state is LIVE:
            self._write()
            self._mqtt.pump(self._clock.now())
        if self._mqtt.outgoing and not self._marked:
            self._mark()

    def _write(self) -> None:
        mqtt = self._mqtt
        if mqtt.outgoing and not self._wire.blocked:
            traffic = self._traffic
            traffic.sent += len(mqtt.outgoing) + mqtt.joined
            traffic.publishes_sent += mqtt.publishes
            traffic.bytes_sent += mqtt.unsent
            self._wire.send(mqtt.take())

    def _mark(self) -> None:
        if not self._marked:
            self._marked = True
            self._turn.add(self)

    # Ends -----------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """End the session when the client was not heard for too long (5, 3.1.2.10)."""
        deadline = self._mqtt.next_deadline()
        if deadline is not None and now >= deadline:
            self._refusals.note(
                "keep alive", self._name(), "nothing was heard for 1.5 times its keep alive", now
            )
            self.close(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep alive")

    def recheck(self) -> None:
        """End the session when its certificate or its device is no longer admitted."""
        if not self._credential.admits(self.principal):
            self._mqtt.will = None  # what may not connect may not speak either
            self.close(ReasonCode.NOT_AUTHORIZED, "the device is no longer admitted")

    def taken_over(self) -> None:
        """End the session because its client connected anew."""
        self._mqtt.taken_over()
        self._end()

    def close(self, reason_code: int, text: str = "") -> None:
        """End the session from our side."""
        self._mqtt.goodbye(reason_code, text)
        self._end()

    def shut_down(self) -> None:
        """End the session because the core stops; the will is not due (5, 3.1.2.5 leaves it open)."""
        self._mqtt.will = None
        self.close(ReasonCode.SERVER_SHUTTING_DOWN)

    def lost(self) -> None:
        """Note that the connection is gone, whoever ended it."""
        self._mqtt.state = OVER
        self._leave()

    def _end(self) -> None:
        """Say the last words and hang up, then let the house know."""
        self._write()
        self._wire.finish()
        self._leave()

    def _leave(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._principal is None:
            return
        self._traffic.dropped += self.dropped
        self._sessions.devices.leave(self._principal.id)
        self._router.unsubscribe_all(self)
        self._sessions.leave(self)
        will, self._mqtt.will = self._mqtt.will, None
        if will is not None:
            self._router.publish(self._will_message(will))

    def _will_message(self, will: p.Will) -> Message:
        return Message(
            will.topic,
            will.payload,
            will.qos,
            self.principal,
            will.retain,
            self._expiry(will.properties),
            message_properties(will.properties),
        )

    def _name(self) -> str:
        return self._principal.id if self._principal else f"{self._peer} ({self._credential.label})"
