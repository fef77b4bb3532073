from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.base.errors import CertificateError
from edgecore.listener.pki import MAX_CSR_BYTES, SERVER_LIFE, CertificateAuthority, write_atomically


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pki"


@pytest.fixture
def authority(folder):
    return CertificateAuthority.load_or_create(folder)


def load(pem):
    return x509.load_pem_x509_certificate(pem)


def request(key=None, name="whoever"):
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def handshake(authority, folder, server_name, issued):
    """Two ends of TLS 1.3 in memory, both verifying; gives what the server sees of the client."""
    certificate, key = authority.ensure_server_certificate()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(folder / "ca.pem")
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    (folder / "device.pem").write_bytes(issued.certificate)
    (folder / "device.key").write_bytes(issued.key)
    client.load_cert_chain(folder / "device.pem", folder / "device.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=server_name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    ends = [near, far]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    return far.getpeercert(binary_form=True)


@pytest.mark.parametrize("server_name", ["localhost", "127.0.0.1", "::1"])
def test_a_device_and_the_server_accept_one_another(authority, folder, server_name):
    issued = authority.issue_device("loop-north")
    assert handshake(authority, folder, server_name, issued) == ssl.PEM_cert_to_DER_cert(
        issued.certificate.decode()
    )


def test_ca_runs_from_1970_to_9999_and_may_sign_only_certificates(authority):
    ca = load(authority.certificate)
    assert ca.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert ca.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert basic.value.ca
    assert basic.value.path_length == 0
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    assert isinstance(ca.public_key().curve, ec.SECP256R1)


def test_device_certificate_names_the_device_and_serves_clients_only(authority):
    issued = authority.issue_device("loop:north_1")
    certificate = load(issued.certificate)
    assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "loop:north_1"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:edgecore:device:loop:north_1"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(load(issued.ca))
    key = serialization.load_pem_private_key(issued.key, None)
    assert key.public_key() == certificate.public_key()


def test_a_name_longer_than_a_common_name_is_whole_in_the_alternative_name(authority):
    name = "n" * 128
    certificate = load(authority.issue_device(name).certificate)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "n" * 64
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:edgecore:device:{name}"]


def test_two_certificates_of_one_device_differ(authority):
    first, second = authority.issue_device("a"), authority.issue_device("a")
    assert load(first.certificate).serial_number != load(second.certificate).serial_number


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 129, "../ca"])
def test_a_bad_name_is_refused_with_what_is_allowed(authority, name):
    with pytest.raises(CertificateError, match="a-z A-Z 0-9 : _ -"):
        authority.issue_device(name)


def test_loading_again_gives_the_same_authority(authority, folder):
    again = CertificateAuthority.load_or_create(folder)
    assert again.certificate == authority.certificate
    load(again.issue_device("a").certificate).verify_directly_issued_by(load(authority.certificate))


def test_keys_are_private(authority, folder):
    authority.ensure_server_certificate()
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "ca.pem").stat().st_mode) & 0o444 == 0o444
    assert sorted(path.name for path in folder.iterdir()) == ["ca.key", "ca.pem", "server.key", "server.pem"]


def test_an_open_key_is_closed_and_reported(authority, folder, caplog):
    (folder / "ca.key").chmod(0o644)
    CertificateAuthority.load_or_create(folder)
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text


def test_a_lost_ca_certificate_is_remade_under_the_same_name(authority, folder):
    issued = authority.issue_device("a")
    (folder / "ca.pem").unlink()
    again = CertificateAuthority.load_or_create(folder)
    assert load(again.certificate).subject == load(authority.certificate).subject
    load(issued.certificate).verify_directly_issued_by(load(again.certificate))


def test_a_lost_ca_key_is_not_replaced(authority, folder):
    (folder / "ca.key").unlink()
    with pytest.raises(CertificateError, match="restore the key from a backup"):
        CertificateAuthority.load_or_create(folder)


def test_a_key_of_another_authority_is_refused(authority, folder, tmp_path):
    CertificateAuthority.load_or_create(tmp_path / "other")
    (folder / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(CertificateError, match="do not belong together"):
        CertificateAuthority.load_or_create(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [("ca.key", b"nonsense"), ("ca.pem", b"nonsense"), ("ca.pem", b""), ("ca.key", b"x" * 70_000)],
)
def test_damaged_files_are_named(authority, folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(CertificateError, match=name):
        CertificateAuthority.load_or_create(folder)


def test_a_key_of_another_kind_is_refused(authority, folder):
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.key").write_bytes(pem)
    with pytest.raises(CertificateError, match="elliptic curve"):
        CertificateAuthority.load_or_create(folder)


# Signing requests


def test_of_a_request_only_the_key_is_taken(authority):
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.issue_device("loop-north", request(key, "operator"))
    certificate = load(issued.certificate)
    assert issued.key == b""
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "loop-north"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
)
def test_usual_keys_are_signed(authority, make):
    key = make()
    assert load(authority.issue_device("a", request(key)).certificate).public_key() == key.public_key()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: dsa.generate_private_key(2048),
    ],
)
def test_other_keys_are_refused(authority, make):
    with pytest.raises(CertificateError, match="expected EC P-256"):
        authority.issue_device("a", request(make()))


