"""MQTT clients that keep their half of the session over connections, as MQTT asks and most libraries do not.

They react: what a packet asks for is done when it comes, and nothing else runs. A lost connection ends
`serve`; the notes stay, and `connect` goes on where they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from dataclasses import dataclass

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.properties import RECEIVE_MAXIMUM, SESSION_EXPIRY_INTERVAL, PropertyMap
from tests.crash.notes import FAILURE, ReceiverNotes, SenderNotes

# Larger than any packet here.
MAX_PACKET = 1024 * 1024
READ = 256 * 1024
KEEP_ALIVE = 600
# Seconds; longer than any run. 0xFFFFFFFF ("never") is left to the conformance tests.
SESSION_EXPIRY = 86_400
# Seconds for one answer. Only a fault takes as long.
WITHIN = 20.0


class ConnectionLostError(Exception):
    """The connection is gone."""


class RefusedError(Exception):
    """CONNECT or SUBSCRIBE was refused."""


@dataclass(frozen=True)
class Door:
    """Where a broker listens, and the TLS context with the client's certificate."""

    host: str
    port: int
    context: ssl.SSLContext


class Link:
    """One MQTT connection: packets out, packets in."""

    def __init__(self, reader, writer, version):
        self.connack = None
        host, port = writer.get_extra_info("sockname")
        self.address = f"{host}:{port}"  # our own end
        self._reader, self._writer, self._version = reader, writer, version
        self._framer = Framer(MAX_PACKET)
        self._early = deque()
        self._outgoing = []

    @classmethod
    async def open(cls, door, connect):
        """Connect and wait for CONNACK. Raises ConnectionLostError, RefusedError."""
        try:
            async with asyncio.timeout(WITHIN):
                reader, writer = await asyncio.open_connection(
                    door.host, door.port, ssl=door.context, server_hostname="localhost"
                )
                link = cls(reader, writer, connect.version)
                link.send(connect)
                link._early += await link.read()
        except OSError as error:
            raise ConnectionLostError(str(error)) from error
        link.connack = link._early.popleft()
        if not isinstance(link.connack, p.ConnAck) or link.connack.reason_code:
            await link.close()
            raise RefusedError(f"{connect.client_id}: {link.connack}")
        return link

    def send(self, *packets):
        """Send packets, all of a turn in one write; that they cannot be sent is noticed by `read`."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing += [encode(packet, self._version) for packet in packets]

    def _flush(self):
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if data and not self._writer.transport.is_closing():
            self._writer.write(data)

    async def read(self):
        """The packets that are there, at least one. Raises ConnectionLostError."""
        if self._early:
            found = list(self._early)
            self._early.clear()
            return found
        while True:
            try:
                data = await self._reader.read(READ)
            except OSError as error:
                raise ConnectionLostError(str(error)) from error
            if not data:
                raise ConnectionLostError("the broker closed the connection")
            try:
                found = [decode(first, body, self._version) for first, body in self._framer.feed(data)]
            except RemoteProtocolError as error:
                raise AssertionError(f"the broker sent what MQTT does not allow: {error}") from error
            if found:
                return found

    async def close(self):
        """Hang up without a word and wait for the end."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError, ssl.SSLError):  # it was gone already
            await self._writer.wait_closed()

    async def goodbye(self):
        """DISCONNECT, and wait until what was sent is out."""
        self.send(p.Disconnect())
        self._flush()
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):  # it was gone already
            async with asyncio.timeout(WITHIN):
                await self._writer.wait_closed()


def persistent(client_id, version, receive_maximum=0xFFFF, will=None):
    """A CONNECT for a session that outlives its connection, continued if it is there."""
    given = PropertyMap()
    if version == p.V5:
        given[SESSION_EXPIRY_INTERVAL] = SESSION_EXPIRY
        given[RECEIVE_MAXIMUM] = receive_maximum
    return p.Connect(client_id, version, False, KEEP_ALIVE, will=will, properties=given)


