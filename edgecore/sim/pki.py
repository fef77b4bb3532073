"""Throw-away certificates for the simulated cloud: a CA, a server and its clients, all EC P-256.

Not for anything that matters: the CA's key lies beside its certificate. It knows nothing of the
core's own CA, as AWS's CA knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.base.errors import CertificateError
from edgecore.base.identity import is_name

# Longer than any test or demonstration; before 2050, the last year of the compact date form.
LIFETIME: Final = dt.timedelta(days=3650)
# A laptop and a Pi seldom agree about the time to the second.
CLOCK_SKEW: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where a certificate and its key lie, PEM."""

    certificate: Path
    key: Path


class ThrowawayAuthority:
    """The simulated cloud's CA, in one folder: `ca.pem` and `ca.key`."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.folder = folder
        self._certificate = certificate
        self._key = key

    @property
    def ca(self) -> Path:
        """The file a client must trust."""
        return self.folder / "ca.pem"

    @classmethod
    def load_or_create(cls, folder: Path, now: dt.datetime) -> ThrowawayAuthority:
        """The CA of `folder`, made when there is none. Raises CertificateError when it is damaged."""
        if (folder / "ca.pem").exists() and (folder / "ca.key").exists():
            return cls._load(folder)
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("edgecore simulated cloud CA")
        builder = _builder(name, name, key.public_key(), now)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        _write(folder / "ca.key", _key_pem(key))
        _write(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, certificate, key)

    @classmethod
    def _load(cls, folder: Path) -> ThrowawayAuthority:
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CertificateError(
                f"{folder}: ca.pem or ca.key cannot be read ({error}); delete both"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise CertificateError(f"{folder}: ca.key is not the EC key of ca.pem; delete both")
        return cls(folder, certificate, key)

    def server(self, stem: str, names: Sequence[str], now: dt.datetime) -> KeyPair:
        """A new server certificate for host names and addresses, in `stem`.cert.pem and .key.pem."""
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        return self._issue(stem, names[0], ExtendedKeyUsageOID.SERVER_AUTH, now, alternatives)

    def client(self, stem: str, name: str, now: dt.datetime) -> KeyPair:
        """A client certificate for `name`; the one that is already there is kept."""
        if not is_name(name):
            raise CertificateError(f"{name!r} cannot be a thing name: use 1 to 128 of a-z A-Z 0-9 : _ -")
        pair = self._pair(stem)
        if pair.certificate.exists() and pair.key.exists():
            return pair
        return self._issue(stem, name, ExtendedKeyUsageOID.CLIENT_AUTH, now, None)

    def _pair(self, stem: str) -> KeyPair:
        return KeyPair(self.folder / f"{stem}.cert.pem", self.folder / f"{stem}.key.pem")

    def _issue(
        self,
        stem: str,
        common_name: str,
        usage: x509.ObjectIdentifier,
        now: dt.datetime,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        pair = self._pair(stem)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self._certificate.subject, key.public_key(), now)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        # Python 3.13's default context demands it (RFC 5280, 4.2.1.1).
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(authority, critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write(pair.key, _key_pem(key))
        _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: dt.datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=public_key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return builder.add_extension(identifier, critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    # X.520 allows 64 characters in a common name; AWS thing names may have 128.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Replace `path` whole: a reader sees the old content or the new. Readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
