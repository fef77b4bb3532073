"""The cloud client on awsiotsdk (awscrt's MQTT 5 client). The only home of awscrt and awsiot.

The library runs threads of its own: every callback hops to the loop at once and does nothing else.
The outbox is the only queue: operations fail while the link is down instead of waiting here. It is
built for AWS IoT Core and knows nothing else of whom it talks to.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from operator import methodcaller
from typing import Any, Final

from edgecore.base.commit import Done
from edgecore.base.errors import CloudError, PermanentCloudError, TransientCloudError, UnavailableError
from edgecore.base.message import Message, Properties
from edgecore.base.shown import one_line
from edgecore.uplink.acceptance import MAX_PACKET_BYTES
from edgecore.uplink.aws_thread import ThreadState
from edgecore.uplink.aws_words import cause_of_connack, cause_of_disconnect, cause_of_error
from edgecore.uplink.client import ClientEvents, Incoming, Welcome
from edgecore.uplink.inbox import Inbox
from edgecore.uplink.mapping import CloudSubscription
from edgecore.uplink.outcomes import Outcomes
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Trouble

_log = logging.getLogger(__name__)

Loop = asyncio.AbstractEventLoop

# AWS: at most 8 filters in one SUBSCRIBE.
FILTERS_PER_SUBSCRIBE: Final = 8
# What AWS allows unacknowledged towards a client; more would never come.
RECEIVE_MAXIMUM: Final = 100
# An orderly end takes one round trip. It must not use up the unit's own stop deadline (5 s), or a deployment
# that replaces the uplink fails.
STOP_SECONDS: Final = 2.0
# Without a connection there is nobody to take leave of, and a core that starts with a new group waits for it.
BREAK_OFF_SECONDS: Final = 0.5
# The library ends a request without an answer by itself (`ack_timeout`), but not one that was answered with a
# packet of another type: it fails in a callback of its own, and tells nobody.
ANSWER_GRACE: Final = 2.0
PING_TIMEOUT_MS: Final = 10_000
CONNACK_TIMEOUT_MS: Final = 10_000
# The library cannot be told not to connect again by itself: it is told to wait, and stopped meanwhile.
NEVER_MS: Final = 3_600_000
# PUBACK reasons that the same message will always meet (MQTT 5, 3.4.2.1); quota and the like pass.
PERMANENT_REASONS: Final = frozenset((0x87, 0x90, 0x99))
# MQTT's own word for a QoS that there is not (MQTT 5, 3.3.1.2); the library says None.
NO_QOS: Final = 3
# Characters of the cloud's own words that are kept: MQTT gives it 64 KB of them.
MAX_SHOWN: Final = 200
# Of one user property, in CPython: a tuple and two strings.
PAIR_BYTES: Final = 160
# In awscrt's names for "you can never send that"; everything else is about the connection.
PERMANENT_ERRORS: Final = ("VALIDATION", "ENCODE_FAILURE")


async def open_client(settings: UplinkSettings, events: ClientEvents) -> AwsClient:
    """A client, not started. `events` are told on this loop.

    Raises UnavailableError without the extra [aws], PermanentCloudError when a certificate, key or CA
    cannot be used.
    """
    loop = asyncio.get_running_loop()
    # Importing the library and reading files takes a tenth of a second and more on a Pi.
    sdk = await asyncio.to_thread(_Sdk)
    client = AwsClient(sdk, settings, events, loop)
    await asyncio.to_thread(client.build)
    return client


class _Sdk:
    """The library's modules. They carry no type information."""

    def __init__(self) -> None:
        try:
            self.mqtt5: Any = importlib.import_module("awscrt.mqtt5")
            self.io: Any = importlib.import_module("awscrt.io")
            self.error: type[Exception] = importlib.import_module("awscrt.exceptions").AwsCrtError
            self.builder: Any = importlib.import_module("awsiot.mqtt5_client_builder")
            self.qos: tuple[Any, ...] = tuple(self.mqtt5.QoS(number) for number in range(2))
        except ImportError as error:
            raise UnavailableError(
                f"the cloud client is not installed ({error}): pip install 'edgecore[aws]'"
            ) from error


