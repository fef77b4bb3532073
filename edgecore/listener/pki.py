"""The core's own certificate authority, and its change: which files there are, and who signs what.

Under one folder: ca.pem (what devices must trust), ca.key, server.pem, server.key; next-ca.key only while
the authority changes. It must not know who holds a certificate (registry.py) nor how TLS is spoken (tls.py).

Certificates of the CA and of devices run from 1970 to 9999 and end by revocation: a Pi without a clock,
or offline for years, locks nobody out. The server's is short-lived at its end only, and is remade in time.

A change goes through two writes, each of them whole or not at all (docs/decisions/0008):

| | ca.key | next-ca.key | ca.pem | signs the server's | signs devices' |
|---|---|---|---|---|---|
| before, after | of A | | A | A | A |
| under way | of A | of B | A, B | A | B |
| finishing was cut | of B | | A, B | is completed by the next start | |
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edgecore.base.errors import CertificateError
from edgecore.base.interfaces import IssuedCertificate
from edgecore.listener.device_records import CertificateFacts, check_name
from edgecore.listener.foreign import device_certificate, facts_of, public_key_of
from edgecore.listener.pem_files import (
    create_key,
    held,
    key_pem,
    load_certificates,
    load_key,
    move,
    pem_of,
    write_atomically,
)
from edgecore.listener.signer import NEVER, Signer, belong_together, new_authority
from edgecore.listener.tls import check_trustable

_log = logging.getLogger(__name__)

# CA/Browser Forum's and Apple's longest life of a server certificate from a private CA: 825 days.
SERVER_LIFE: Final = timedelta(days=825)
# A clock that is older than this code is wrong; a certificate dated by it would end in the past.
_CODE_DATE: Final = datetime(2026, 8, 1, tzinfo=UTC)
# A century: who means longer means without an end, and says nothing.
MAX_DAYS: Final = 36_500
ALWAYS_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class CertificateAuthority:
    """Signs the certificates of this core's devices and of its server.

    Its files may be changed from several threads and processes at once; each change holds the folder.
    """

    def __init__(self, folder: Path, signers: tuple[Signer, ...]) -> None:
        self._folder = folder
        self._signers = signers  # one, or two while the authority changes: the old and the new

    @classmethod
    def load_or_create(cls, folder: Path) -> CertificateAuthority:
        """The authority whose ca.pem and ca.key are in `folder`; made at the first call.

        Raises CertificateError when the files are damaged, do not belong together, or only the
        certificate is there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder):
            return cls(folder, _load(folder))

    @property
    def certificate(self) -> bytes:
        """What devices must trust, PEM: the CA's certificate, and the new one's while it changes."""
        return pem_of(*(each.certificate for each in self._signers))

    @property
    def authority(self) -> str:
        """The key id of the authority that signs devices."""
        return self._signers[-1].id

    @property
    def rotating(self) -> bool:
        """Whether the authority is being changed."""
        return len(self._signers) > 1

    def issue_device(
        self, name: str, csr: bytes = b"", days: int = 0, now: float | None = None
    ) -> IssuedCertificate:
        """A certificate for device `name`: for a new key, or for the public key of `csr` (PEM).

        Of a signing request only the public key is taken, after its signature was verified; names and
        extensions that it asks for are ignored. It ends `days` after wall time `now` (epoch seconds), or
        never. Raises CertificateError.
        """
        check_name(name)
        expires = _end(days, _moment(now))
        signers = self._signers
        key = None if csr else ec.generate_private_key(ec.SECP256R1())
        certificate = signers[-1].device(key.public_key() if key else public_key_of(csr), name, expires)
        ca = pem_of(*(each.certificate for each in signers))
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        return IssuedCertificate(name, pem_of(certificate), key_pem(key) if key else b"", ca, fingerprint)

    def examine(self, pem: bytes) -> CertificateFacts:
        """What an existing certificate says, when a device may use it. Raises CertificateError."""
        certificate = device_certificate(pem)
        signers = (each.id for each in self._signers if each.has_signed(certificate))
        facts = facts_of(certificate, next(signers, ""))
        if not facts.authority:
            check_trustable(facts.pem)
        return facts

    # The change of the authority ------------------------------------------------------------------

    def start_rotation(self) -> None:
        """Make a new authority beside the present one. Raises CertificateError when one is made already."""
        with self._changing():
            if self.rotating:
                raise CertificateError("the authority is being changed already: finish that first")
            new = new_authority(create_key(self._folder / "next-ca.key"))
            signers = (*self._signers, new)
            _write_bundle(self._folder, signers)
            self._signers = signers
        _log.info("new authority signs devices from now on authority=%s", new.id)

    def finish_rotation(self) -> None:
        """Let the new authority take the old one's place; the old key is gone for good.

        What an error has left half done is done by the next call, or the next start. Raises CertificateError.
        """
        with self._changing():
            signers, next_path = self._signers[-1:], self._folder / "next-ca.key"
            if next_path.exists():
                move(next_path, self._folder / "ca.key")
            _write_bundle(self._folder, signers)
            self._signers = signers
        _log.info("the old authority has ended authority=%s", signers[0].id)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with held(self._folder):
                yield
        except OSError as error:
            raise CertificateError(
                f"{self._folder} cannot be written: {error.strerror or error}. "
                "Nothing is lost: mend that and repeat the command"
            ) from error

    # The server's certificate ---------------------------------------------------------------------

    def ensure_server_certificate(
        self, names: Iterable[str] = (), now: float | None = None
    ) -> tuple[Path, Path]:
        """(certificate, key) paths of the server's certificate, remade when it must be.

        It names `names` (DNS names and addresses), localhost, 127.0.0.1 and ::1. It is remade when it is
        missing, damaged, not ours, lacks a name, or when a third of its life is left at wall time `now`
        (epoch seconds). Raises CertificateError when a name is neither a DNS name nor an address.
        """
        self.renew_server_certificate(names, now)
        return self._server_files

    def renew_server_certificate(self, names: Iterable[str] = (), now: float | None = None) -> bool:
        """As `ensure_server_certificate`; whether the file is another one now. Raises as that does."""
        wanted = _general_names(names)
        with held(self._folder):
            why = self._why_remake(wanted, _moment(now))
            if why:
                _log.info("new server certificate reason=%r", why)
                self._make_server_certificate(wanted, _moment(now))
        return bool(why)

    @property
    def _server_files(self) -> tuple[Path, Path]:
        return self._folder / "server.pem", self._folder / "server.key"

    def _make_server_certificate(self, wanted: list[x509.GeneralName], today: datetime) -> None:
        certificate_path, key_path = self._server_files
        signer, key = self._signers[0], create_key(key_path)
        certificate = signer.server(key.public_key(), wanted, max(today, _CODE_DATE) + SERVER_LIFE)
        write_atomically(certificate_path, pem_of(certificate, signer.certificate), 0o644)

    def _why_remake(self, wanted: list[x509.GeneralName], today: datetime) -> str:
        """Why the server's certificate cannot be used any longer; "" when it can."""
        certificate_path, key_path = self._server_files
        if not (certificate_path.exists() and key_path.exists()):
            return "there is none"
        try:
            certificate, key = load_certificates(certificate_path)[0], load_key(key_path)
            named = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except (CertificateError, ValueError, x509.ExtensionNotFound) as error:
            return f"the present one cannot be used ({type(error).__name__}: {error})"
        reasons = (
            (not self._signers[0].has_signed(certificate), "the present one is not of this authority"),
            (not belong_together(certificate, key), "the present one has another key"),
            (not named.issuperset(wanted), "this machine has a name or address that the present one lacks"),
            (
                certificate.not_valid_after_utc - today < SERVER_LIFE / 3,
                "two thirds of the present one's life are over",
            ),
        )
        return next((why for found, why in reasons if found), "")


