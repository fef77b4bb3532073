"""MQTT connections for the halves of `house`.

They react: what a packet asks for is done when it comes, and nothing else runs. A lost connection ends
`serve`; the halves stay, and `connect` goes on where they say.
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
from tests.crash.house import number_of

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
        except OSError as error:
            raise ConnectionLostError(str(error)) from error
        link = cls(reader, writer, connect.version)
        try:
            await link._greet(connect)
        except BaseException:
            await link.close()
            raise
        return link

    async def _greet(self, connect):
        self.send(connect)
        async with asyncio.timeout(WITHIN):
            self._early += await self.read()
        self.connack = self._early.popleft()
        if not isinstance(self.connack, p.ConnAck) or self.connack.reason_code:
            raise RefusedError(f"{connect.client_id}: {self.connack}")

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
    """Connects a Sender, and publishes as long as it is told to with at most `window` messages in flight.

    `source()` gives (stream, number, payload, retain). `settled` is set while nothing is in flight.
    """

    def __init__(self, half, source):
        self.half, self.client_id = half, half.client_id
        self.loading = False
        self.settled = asyncio.Event()
        self.link = None
        self._source = source
        self._window = self._most = 1

    async def connect(self, door):
        """Connect, send again what is owed, and go on. Raises ConnectionLostError, RefusedError."""
        self.link = await Link.open(door, persistent(self.client_id, self.half.version))
        self._most = self.link.connack.properties.integer(RECEIVE_MAXIMUM, 0xFFFF)
        self.link.send(*self.half.joined(self.link.connack.session_present))
        self._go_on()

    async def serve(self):
        """Do what the broker's packets ask for, until the connection is lost."""
        try:
            while True:
                for packet in await self.link.read():
                    assert isinstance(packet, (p.PubAck, p.PubRec, p.PubComp)), packet
                    answer = self.half.take(packet)
                    if answer is not None:
                        self.link.send(answer)
                self._go_on()
        except ConnectionLostError:
            await self.link.close()

    def publish(self, *messages):
        """Publish messages now, beyond the window."""
        self.link.send(*(self.half.publish(*message) for message in messages))
        self.settled.clear()

    def load(self, window):
        """Begin to publish."""
        self._window, self.loading = window, True
        self._go_on()

    def _go_on(self):
        while self.loading and self.half.notes.in_flight < min(self._window, self._most):
            self.publish(self._source())
        if self.half.notes.in_flight:
            self.settled.clear()
        else:
            self.settled.set()


class Subscriber:
    """Connects a Receiver with one subscription, and acknowledges at once or slowly.

    `reached(goals)`: whether it has got what `goals` names; `drained` is set when that is so and nothing is
    owed to the broker.
    """

    def __init__(self, half, topic_filter, reached):
        self.half, self.client_id = half, half.client_id
        self.drained = asyncio.Event()
        self.link = None
        self._filter, self._reached = topic_filter, reached
        self._goals = {}
        self._owed = deque()
        self._pause = None

    async def connect(self, door, *, pause=None, receive_maximum=256):
        """Connect with the session; subscribe if there is none. `pause()`: seconds before each answer.

        Raises ConnectionLostError, RefusedError.
        """
        self._pause = pause
        self._owed.clear()
        self.link = await Link.open(door, persistent(self.client_id, self.half.version, receive_maximum))
        if self.half.joined(self.link.connack.session_present):
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
                    self.half.granted()
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

    def _look(self):
        at_rest = not self.half.notes.unreleased and not self._owed
        if at_rest and self._goals and self._reached(self._goals):
            self.drained.set()

    def _take(self, packet):
        assert isinstance(packet, (p.Publish, p.PubRel)), packet
        answer = self.half.take(packet)
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


class Bystander:
    """Connects a Mourned with its will, and stays until the connection is lost."""

    def __init__(self, half):
        self.half, self.client_id = half, half.client_id
        self.link = None

    async def connect(self, door, stream, number, payload):
        """Connect; when this returns the will is accepted. Raises ConnectionLostError, RefusedError."""
        self.half.connects(number)
        will = p.Will(stream.topic, payload, stream.qos)
        self.link = await Link.open(door, persistent(self.client_id, self.half.version, will=will))
        self.half.joined(self.link.connack.session_present)

    async def serve(self):
        """Stay until the connection is lost."""
        try:
            while True:
                await self.link.read()
        except ConnectionLostError:
            await self.link.close()


async def discard(door, client_id, version):
    """End the session of a client for good: a clean start that keeps nothing."""
    link = await Link.open(door, p.Connect(client_id, version, True, KEEP_ALIVE))
    await link.goodbye()


async def retained_on(door, client_id, topic_filter, content, patience):
    """What a new subscriber finds retained (topic -> number) once `content(found)` or nothing more comes.

    PINGRESP tells that the server has answered all that was asked before; what is retained may still be
    under way then, so it is waited for as long as `content` is not satisfied: `patience` seconds.
    """
    link = await Link.open(door, p.Connect(client_id, p.V5, True, KEEP_ALIVE))
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