def test_a_request_that_its_key_did_not_sign_is_refused(authority):
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    mine = ssl.PEM_cert_to_DER_cert(pem_as_certificate(request(first)))
    point = mine.index(public_point(first))
    forged = mine[:point] + public_point(second) + mine[point + 65 :]
    pem = ssl.DER_cert_to_PEM_cert(forged).replace("CERTIFICATE-", "CERTIFICATE REQUEST-")
    with pytest.raises(CertificateError, match="does not fit its public key"):
        authority.issue_device("a", pem.encode())


def pem_as_certificate(pem):
    return pem.decode().replace("CERTIFICATE REQUEST", "CERTIFICATE").strip()


def public_point(key):
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def test_a_request_that_is_none_is_refused_with_how_to_make_one(authority):
    with pytest.raises(CertificateError, match="openssl req"):
        authority.issue_device("a", b"-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n")


def test_a_huge_request_is_not_read(authority):
    with pytest.raises(CertificateError, match=str(MAX_CSR_BYTES)):
        authority.issue_device("a", b"x" * (MAX_CSR_BYTES + 1))


# The server's certificate


def names_of(path):
    certificate = load(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return names.get_values_for_type(x509.DNSName) + addresses


def test_server_certificate_names_what_is_asked_and_localhost(authority):
    certificate, _ = authority.ensure_server_certificate(["pi.local", "192.168.1.7", "fd00::7", "localhost"])
    assert names_of(certificate) == ["localhost", "pi.local", "127.0.0.1", "::1", "192.168.1.7", "fd00::7"]


def test_server_certificate_is_kept_while_it_serves(authority):
    certificate, _ = authority.ensure_server_certificate(["pi.local", "10.0.0.1"])
    before = certificate.read_bytes()
    authority.ensure_server_certificate(["pi.local"])
    assert certificate.read_bytes() == before


def test_server_certificate_is_remade_for_a_new_address(authority, caplog):
    caplog.set_level("INFO")
    authority.ensure_server_certificate()
    certificate, _ = authority.ensure_server_certificate(["10.0.0.9"])
    assert "10.0.0.9" in names_of(certificate)
    assert "lacks" in caplog.text


def test_server_certificate_is_remade_at_two_thirds_of_its_life(authority):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    certificate, _ = authority.ensure_server_certificate(now=now.timestamp())
    first = certificate.read_bytes()
    shortly_before = now + SERVER_LIFE * 2 / 3 - timedelta(hours=1)
    authority.ensure_server_certificate(now=shortly_before.timestamp())
    assert certificate.read_bytes() == first
    authority.ensure_server_certificate(now=(shortly_before + timedelta(hours=2)).timestamp())
    assert certificate.read_bytes() != first
    assert load(certificate.read_bytes()).not_valid_after_utc > now + SERVER_LIFE


def test_a_clock_of_1970_makes_no_certificate_that_is_over_when_the_time_is_known(authority):
    certificate, _ = authority.ensure_server_certificate(now=100.0)
    made = load(certificate.read_bytes())
    assert made.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert made.not_valid_after_utc > datetime(2028, 1, 1, tzinfo=UTC)
    before = certificate.read_bytes()
    authority.ensure_server_certificate(now=100.0)
    assert certificate.read_bytes() == before


@pytest.mark.parametrize("damage", ["key", "certificate", "other key", "other authority", "no names"])
def test_server_certificate_is_remade_when_it_cannot_be_used(authority, folder, tmp_path, damage):
    certificate, key = authority.ensure_server_certificate()
    if damage == "key":
        key.write_bytes(b"torn")
    elif damage == "certificate":
        certificate.write_bytes(b"")
    elif damage == "other key":
        key.write_bytes((folder / "ca.key").read_bytes())
    elif damage == "other authority":
        other = CertificateAuthority.load_or_create(tmp_path / "other")
        for source, target in zip(other.ensure_server_certificate(), (certificate, key), strict=True):
            target.write_bytes(source.read_bytes())
    else:
        certificate.write_bytes((folder / "ca.pem").read_bytes())
    authority.ensure_server_certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    load(certificate.read_bytes()).verify_directly_issued_by(load(authority.certificate))


def test_a_server_name_that_is_none_is_refused(authority):
    with pytest.raises(CertificateError, match="DNS name or an IP address"):
        authority.ensure_server_certificate(["bücher.example"])


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old", 0o600)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_renewal_says_whether_the_server_certificate_is_another_one(authority):
    assert authority.renew_server_certificate()
    assert not authority.renew_server_certificate()
    assert authority.renew_server_certificate(["10.0.0.9"])
