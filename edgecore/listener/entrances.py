"""The ports that devices come in by: what TLS asks for there, and what is put above it. Opens none itself."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.password_credential import PasswordCredential
from edgecore.listener.tls import TlsChannel, TlsFiles, server_context
from edgecore.listener.transport import Above, Connection, Open
from edgecore.listener.verifier import Verifier
from edgecore.listener.websocket import WebSocket
from edgecore.listener.wire import Wire


@dataclass(slots=True)
class Entrance:
    """One port. `name`: as ports.json and status call it. `setting`: the key that holds its number.

    `port`: as it was wished, and once it is open, the one that it is. `context`: for handshakes from now on.
    """

    name: str
    title: str
    setting: str
    port: int
    make_context: Callable[[], ssl.SSLContext]
    open: Open
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = self.make_context()


def entrances(
    door: Door, admission: Admission, files: TlsFiles, verifier: Verifier | None = None
) -> list[Entrance]:
    """Those that the settings ask for, with their TLS files read. Raises CertificateError.

    Without a `verifier` there is none for passwords.
    """
    settings = door.settings

    def certified(wire: Wire, channel: TlsChannel, peer: str) -> DeviceSession:
        credential = CertificateCredential(admission, channel.fingerprint())
        return DeviceSession(wire, credential, peer, door)

    def plain(connection: Connection, channel: TlsChannel, peer: str) -> tuple[Above, DeviceSession]:
        session = certified(connection, channel, peer)
        return session, session

    def in_frames(connection: Connection, channel: TlsChannel, peer: str) -> tuple[Above, DeviceSession]:
        above = WebSocket(
            connection,
            peer,
            settings.websocket_origins,
            settings.max_packet_size,
            door.refusals,
            lambda wire: certified(wire, channel, peer),
        )
        return above, above.session

    def mutual() -> ssl.SSLContext:
        return server_context(files)

    def one_sided() -> ssl.SSLContext:
        context = server_context(files)
        context.verify_mode = ssl.CERT_NONE
        return context

    found = [Entrance("mqtt", "MQTT over TLS", "port", settings.port, mutual, plain)]
    if settings.websocket:
        port = settings.websocket_port
        found.append(Entrance("websocket", "MQTT over WebSocket", "websocket_port", port, mutual, in_frames))
    if settings.passwords and verifier is not None:

        def named(connection: Connection, _channel: TlsChannel, peer: str) -> tuple[Above, DeviceSession]:
            session = DeviceSession(connection, PasswordCredential(admission, verifier, peer), peer, door)
            return session, session

        port = settings.password_port
        found.append(Entrance("password", "MQTT with passwords", "password_port", port, one_sided, named))
    return found
