"""What an integrator may set about the listener. A record and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edgecore.base.errors import ConfigError
from edgecore.mqtt.acceptance import SessionLimits
from edgecore.mqtt.runs import MAX_PLAIN_PACKET

# What a browser calls the page that a script came with (RFC 6454, 6.2), always in lower case.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\sA-Z]+")
# The highest max_in_flight. Beyond it a client is not slow but gone.
MAX_IN_FLIGHT: Final = 1000


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """Addresses and bounds of the MQTT listeners, `[listener]` in edgecore.toml.

    `host`: the address to listen on, "" for all. `port`: 0 for any free one, as for the other ports.
    `websocket`: whether MQTT over WebSocket is served too; `websocket_origins`: the web pages whose
    scripts may use it. `passwords`: whether devices without a certificate may come with a password, on a
    port of their own. Times are seconds, sizes bytes. `max_connections` counts those of all ports, and
    those that have not finished their handshake too. One address may hold half of them, so that no single
    machine shuts the others out and a fleet behind one address still fits. One device may hold some, for
    a program that opens several, so that a stolen key fills nothing. `max_sessions`: sessions that are
    kept for absent clients too, each for at most `max_session_expiry` seconds, with at most
    `session_records` messages of `session_bytes` each and `sessions_bytes` in all, on disk.
    `sys_interval`: seconds between the `$SYS` topics, 0 for none. The rest is per session and explained in
    mqtt.acceptance.SessionLimits. Raises ConfigError.
    """

    host: str = ""
    port: int = 8883
    websocket: bool = True
    websocket_port: int = 8884
    websocket_origins: tuple[str, ...] = ()
    passwords: bool = False
    password_port: int = 8885
    max_connections: int = 4096
    max_connections_per_address: int = 2048
    max_connections_per_device: int = 64
    handshake_timeout: float = 10.0
    connect_timeout: float = 10.0
    max_packet_size: int = 256 * 1024
    max_subscriptions: int = 100
    max_keep_alive: int = 1200
    receive_maximum: int = 1024
    max_in_flight: int = 256
    max_queued: int = 1000
    max_queued_bytes: int = 1024 * 1024
    max_unsent: int = 1024 * 1024
    topic_aliases: int = 16
    max_sessions: int = 2000
    max_session_expiry: int = 30 * 24 * 3600
    session_records: int = 10_000
    session_bytes: int = 8 * 1024 * 1024
    sessions_bytes: int = 256 * 1024 * 1024
    sys_interval: float = 10.0

    def __post_init__(self) -> None:
        _within("port", self.port, 0, 65_535)
        _within("websocket_port", self.websocket_port, 0, 65_535)
        _within("password_port", self.password_port, 0, 65_535)
        for origin in self.websocket_origins:
            if not _ORIGIN.fullmatch(origin):
                expected = 'the origin of a web page, such as "https://panel.example:8443", in lower case'
                raise ConfigError("edgecore.toml", "listener.websocket_origins", repr(origin), expected)
        _within("max_connections", self.max_connections, 1, 1_000_000)
        _within("max_connections_per_address", self.max_connections_per_address, 1, 1_000_000)
        _within("max_connections_per_device", self.max_connections_per_device, 1, 1_000_000)
        # Below this the fast path would take what the setting forbids.
        _within("max_packet_size", self.max_packet_size, MAX_PLAIN_PACKET, 268_435_460)
        _within("max_keep_alive", self.max_keep_alive, 0, 65_535)
        _within("receive_maximum", self.receive_maximum, 1, 65_535)
        _within("max_in_flight", self.max_in_flight, 1, MAX_IN_FLIGHT)
        _within("topic_aliases", self.topic_aliases, 0, 65_535)
        _within("max_session_expiry", self.max_session_expiry, 0, 0xFFFF_FFFE)
        # Each waiting message has a packet identifier of its own, as each in flight.
        _within("session_records", self.session_records, 1, 60_000)

    @property
    def session(self) -> SessionLimits:
        """The bounds of one session."""
        return SessionLimits(
            self.receive_maximum,
            self.max_in_flight,
            self.max_queued,
            self.max_queued_bytes,
            self.max_unsent,
            self.max_packet_size,
            self.max_keep_alive,
            self.topic_aliases,
            self.max_session_expiry,
        )


def _within(key: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ConfigError(
            "edgecore.toml", f"listener.{key}", str(value), f"a number from {lowest} to {highest}"
        )
