"""A simulated device: a paho-mqtt client with a certificate of its own.

The only file of sim with threads: paho runs one for each client. All that happens there is handed
to the asyncio loop at once, so that the rest of sim knows no thread. It knows nothing of sensors,
shadows or what a message means.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

Version = Literal["3.1.1", "5"]
Acknowledged = Callable[[bool], None]

# Seconds. A device on a site waits longer; the demonstration is watched.
_RECONNECT: Final = (1, 2)
_KEEP_ALIVE: Final = 30
# What a device keeps while the core is away: an hour of a reading each second. Overflow: refuse.
MAX_WAITING: Final = 3600
# Seconds that the client's thread gets to end; a TLS handshake under way may take as long.
_STOP: Final = 10.0

_PROTOCOLS: Final = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}
# MQTT 5, 2.4: codes from 0x80 say that it failed.
_FAILURE: Final = 0x80


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a listener is. The server's certificate must name `host`."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """The files that a device was given."""

    certificate: Path
    key: Path
    ca: Path

    def context(self) -> ssl.SSLContext:
        """A TLS context that shows the certificate and trusts only this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Device:
    """One MQTT client that stays connected, keeps QoS 1 messages until acknowledged, sends them again.

    `subscriptions` are asked for after every connect, then `connected()` is called. `received(topic,
    payload)` gets what arrives. All calls are on the asyncio loop.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        version: Version = "5",
        subscriptions: Iterable[str] = (),
        received: Callable[[str, bytes], None] = lambda _topic, _payload: None,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.connects = 0
        self.reason = ""
        self.refused_subscriptions: list[str] = []
        self._endpoint = endpoint
        self._subscriptions = tuple(subscriptions)
        self._received = received
        self._when_connected = connected
        self._up = asyncio.Event()
        self._acknowledged: dict[int, Acknowledged] = {}
        self._asked: dict[int, tuple[str, ...]] = {}
        self._loop = asyncio.get_running_loop()
        self._credentials = credentials
        self._version: Version = version
        self._client: paho.Client | None = None

    def _make_client(self) -> paho.Client:
        # Clean sessions (paho's default): it keeps and sends again what was not acknowledged all the same.
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self.name, protocol=_PROTOCOLS[self._version]
        )
        client.tls_set_context(self._credentials.context())
        client.reconnect_delay_set(*_RECONNECT)
        client.max_queued_messages_set(MAX_WAITING)
        client.on_connect = self._thread_connect
        client.on_disconnect = self._thread_disconnect
        client.on_publish = self._thread_publish
        client.on_subscribe = self._thread_subscribe
        client.on_message = self._thread_message
        client.connect_async(self._endpoint.host, self._endpoint.port, _KEEP_ALIVE)
        return client

    @property
    def connected(self) -> bool:
        """Whether the peer has accepted the connection and answered the subscriptions, and it is still up."""
        return self._up.is_set()

    @property
    def waiting(self) -> int:
        """Published here and not yet acknowledged."""
        return len(self._acknowledged)

    async def until_connected(self, within: float) -> None:
        """Wait for the connection. Raises TimeoutError with the last reason."""
        try:
            async with asyncio.timeout(within):
                await self._up.wait()
        except TimeoutError:
            reason = self.reason or "no answer"
            raise TimeoutError(f"{self.name} is not connected after {within:g} s: {reason}") from None

    def publish(
        self, topic: str, payload: bytes, qos: int = 1, acknowledged: Acknowledged = lambda _ok: None
    ) -> bool:
        """Send, now or when connected again; `acknowledged(accepted)` once the peer has answered.

        False when MAX_WAITING messages wait already, or it is not running: nothing was kept.
        """
        if self._client is None:
            return False
        info = self._client.publish(topic, payload, qos)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            return False
        self._acknowledged[info.mid] = acknowledged
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Device]:
        """Connect, and stay connected until the block ends."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        """Begin to connect; it goes on trying until `stop`. Raises OSError for unusable credentials."""
        # In threads: files are read, and paho connects to itself. Known here before it can call back.
        self._client = await asyncio.to_thread(self._make_client)
        await asyncio.to_thread(self._client.loop_start)

    async def stop(self) -> None:
        """Say goodbye and wait for the client's thread. Raises TimeoutError."""
        # Forgotten at once: paho closes its sockets only when nothing refers to the client.
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            async with asyncio.timeout(_STOP):
                await asyncio.to_thread(client.loop_stop)
        self._up.clear()

    # What paho calls in its thread: hand over to the loop, nothing else.

    def _thread_connect(
        self, _client: paho.Client, _data: object, _flags: object, code: ReasonCode, _: object
    ) -> None:
        self._hand_over(self._connected, bool(code.is_failure), str(code))

    def _thread_disconnect(
        self, _client: paho.Client, _data: object, _flags: object, code: ReasonCode, _: object
    ) -> None:
        self._hand_over(self._disconnected, str(code))

    def _thread_publish(
        self, _client: paho.Client, _data: object, mid: int, code: ReasonCode, _: object
    ) -> None:
        self._hand_over(self._published, mid, code.value < _FAILURE)

    def _thread_subscribe(
        self, _client: paho.Client, _data: object, mid: int, codes: list[ReasonCode], _: object
    ) -> None:
        self._hand_over(self._subscribed, mid, [code.value for code in codes])

    def _thread_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self._hand_over(self._received, message.topic, message.payload)

    def _hand_over(self, call: Callable[..., None], *values: object) -> None:
        self._loop.call_soon_threadsafe(call, *values)

    # What then happens on the loop.

    def _connected(self, failed: bool, reason: str) -> None:
        self.reason = reason
        if failed or self._client is None:
            return
        self.connects += 1
        if self._subscriptions:
            _, mid = self._client.subscribe([(topic_filter, 1) for topic_filter in self._subscriptions])
            if mid is not None:
                self._asked[mid] = self._subscriptions
        else:
            self._ready()

    def _subscribed(self, mid: int, codes: list[int]) -> None:
        asked = self._asked.pop(mid, ())
        refused = [name for name, code in zip(asked, codes, strict=False) if code >= _FAILURE]
        self.refused_subscriptions = refused
        self._ready()

    def _ready(self) -> None:
        self._up.set()
        self._when_connected()

    def _disconnected(self, reason: str) -> None:
        self.reason = reason
        self._up.clear()

    def _published(self, mid: int, accepted: bool) -> None:
        acknowledged = self._acknowledged.pop(mid, None)
        if acknowledged is not None:
            acknowledged(accepted)