class Publisher:
    """Publishes on its streams as long as it is told to, with at most `window` messages in flight.

    `source()` gives (stream, number, payload, retain); `law` is told what was sent and acknowledged,
    `noted` which handshakes have ended.
    """

    def __init__(self, client_id, version, law, source, noted=lambda _stream, _number: None):
        self.client_id, self.version = client_id, version
        self.notes = SenderNotes()
        self.window = 1
        self.loading = False
        self.settled = asyncio.Event()
        self.link = None
        self._law, self._source, self._noted = law, source, noted
        self._most = 0
        self._known = False

    async def connect(self, door):
        """Connect with the session, send again what is owed, and go on. Raises ConnectionLostError."""
        self.link = await Link.open(door, persistent(self.client_id, self.version))
        self._most = self.link.connack.properties.integer(RECEIVE_MAXIMUM, 0xFFFF)
        if self._known and not self.link.connack.session_present:
            self._law.fault("session_lost", f"of the publisher {self.client_id}")
            self.notes.forget()
        self._known = True
        for flight in self.notes.waiting:
            self._law.sent(flight.stream, flight.number)
        if again := self.notes.resend():
            self._law.count("resent", len(again))
            self.link.send(*again)
        self._go_on()

    async def serve(self):
        """Do what the broker's packets ask for, until the connection is lost."""
        try:
            while True:
                for packet in await self.link.read():
                    self._take(packet)
                self._go_on()
        except ConnectionLostError:
            await self.link.close()

    def _take(self, packet):
        assert isinstance(packet, (p.PubAck, p.PubRec, p.PubComp)), packet
        outcome = self.notes.take(packet)
        if outcome.answer is not None:
            self.link.send(outcome.answer)
        flight = outcome.flight
        if flight is not None and outcome.reason < FAILURE:
            self._law.acked(flight.stream, flight.number)
        elif flight is not None:
            self._law.fault("refused", f"{flight.stream.topic} {flight.number}: {outcome.reason:#04x}")
        if outcome.over is not None:
            self._noted(outcome.over.stream, outcome.over.number)

    def publish(self, *messages):
        """Publish messages now, beyond the window."""
        for stream, number, payload, retain in messages:
            self._law.sent(stream, number)
            self.link.send(self.notes.begin(stream, number, payload, retain))
        self.settled.clear()

    def load(self, window):
        """Begin to publish."""
        self.window, self.loading = window, True
        self._go_on()

    def _go_on(self):
        while self.loading and self.notes.in_flight < min(self.window, self._most):
            self.publish(self._source())
        if self.notes.in_flight:
            self.settled.clear()
        else:
            self.settled.set()


