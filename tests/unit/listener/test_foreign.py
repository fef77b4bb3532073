"""What comes from outside. `certificate` here makes any certificate that somebody may send."""

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.base.errors import CertificateError
from edgecore.listener.foreign import MAX_PEM_BYTES, device_certificate, facts_of, public_key_of
from edgecore.listener.tls import fingerprint_of

BEGIN, END = dt.datetime(2025, 3, 1, tzinfo=dt.UTC), dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])
DIGITAL = dict.fromkeys(
    (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
) | {"digital_signature": True}


def algorithm_of(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def request(key):
    builder = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    return builder.sign(key, algorithm_of(key)).public_bytes(serialization.Encoding.PEM)


def certificate(*extensions, key=None, critical=True):
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 0xABC, BEGIN, END)
    for each in extensions:
        builder = builder.add_extension(each, critical=critical)
    return builder.sign(key, algorithm_of(key)).public_bytes(serialization.Encoding.PEM)


GOOD_KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
}
BAD_KEYS = {
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
    "DSA": lambda: dsa.generate_private_key(2048),
}


@pytest.mark.parametrize("make", GOOD_KEYS.values(), ids=GOOD_KEYS)
def test_usual_keys_are_taken(make):
    key = make()
    assert public_key_of(request(key)) == key.public_key()
    assert device_certificate(certificate(key=key)).public_key() == key.public_key()


@pytest.mark.parametrize("make", BAD_KEYS.values(), ids=BAD_KEYS)
def test_other_keys_are_refused(make):
    key = make()
    with pytest.raises(CertificateError, match="in the signing request, expected EC P-256"):
        public_key_of(request(key))
    with pytest.raises(CertificateError, match="in the certificate, expected EC P-256"):
        device_certificate(certificate(key=key))


# Signing requests


def test_a_request_that_its_key_did_not_sign_is_refused():
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    mine = ssl.PEM_cert_to_DER_cert(
        request(first).decode().replace("CERTIFICATE REQUEST", "CERTIFICATE").strip()
    )
    point = mine.index(public_point(first))
    forged = mine[:point] + public_point(second) + mine[point + 65 :]
    pem = ssl.DER_cert_to_PEM_cert(forged).replace("CERTIFICATE-", "CERTIFICATE REQUEST-")
    with pytest.raises(CertificateError, match="does not fit its public key"):
        public_key_of(pem.encode())


def public_point(key):
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def test_a_request_that_is_none_is_refused_with_how_to_make_one():
    with pytest.raises(CertificateError, match="openssl req"):
        public_key_of(b"-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n")


def test_what_is_huge_is_not_read():
    for read in (public_key_of, device_certificate):
        with pytest.raises(CertificateError, match=str(MAX_PEM_BYTES)):
            read(b"x" * (MAX_PEM_BYTES + 1))


# Certificates of others


GOOD = {
    "nothing said": (),
    "as AWS IoT makes them": (
        x509.BasicConstraints(ca=False, path_length=None),
        x509.KeyUsage(**DIGITAL),
    ),
    "for clients": (
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    ),
    "key agreement": (x509.KeyUsage(**DIGITAL | {"digital_signature": False, "key_agreement": True}),),
}
BAD = {
    "an authority": (x509.BasicConstraints(ca=True, path_length=None),),
    "may sign certificates": (x509.KeyUsage(**DIGITAL | {"key_cert_sign": True}),),
    "only enciphers": (x509.KeyUsage(**DIGITAL | {"digital_signature": False, "key_encipherment": True}),),
    "for servers": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),),
    "for anything, which OpenSSL does not count": (
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    ),
    "unknown and critical": (
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\5\0"),
    ),
}
WORDS = [
    "an authority's",
    "an authority's",
    "digitalSignature",
    "clientAuth",
    "clientAuth",
    "1.3.6.1.4.1.99999.1",
]


@pytest.mark.parametrize("extensions", GOOD.values(), ids=GOOD)
def test_certificates_for_clients_are_taken(extensions):
    assert device_certificate(certificate(*extensions)).serial_number == 0xABC


@pytest.mark.parametrize(("extensions", "words"), list(zip(BAD.values(), WORDS, strict=True)), ids=BAD)
def test_other_certificates_are_refused_with_the_reason(extensions, words):
    with pytest.raises(CertificateError, match=words):
        device_certificate(certificate(*extensions))


def test_an_unknown_extension_that_is_not_critical_does_not_matter():
    (unknown,) = BAD["unknown and critical"]
    device_certificate(certificate(unknown, critical=False))


def test_a_private_key_beside_it_is_refused():
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    with pytest.raises(CertificateError, match="stays with the device"):
        device_certificate(certificate(key=key) + pem)


def test_a_chain_is_refused():
    with pytest.raises(CertificateError, match="found 2 certificates, expected one"):
        device_certificate(certificate() + certificate())


@pytest.mark.parametrize(
    "pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 50]
)
def test_what_is_none_is_refused(pem):
    with pytest.raises(CertificateError, match="expected one in PEM"):
        device_certificate(pem)


def test_what_it_says_is_noted_without_what_else_is_in_the_file():
    pem = certificate()
    facts = facts_of(device_certificate("Bag Attributes: Gerät\n".encode() + pem), "id")
    assert facts.fingerprint == fingerprint_of(ssl.PEM_cert_to_DER_cert(pem.decode()))
    assert (facts.serial, facts.authority, facts.pem) == ("abc", "id", pem.decode())
    assert (facts.not_before, facts.not_after) == (BEGIN.timestamp(), END.timestamp())
