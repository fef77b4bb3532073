"""What the uplink is told about this machine's cloud and about its own bounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecore.base.backoff import Backoff


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """Where the cloud is, who we are there, and what may be held for it.

    `ca`: the file to trust, or None for the trust store of the system. `pkcs11_library`: for a key in a
    token, by the labels of token and key ("" for the only one), with its PIN in a file; `key` is not read
    then. `client_id`: the core's thing name. `keep_alive`, `session_expiry`, `ack_timeout`,
    `connect_timeout`, `reconnect_min` and `reconnect_max` are seconds, sizes are bytes. `in_flight`: QoS 1
    publishes of a connection without a PUBACK; AWS allows 100, the rest is for shadow sync. `aws_limits`:
    keep to AWS's 100 publishes and 512 KB a second of each connection, beyond which the real service
    discards. `connections`: how many share the outbox; the first one has the `client_id`, the others "-2",
    "-3" and so on behind it. `outbox_age`: seconds that a message may wait. `broker`: "aws" for AWS IoT Core,
    "mqtt" for any other that speaks MQTT 5: with a certificate and key, with `username` and the first line of
    `password_file`, or with both. `credentials_endpoint`, `role_alias`: where the certificate is traded for
    AWS credentials, and for which role; "" for nowhere. `region`: AWS's, "" for that of the endpoint.
    """

    endpoint: str
    certificate: Path | None
    key: Path | None
    client_id: str
    port: int = 8883
    ca: Path | None = None
    broker: Literal["aws", "mqtt"] = "aws"
    username: str = ""
    password_file: Path | None = None
    credentials_endpoint: str = ""
    role_alias: str = ""
    region: str = ""
    pkcs11_library: Path | None = None
    pkcs11_pin: Path | None = None
    pkcs11_token: str = ""
    pkcs11_key: str = ""
    keep_alive: int = 60
    session_expiry: int = 3600
    in_flight: int = 80
    ack_timeout: int = 30
    connect_timeout: float = 5.0
    reconnect_min: float = 0.5
    reconnect_max: float = 30.0
    connections: int = 1
    aws_limits: bool = True
    outbox_age: float = 31 * 24 * 3600.0
    outbox_records: int = 1_000_000
    outbox_bytes: int = 256 * 1024 * 1024
    aside_records: int = 1_000
    aside_bytes: int = 16 * 1024 * 1024
    qos0_records: int = 1_000
    qos0_bytes: int = 1024 * 1024

    def client_id_of(self, number: int) -> str:
        """The client id of a connection, counted from 0."""
        return f"{self.client_id}-{number + 1}" if number else self.client_id

    @property
    def backoff(self) -> Backoff:
        """The delays between tries."""
        return Backoff(initial=self.reconnect_min, maximum=self.reconnect_max)