class AwsClient:
    """Implements CloudClient."""

    def __init__(self, sdk: _Sdk, settings: UplinkSettings, events: ClientEvents, loop: Loop) -> None:
        self._sdk = sdk
        self._settings = settings
        self._events = events
        self._inbox = Inbox(loop)
        self._outcomes = Outcomes(loop, self._published)
        self._thread = ThreadState()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._client: Any = None
        self._connected = False
        self._begun = asyncio.Event()  # the library has said that it connects
        # What the library raises by itself, at once or in a future.
        self._errors = (sdk.error, RuntimeError, ValueError, TypeError)
        self.dropped = 0

    def build(self) -> None:
        """Make the library's client; reads the files. Runs off the loop."""
        settings = self._settings
        try:
            self._client = self._build()
        except (OSError, *self._errors) as error:
            raise PermanentCloudError(
                f"no cloud client can be made with certificate {settings.certificate}, key {settings.key}, "
                f"CA {settings.ca or '(the system)'}: {error}. Check [cloud] in edgecore.toml"
            ) from error

    def _build(self) -> Any:  # noqa: ANN401  the library has no types
        settings, builder = self._settings, self._sdk.builder
        options = self._options() | {"ca_filepath": str(settings.ca) if settings.ca else None}
        if settings.pkcs11_library is None:
            return builder.mtls_from_path(str(settings.certificate), str(settings.key), **options)
        library = self._sdk.io.Pkcs11Lib(
            file=str(settings.pkcs11_library),
            behavior=self._sdk.io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT,
        )
        pin = settings.pkcs11_pin
        return builder.mtls_with_pkcs11(
            pkcs11_lib=library,
            # Without one the token asks for it by a way of its own.
            user_pin=pin.read_text("utf-8").strip() if pin is not None else None,
            token_label=settings.pkcs11_token or None,
            private_key_label=settings.pkcs11_key or None,
            cert_filepath=str(settings.certificate),
            **options,
        )

    def _options(self) -> dict[str, Any]:
        settings, mqtt5, io = self._settings, self._sdk.mqtt5, self._sdk.io
        limits = mqtt5.ExtendedValidationAndFlowControlOptions
        # One thread: there is one connection.
        group = io.EventLoopGroup(1)
        return {
            "endpoint": settings.endpoint,
            "port": settings.port,
            "client_id": settings.client_id,
            "client_bootstrap": io.ClientBootstrap(group, io.DefaultHostResolver(group)),
            "socket_options": _socket_options(io, settings.connect_timeout),
            "keep_alive_interval_sec": settings.keep_alive,
            "session_expiry_interval_sec": settings.session_expiry,
            "session_behavior": mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
            "receive_maximum": RECEIVE_MAXIMUM,
            "maximum_packet_size": MAX_PACKET_BYTES,
            "offline_queue_behavior": mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            "extended_validation_and_flow_control_options": (
                limits.AWS_IOT_CORE_DEFAULTS if settings.aws_limits else limits.NONE
            ),
            "retry_jitter_mode": mqtt5.ExponentialBackoffJitterMode.NONE,
            "min_reconnect_delay_ms": NEVER_MS,
            "max_reconnect_delay_ms": NEVER_MS,
            "ping_timeout_ms": PING_TIMEOUT_MS,
            "connack_timeout_ms": CONNACK_TIMEOUT_MS,
            "ack_timeout_sec": settings.ack_timeout,
            "on_publish_received": self._on_publish,
            "on_lifecycle_stopped": self._on_stopped,
            "on_lifecycle_attempting_connect": self._on_attempt,
            "on_lifecycle_connection_success": self._on_success,
            "on_lifecycle_connection_failure": self._on_failure,
            "on_lifecycle_disconnection": self._on_disconnection,
        }

    # -- what the uplink asks for, on the loop

    async def connect(self) -> None:
        """Begin one attempt. The library must have stopped before: it forgets what was in flight then."""
        await self._wait_until("stop", self._stopped, STOP_SECONDS)
        if self._client is not None:
            self._stopped.clear()
            self._begun.clear()
            self._client.start()

    async def stop(self) -> None:
        """Disconnect in order; returns when the library is done, or after a time if it does not say so."""
        if not self._stopped.is_set():
            # What was not begun has no end that the library would tell of.
            await self._wait_until("begin", self._begun, BREAK_OFF_SECONDS)
            self._client.stop(self._sdk.mqtt5.DisconnectPacket())
            await self._wait_until(
                "stop", self._stopped, STOP_SECONDS if self._connected else BREAK_OFF_SECONDS
            )
        self._outcomes.close()
        self._client = None

    async def _wait_until(self, what: str, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            _log.warning("the cloud client did not %s within %s s", what, seconds)

    def publish(self, message: Message, qos: int, now: float, done: Done) -> None:
        """Send `message`; `done` is told the outcome on the loop."""
        if self._client is None:
            done(TransientCloudError("the cloud client is stopped"))
            return
        try:
            future = self._client.publish(self._packet(message, qos, now))
        except self._errors as error:
            done(self._cloud_error(error))
            return
        self._outcomes.expect(future, qos, done)

    def _published(self, future: Future[Any], qos: int, done: Done) -> None:
        try:
            puback = future.result().puback
        except self._errors as error:
            done(self._cloud_error(error))
            return
        if qos == 0:
            done(None)
        elif puback is None or puback.reason_code is None:
            # A reason that MQTT does not know is no acknowledgement.
            done(TransientCloudError("the cloud acknowledged the message with an unknown reason"))
        else:
            reason = int(puback.reason_code)
            done(_refusal(reason, puback.reason_string) if reason >= 0x80 else None)

    def _packet(self, message: Message, qos: int, now: float) -> Any:  # noqa: ANN401  the library has no types
        mqtt5 = self._sdk.mqtt5
        packet = mqtt5.PublishPacket(
            topic=message.topic,
            payload=message.payload,
            qos=self._sdk.qos[qos],
            retain=message.retain and not message.topic.startswith("$"),
        )
        if message.expires_at is not None:
            packet.message_expiry_interval_sec = max(1, round(message.expires_at - now))
        properties = message.properties
        if properties is not None:
            packet.content_type = properties.content_type
            packet.response_topic = properties.response_topic
            packet.correlation_data_bytes = properties.correlation_data
            packet.user_properties = [mqtt5.UserProperty(*pair) for pair in properties.user_properties]
            if properties.payload_format is not None:
                packet.payload_format_indicator = mqtt5.PayloadFormatIndicator(properties.payload_format)
        return packet

    async def subscribe(self, subscriptions: Sequence[CloudSubscription]) -> dict[str, str]:
        """Subscribe, 8 filters at a time; gives filter -> reason of those that were refused."""
        mqtt5 = self._sdk.mqtt5
        refused: dict[str, str] = {}
        for start in range(0, len(subscriptions), FILTERS_PER_SUBSCRIBE):
            part = subscriptions[start : start + FILTERS_PER_SUBSCRIBE]
            packet = mqtt5.SubscribePacket(
                subscriptions=[mqtt5.Subscription(one.topic_filter, mqtt5.QoS(one.qos)) for one in part]
            )
            suback = await self._result(methodcaller("subscribe", packet))
            codes = suback.reason_codes
            if len(codes) != len(part):
                raise TransientCloudError(f"the cloud gave {len(codes)} answers to {len(part)} subscriptions")
            for one, code in zip(part, codes, strict=True):
                if code is None or int(code) >= 0x80:
                    refused[one.topic_filter] = _name(code)
        return refused

    async def unsubscribe(self, topic_filters: Sequence[str]) -> None:
        """Take subscriptions back, 8 filters at a time."""
        for start in range(0, len(topic_filters), FILTERS_PER_SUBSCRIBE):
            part = list(topic_filters[start : start + FILTERS_PER_SUBSCRIBE])
            packet = self._sdk.mqtt5.UnsubscribePacket(topic_filters=part)
            await self._result(methodcaller("unsubscribe", packet))

    async def _result(self, ask: Callable[[Any], Future[Any]]) -> Any:  # noqa: ANN401  the library has no types
        if self._client is None:
            raise TransientCloudError("the cloud client is stopped")
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(future: Future[Any]) -> None:
            error = future.exception()
            if outcome.done():
                return
            if error is None:
                outcome.set_result(future.result())
            else:
                outcome.set_exception(self._cloud_error(error))

        try:
            future = ask(self._client)
        except self._errors as error:
            raise self._cloud_error(error) from error
        future.add_done_callback(lambda one: self._inbox.post(partial(settle, one)))
        try:
            async with asyncio.timeout(self._settings.ack_timeout + ANSWER_GRACE):
                return await outcome
        except TimeoutError:
            raise TransientCloudError("the cloud did not answer as MQTT says") from None

    def _cloud_error(self, error: BaseException) -> CloudError:
        # Some errors are RuntimeErrors with the library's name for them in the text.
        name = str(getattr(error, "name", error))
        if isinstance(error, ValueError | TypeError) or any(word in name for word in PERMANENT_ERRORS):
            return PermanentCloudError(_text(error))
        return TransientCloudError(_text(error))

    # -- what the library tells, on its own threads

    def _on_attempt(self, _data: object) -> None:
        self._thread.hold()
        self._inbox.post(self._begin)

    def _begin(self) -> None:
        self._begun.set()
        self._events.attempting()

    def _on_success(self, data: Any) -> None:  # noqa: ANN401  the library has no types
        settings = data.negotiated_settings
        welcome = Welcome(settings.rejoined_session, settings.receive_maximum_from_server)
        self._inbox.post(partial(self._succeed, welcome))

    def _succeed(self, welcome: Welcome) -> None:
        self._connected = True
        self._events.succeeded(welcome)

    def _on_failure(self, data: Any) -> None:  # noqa: ANN401  the library has no types
        trouble = _trouble(data.exception)
        if data.connack_packet is not None:
            code = data.connack_packet.reason_code
            said = f"the cloud refused the connection: {_name(code)}"
            trouble = Trouble(cause_of_connack(_number(code)), said)
        self._inbox.post(partial(self._end, self._events.failed, trouble))

    def _on_disconnection(self, data: Any) -> None:  # noqa: ANN401  the library has no types
        trouble = _trouble(data.exception)
        if data.disconnect_packet is not None:
            code = data.disconnect_packet.reason_code
            trouble = Trouble(cause_of_disconnect(_number(code)), f"the cloud disconnected us: {_name(code)}")
        self._inbox.post(partial(self._end, self._events.lost, trouble))

    def _end(self, tell: Callable[[Trouble], None], trouble: Trouble) -> None:
        """Tell it, and stop the library: it would connect again, and send again what was in flight."""
        self._connected = False
        self._outcomes.tell()  # what was acknowledged before it ended
        tell(trouble)
        if self._client is not None:
            self._client.stop()

    def _on_stopped(self, _data: object) -> None:
        self._thread.release()
        self._inbox.post(self._stopped.set)

    def _on_publish(self, data: Any) -> None:  # noqa: ANN401  the library has no types
        packet = data.publish_packet
        take = data.acquire_publish_acknowledgement_control
        # Once it is taken, the library acknowledges nothing by itself, whatever becomes of the message.
        acknowledge = _nothing if take is None else partial(self._acknowledge, take())
        incoming = Incoming(
            packet.topic,
            bytes(packet.payload or b""),
            NO_QOS if packet.qos is None else int(packet.qos),
            _properties(packet),
            packet.message_expiry_interval_sec,
            acknowledge,
        )
        if not self._inbox.offer(partial(self._events.received, incoming), _size(incoming), incoming.qos):
            self.dropped += 1

    def _acknowledge(self, handle: object) -> None:
        """Send the PUBACK, on the loop. After a disconnect there is nothing left to acknowledge."""
        if self._client is None:
            return
        try:
            self._client.invoke_publish_acknowledgement(handle)
        except self._errors as error:
            _log.info("an acknowledgement was not sent, the cloud sends the message again: %s", error)


def _nothing() -> None:
    """QoS 0 has no acknowledgement."""


def _socket_options(io: Any, connect_timeout: float) -> Any:  # noqa: ANN401  the library has no types
    options = io.SocketOptions()
    options.connect_timeout_ms = round(connect_timeout * 1000)
    return options


def _properties(packet: Any) -> Properties | None:  # noqa: ANN401  the library has no types
    indicator = packet.payload_format_indicator
    properties = Properties(
        None if indicator is None else int(indicator),
        packet.content_type,
        packet.response_topic,
        packet.correlation_data_bytes,
        tuple((one.name, one.value) for one in packet.user_properties or ()),
    )
    return None if properties == Properties() else properties


def _size(incoming: Incoming) -> int:
    """About what it takes in memory while it waits."""
    pairs = incoming.properties.user_properties if incoming.properties is not None else ()
    texts = sum(len(name) + len(value) for name, value in pairs)
    return len(incoming.topic) + len(incoming.payload) + texts + PAIR_BYTES * len(pairs)


def _refusal(reason: int, text: str | None) -> CloudError:
    message = f"the cloud refused the message with {reason:#04x} {one_line(text or '')[:MAX_SHOWN]}".rstrip()
    return PermanentCloudError(message) if reason in PERMANENT_REASONS else TransientCloudError(message)


def _name(code: Any) -> str:  # noqa: ANN401  the library has no types
    if code is None:
        return "a reason that MQTT does not know"
    return f"{getattr(code, 'name', 'reason')} ({int(code):#04x})"


def _number(code: Any) -> int:  # noqa: ANN401  the library has no types
    """A reason code; -1 for one that MQTT does not know."""
    return -1 if code is None else int(code)


def _trouble(error: BaseException | None) -> Trouble:
    return Trouble(cause_of_error(str(getattr(error, "name", error))), _text(error))


def _text(error: BaseException | None) -> str:
    if error is None:
        return "no reason given"
    name = getattr(error, "name", "")
    message = getattr(error, "message", "") or str(error)
    return f"{message} ({name})" if name else message
