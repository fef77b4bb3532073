"""One authority: its certificate, its key, and the certificates that it signs. Touches no file.

It must not know how many authorities there are, nor where they are kept (pki.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.listener.pem_files import pem_of

BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
# RFC 5280, 4.1.2.5: "no well-defined expiration date" is written as this moment.
NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# X.520 upper bound of a common name. Our names may have 128 letters; the registry knows them in full.
_MAX_COMMON_NAME: Final = 64

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority that can sign: the certificate and the key belong together."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def id(self) -> str:
        """The key id, hex: what a certificate names its signer by."""
        return self._key_id.digest.hex()

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return pem_of(self.certificate)

    @property
    def _key_id(self) -> x509.SubjectKeyIdentifier:
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Whether `certificate` is this authority's work."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def device(self, public: PublicKey, name: str, expires: datetime) -> x509.Certificate:
        """A client certificate for device `name`."""
        names = [x509.UniformResourceIdentifier(f"urn:edgecore:device:{name}")]
        return self._leaf(public, name, expires, ExtendedKeyUsageOID.CLIENT_AUTH, names)

    def server(
        self, public: PublicKey, names: Sequence[x509.GeneralName], expires: datetime
    ) -> x509.Certificate:
        """The server's certificate, for all its names and addresses."""
        return self._leaf(public, "edgecore", expires, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _leaf(
        self,
        public: PublicKey,
        common_name: str,
        expires: datetime,
        usage: x509.ObjectIdentifier,
        names: Sequence[x509.GeneralName],
    ) -> x509.Certificate:
        """With the extensions that OpenSSL's strict check wants (RFC 5280, 4.2)."""
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id)
        return (
            _builder(_name(common_name), self.certificate.subject, public, expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(authority, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def new_authority(key: ec.EllipticCurvePrivateKey) -> Signer:
    """The authority of `key`. Its name follows from the key: a certificate that is lost can be remade."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"edgecore CA {key_id.digest.hex()[:12]}")
    certificate = (
        _builder(name, name, key.public_key(), NEVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Signer(certificate, key)


def belong_together(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    """Whether the certificate is of this key."""
    return certificate.public_key() == key.public_key()


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, expires: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
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
