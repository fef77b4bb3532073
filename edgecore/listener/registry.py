"""Who holds which certificate: the registry of client devices. Kept on a durable dictionary.

Answers the listener from memory (a lookup is one dict access per handshake) and writes through before a
change is reported as done. It must not know cryptography (pki.py makes and reads certificates), nor
sessions and TLS: who must act on a change says so with `on_revoked` and `on_trust_changed`.

The verbs `edgecore device ...` use it too while the daemon is down, under the store's lock.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from edgecore.base.clock import Clock
from edgecore.base.errors import CertificateError, NotAuthorizedError
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord, IssuedCertificate, Rotation
from edgecore.listener import device_records as r
from edgecore.listener.anchors import MAX_ANCHORS, Anchors

_log = logging.getLogger(__name__)

_NO_ROTATION: Final = "the authority is not being changed: `edgecore device rotate-ca` begins it"


@dataclass(frozen=True, slots=True)
class Revocation:
    """What `on_revoked` tells. `last`: the device holds no good certificate any more."""

    device: str
    fingerprints: tuple[str, ...]
    last: bool


Revoked = Callable[[Revocation], None]
TrustChanged = Callable[[], Awaitable[None]]


class Issuer(Protocol):
    """What signs and reads certificates: pki.CertificateAuthority. Its methods raise CertificateError."""

    @property
    def certificate(self) -> bytes:
        """What devices must trust, PEM."""
        ...

    @property
    def authority(self) -> str:
        """The key id of the authority that signs devices."""
        ...

    @property
    def rotating(self) -> bool:
        """Whether the authority is being changed."""
        ...

    def issue_device(
        self, name: str, csr: bytes = b"", days: int = 0, now: float | None = None
    ) -> IssuedCertificate:
        """A certificate for `name` that ends after `days`, or never."""
        ...

    def examine(self, pem: bytes) -> r.CertificateFacts:
        """What an existing certificate says, when a device may use it."""
        ...

    def start_rotation(self) -> None:
        """Make a new authority beside the present one."""
        ...

    def finish_rotation(self) -> None:
        """Let the new authority take the old one's place."""
        ...


class OtherWay(Protocol):
    """Another way for a device to come in, which ends with its last certificate: passwords.Passwords."""

    def forget(self, name: str) -> None:
        """Let nobody in by it from now on."""
        ...

    async def remove(self, name: str) -> bool:
        """Make that durable."""
        ...


class DurableDictionary(Protocol):
    """What keeps the records: store.Dictionary. Durable when a call returns."""

    def items(self) -> Iterable[tuple[str, object]]:
        """All keys with their values."""
        ...

    async def aput_all(self, values: Mapping[str, object]) -> None:
        """Set each key to its JSON value, durably: all of them, or none."""
        ...


