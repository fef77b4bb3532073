"""One MQTT connection over mutual TLS on a blocking socket, and the frames that generators send.

No MQTT library: what is sent is encoded before the clock runs, and TLS and the sockets' work are done
by C with the GIL released.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.packets import (
    V5,
    V311,
    ConnAck,
    Connect,
    Disconnect,
    Publish,
    Subscribe,
    SubscriptionOptions,
)
from edgecore.mqtt.properties import SESSION_EXPIRY_INTERVAL, PropertyMap
from tests.benchmarks.brokers import Broker
from tests.benchmarks.site import Site, name_of

# Seconds that an answer may take.
TIMEOUT = 20.0


def tls_context(site: Site, number: int) -> ssl.SSLContext:
    """The context of a device: the core's CA, its own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.pki / "ca.pem")
    context.load_cert_chain(*site.certificate(number))
    return context


def connect_packet(client_id: str, version: int, expiry: int = 0) -> bytes:
    """A CONNECT without keep alive. `expiry`: seconds that its session is to outlive it, 0 for none."""
    properties = PropertyMap({SESSION_EXPIRY_INTERVAL: expiry} if expiry and version == V5 else {})
    return encode(Connect(client_id, version, not expiry, 0, properties=properties), version)


def subscribe_packet(topic_filter: str, qos: int, version: int) -> bytes:
    """A SUBSCRIBE with packet id 1."""
    return encode(Subscribe(1, [SubscriptionOptions(topic_filter, qos)]), version)


def topic_of(publisher: int) -> str:
    """The topic of a publisher; all have the same length."""
    return f"dt/{name_of(publisher)}/data"


def frame_of(publisher: int, size: int, qos: int, packet_id: int = 1, version: int = V311) -> bytes:
    """A PUBLISH with `size` bytes of payload."""
    return encode(Publish(topic_of(publisher), b"x" * size, qos, packet_id=packet_id), version)


class Client:
    """A device that is connected. `session_present`, `expiry`: what CONNACK said of its session."""

    def __init__(
        self, broker: Broker, number: int, client_id: str, version: int = V311, expiry: int = 0
    ) -> None:
        self._version = version
        plain = socket.create_connection(("127.0.0.1", broker.port), timeout=TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = tls_context(broker.site, number)
        try:
            self.socket = context.wrap_socket(plain, server_hostname="localhost")
            self.socket.sendall(connect_packet(client_id, version, expiry))
            first, body = self.receive_packet()
            answer = decode(first, body, version)
        except BaseException:
            plain.close()
            raise
        if not isinstance(answer, ConnAck) or answer.reason_code:
            self.socket.close()
            raise RuntimeError(f"CONNACK was {answer!r}")
        self.session_present = answer.session_present
        self.expiry = answer.properties.integer(SESSION_EXPIRY_INTERVAL, expiry)

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise RuntimeError("the broker closed the connection")
            data += part
        return data

    def receive_packet(self) -> tuple[int, bytes]:
        """(first byte, body) of one packet."""
        first = self.receive(1)[0]
        length = shift = 0
        while True:
            byte = self.receive(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self.receive(length) if length else b""

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe and wait for the grant."""
        self.socket.sendall(subscribe_packet(topic_filter, qos, self._version))
        first, body = self.receive_packet()
        if first != 0x90 or body[-1] != qos:
            raise RuntimeError(f"SUBACK was {first:#x} {body!r}")

    def disconnect(self) -> None:
        """Take leave; a session with an expiry stays behind."""
        self.socket.sendall(encode(Disconnect(), self._version))
        with contextlib.suppress(OSError):
            while self.socket.recv(16_384):
                pass
        self.close()

    def hang_up(self) -> None:
        """End the connection under the threads that use it. Close it only when they are gone: its
        descriptor's number is given to the next connection, and they would write into that.
        """
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back."""
        self.socket.close()


def end(clients, threads) -> None:
    """Hang up, wait for the threads, close."""
    for client in clients:
        client.hang_up()
    for thread in threads:
        thread.join(5)
    for client in clients:
        client.close()
