"""A device's MQTT session for `pub` and `sub`, over paho. Knows nothing of the control socket."""

from __future__ import annotations

import os
import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgecore.base.errors import EdgecoreError, NotAuthorizedError, UnavailableError
from edgecore.cli.options import Credentials

# Seconds for a handshake and each acknowledgement; a Pi Zero needs two for the first handshake.
PATIENCE: Final = 15.0
_STEP: Final = 0.2
# Seconds that a session with a name is kept: from one day's work to the next, and not for weeks by mistake.
SESSION_EXPIRY: Final = 24 * 3600


@dataclass(slots=True)
class _Seen:
    """What paho's callbacks told."""

    connected: list[ReasonCode] = field(default_factory=list)
    granted: list[ReasonCode] = field(default_factory=list)
    published: list[ReasonCode] = field(default_factory=list)
    lost: list[ReasonCode] = field(default_factory=list)
    messages: deque[MQTTMessage] = field(default_factory=deque)


class DeviceClient:
    """One session, `with` it open. paho is driven from here: no thread.

    With a name the session outlives the connection. The name is part of the client id and not all of it: the
    device itself must not be taken for us, nor we for it.
    """

    def __init__(self, credentials: Credentials, host: str, port: int, session: str = "") -> None:
        self._where = f"{host}:{port}"
        self._host = host
        self._port = port
        self._credentials = credentials
        self._session = session
        self._seen = seen = _Seen()
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            f"edgecore-cli-{session or os.getpid()}",
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,  # what was not shown is not acknowledged: a session with a name gets it again
        )
        client.on_connect = lambda _c, _u, _f, code, _p: seen.connected.append(code)
        client.on_disconnect = lambda _c, _u, _f, code, _p: seen.lost.append(code)
        client.on_subscribe = lambda _c, _u, _m, codes, _p: seen.granted.extend(codes)
        client.on_publish = lambda _c, _u, _m, code, _p: seen.published.append(code)
        client.on_message = lambda _c, _u, message: seen.messages.append(message)

    def __enter__(self) -> Self:
        """Connect. Raises UnavailableError when nobody answers, NotAuthorizedError when refused."""
        try:
            self._client.tls_set(
                str(self._credentials.ca), str(self._credentials.certificate), str(self._credentials.key)
            )
            self._connect()
        except ssl.SSLError as error:
            raise NotAuthorizedError(
                f"TLS with {self._where} failed: {error.reason or error}\n"
                "the certificate, its key and ca.pem must come from this core: `edgecore device add`"
            ) from error
        except OSError as error:
            raise UnavailableError(
                f"nobody answers on {self._where}: {error.strerror or error}\n"
                "start the core with `edgecore run`, or name --host and --port"
            ) from error
        try:
            self._welcome()
        except EdgecoreError:
            self._close()
            raise
        return self

    def _connect(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        if self._session:
            properties.SessionExpiryInterval = SESSION_EXPIRY
        clean = not self._session
        self._client.connect(self._host, self._port, clean_start=clean, properties=properties)

    def _welcome(self) -> None:
        code = self._until(self._seen.connected, "CONNACK")[0]
        if code.is_failure:
            raise NotAuthorizedError(
                f"{self._where} refused this device: {code}\n"
                "it must be in the registry (`edgecore device list`) and in the group that runs"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._client.disconnect()
        self._client.loop(_STEP)
        # Forgotten at once: paho closes its sockets only when nothing refers to the client.
        del self._client

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Publish, and wait for the acknowledgement that `qos` brings. Raises NotAuthorizedError."""
        self._client.publish(topic, payload, qos, retain)
        code = self._until(self._seen.published, "acknowledgement")[0]
        if code.is_failure:
            raise NotAuthorizedError(f"{topic}: {code}\nno route of the group takes it from this device")

    def subscribe(self, filters: Sequence[str], qos: int) -> None:
        """Subscribe. Raises NotAuthorizedError when any filter is refused."""
        # What is retained comes with the first subscription of a session, not each time that it is taken up.
        options = SubscribeOptions(qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._client.subscribe([(each, options) for each in filters])
        codes = self._until(self._seen.granted, "SUBACK")
        refused = [f"{name}: {code}" for name, code in zip(filters, codes, strict=True) if code.is_failure]
        if refused:
            raise NotAuthorizedError(
                "; ".join(refused) + "\nno route of the group delivers there to this device"
            )

    def messages(self, patience: float | None = None) -> Iterator[MQTTMessage]:
        """Each message as it comes.

        Raises UnavailableError when the core ends the session, or when none comes for `patience` seconds.
        """
        since = time.monotonic()
        while True:
            while self._seen.messages:
                message = self._seen.messages.popleft()
                self._client.ack(message.mid, message.qos)
                yield message
                since = time.monotonic()
            self._check(self._client.loop(_STEP))
            if patience is not None and time.monotonic() > since + patience:
                raise UnavailableError(f"{self._where} said nothing for {patience:g} s")

    def _until(self, seen: list[ReasonCode], what: str) -> list[ReasonCode]:
        """Drive the session until something is `seen`."""
        for _ in range(int(PATIENCE / _STEP)):
            result = self._client.loop(_STEP)
            # First what was said, then that the peer is gone: a refusal is both.
            if seen:
                return seen
            self._check(result)
        raise UnavailableError(f"{self._where}: no {what} within {PATIENCE:g} s: is it an edgecore?")

    def _check(self, result: MQTTErrorCode) -> None:
        """Raise when the session has ended."""
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._seen.lost:
            return
        if not self._seen.connected:
            raise self._refused_early()
        reason = self._seen.lost[0] if self._seen.lost else result.name
        raise UnavailableError(f"{self._where} ended the session: {reason}")

    def _refused_early(self) -> EdgecoreError:
        # With TLS 1.3 a server refuses a client's certificate after the client's handshake has ended.
        return NotAuthorizedError(
            f"{self._where} closed the connection before CONNACK\n"
            "most likely it does not know this certificate: `edgecore device add`"
        )