class Registry:
    """The devices and their certificates (base Devices)."""

    def __init__(self, dictionary: DurableDictionary, issuer: Issuer, clock: Clock) -> None:
        """Read all records from `dictionary`, once. A record that cannot be read is left out and logged."""
        self._dictionary = dictionary
        self._issuer = issuer
        self._clock = clock
        self._records: dict[str, DeviceRecord] = {}
        self._good: dict[str, tuple[str, float]] = {}  # fingerprint -> device, end
        self._revoked: list[Revoked] = []
        self._trust_changed: list[TrustChanged] = []
        self._other_ways: list[OtherWay] = []
        self.anchors = Anchors()
        # Each change reads and writes records, and some the authority: one at a time.
        self._changing = asyncio.Lock()
        for name, value in dictionary.items():
            self._learn(name, value)

    # What the listener asks -----------------------------------------------------------------------

    def lookup(self, fingerprint: str) -> str | None:
        """The device that holds the certificate, or None when it is unknown or revoked.

        Raises NotAuthorizedError when it has ended. When it began does not matter: it is in the registry,
        and a clock that is behind locks nobody out.
        """
        name, end = self._good.get(fingerprint, (None, 0.0))
        if name is not None and end < self._clock.now():
            raise NotAuthorizedError(
                f"certificate {fingerprint[:16]}... of {name} has expired, on {_day(end)}: "
                f"`edgecore device renew {name}` issues another"
            )
        return name

    def on_revoked(self, callback: Revoked) -> None:
        """Call `callback(revocation)` at each, on the loop, when lookups refuse the certificates already."""
        self._revoked.append(callback)

    def on_trust_changed(self, callback: TrustChanged) -> None:
        """Await `callback()` when TLS must be loaded anew: the CA has changed, or an anchor is gone.

        A new anchor needs no such call: contexts in use take it as they are.
        """
        self._trust_changed.append(callback)

    def end_too(self, way: OtherWay) -> None:
        """End this way in of a device when `revoke` leaves it no certificate, before that is reported."""
        self._other_ways.append(way)

    async def enrol(self, name: str) -> None:
        """Know a device that has no certificate (yet), so that it can be listed and revoked.

        Raises CertificateError for a name that none can have, StoreError.
        """
        r.check_name(name)
        async with self._changing:
            if name not in self._records:
                await self._keep(DeviceRecord(name, self._clock.now()))

    # What operators ask (base Devices) ------------------------------------------------------------

    def record(self, name: str) -> DeviceRecord:
        """One device. Raises CertificateError for an unknown name, with the one that was meant."""
        found = self._records.get(name)
        if found is None:
            raise r.unknown(name, self._records)
        return found

    def records(self) -> tuple[DeviceRecord, ...]:
        """All devices, by name."""
        return tuple(self._records[name] for name in sorted(self._records))

    async def add(
        self, name: str, csr: bytes = b"", *, certificate: bytes = b"", days: int = 0
    ) -> IssuedCertificate:
        """Let `name` in with one more certificate, and remember it. Raises CertificateError.

        For a new key, for the key of `csr`, or the existing `certificate` (PEM); made here, it ends after
        `days` or never.
        """
        r.check_name(name)
        async with self._changing:
            known = self._records.get(name) or DeviceRecord(name, self._clock.now())
            return await self._grant(known, csr, certificate, days)

    async def renew(
        self, name: str, csr: bytes = b"", *, certificate: bytes = b"", days: int = 0
    ) -> IssuedCertificate:
        """As `add`, for a device that holds a good certificate: it stays good beside the new one."""
        async with self._changing:
            known = self.record(name)
            if not known.good:
                raise CertificateError(
                    f"{name} holds no good certificate: `edgecore device add {name}` gives it one"
                )
            return await self._grant(known, csr, certificate, days)

    async def revoke(self, name: str, certificate: str | None = None) -> DeviceRecord:
        """Revoke every certificate of `name`, or the one whose fingerprint begins with `certificate`.

        Refused from now on, sessions closed, then durable. Raises CertificateError for an unknown name or
        certificate, StoreError when it could not be made durable (it holds until the next start all the
        same).
        """
        async with self._changing:
            known = self.record(name)
            gone = r.chosen(known, certificate)
            record = r.without(known, gone, self._clock.now())
            ended = [] if record.good else self._other_ways
            for way in ended:
                way.forget(name)
            anchors = self._refuse(record, gone)
            try:
                await self._keep(record)
                for way in ended:
                    await way.remove(name)
            finally:
                if anchors:
                    await self._load_trust_anew()
            return record

    # The change of the authority ------------------------------------------------------------------

    def rotation(self) -> Rotation | None:
        """The change of the authority that is under way, if one is."""
        if not self._issuer.rotating:
            return None
        authority = self._issuer.authority
        return Rotation(authority, r.waiting(self.records(), authority))

    async def rotate(self) -> Rotation:
        """Begin to change the authority. Raises CertificateError."""
        async with self._changing:
            await asyncio.to_thread(self._issuer.start_rotation)
            await self._load_trust_anew()
            return Rotation(self._issuer.authority, r.waiting(self.records(), self._issuer.authority))

    async def finish_rotation(self, *, force: bool = False) -> Rotation:
        """End the old authority, and revoke what it signed. Gives who was still waiting.

        Refused while a device holds nothing of the new one, unless forced. An error leaves the change under
        way, to be finished again. Raises CertificateError, StoreError.
        """
        async with self._changing:
            rotation = self.rotation()
            if rotation is None:
                raise CertificateError(_NO_ROTATION)
            if rotation.waiting and not force:
                raise CertificateError(
                    f"nothing of the new authority was handed out yet to {r.a_few(rotation.waiting)}: "
                    "`edgecore device renew` each, revoke it, or leave it behind with --force"
                )
            await self._revoke_old(rotation.authority)
            await asyncio.to_thread(self._issuer.finish_rotation)
            await self._load_trust_anew()
            return rotation

    async def _revoke_old(self, authority: str) -> None:
        """Revoke what other authorities signed: on the disk first, all at once, for nothing is urgent."""
        now = self._clock.now()
        gone = {each.name: r.signed_by_others(each, authority) for each in self._records.values()}
        changed = [r.without(self._records[name], them, now) for name, them in gone.items() if them]
        await self._keep(*changed)
        for record in changed:
            self._refuse(record, gone[record.name])

    # Certificates come and go ---------------------------------------------------------------------

    async def _grant(
        self, known: DeviceRecord, csr: bytes, certificate: bytes, days: int
    ) -> IssuedCertificate:
        if certificate:
            if csr or days:
                raise CertificateError("an existing certificate needs no signing request and has its own end")
            return await self._register(known, certificate)
        issued = await asyncio.to_thread(self._issuer.issue_device, known.name, csr, days, self._clock.now())
        facts = await asyncio.to_thread(self._issuer.examine, issued.certificate)
        await self._hold(known, self._noted(facts))
        return issued

    async def _register(self, known: DeviceRecord, pem: bytes) -> IssuedCertificate:
        """Let an existing certificate in. Registered anew it stays as it is, and gets today's CA."""
        facts = await asyncio.to_thread(self._issuer.examine, pem)
        ca = self._issuer.certificate
        answer = IssuedCertificate(known.name, facts.pem.encode(), b"", ca, facts.fingerprint)
        held = next((each for each in known.good if each.fingerprint == facts.fingerprint), None)
        if held is not None:
            authority = facts.authority or self._issuer.authority
            await self._keep(r.with_replaced(known, replace(held, authority=authority)))
            return answer
        self._check_free(facts)
        if facts.authority:
            await self._hold(known, self._noted(facts))
        else:
            await self._hold(known, replace(self._noted(facts), issuer="registered", pem=facts.pem))
        return answer

    def _check_free(self, facts: r.CertificateFacts) -> None:
        """Raise CertificateError when the certificate has ended, or is another's, or was revoked."""
        if facts.not_after < self._clock.now():
            raise CertificateError(
                f"found a certificate that has ended, on {_day(facts.not_after)}, and today is "
                f"{_day(self._clock.now())} on this machine: renew it where it comes from, or set the clock"
            )
        for record in self._records.values():
            if facts.fingerprint in record.fingerprints:
                raise CertificateError(f"the certificate is device {record.name}'s already: revoke it there")
            if facts.fingerprint in record.revoked:
                raise CertificateError(
                    f"the certificate was revoked, of device {record.name}, and stays so: "
                    "the device needs another; its key may stay (--csr)"
                )
        if not facts.authority and len(self.anchors) >= MAX_ANCHORS:
            raise CertificateError(
                f"{len(self.anchors)} certificates of others are registered already, the most there may be: "
                "revoke some, or issue this device a certificate of this core"
            )

    def _noted(self, facts: r.CertificateFacts) -> DeviceCertificate:
        return DeviceCertificate(
            facts.fingerprint,
            self._clock.now(),
            authority=facts.authority or self._issuer.authority,
            serial=facts.serial,
            not_before=facts.not_before,
            not_after=facts.not_after,
        )

    async def _hold(self, known: DeviceRecord, certificate: DeviceCertificate) -> None:
        await self._keep(r.with_certificate(known, certificate))
        self._accept(known.name, certificate)

    def _accept(self, name: str, certificate: DeviceCertificate) -> None:
        if certificate.issuer == "registered":
            try:
                self.anchors.add(certificate.fingerprint, ssl.PEM_cert_to_DER_cert(certificate.pem))
            except ValueError as error:
                _log.error("registered certificate cannot be read device=%s reason=%r", name, str(error))
                return
        self._good[certificate.fingerprint] = (name, certificate.not_after)

    def _refuse(self, record: DeviceRecord, fingerprints: tuple[str, ...]) -> bool:
        """Let nobody in with these any more, and say so; whether one of them was an anchor.

        `record` is the device's as it will be.
        """
        for fingerprint in fingerprints:
            self._good.pop(fingerprint, None)
        anchors = [self.anchors.discard(fingerprint) for fingerprint in fingerprints]
        revocation = Revocation(record.name, fingerprints, not record.good)
        for callback in self._revoked:
            callback(revocation)
        return any(anchors)

    async def _load_trust_anew(self) -> None:
        for callback in self._trust_changed:
            await callback()

    # Records --------------------------------------------------------------------------------------

    async def _keep(self, *changed: DeviceRecord) -> None:
        await self._dictionary.aput_all({each.name: r.stored(each) for each in changed})
        self._records.update((each.name, each) for each in changed)

    def _learn(self, name: str, value: object) -> None:
        try:
            record = r.restored(name, value)
        except msgspec.ValidationError as error:
            _log.error(
                "device record cannot be read, add the device again name=%r reason=%r", name, str(error)
            )
            return
        self._records[name] = record
        for certificate in record.good:
            self._accept(name, certificate)


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