class Subscriber:
    """Has a session with one subscription, and acknowledges at once or slowly.

    `streams`: topic -> Stream of what it may get. `drained` is set once it has got `goals`.
    """

    def __init__(self, client_id, version, law, topic_filter, streams):
        self.client_id, self.version = client_id, version
        self.notes = ReceiverNotes()
        self.drained = asyncio.Event()
        self.link = None
        self._law, self._filter, self._streams = law, topic_filter, streams
        self._known = False
        self._goals = {}
        self._owed = deque()
        self._pause = None

    async def connect(self, door, *, pause=None, receive_maximum=256):
        """Connect with the session; subscribe if there is none. `pause()`: seconds before each answer.

        Raises ConnectionLostError, RefusedError.
        """
        self._pause = pause
        self._owed.clear()
        self.link = await Link.open(door, persistent(self.client_id, self.version, receive_maximum))
        if self._known and self.link.connack.session_present:
            return
        if self._known:
            self._law.fault("session_lost", f"of the subscriber {self.client_id}")
            self.notes.forget()
        await self._subscribe()

    async def _subscribe(self):
        self.link.send(p.Subscribe(1, [p.SubscriptionOptions(self._filter, 2)]))
        waiting = True
        while waiting:
            async with asyncio.timeout(WITHIN):
                found = await self.link.read()
            for packet in found:
                if isinstance(packet, p.SubAck):
                    if packet.reason_codes != [2]:
                        raise RefusedError(f"{self.client_id}: {packet}")
                    waiting = False
                    # A session that was lost has its old claims: what it does not get counts as lost.
                    if not self._known:
                        self._law.subscribed(self.client_id, self._streams.values())
                    self._known = True
                else:
                    self._take(packet)

    async def serve(self):
        """Take what comes until the connection is lost."""
        answering = asyncio.create_task(self._answer_slowly()) if self._pause is not None else None
        try:
            while True:
                for packet in await self.link.read():
                    self._take(packet)
                self._look()
        except ConnectionLostError:
            await self.link.close()
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    def want(self, goals):
        """Set `drained` once all of `goals` (stream -> number) has come and every handshake is over."""
        self._goals = goals
        self.drained.clear()
        self._look()

    def missing(self):
        """How many streams have not reached their goals."""
        return self._law.behind(self.client_id, self._goals)

    def _look(self):
        at_rest = not self.notes.unreleased and not self._owed
        if at_rest and self._goals and self._law.reached(self.client_id, self._goals):
            self.drained.set()

    def _take(self, packet):
        new, answer, wrong = self.notes.take(packet)
        if wrong:
            self._law.fault("reused", f"{self.client_id}: {wrong}")
        if new:
            stream, number = self._streams[packet.topic], number_of(packet.payload)
            self._law.arrived(self.client_id, stream, number, packet.dup)
        if answer is None:
            return
        if self._pause is None:
            self.link.send(answer)
        else:
            self._owed.append(answer)

    async def _answer_slowly(self):
        while self._pause is not None:
            await asyncio.sleep(self._pause())
            if self._owed:
                self.link.send(self._owed.popleft())

    def hurry(self):
        """Answer at once from now on."""
        self._pause = None
        while self._owed:
            self.link.send(self._owed.popleft())
        self._look()


class Mourned:
    """A client that only has a will, and leaves without a word."""

    def __init__(self, client_id, version):
        self.client_id, self.version = client_id, version
        self.link = None

    async def connect(self, door, will):
        """Connect; when this returns the will is accepted. Raises ConnectionLostError, RefusedError."""
        self.link = await Link.open(door, persistent(self.client_id, self.version, will=will))

    async def serve(self):
        """Stay until the connection is lost."""
        try:
            while True:
                await self.link.read()
        except ConnectionLostError:
            await self.link.close()


def payload_of(number, size):
    """The payload of a message: its number, and filling."""
    return b"%d " % number + b"." * size


def number_of(payload):
    """The number that a payload carries."""
    return int(payload.split(b" ", 1)[0])


async def discard(door, client_id, version):
    """End the session of a client for good: a clean start that keeps nothing."""
    link = await Link.open(door, p.Connect(client_id, version, True, KEEP_ALIVE))
    await link.goodbye()


async def retained_on(door, client_id, version, topic_filter, content, patience):
    """What a new subscriber finds retained (topic -> number) once `content(found)` or nothing more comes.

    PINGRESP tells that the server has answered all that was asked before; what is retained may still be
    under way then, so it is waited for as long as `content` is not satisfied: `patience` seconds.
    """
    link = await Link.open(door, p.Connect(client_id, version, True, KEEP_ALIVE))
    found, ponged = {}, False
    try:
        link.send(p.Subscribe(1, [p.SubscriptionOptions(topic_filter, 0)]), p.PingReq())
        async with asyncio.timeout(patience):
            while not ponged or not content(found):
                for packet in await link.read():
                    ponged = ponged or isinstance(packet, p.PingResp)
                    if isinstance(packet, p.Publish) and packet.retain:
                        found[packet.topic] = number_of(packet.payload)
        await link.goodbye()
    except TimeoutError:
        await link.close()
    return found
