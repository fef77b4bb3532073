"""Throw-away certificates."""

import datetime as dt
import stat

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.base.errors import CertificateError
from edgecore.sim.pki import ThrowawayAuthority

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def authority(tmp_path):
    return ThrowawayAuthority.load_or_create(tmp_path / "C", NOW)


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def test_the_ca_is_made_once(authority):
    first = authority.ca.read_bytes()
    again = ThrowawayAuthority.load_or_create(authority.folder, NOW)
    assert again.ca.read_bytes() == first
    assert extension(read(authority.ca), x509.BasicConstraints).ca


def test_a_server_is_known_by_its_names_and_addresses(authority):
    pair = authority.server("server", ("localhost", "127.0.0.1", "::1"), NOW)
    certificate = read(pair.certificate)
    certificate.verify_directly_issued_by(read(authority.ca))
    names = extension(certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert ExtendedKeyUsageOID.SERVER_AUTH in extension(certificate, x509.ExtendedKeyUsage)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_a_strict_client_accepts_the_chain(authority):
    for pair in (
        authority.server("server", ("localhost",), NOW),
        authority.client("things/lamp", "lamp", NOW),
    ):
        certificate = read(pair.certificate)
        named = extension(certificate, x509.AuthorityKeyIdentifier).key_identifier
        assert named == extension(read(authority.ca), x509.SubjectKeyIdentifier).digest


def test_a_client_keeps_its_certificate(authority):
    pair = authority.client("things/lamp", "lamp", NOW)
    first = pair.certificate.read_bytes()
    assert authority.client("things/lamp", "lamp", NOW).certificate.read_bytes() == first
    certificate = read(pair.certificate)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "lamp"
    assert ExtendedKeyUsageOID.CLIENT_AUTH in extension(certificate, x509.ExtendedKeyUsage)
    assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600


def test_a_long_thing_name_is_cut_in_the_common_name(authority):
    pair = authority.client("things/long", "x" * 128, NOW)
    assert read(pair.certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "x" * 64


@pytest.mark.parametrize("name", ["", "../up", "a b", "x" * 129])
def test_what_is_no_thing_name_gets_no_certificate(authority, name):
    with pytest.raises(CertificateError, match="thing name"):
        authority.client("things/x", name, NOW)


@pytest.mark.parametrize("file", ["ca.pem", "ca.key"])
def test_a_damaged_ca_is_not_replaced_silently(authority, file):
    (authority.folder / file).write_text("nonsense")
    with pytest.raises(CertificateError, match="delete both"):
        ThrowawayAuthority.load_or_create(authority.folder, NOW)


def test_a_key_of_another_ca_is_noticed(authority, tmp_path):
    other = ThrowawayAuthority.load_or_create(tmp_path / "other", NOW)
    (authority.folder / "ca.key").write_bytes((other.folder / "ca.key").read_bytes())
    with pytest.raises(CertificateError, match="not the EC key"):
        ThrowawayAuthority.load_or_create(authority.folder, NOW)
