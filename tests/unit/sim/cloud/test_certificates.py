"""A certificate as policies see it."""

import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgecore.sim.cloud.certificates import certificate_id, read_certificate


def made(subject, alternatives=()):
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        subject_name=x509.Name([x509.NameAttribute(*one) for one in subject]),
        issuer_name=x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Issuer")]),
        public_key=key.public_key(),
        serial_number=77,
        not_valid_before=now,
        not_valid_after=now + dt.timedelta(days=1),
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def der():
    subject = [
        (NameOID.COMMON_NAME, "gate"),
        (NameOID.ORGANIZATION_NAME, "first"),
        (NameOID.ORGANIZATION_NAME, "second"),
        (NameOID.COUNTRY_NAME, "AT"),
    ]
    return made(subject, [x509.DNSName("gate.example"), x509.RFC822Name("a@example.org")])


def test_its_id_is_the_hash_of_its_der(der):
    assert read_certificate(der).id == certificate_id(der) == hashlib.sha256(der).hexdigest()
    assert read_certificate(der).name == "gate"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("iot:certificate.subject.commonname", ("gate",)),
        ("iot:certificate.subject.country", ("AT",)),
        ("iot:certificate.subject.organization", ("first",)),
        ("iot:certificate.subject.organization.0", ("first",)),
        ("iot:certificate.subject.organization.1", ("second",)),  # the second value
        ("iot:certificate.subject.organization.list", ("first", "second")),
        ("iot:certificate.issuer.organization", ("Issuer",)),
        ("iot:certificate.subject.alternativename.dnsname", ("gate.example",)),
        ("iot:certificate.subject.alternativename.rfc822name", ("a@example.org",)),
        ("iot:certificate.serialnumber", ("77",)),
    ],
)
def test_variables(der, name, values):
    certificate = read_certificate(der)
    assert certificate.variables[name] == values
    assert name in certificate.variables["iot:certificate.availablekeys"]


def test_what_a_certificate_lacks_is_no_variable():
    certificate = read_certificate(made([]))
    assert certificate.name == ""
    assert not any("alternativename" in name or "commonname" in name for name in certificate.variables)
