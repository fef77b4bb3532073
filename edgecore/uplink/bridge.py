"""The bridge's client on paho-mqtt: to any MQTT 5 broker. The home of paho in this room.

paho runs a thread for each connection: every callback hops to the loop at once and does nothing else. Each
attempt has a client of its own, because a client sends again by itself what an earlier connection left: the
outbox is the only queue. What the broker keeps for us is by our client id, and outlives that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgecore.base.commit import Done
from edgecore.base.errors import CloudError, PermanentCloudError, TransientCloudError
from edgecore.base.message import Message
from edgecore.uplink.aws_words import cause_of_connack, cause_of_disconnect
from edgecore.uplink.bridge_words import (
    incoming_of,
    name_of,
    properties_to_send,
    refusal_of,
    values_of,
)
from edgecore.uplink.client import ClientEvents, Welcome
from edgecore.uplink.diagnosis import judge_error
from edgecore.uplink.inbox import Inbox
from edgecore.uplink.mapping import CloudSubscription
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause, Trouble

_log = logging.getLogger(__name__)

# What the broker may send without our acknowledgement; what is beyond waits there.
RECEIVE_MAXIMUM: Final = 100
# The largest payload that is taken from another broker (mapping.ANY), with properties and topic.
MAX_PACKET_BYTES: Final = 512 * 1024
# MQTT 5, 3.2.2.3.3: a broker that names no receive maximum takes this many.
ALL: Final = 65_535
# From CONNECT to CONNACK, and from DISCONNECT to the end.
CONNACK_SECONDS: Final = 10.0
STOP_SECONDS: Final = 2.0
# Characters of another's words in log and status.
MAX_SHOWN: Final = 200
# What counts as success: MQTT 5, 3.4.2.1 and 3.9.3. A broker that says anything else has not done it.
TAKEN: Final = frozenset((0x00, 0x10))
GRANTED: Final = frozenset((0, 1, 2))

# An answer of the broker: its reason codes, or what went wrong.
_Answer = Callable[[list[int] | CloudError], None]


async def open_bridge(settings: UplinkSettings, events: ClientEvents) -> BridgeClient:
    """A client, not connected. `events` are told on this loop.

    Raises PermanentCloudError when a certificate, key, CA or password cannot be used.
    """
    try:
        context, password = await asyncio.to_thread(_read_files, settings)
    except (OSError, ValueError) as error:
        raise PermanentCloudError(
            f"no client of the broker can be made with certificate {settings.certificate}, key "
            f"{settings.key}, CA {settings.ca or '(the system)'}: {error}. Check [cloud] in edgecore.toml"
        ) from error
    return BridgeClient(settings, events, Inbox(asyncio.get_running_loop()), context, password)


def _read_files(settings: UplinkSettings) -> tuple[ssl.SSLContext, str]:
    context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
    if settings.certificate is not None and settings.key is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    secret = settings.password_file.read_text() if settings.password_file is not None else ""
    return context, secret.partition("\n")[0]


class _PahoClient(Client):
    """paho's, which says so when what a broker sends makes its thread fail: else nobody would be told."""

    failed: Callable[[Exception], None]

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """See paho's. Runs in its thread."""
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the end of the connection
            self.failed(error)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL


