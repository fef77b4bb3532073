import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.listener.signer import BEGIN, NEVER, belong_together, new_authority


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def signer():
    return new_authority(new_key())


def test_an_authority_follows_from_its_key():
    key = new_key()
    first, second = new_authority(key), new_authority(key)
    assert (first.id, first.certificate.subject) == (second.id, second.certificate.subject)
    assert first.certificate.serial_number != second.certificate.serial_number
    assert second.has_signed(first.device(new_key().public_key(), "a", NEVER))
    assert len(first.id) == 40


def test_it_knows_its_own_work(signer):
    other = new_authority(new_key())
    certificate = signer.device(new_key().public_key(), "a", NEVER)
    assert signer.has_signed(certificate)
    assert not other.has_signed(certificate)


def test_it_does_not_take_a_namesakes_work_for_its_own(signer):
    """The issuer's name is right, the signature is another's."""
    key = new_key()
    forged = (
        x509.CertificateBuilder()
        .subject_name(signer.certificate.subject)
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(NEVER)
        .sign(key, signer.certificate.signature_hash_algorithm)
    )
    assert not signer.has_signed(forged)


@pytest.mark.parametrize("kind", ["device", "server"])
def test_a_leaf_signs_nothing_and_serves_one_purpose(signer, kind):
    key = new_key()
    if kind == "device":
        certificate = signer.device(key.public_key(), "n" * 128, NEVER)
    else:
        certificate = signer.server(key.public_key(), [x509.DNSName("pi.local")], NEVER)
    assert belong_together(certificate, key)
    assert not belong_together(certificate, new_key())
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if kind == "device" else ExtendedKeyUsageOID.SERVER_AUTH
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if kind == "device":
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
            f"urn:edgecore:device:{'n' * 128}"
        ]
        (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert common_name.value == "n" * 64
    else:
        assert names.get_values_for_type(x509.DNSName) == ["pi.local"]
