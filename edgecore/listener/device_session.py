"""One connected device: its MQTT session joined to the router. Knows no sockets, TLS or tasks.

Bytes come in through `data`, messages through `deliver`; what goes out gathers in the MQTT session until
`flush`. What outlives the connection is in a StoredSession, which the router then knows in place of this one.
Plain PUBLISH packets at QoS 0 take the fast path (ways.py); everything else takes the general one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, RemoteProtocolError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Receipt, Receiver
from edgecore.base.message import Message
from edgecore.listener.acknowledging import Acknowledging
from edgecore.listener.credential import Credential
from edgecore.listener.door import Door
from edgecore.listener.entering import Entering
from edgecore.listener.kept_sessions import Opening
from edgecore.listener.outlet import Outlet
from edgecore.listener.publishing import message_of, will_of
from edgecore.listener.records import WillRecord
from edgecore.listener.stored_session import StoredSession
from edgecore.listener.subscribing import Subscribing
from edgecore.listener.ways import Ways
from edgecore.listener.wire import Wire
from edgecore.mqtt import packets as p
from edgecore.mqtt.acceptance import Kept, granted_expiry, objection, window_of
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.outbound import Outbound
from edgecore.mqtt.properties import SUBSCRIPTION_IDENTIFIER
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.runs import MAX_PLAIN_PACKET, RUN_BYTES, AckedRun
from edgecore.mqtt.server_session import LIVE, OVER, WAITING, ServerSession

# A CONNECT holds a will of at most 64 KB, names and properties. Before it a peer is nobody.
MAX_CONNECT_BYTES: Final = 96 * 1024
# Bytes for one receiver after which it is not worth waiting for the end of the turn: some TLS records.
FLUSH_AT: Final = 64 * 1024
# First bytes of PUBLISH: type 3, whatever its flags.
_FIRST_PUBLISH: Final = p.PUBLISH << 4
_AFTER_PUBLISH: Final = _FIRST_PUBLISH + 0x10
# A client whose session is not kept.
_NOTHING_KEPT: Final = Opening(None, present=False, will_key=0, commits=())


class DeviceSession:
    """One connection's session; the router's Receiver where nothing outlives the connection."""

    __slots__ = (
        "_acknowledging",
        "_clock",
        "_credential",
        "_entering",
        "_finished",
        "_framer",
        "_marked",
        "_mqtt",
        "_opening",
        "_outlet",
        "_peer",
        "_principal",
        "_refusals",
        "_router",
        "_sessions",
        "_settings",
        "_stopping",
        "_subscribing",
        "_traffic",
        "_turn",
        "_ways",
        "_will",
        "_wire",
        "client_id",
    )

    def __init__(self, wire: Wire, credential: Credential, peer: str, door: Door) -> None:
        self._wire = wire
        self._credential = credential
        self._peer = peer
        self._settings = door.settings
        self._router = door.router
        self._sessions = door.sessions
        self._traffic = door.sessions.traffic
        self._refusals = door.refusals
        self._turn = door.turn
        self._clock = door.clock
        self._entering: Entering | None = Entering(self, credential, door)
        self._mqtt = ServerSession(door.settings.session)
        self._outlet = Outlet(wire, self._mqtt, self, door)
        self._acknowledging = Acknowledging(self._mqtt, self, self._traffic, self._clock)
        self._framer = Framer(MAX_CONNECT_BYTES, only=p.CONNECT)
        self._principal: Principal | None = None
        self._opening = _NOTHING_KEPT
        self._subscribing = Subscribing(door.router, self, door.settings.max_subscriptions)
        self._will: WillRecord | None = None
        self._ways: Ways | None = None
        self._marked = False
        self._finished = False
        self._stopping = False
        self.client_id = ""

    @property
    def principal(self) -> Principal:
        """Who is connected. Only after its credential was accepted."""
        assert self._principal is not None
        return self._principal

    @property
    def live(self) -> bool:
        """Whether CONNECT was accepted and nothing has ended the session."""
        return self._mqtt.state == LIVE

    @property
    def over(self) -> bool:
        """Whether it has ended, and nothing more can be said."""
        return self._mqtt.state is OVER

    @property
    def connected(self) -> bool:
        """Whether the client is there (base Receiver)."""
        return self.live

    @property
    def _receiver(self) -> Receiver:
        """What the router knows of us: the session that is kept, or ourselves."""
        return self._opening.session or self

    @property
    def queued(self) -> int:
        """Messages at QoS 1 and 2 that wait for a place in flight."""
        return self._mqtt.outbound.queued

    @property
    def in_flight(self) -> int:
        """Messages at QoS 1 and 2 that were sent and are not acknowledged."""
        return self._mqtt.outbound.in_flight

    @property
    def dropped(self) -> int:
        """Messages that this client did not get because it was too slow, or too small for them.

        What a kept session lost is counted there.
        """
        return self._mqtt.dropped + (self._mqtt.outbound.dropped if self._opening.session is None else 0)

    # Bytes in -----------------------------------------------------------------------------------

    def data(self, data: bytes, now: float) -> None:
        """Take bytes from the client. `now`: monotonic seconds."""
        mqtt, framer = self._mqtt, self._framer
        self._traffic.bytes_received += len(data)
        try:
            if self._ways is not None and mqtt.state is LIVE:
                unfinished = framer.unfinished
                if unfinished and len(unfinished) <= MAX_PLAIN_PACKET:
                    data = framer.take_back() + data
                if not unfinished and data and data[0] in RUN_BYTES:
                    data = self._runs(self._ways, data, now)
            if data:
                self._packets(data, now)
        except RemoteProtocolError as error:
            self._broken(error)

    def _runs(self, ways: Ways, data: bytes, now: float) -> bytes:
        """The fast path; gives what it leaves."""
        offset, packets, publishes = ways.forward(data)
        if not packets:
            return data
        mqtt = self._mqtt
        mqtt.last_heard = now
        self._traffic.received += packets
        self._traffic.publishes_received += publishes
        if packets > publishes and mqtt.outbound.queued:  # PUBACKs made room
            mqtt.pump(self._clock.now())
        if mqtt.outgoing:
            self._mark()
        return data[offset:]

    def _packets(self, data: bytes, now: float) -> None:
        """The general path: every packet decoded, every rule applied. A part of one is not heard yet."""
        mqtt = self._mqtt
        packets = publishes = 0
        try:
            for first_byte, body in self._framer.feed(data):
                packets += 1
                publishes += _FIRST_PUBLISH <= first_byte < _AFTER_PUBLISH
                if self._entering is not None and self._entering.waiting:
                    self._entering.put_off(first_byte, body)
                    continue
                self._packet(first_byte, body)
                if mqtt.state is OVER:
                    self._end()
                    return
        finally:
            if packets:
                mqtt.last_heard = now
            self._traffic.received += packets
            self._traffic.publishes_received += publishes
        if mqtt.outbound.queued and mqtt.state is LIVE:
            mqtt.pump(self._clock.now())
        if mqtt.outgoing:
            self._mark()

    def _packet(self, first_byte: int, body: bytes) -> None:
        packet = self._mqtt.receive(first_byte, body)
        if packet is not None:
            self._ACTIONS[type(packet)](self, packet)

    def _broken(self, error: RemoteProtocolError) -> None:
        self._refusals.note("protocol", self._name(), str(error), self._clock.monotonic())
        self._mqtt.fail(error)
        self._end()

    # CONNECT --------------------------------------------------------------------------------------

    def _connect(self, packet: p.Connect) -> None:
        self._traffic.connects += 1
        found = objection(packet)
        if found is not None:
            self.refuse(*found)
            return
        self._framer.only = None
        assert self._entering is not None
        self._entering.begin(packet)

    def come_in(self, packet: p.Connect, principal: Principal) -> Sequence[Commit]:
        """Be that client, in place of an earlier connection of its own (entering's Connection)."""
        crowd = self._sessions.devices
        most = self._settings.max_connections_per_device
        if crowd.count(principal.id) >= most and not self._sessions.holds(principal, packet.client_id):
            raise RefusedError(
                f"{principal} has {most} connections: listener.max_connections_per_device is reached"
            )
        self.client_id = packet.client_id or self._sessions.assign_id(principal)
        crowd.enter(principal.id)
        self._principal = principal
        self._framer.max_packet_size = self._settings.max_packet_size
        self._sessions.enter(self)
        kept = self._sessions.kept
        if kept is not None:
            self._opening = kept.begin(
                self,
                principal,
                self.client_id,
                clean=packet.clean_start,
                expiry=granted_expiry(packet, self._settings.max_session_expiry),
                will=will_of(packet.will),
            )
        return self._opening.commits

    def accept(self, packet: p.Connect) -> None:
        """Answer CONNECT: all that it goes on with is durable (entering's Connection)."""
        self._entering = None
        session = self._opening.session
        if session is None:
            self._mqtt.accept(packet, self.client_id)
        else:
            session.outbound.attach(window_of(packet, self._settings.session))
            kept = Kept(self._opening.present, session.expiry, session.inbound, session.outbound)
            self._mqtt.accept(packet, self.client_id, kept)
            self._subscribing = session.subscribing
            self._router.invalidate()
            self._mark()
        self._will = will_of(packet.will)
        self._ways = Ways(
            self._router, self.principal, self._receiver, packet.version, self._mqtt, self._acknowledging
        )

    def refuse(self, reason_code: ReasonCode, text: str) -> None:
        """Answer CONNECT with a failure (entering's Connection)."""
        self._refusals.note("connect", self._name(), text, self._clock.monotonic())
        self._refusals.connects[reason_code.name.lower()] += 1
        self._mqtt.refuse(reason_code, text)

    def catch_up(self, early: Sequence[tuple[int, bytes]]) -> None:
        """Deal with the packets that came behind CONNECT, now that it is answered (entering's Connection)."""
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

    # PUBLISH --------------------------------------------------------------------------------------

    def _publish(self, packet: p.Publish) -> None:
        now = self._clock.now() if packet.properties is not None else 0.0
        message = message_of(packet, self.principal, now)
        if packet.qos == 2 and self._opening.session is not None:
            self._publish_exactly_once(packet.packet_id, message, self._opening.session)
            return
        receipt = self._router.publish(message, self._receiver)
        if packet.qos:
            self._acknowledging.answer(packet.packet_id, packet.qos, receipt)

    def _publish_exactly_once(self, packet_id: int, message: Message, session: StoredSession) -> None:
        """The identifier is kept in the same commit as all that the message leads to."""
        kept = self._sessions.kept
        assert kept is not None
        try:
            taken = kept.take(session, packet_id)
        except RefusedError as error:
            self._acknowledging.answer(packet_id, 2, Receipt(allowed=True, refused=str(error)))
            return
        receipt = self._router.publish(message, self._receiver)
        if not receipt.allowed:
            self.let_go(packet_id)
        elif not receipt.refused:
            receipt = Receipt(allowed=True, commits=(*receipt.commits, taken))
        self._acknowledging.answer(packet_id, 2, receipt)

    def let_go(self, packet_id: int) -> None:
        """Forget a QoS 2 identifier: its message was not taken (acknowledging's Connection)."""
        kept, session = self._sessions.kept, self._opening.session
        if kept is not None and session is not None:
            kept.let_go(session, packet_id)

    def not_stored(self, reason: str) -> None:
        """End the connection without an acknowledgement, so that a client of 3.1.1 sends again later."""
        self._refusals.note("full", self._name(), reason, self._clock.monotonic())
        self.close(ReasonCode.QUOTA_EXCEEDED)

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading: as much waits for commits as may."""
        self._outlet.hold_reading(hold=hold)

    def _pubrel(self, packet: p.PubRel) -> None:
        """Free the identifier of a kept session, durably, before PUBCOMP lets the client use it again."""
        kept, session = self._sessions.kept, self._opening.session
        assert kept is not None
        assert session is not None
        kept.let_go(session, packet.packet_id).when_done(partial(self._let_go, packet.packet_id))

    def _let_go(self, packet_id: int, error: Exception | None) -> None:
        if error is not None:
            self.close(ReasonCode.UNSPECIFIED_ERROR, str(error))
            return
        self._mqtt.complete(packet_id)
        if self.live:
            self._mark()

    # SUBSCRIBE, UNSUBSCRIBE -----------------------------------------------------------------------

    def _subscribe(self, packet: p.Subscribe) -> None:
        found = packet.properties.get(SUBSCRIPTION_IDENTIFIER)
        identifier = found[0] if isinstance(found, list) and isinstance(found[0], int) else 0
        subscribing = self._subscribing
        known = set(subscribing.records)
        codes = [subscribing.subscribe(each, identifier) for each in packet.filters]
        # At once for a session that is not kept; else the retained ones do not wait for the commit.
        self._when_kept(partial(self._mqtt.suback, packet.packet_id, codes))
        for options, code in zip(packet.filters, codes, strict=True):
            if code > 2:
                continue
            refusal = subscribing.send_retained(options, identifier, is_new=options.topic_filter not in known)
            if refusal:
                self._refusals.note("full", self._name(), refusal, self._clock.monotonic())
            known.add(options.topic_filter)

    def _unsubscribe(self, packet: p.Unsubscribe) -> None:
        codes = [self._subscribing.unsubscribe(each) for each in packet.filters]
        self._when_kept(partial(self._mqtt.unsuback, packet.packet_id, codes))

    def _when_kept(self, answer: Callable[[], None]) -> None:
        """Answer when the subscriptions are as durable as the session is."""
        kept, session = self._sessions.kept, self._opening.session
        if kept is None or session is None:
            answer()
            return
        try:
            kept.save(session).when_done(partial(self._kept, answer))
        except RefusedError as error:
            self.close(ReasonCode.QUOTA_EXCEEDED, str(error))

    def _kept(self, answer: Callable[[], None], error: Exception | None) -> None:
        if not self.live:
            return
        if error is not None:
            self.close(ReasonCode.QUOTA_EXCEEDED, str(error))
            return
        answer()
        self._mark()

    def _disconnect(self, _packet: p.Disconnect) -> None:
        pass  # the MQTT session is over now, and with it the connection

    _ACTIONS: ClassVar[dict[type, Callable[..., None]]] = {
        p.Connect: _connect,
        p.Publish: _publish,
        p.PubRel: _pubrel,
        p.Subscribe: _subscribe,
        p.Unsubscribe: _unsubscribe,
        p.Disconnect: _disconnect,
    }

    # Messages and bytes out -----------------------------------------------------------------------

    def deliver(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> None:
        """Take a message from the router (base Receiver), or from the session that is kept at QoS 0."""
        now = self._clock.now() if message.expires_at is not None else 0.0
        self._mqtt.deliver(message, qos, retain, now, identifiers, share)
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
            self._outlet.write()

    def forward_acked(self, frames: bytes, run: AckedRun) -> None:
        """Take a run of QoS 1 packets as another session of the same version sent them."""
        self._mqtt.forward_acked(frames, run)
        self._mark()

    def takes_frames_of(self, version: int) -> bool:
        """Whether packets of a session of that version may be forwarded here unchanged."""
        return self._mqtt.version == version and self._mqtt.takes_frames

    def stir(self) -> None:
        """Send, at the end of this turn, what the kept session has to send."""
        if not self._marked and self.live:
            self._mark()

    def release(self, packet_id: int) -> None:
        """Send PUBREL: it is durable that the client has the message."""
        if self.live:
            self._mqtt.release(packet_id)
            self._mark()

    def flush(self) -> None:
        """Send what has gathered in this turn."""
        self._marked = False
        mqtt, outlet = self._mqtt, self._outlet
        queued = mqtt.outbound.queued
        full = bool(queued) and mqtt.state is LIVE and mqtt.pump(self._clock.now())
        outlet.write()
        if full and not self._wire.blocked:
            self._mark()  # there is more than fits in one write
        if queued or outlet.holds:
            outlet.account()

    def writable(self) -> None:
        """Go on after the connection was blocked."""
        if self._mqtt.state is LIVE:
            self._outlet.write()
            self._mqtt.pump(self._clock.now())
        if self._mqtt.outgoing and not self._marked:
            self._mark()
        self._outlet.account()

    def too_slow(self) -> None:
        """End the session: it takes memory that others need (unread's Slow)."""
        text = "so much waits for it that listener.max_unread is reached"
        self._refusals.note("slow", self._name(), text, self._clock.monotonic())
        self.close(ReasonCode.QUOTA_EXCEEDED, text)

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
        """End the session when its credential or its device is no longer admitted."""
        if not self._credential.admits(self.principal):
            self._mqtt.will = None  # what may not connect may not speak either
            self.close(ReasonCode.NOT_AUTHORIZED, "the device is no longer admitted")

    def taken_over(self) -> None:
        """End the session because its client connected anew."""
        if self._mqtt.state is WAITING:
            # CONNACK knows no "session taken over" (5, 3.2.2.2).
            self._mqtt.refuse(ReasonCode.UNSPECIFIED_ERROR, "the client connected anew")
        else:
            self._mqtt.taken_over()
        self._end()

    def close(self, reason_code: int, text: str = "") -> None:
        """End the session from our side."""
        self._mqtt.goodbye(reason_code, text)
        self._end()

    def shut_down(self) -> None:
        """End the session because the core stops; the will is for the next start (5, 3.1.2.5)."""
        self._stopping = True
        self.close(ReasonCode.SERVER_SHUTTING_DOWN)

    def lost(self) -> None:
        """Note that the connection is gone, whoever ended it."""
        self._mqtt.state = OVER
        self._leave()

    def _end(self) -> None:
        """Say the last words and hang up, then let the house know."""
        self._outlet.write()
        self._wire.finish()
        self._leave()

    def _leave(self) -> None:
        if self._finished:
            return
        self._finished = True
        self._outlet.forget()
        if self._principal is None:
            return
        self._traffic.dropped += self.dropped
        self._sessions.devices.leave(self._principal.id)
        self._sessions.leave(self)
        if self._opening.session is None:
            self._leave_nothing()
        else:
            self._leave_session(self._opening.session)

    def _leave_session(self, session: StoredSession) -> None:
        """Part from a session that goes on without us, unless it was given to another or ended before."""
        kept = self._sessions.kept
        assert kept is not None
        if session.connection is not self:
            return
        if self._stopping:
            kept.stop(session)
        elif self._ways is not None:
            kept.end(session, self._mqtt.expiry, lost=self._mqtt.will is not None)
        else:
            # It was never answered: where there was no session before, the client knows of none.
            kept.end(session, session.expiry if self._opening.present else 0, lost=False)

    def _leave_nothing(self) -> None:
        """End everything with the connection: subscriptions, what others may get instead, the will."""
        outbound = self._mqtt.outbound
        self._subscribing.leave()
        if isinstance(outbound, Outbound):
            for share, message, qos in outbound.unfinished():
                self._router.reassign(share, message, qos)
        will, self._will = self._will, None
        kept, key = self._sessions.kept, self._opening.will_key
        if self._stopping:
            if kept is not None and will is not None:
                kept.wills.wait(key, self.principal, self.client_id, will)
            return
        if will is not None and self._mqtt.will is not None:
            self._router.publish(will.message(self.principal, self._clock.now()))
        if kept is not None and key:
            kept.wills.drop(key)

    def _name(self) -> str:
        return self._principal.id if self._principal else f"{self._peer} ({self._credential.label})"