class BridgeClient:
    """Implements CloudClient."""

    def __init__(
        self,
        settings: UplinkSettings,
        events: ClientEvents,
        inbox: Inbox,
        context: ssl.SSLContext,
        password: str,
    ) -> None:
        self._settings = settings
        self._events = events
        self._inbox = inbox
        self._context = context
        self._password = password
        self._attempt: _Attempt | None = None
        self._stopping = False
        self.dropped = 0

    async def connect(self) -> None:
        """Make one attempt; what becomes of it is told to the events."""
        await self._end()
        if self._stopping:
            return
        attempt = self._attempt = _Attempt(self._settings, self._client(), self._inbox, self)
        self._events.attempting()
        await attempt.begin()

    def _client(self) -> _PahoClient:
        settings = self._settings
        client = _PahoClient(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.tls_set_context(self._context)
        client.connect_timeout = settings.connect_timeout
        client.max_inflight_messages_set(settings.in_flight)
        if settings.username:
            client.username_pw_set(settings.username, self._password or None)
        return client

    async def stop(self) -> None:
        """Disconnect in order; returns when paho's thread has ended."""
        self._stopping = True
        await self._end()

    async def _end(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            await attempt.close()

    def publish(self, message: Message, qos: int, now: float, done: Done) -> None:
        """Send `message`; `done` is told the outcome on the loop."""
        if self._attempt is None:
            done(TransientCloudError("there is no connection to the broker"))
            return

        def settle(answer: list[int] | CloudError) -> None:
            if isinstance(answer, CloudError):
                done(answer)
            else:
                done(None if answer[0] in TAKEN else refusal_of(answer[0]))

        properties = properties_to_send(message, now)
        try:
            self._attempt.ask(
                lambda client: client.publish(
                    message.topic, message.payload, qos, message.retain, properties
                ),
                settle,
            )
        except ValueError as error:
            done(PermanentCloudError(str(error)))

    async def subscribe(self, subscriptions: Sequence[CloudSubscription]) -> dict[str, str]:
        """Subscribe, one filter after the other; gives filter -> reason of those that were refused."""
        refused = {}
        for one in subscriptions:
            options = [(one.topic_filter, SubscribeOptions(one.qos))]
            codes = await self._result(methodcaller("subscribe", options))
            if len(codes) != 1:
                raise TransientCloudError(f"a SUBACK with {len(codes)} reason codes for one filter")
            if codes[0] not in GRANTED:
                refused[one.topic_filter] = name_of(codes[0])
        return refused

    async def unsubscribe(self, topic_filters: Sequence[str]) -> None:
        """Take subscriptions back."""
        for topic_filter in topic_filters:
            await self._result(methodcaller("unsubscribe", topic_filter))

    async def _result(self, ask: Callable[[Client], Any]) -> list[int]:
        if self._attempt is None:
            raise TransientCloudError("there is no connection to the broker")
        outcome: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

        def settle(answer: list[int] | CloudError) -> None:
            if outcome.done():
                return
            if isinstance(answer, CloudError):
                outcome.set_exception(answer)
            else:
                outcome.set_result(answer)

        self._attempt.ask(ask, settle)
        return await outcome

    # -- what an attempt tells, on the loop

    def up(self, attempt: _Attempt, welcome: Welcome) -> None:
        """The broker accepted us."""
        if attempt is self._attempt:
            self._events.succeeded(welcome)

    def down(self, attempt: _Attempt, trouble: Trouble, *, was_up: bool) -> None:
        """It did not, or the connection has ended."""
        if attempt is self._attempt:
            (self._events.lost if was_up else self._events.failed)(trouble)

    def came(self, attempt: _Attempt, message: MQTTMessage) -> None:
        """A message."""
        if attempt is self._attempt:
            acknowledge = partial(attempt.acknowledge, message) if message.qos else _nothing
            self._events.received(incoming_of(message, acknowledge))


class _Attempt:
    """One connection, from its attempt to its end, and paho's client of it."""

    def __init__(
        self, settings: UplinkSettings, client: _PahoClient, inbox: Inbox, owner: BridgeClient
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._owner = owner
        # By packet identifier, the oldest first: who is told, and since when it waits.
        self._pending: dict[int, tuple[_Answer, float]] = {}
        self._loop = asyncio.get_running_loop()
        self._watchdog: asyncio.TimerHandle | None = None
        self._is_up = False
        self._told = asyncio.Event()
        self._over = asyncio.Event()
        # Given up when it is closed: paho gives its sockets back when nothing refers to it.
        self._client: Client | None = client
        client.failed = self._failed
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = lambda _c, _u, mid, code, _p: self._answer(mid, [code.value])
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self._answer(mid, values_of(codes))
        client.on_unsubscribe = lambda _c, _u, mid, codes, _p: self._answer(mid, values_of(codes))

    # -- for the client, on the loop

    async def begin(self) -> None:
        """Connect; returns when it is known what became of it. Name, TCP and TLS block, so off the loop."""
        try:
            await asyncio.to_thread(self._connect)
        except OSError as error:
            where = f"{self._settings.endpoint}:{self._settings.port}"
            unknown = isinstance(error, socket.gaierror)
            self._end(
                Trouble(Cause.DNS, f"{where} has no address ({error.strerror})")
                if unknown
                else judge_error(where, error)
            )
            return
        try:
            async with asyncio.timeout(CONNACK_SECONDS):
                await self._told.wait()
        except TimeoutError:
            self._end(Trouble(Cause.NO_ANSWER, f"no CONNACK within {CONNACK_SECONDS:g} s"))

    def _connect(self) -> None:
        settings, client = self._settings, self._client
        assert client is not None  # only close gives it up
        properties = PahoProperties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = settings.session_expiry
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect(
            settings.endpoint, settings.port, settings.keep_alive, clean_start=False, properties=properties
        )
        client.loop_start()

    async def close(self) -> None:
        """Disconnect, and wait for paho's thread to end."""
        client, self._client = self._client, None
        assert client is not None  # closed once, by its owner
        if self._is_up:
            client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._over.wait()
        await asyncio.to_thread(_finish, client)
        self._is_up = False
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._fail_pending("the connection to the broker was closed")

    def ask(self, ask: Callable[[Client], Any], answer: _Answer) -> None:
        """Let paho send something; `answer` is told what the broker says, or why nothing came of it.

        Raises ValueError for what can never be sent.
        """
        if not self._is_up or self._client is None:
            answer(TransientCloudError("there is no connection to the broker"))
            return
        result = ask(self._client)
        code, mid = (result.rc, result.mid) if hasattr(result, "rc") else result
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            answer(TransientCloudError(f"not sent: {MQTTErrorCode(code).name}"))
            return
        # The answer comes through the inbox, so never before this line.
        self._pending[mid] = answer, self._loop.time()

    def acknowledge(self, message: MQTTMessage) -> None:
        """Send the PUBACK. After the end there is nothing left to acknowledge."""
        if self._is_up and self._client is not None:
            self._client.ack(message.mid, message.qos)

    def _end(self, trouble: Trouble) -> None:
        """Tell the end, once; what was not settled is failed after that."""
        if self._over.is_set():
            return
        was_up, self._is_up = self._is_up, False
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._told.set()
        self._over.set()
        self._owner.down(self, trouble, was_up=was_up)
        self._fail_pending(trouble.said)

    def _fail_pending(self, reason: str) -> None:
        pending, self._pending = self._pending, {}
        for answer, _ in pending.values():
            answer(TransientCloudError(reason))

    def _settle(self, mid: int, codes: list[int]) -> None:
        waiting = self._pending.pop(mid, None)
        if waiting is not None:
            waiting[0](codes)

    def _watch(self) -> None:
        """Give up a connection that answers pings and nothing else; paho waits for ever."""
        patience = self._settings.ack_timeout
        _, since = next(iter(self._pending.values()), (None, self._loop.time()))
        if self._loop.time() >= since + patience:
            self._end(Trouble(Cause.HALF_OPEN, f"the broker left a packet unanswered for {patience} s"))
        else:
            self._watchdog = self._loop.call_later(patience / 4, self._watch)

    def _welcome(self, welcome: Welcome) -> None:
        if not self._over.is_set():
            self._is_up = True
            self._told.set()
            self._watch()
            self._owner.up(self, welcome)

    # -- what paho tells, on its own thread

    def _on_connect(
        self, _client: object, _data: object, flags: ConnectFlags, code: ReasonCode, given: object
    ) -> None:
        if code.is_failure:
            trouble = Trouble(cause_of_connack(code.value), f"the broker refused the connection: {code}")
            self._inbox.post(partial(self._end, trouble))
            return
        maximum = getattr(given, "ReceiveMaximum", ALL)
        self._inbox.post(partial(self._welcome, Welcome(flags.session_present, maximum)))

    def _on_disconnect(
        self, _client: object, _data: object, flags: DisconnectFlags, code: ReasonCode, _given: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            trouble = Trouble(cause_of_disconnect(code.value), f"the broker disconnected us: {code}")
        elif code.value == 0:
            trouble = Trouble(Cause.STOPPED, "disconnected")
        elif code.getName() == "Keep alive timeout":
            trouble = Trouble(Cause.HALF_OPEN, "the broker does not answer any more")
        else:
            trouble = Trouble(Cause.CLOSED, "the connection to the broker was closed")
        self._inbox.post(partial(self._end, trouble))

    def _failed(self, error: Exception) -> None:
        said = f"the broker said what paho cannot read ({type(error).__name__}: {str(error)[:MAX_SHOWN]})"
        self._inbox.post(partial(self._end, Trouble(Cause.OTHER, said)))

    def _on_message(self, _client: object, _data: object, message: MQTTMessage) -> None:
        size = len(message.topic) + len(message.payload)
        if not self._inbox.offer(partial(self._owner.came, self, message), size, message.qos):
            self._owner.dropped += 1

    def _answer(self, mid: int, codes: list[int]) -> None:
        self._inbox.post(partial(self._settle, mid, codes))


def _finish(client: Client) -> None:
    """End paho's thread, even at a connection at which nobody answers."""
    connection: Any = client.socket()
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    client.loop_stop()


def _nothing() -> None:
    """QoS 0 has no acknowledgement."""
