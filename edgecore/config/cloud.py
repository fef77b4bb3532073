"""`[cloud]` of edgecore.toml: where the cloud is, and what this core shows it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgecore.config.paths import Paths
from edgecore.deployments.reading import Table, show

DEFAULT_CLOUD_PORT: Final = 8883

_CERTIFICATE: Final = "the path of this core's certificate, PEM"
_KEY: Final = "the path of its key, PEM"
_HOST: Final = re.compile(r"[^\s/]+")
# AWS IoT's model of CreateRoleAlias.
_ROLE_ALIAS: Final = re.compile(r"[\w=,@-]{1,128}", re.ASCII)
_ROLE_ALIAS_FORM: Final = "the name of a role alias: 1 to 128 of a-z A-Z 0-9 _ = , @ -"
# What only one kind of broker has.
_OF_AWS: Final = ("pkcs11_library", "pkcs11_pin", "pkcs11_token", "pkcs11_key")
_OF_OTHERS: Final = ("username", "password_file")


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where the cloud is and which certificate this core shows it. `ca` None: the system's.

    `broker`: whether it is AWS IoT Core, or any that speaks MQTT 5. `credentials_endpoint`, `role_alias`,
    `region`: where functions' AWS credentials come from; "" for nowhere. `pkcs11_...`: where the key is, when
    that is in a token and not in the file `key`.
    """

    endpoint: str
    port: int
    certificate: Path | None
    key: Path | None
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


def read_cloud(table: Table | None, paths: Paths) -> Cloud | None:
    """What the table says, None without one; faults are noted in it."""
    if table is None:
        return None

    def file(key: str) -> Path | None:
        text = table.text(key)
        return paths.etc / text if text else None

    broker = _broker(table)
    _need(table, broker)
    endpoint = _host(table, "endpoint", "a host name or address, without a scheme")
    role = _role(table)
    cloud = Cloud(
        endpoint,
        table.whole("port", DEFAULT_CLOUD_PORT, 1, 65_535),
        file("certificate"),
        file("key"),
        file("ca"),
        broker,
        table.text("username"),
        file("password_file"),
        *role,
        file("pkcs11_library"),
        file("pkcs11_pin"),
        table.text("pkcs11_token"),
        table.text("pkcs11_key"),
    )
    table.finish()
    return cloud


def _broker(table: Table) -> Literal["aws", "mqtt"]:
    broker = table.text("broker", "aws")
    if broker not in ("aws", "mqtt"):
        table.faults.add(table.at("broker"), show(broker), '"aws" for AWS IoT Core, "mqtt" for any other')
    for key in _OF_AWS if broker == "mqtt" else _OF_OTHERS:
        if table.has(key):
            expected = "none for another broker" if broker == "mqtt" else "none: AWS goes by the certificate"
            table.faults.add(table.at(key), show(table.raw(key)), expected)
    return "mqtt" if broker == "mqtt" else "aws"


def _need(table: Table, broker: Literal["aws", "mqtt"]) -> None:
    table.need("endpoint", "the cloud's host name")
    if broker == "aws" or any(table.has(key) for key in ("certificate", "key", "role_alias")):
        table.need("certificate", _CERTIFICATE)
        if table.has("role_alias") or not table.has("pkcs11_library"):
            table.need("key", _KEY)


def _host(table: Table, key: str, expected: str) -> str:
    text = table.text(key)
    if text and not _HOST.fullmatch(text):
        table.faults.add(table.at(key), show(text), expected)
    return text


def _role(table: Table) -> tuple[str, str, str]:
    """(credentials_endpoint, role_alias, region): the first two are given both or not at all."""
    if table.has("credentials_endpoint") or table.has("role_alias"):
        table.need("credentials_endpoint", "the host name of the account's credentials provider")
        table.need("role_alias", _ROLE_ALIAS_FORM)
    endpoint = _host(table, "credentials_endpoint", "a host name, and a port if need be")
    alias = table.text("role_alias")
    if alias and not _ROLE_ALIAS.fullmatch(alias):
        table.faults.add(table.at("role_alias"), show(alias), _ROLE_ALIAS_FORM)
    return endpoint, alias, table.text("region")