def _load(folder: Path) -> tuple[Signer, ...]:
    """The authority of `folder`, or the two of them, as a crash at any step has left them."""
    bundle, key_path, next_path = folder / "ca.pem", folder / "ca.key", folder / "next-ca.key"
    if not bundle.exists():
        return _made(folder)
    if not key_path.exists():
        raise CertificateError(
            f"found {bundle} without {key_path}: restore the key from a backup, or remove "
            "ca.pem to start a new authority (every device then needs a new certificate)"
        )
    certificates, key = load_certificates(bundle), load_key(key_path)
    present, coming = certificates[0], certificates[1:]
    if not coming and belong_together(present, key):
        return (Signer(present, key),)
    if len(coming) == 1 and belong_together(coming[0], key):
        signers = (Signer(coming[0], key),)
        _log.warning("the change of the authority was cut at its end and is completed")
        _write_bundle(folder, signers)
        return signers
    if len(coming) == 1 and belong_together(present, key):
        if not next_path.exists():
            raise CertificateError(
                f"found two authorities in {bundle} without {next_path}: restore the key from a backup"
            )
        next_key = load_key(next_path)
        if belong_together(coming[0], next_key):
            return Signer(present, key), Signer(coming[0], next_key)
    raise CertificateError(
        f"{bundle} and the keys beside it do not belong together: restore them from one backup"
    )


def _made(folder: Path) -> tuple[Signer, ...]:
    """A new authority; or the certificates of the keys that are there, when ca.pem was lost."""
    key_path, next_path = folder / "ca.key", folder / "next-ca.key"
    keys = [load_key(key_path) if key_path.exists() else create_key(key_path)]
    if next_path.exists():
        keys.append(load_key(next_path))
    signers = tuple(new_authority(key) for key in keys)
    _write_bundle(folder, signers)
    return signers


def _write_bundle(folder: Path, signers: tuple[Signer, ...]) -> None:
    write_atomically(folder / "ca.pem", pem_of(*(each.certificate for each in signers)), 0o644)


def _moment(now: float | None) -> datetime:
    return datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)


def _end(days: int, today: datetime) -> datetime:
    """When a certificate that is to live for `days` ends."""
    if not days:
        return NEVER
    if not 0 < days <= MAX_DAYS:
        raise CertificateError(f"found a life of {days} days, expected 1 to {MAX_DAYS}, or none for no end")
    if today < _CODE_DATE:
        raise CertificateError(
            f"this machine's clock says {today:%Y-%m-%d}, which is before edgecore was made: "
            "set it, or ask for a certificate without an end"
        )
    return today + timedelta(days=days)


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """The names of a certificate, without repeats, the ones that are always there first."""
    return [_general_name(name) for name in dict.fromkeys((*ALWAYS_NAMES, *names))]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        if "*" in name:
            raise CertificateError(f"found server name {name!r}, expected one without a wildcard")
        return x509.DNSName(name.lower())
    except ValueError as error:
        raise CertificateError(f"found server name {name!r}, expected a DNS name or an IP address") from error
