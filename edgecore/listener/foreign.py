"""PEM that comes from outside: signing requests, and certificates that others have made. Pure.

Everything is checked before anything is taken from it. It must not know who may send it.
"""

from __future__ import annotations

from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgecore.base.errors import CertificateError
from edgecore.listener.device_records import CertificateFacts
from edgecore.listener.pem_files import pem_of
from edgecore.listener.signer import PublicKey

# The largest sensible request or certificate, RSA 4096 with a few attributes, is 2 to 3 KB of PEM.
MAX_PEM_BYTES: Final = 16 * 1024
# NIST SP 800-131A: shorter RSA keys are disallowed.
_MIN_RSA_BITS: Final = 2048

Extension = TypeVar("Extension", bound=x509.ExtensionType)


def public_key_of(csr: bytes) -> PublicKey:
    """The public key of a signing request (PEM) that its own key has signed. Raises CertificateError."""
    _check_size(csr, "signing request")
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
    return _acceptable(public, "signing request")


def device_certificate(pem: bytes) -> x509.Certificate:
    """The one certificate in `pem`, when TLS would take it from a client. Raises CertificateError."""
    _check_size(pem, "certificate")
    if b"PRIVATE KEY" in pem:
        raise CertificateError("found a private key beside the certificate: it stays with the device")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        if len(certificates) != 1:
            raise CertificateError(
                f"found {len(certificates)} certificates, expected one: the device's own, without its issuers"
            )
        certificate = certificates[0]
        _acceptable(certificate.public_key(), "certificate")
        _check_purpose(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"found a certificate that cannot be read ({error}), expected one in PEM"
        ) from error
    return certificate


def facts_of(certificate: x509.Certificate, authority: str) -> CertificateFacts:
    """What the registry notes of a certificate that `authority` has signed, or another ("")."""
    return CertificateFacts(
        certificate.fingerprint(hashes.SHA256()).hex(),
        f"{certificate.serial_number:x}",
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        authority,
        pem_of(certificate).decode("ascii"),
    )


def _check_purpose(certificate: x509.Certificate) -> None:
    """What OpenSSL asks of a client's certificate; and it must sign no other, for it will be trusted."""
    extensions = certificate.extensions
    basic = _extension(extensions, x509.BasicConstraints)
    usage = _extension(extensions, x509.KeyUsage)
    purposes = _extension(extensions, x509.ExtendedKeyUsage)
    if (basic is not None and basic.ca) or (usage is not None and usage.key_cert_sign):
        raise CertificateError(
            "found an authority's certificate, expected a device's own: what is registered is trusted by "
            "itself. A self-signed one needs -addext basicConstraints=critical,CA:FALSE"
        )
    if usage is not None and not (usage.digital_signature or usage.key_agreement):
        raise CertificateError("the certificate's key usage allows no TLS: it lacks digitalSignature")
    if purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise CertificateError("the certificate's extended key usage lacks clientAuth: TLS would refuse it")
    for each in extensions:
        if each.critical and isinstance(each.value, x509.UnrecognizedExtension):
            raise CertificateError(
                f"the certificate has a critical extension that is not known here ({each.oid.dotted_string})"
            )


def _extension(extensions: x509.Extensions, kind: type[Extension]) -> Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_size(pem: bytes, what: str) -> None:
    if len(pem) > MAX_PEM_BYTES:
        raise CertificateError(f"found a {what} of {len(pem)} bytes, expected at most {MAX_PEM_BYTES}")


def _acceptable(public: object, what: str) -> PublicKey:
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(
        public.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
    ):
        return public
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _MIN_RSA_BITS:
        return public
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    raise CertificateError(
        f"found a {type(public).__name__.strip('_')} in the {what}, "
        f"expected EC P-256, P-384 or P-521, Ed25519, or RSA of {_MIN_RSA_BITS} bits or more"
    )
