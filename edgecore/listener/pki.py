"""The core's own certificate authority: the one file that makes and reads certificates (cryptography).

It writes ca.key, ca.pem, server.key and server.pem under one folder and hands out device certificates.
It must not know who holds a certificate (registry.py) nor how TLS is spoken (tls.py).

Certificates of the CA and of devices run from 1970 to 9999 and end by revocation: a Pi without a clock,
or offline for years, locks nobody out. The server's is short-lived at its end only, and is remade in time.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.base.errors import CertificateError
from edgecore.base.interfaces import IssuedCertificate
from edgecore.listener.registry import check_name

_log = logging.getLogger(__name__)

_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
# RFC 5280, 4.1.2.5: "no well-defined expiration date" is written as this moment.
_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# CA/Browser Forum's and Apple's longest life of a server certificate from a private CA: 825 days.
SERVER_LIFE: Final = timedelta(days=825)
# A clock that is older than this code is wrong; a certificate dated by it would end in the past.
_CODE_DATE: Final = datetime(2026, 8, 1, tzinfo=UTC)
# The largest sensible request, RSA 4096 with a few attributes, is 2 KB of PEM.
MAX_CSR_BYTES: Final = 16 * 1024
# A certificate of ours is under 1 KB, an RSA 4096 one with a long SAN a few.
_MAX_FILE_BYTES: Final = 64 * 1024
# X.520 upper bound of a common name. Our names may have 128 letters; the registry knows them in full.
_MAX_COMMON_NAME: Final = 64
# NIST SP 800-131A: shorter RSA keys are disallowed.
_MIN_RSA_BITS: Final = 2048
ALWAYS_NAMES: Final = ("localhost", "127.0.0.1", "::1")

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class CertificateAuthority:
    """Signs the certificates of this core's devices and of its server."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._folder = folder
        self._certificate = certificate
        self._key = key

    @classmethod
    def load_or_create(cls, folder: Path) -> CertificateAuthority:
        """The authority whose ca.pem and ca.key are in `folder`; made at the first call.

        Raises CertificateError when the files are damaged, do not belong together, or only the
        certificate is there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        certificate_path, key_path = folder / "ca.pem", folder / "ca.key"
        if certificate_path.exists() and not key_path.exists():
            raise CertificateError(
                f"found {certificate_path} without {key_path}: restore the key from a backup, or remove "
                "ca.pem to start a new authority (every device then needs a new certificate)"
            )
        key = _load_key(key_path) if key_path.exists() else _create_key(key_path)
        if not certificate_path.exists():
            write_atomically(certificate_path, _pem(_ca_certificate(key)), 0o644)
        certificate = _load_certificate(certificate_path)
        if not _belong_together(certificate, key):
            raise CertificateError(
                f"{certificate_path} and {key_path} do not belong together: restore the pair from one backup"
            )
        return cls(folder, certificate, key)

    @property
    def certificate(self) -> bytes:
        """The CA's certificate, PEM: what devices trust."""
        return _pem(self._certificate)

    def issue_device(self, name: str, csr: bytes = b"") -> IssuedCertificate:
        """A certificate for device `name`: for a new key, or for the public key of `csr` (PEM).

        Of a signing request only the public key is taken, after its signature was verified; names and
        extensions that it asks for are ignored. Raises CertificateError.
        """
        check_name(name)
        key = None if csr else ec.generate_private_key(ec.SECP256R1())
        public = key.public_key() if key else _public_key_of(csr)
        certificate = self._sign(
            public,
            name,
            _NEVER,
            ExtendedKeyUsageOID.CLIENT_AUTH,
            [x509.UniformResourceIdentifier(f"urn:edgecore:device:{name}")],
        )
        return IssuedCertificate(name, _pem(certificate), _key_pem(key) if key else b"", self.certificate)

    def ensure_server_certificate(
        self, names: Iterable[str] = (), now: float | None = None
    ) -> tuple[Path, Path]:
        """(certificate, key) paths of the server's certificate, remade when it must be.

        It names `names` (DNS names and addresses), localhost, 127.0.0.1 and ::1. It is remade when it is
        missing, damaged, not ours, lacks a name, or when a third of its life is left at wall time `now`
        (epoch seconds). Raises CertificateError when a name is neither a DNS name nor an address.
        """
        certificate_path, key_path = self._folder / "server.pem", self._folder / "server.key"
        wanted = _general_names(names)
        today = datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)
        why = self._why_remake(certificate_path, key_path, wanted, today)
        if why:
            _log.info("new server certificate reason=%r", why)
            key = _create_key(key_path)
            expires = max(today, _CODE_DATE) + SERVER_LIFE
            usage = ExtendedKeyUsageOID.SERVER_AUTH
            certificate = self._sign(key.public_key(), "edgecore", expires, usage, wanted)
            write_atomically(certificate_path, _pem(certificate) + self.certificate, 0o644)
        return certificate_path, key_path

    def renew_server_certificate(self, names: Iterable[str] = (), now: float | None = None) -> bool:
        """As `ensure_server_certificate`; whether the file is another one now. Raises as that does."""
        path = self._folder / "server.pem"
        before = path.read_bytes() if path.exists() else b""
        self.ensure_server_certificate(names, now)
        return path.read_bytes() != before

    def _why_remake(
        self, certificate_path: Path, key_path: Path, wanted: list[x509.GeneralName], today: datetime
    ) -> str:
        """Why the server's certificate cannot be used any longer; "" when it can."""
        if not (certificate_path.exists() and key_path.exists()):
            return "there is none"
        try:
            certificate, key = _load_certificate(certificate_path), _load_key(key_path)
            certificate.verify_directly_issued_by(self._certificate)
            named = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except (CertificateError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
            return f"the present one cannot be used ({type(error).__name__}: {error})"
        if not _belong_together(certificate, key):
            return "the present one has another key"
        if not named.issuperset(wanted):
            return "this machine has a name or address that the present one lacks"
        if certificate.not_valid_after_utc - today < SERVER_LIFE / 3:
            return "two thirds of the present one's life are over"
        return ""

    def _sign(
        self,
        public: PublicKey,
        common_name: str,
        expires: datetime,
        usage: x509.ObjectIdentifier,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        """A leaf certificate with the extensions that OpenSSL's strict check wants (RFC 5280, 4.2)."""
        issuer_key_id = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id)
        return (
            _builder(_name(common_name), self._certificate.subject, public, expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Put `content` at `path` so that a power cut leaves the old file or the new one, never a part.

    The file never exists with wider permissions than `mode`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The self-signed certificate of `key`. Its name follows from the key: a lost ca.pem can be remade."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"edgecore CA {key_id.digest.hex()[:12]}")
    return (
        _builder(name, name, key.public_key(), _NEVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, expires: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])])


def _key_usage(*, digital_signature: bool = False, sign_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """The names of a certificate, without repeats, the ones that are always there first."""
    return [_general_name(name) for name in dict.fromkeys((*ALWAYS_NAMES, *names))]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name.lower())
    except ValueError as error:
        raise CertificateError(f"found server name {name!r}, expected a DNS name or an IP address") from error


def _public_key_of(csr: bytes) -> PublicKey:
    if len(csr) > MAX_CSR_BYTES:
        raise CertificateError(
            f"found a signing request of {len(csr)} bytes, expected at most {MAX_CSR_BYTES}"
        )
    try:
        request = x509.load_pem_x509_csr(csr)
        public = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"found a signing request that cannot be read ({error}), expected PEM: "
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout K -subj /CN=x"
        ) from error
    if not signed:
        raise CertificateError("the signing request's signature does not fit its public key: make a new one")
    return _acceptable(public)


def _acceptable(public: object) -> PublicKey:
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(
        public.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
    ):
        return public
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _MIN_RSA_BITS:
        return public
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    raise CertificateError(
        f"found a {type(public).__name__.strip('_')} in the signing request, "
        f"expected EC P-256, P-384 or P-521, Ed25519, or RSA of {_MIN_RSA_BITS} bits or more"
    )


def _create_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    write_atomically(path, _key_pem(key), 0o600)
    return key


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    content = _read(path)
    if path.stat().st_mode & 0o077:
        _log.warning("private key could be read by others, mode is now 0600 path=%s", path)
        path.chmod(0o600)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{path} is not a private key in PEM: restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"found another kind of key in {path}, expected an elliptic curve key")
    return key


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise CertificateError(f"{path} is not a certificate in PEM: restore it from a backup") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise CertificateError(f"{path} has more than {_MAX_FILE_BYTES} bytes: that is no certificate or key")
    return content


def _belong_together(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
