"""Who holds which certificate: the registry of client devices. Kept on a durable dictionary.

Answers the listener from memory (a lookup is one dict access per handshake) and writes through before a
change is reported as done. It must not know cryptography (pki.py makes certificates), nor sessions:
who must act on a revocation says so with `on_revoked`.

The verbs `edgecore device ...` use it too while the daemon is down, under the store's lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from edgecore.base.clock import Clock
from edgecore.base.errors import CertificateError
from edgecore.base.identity import is_name
from edgecore.base.interfaces import DeviceRecord, IssuedCertificate

_log = logging.getLogger(__name__)

# Each renewal adds a certificate and the old one stays good until it is revoked. More than this many
# good ones for one device is a script gone wild, and each costs memory in every core for ever.
MAX_CERTIFICATES: Final = 32

Revoked = Callable[[str], None]
EndToo = Callable[[str], Awaitable[object]]


class Issuer(Protocol):
    """What signs: pki.CertificateAuthority."""

    def issue_device(self, name: str, csr: bytes = b"") -> IssuedCertificate:
        """A certificate for `name`. Raises CertificateError."""
        ...


class DurableDictionary(Protocol):
    """What keeps the records: store.Dictionary. Durable when a call returns."""

    def items(self) -> Iterable[tuple[str, object]]:
        """All keys with their values."""
        ...

    async def aput(self, key: str, value: object) -> None:
        """Set `key` to a JSON value, durably."""
        ...


def fingerprint_of(certificate: bytes) -> str:
    """The SHA-256 of a PEM certificate's DER, in hex: what the registry knows a certificate by."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))).hexdigest()


def check_name(name: str) -> None:
    """Raise CertificateError, saying what is allowed, when `name` cannot be a device's."""
    if not is_name(name):
        raise CertificateError(
            f"found device name {name[:130]!r}, expected 1 to 128 of the characters a-z A-Z 0-9 : _ -"
        )


class Registry:
    """The devices and their certificates (base Devices)."""

    def __init__(self, dictionary: DurableDictionary, issuer: Issuer, clock: Clock) -> None:
        """Read all records from `dictionary`, once. A record that cannot be read is left out and logged."""
        self._dictionary = dictionary
        self._issuer = issuer
        self._clock = clock
        self._records: dict[str, DeviceRecord] = {}
        self._names: dict[str, str] = {}
        self._revoked: list[Revoked] = []
        self._ends: list[EndToo] = []
        # add and revoke each read, change and write a record: one at a time.
        self._changing = asyncio.Lock()
        for name, value in dictionary.items():
            self._learn(name, value)

    def lookup(self, fingerprint: str) -> str | None:
        """The device that holds the certificate, or None when it is unknown or revoked."""
        return self._names.get(fingerprint)

    def records(self) -> tuple[DeviceRecord, ...]:
        """All devices, by name."""
        return tuple(self._records[name] for name in sorted(self._records))

    def on_revoked(self, callback: Revoked) -> None:
        """Call `callback(name)` at each revocation, on the loop, when lookups refuse it already."""
        self._revoked.append(callback)

    def end_too(self, end: EndToo) -> None:
        """Await `end(name)` in each revocation of a device, before it is reported: another way to come in."""
        self._ends.append(end)

    async def enrol(self, name: str) -> None:
        """Know a device that has no certificate (yet), so that it can be listed and revoked.

        Raises CertificateError for a name that none can have, StoreError.
        """
        check_name(name)
        async with self._changing:
            if name not in self._records:
                await self._keep(DeviceRecord(name, (), (), self._clock.now()))

    async def add(self, name: str, csr: bytes = b"") -> IssuedCertificate:
        """Issue a certificate for `name`, for a new key or for the key of `csr` (PEM), and remember it.

        A device may hold several: renew by adding, then revoke. Raises CertificateError.
        """
        check_name(name)
        issued = await asyncio.to_thread(self._issuer.issue_device, name, csr)
        fingerprint = fingerprint_of(issued.certificate)
        async with self._changing:
            known = self._records.get(name) or DeviceRecord(name, (), (), self._clock.now())
            if len(known.fingerprints) >= MAX_CERTIFICATES:
                raise CertificateError(
                    f"{name} holds {len(known.fingerprints)} certificates already: "
                    f"revoke them first (edgecore device revoke {name})"
                )
            await self._keep(replace(known, fingerprints=(*known.fingerprints, fingerprint)))
            self._names[fingerprint] = name
        return issued

    async def revoke(self, name: str) -> DeviceRecord:
        """Revoke every certificate of `name`: refused from now on, sessions closed, then durable.

        Raises CertificateError for an unknown name, StoreError when it could not be made durable (it
        holds until the next start all the same).
        """
        async with self._changing:
            known = self._records.get(name)
            if known is None:
                raise CertificateError(f"no device {name!r} here: edgecore device list shows all")
            for fingerprint in known.fingerprints:
                self._names.pop(fingerprint, None)
            for callback in self._revoked:
                callback(name)
            for end in self._ends:
                await end(name)
            record = replace(known, fingerprints=(), revoked=(*known.revoked, *known.fingerprints))
            await self._keep(record)
            return record

    async def _keep(self, record: DeviceRecord) -> None:
        value = msgspec.to_builtins(record)
        del value["name"]  # it is the key
        await self._dictionary.aput(record.name, value)
        self._records[record.name] = record

    def _learn(self, name: str, value: object) -> None:
        try:
            record = msgspec.convert({**_table(value), "name": name}, DeviceRecord)
        except msgspec.ValidationError as error:
            _log.error(
                "device record cannot be read, add the device again name=%r reason=%r", name, str(error)
            )
            return
        self._records[name] = record
        self._names.update(dict.fromkeys(record.fingerprints, name))


def _table(value: object) -> dict[str, object]:
    """The record's fields; none when it is no table, which then lacks all of them."""
    return value if isinstance(value, dict) else {}
