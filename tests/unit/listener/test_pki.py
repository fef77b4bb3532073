from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.base.errors import CertificateError
from edgecore.listener import pem_files, pki
from edgecore.listener.pki import MAX_DAYS, SERVER_LIFE, CertificateAuthority
from edgecore.listener.tls import TlsFiles, fingerprint_of, server_context


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


def files_of(authority, folder):
    return TlsFiles(folder / "ca.pem", *authority.ensure_server_certificate())


@pytest.mark.parametrize("server_name", ["localhost", "127.0.0.1", "::1"])
def test_a_device_and_the_server_accept_one_another(authority, folder, shake, client_of, server_name):
    issued = authority.issue_device("loop-north")
    server = server_context(files_of(authority, folder))
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    der = shake(server, client_of(issued), server_name)
    assert der == ssl.PEM_cert_to_DER_cert(issued.certificate.decode())
    assert issued.fingerprint == fingerprint_of(der)


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


# An end, for who wants one

NOW = datetime(2027, 5, 1, 12, tzinfo=UTC)


def test_a_certificate_ends_after_the_days_that_were_asked_for(authority):
    certificate = load(authority.issue_device("a", days=30, now=NOW.timestamp()).certificate)
    assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)


@pytest.mark.parametrize("days", [-1, MAX_DAYS + 1])
def test_a_life_that_is_none_is_refused(authority, days):
    with pytest.raises(CertificateError, match=f"expected 1 to {MAX_DAYS}"):
        authority.issue_device("a", days=days, now=NOW.timestamp())


def test_a_clock_of_1970_dates_no_end(authority):
    with pytest.raises(CertificateError, match="clock says 1970-01-01"):
        authority.issue_device("a", days=30, now=100.0)
    authority.issue_device("a", now=100.0)


# Existing certificates


def test_its_own_work_is_known(authority):
    issued = authority.issue_device("a", days=30, now=NOW.timestamp())
    facts = authority.examine(issued.certificate)
    assert facts.fingerprint == issued.fingerprint
    assert facts.authority == authority.authority
    assert facts.not_after == (NOW + timedelta(days=30)).timestamp()


def test_the_work_of_others_is_known_as_such(authority, tmp_path):
    other = CertificateAuthority.load_or_create(tmp_path / "other")
    assert authority.examine(other.issue_device("a").certificate).authority == ""
    with pytest.raises(CertificateError, match="an authority's certificate"):
        authority.examine(other.certificate)


# Signing requests


def test_of_a_request_only_the_key_is_taken(authority):
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.issue_device("loop-north", request(key, "operator"))
    certificate = load(issued.certificate)
    assert issued.key == b""
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "loop-north"


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


@pytest.mark.parametrize(
    ("name", "words"),
    [("bücher.example", "DNS name or an IP address"), ("*.com", "wildcard"), ("*", "wildcard")],
)
def test_a_server_name_that_is_none_is_refused(authority, name, words):
    with pytest.raises(CertificateError, match=words):
        authority.ensure_server_certificate([name])


def test_a_renewal_says_whether_the_server_certificate_is_another_one(authority):
    assert authority.renew_server_certificate()
    assert not authority.renew_server_certificate()
    assert authority.renew_server_certificate(["10.0.0.9"])


# The change of the authority


@pytest.fixture
def others_server(authority, folder):
    """A server's context as the door makes it, from the files as they are now."""
    return lambda: server_context(files_of(authority, folder))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_both_authorities_are_trusted_in_every_phase_of_a_change(
    authority, folder, shake, client_of, others_server
):
    """Old: knows the old CA alone. New: was issued meanwhile, and has both. Each phase by real handshakes."""
    old = authority.issue_device("old")
    shake(others_server(), client_of(old))

    authority.start_rotation()
    new = authority.issue_device("new")
    assert new.ca.startswith(old.ca)
    assert len(x509.load_pem_x509_certificates(new.ca)) == 2
    assert shake(others_server(), client_of(old))
    assert shake(others_server(), client_of(new))

    authority.finish_rotation()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(others_server(), client_of(old))  # the device refuses the server
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(others_server(), client_of(old, ca=new.ca))  # the server refuses the device
    assert shake(others_server(), client_of(new))
    after = authority.issue_device("after")
    assert len(x509.load_pem_x509_certificates(after.ca)) == 1
    assert shake(others_server(), client_of(after))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(others_server(), client_of(after, ca=old.ca))


def test_why_the_old_authority_signs_the_server_meanwhile(authority, folder, tmp_path, shake, client_of):
    """The two other ways, as docs/decisions/0008 has them: an old device verifies neither."""
    old = authority.issue_device("old")
    authority.start_rotation()
    first, second = authority._signers
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = second.server(key.public_key(), [x509.DNSName("localhost")], datetime(2099, 1, 1, tzinfo=UTC))
    cross = (
        x509.CertificateBuilder(first.certificate.subject, second.certificate.subject)
        .public_key(second.key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(1970, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
    )
    for extension in second.certificate.extensions:
        cross = cross.add_extension(extension.value, extension.critical)
    cross = cross.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(first.key.public_key()), critical=False
    ).sign(first.key, hashes.SHA256())
    pem_files.write_atomically(tmp_path / "key", pem_files.key_pem(key), 0o600)
    for chain, words in (
        ([leaf], "self-signed certificate in certificate chain"),
        ([leaf, cross], "path length constraint exceeded"),
    ):
        pem_files.write_atomically(tmp_path / "chain", pem_files.pem_of(*chain), 0o600)
        server = server_context(TlsFiles(folder / "ca.pem", tmp_path / "chain", tmp_path / "key"))
        with pytest.raises(ssl.SSLCertVerificationError, match=words):
            shake(server, client_of(old))
        assert shake(server, client_of(authority.issue_device("new")))


def test_the_server_is_the_old_authoritys_until_the_change_is_finished(authority, folder):
    certificate, _ = authority.ensure_server_certificate()
    before = certificate.read_bytes()
    authority.start_rotation()
    assert authority.rotating
    assert not authority.renew_server_certificate()
    authority.ensure_server_certificate(["10.0.0.9"])  # made anew, by the old one still
    load(certificate.read_bytes()).verify_directly_issued_by(load(before[before.index(b"-----BEGIN", 1) :]))
    authority.finish_rotation()
    assert not authority.rotating
    assert authority.renew_server_certificate(["10.0.0.9"])
    load(certificate.read_bytes()).verify_directly_issued_by(load(authority.certificate))


def test_a_second_change_waits_for_the_first(authority):
    authority.start_rotation()
    bundle = authority.certificate
    with pytest.raises(CertificateError, match="finish that first"):
        authority.start_rotation()
    assert authority.certificate == bundle


def test_a_change_survives_restarts(authority, folder):
    authority.start_rotation()
    again = CertificateAuthority.load_or_create(folder)
    assert (again.rotating, again.authority, again.certificate) == (
        True,
        authority.authority,
        authority.certificate,
    )
    assert names_in(folder) == ["ca.key", "ca.pem", "next-ca.key"]
    again.finish_rotation()
    assert names_in(folder) == ["ca.key", "ca.pem"]
    third = CertificateAuthority.load_or_create(folder)
    assert (third.rotating, third.authority) == (False, authority.authority)
    third.start_rotation()
    assert third.rotating


class CutError(BaseException):
    """The plug is pulled."""


@pytest.fixture
def cut_before(monkeypatch):
    """Pull the plug before the n-th change of a file: each is whole or not there (write_atomically, move)."""

    def arm(number):
        left = [number]

        def counted(change):
            def run(*args):
                left[0] -= 1
                if left[0] == 0:
                    raise CutError
                return change(*args)

            return run

        monkeypatch.setattr(pki, "move", counted(pem_files.move))
        monkeypatch.setattr(pki, "write_atomically", counted(pem_files.write_atomically))
        monkeypatch.setattr(pem_files, "write_atomically", counted(pem_files.write_atomically))

    return arm


@pytest.mark.parametrize(("number", "begun"), [(1, False), (2, False), (3, True)])
def test_a_start_that_is_cut_has_begun_or_not(authority, folder, cut_before, monkeypatch, number, begun):
    device = authority.issue_device("a")
    cut_before(number)
    if not begun:
        with pytest.raises(CutError):
            authority.start_rotation()
    else:
        authority.start_rotation()
    monkeypatch.undo()
    again = CertificateAuthority.load_or_create(folder)
    assert again.rotating == begun
    assert again.examine(device.certificate).authority
    if not begun:
        again.start_rotation()
    again.finish_rotation()
    assert names_in(folder) == ["ca.key", "ca.pem"]


@pytest.mark.parametrize(("number", "ended"), [(1, False), (2, True), (3, True)])
def test_a_finish_that_is_cut_starts_and_ends(authority, folder, cut_before, monkeypatch, number, ended):
    old = authority.issue_device("old")
    authority.start_rotation()
    new = authority.issue_device("new")
    cut_before(number)
    if number < 3:
        with pytest.raises(CutError):
            authority.finish_rotation()
    else:
        authority.finish_rotation()
    monkeypatch.undo()
    again = CertificateAuthority.load_or_create(folder)
    assert again.rotating == (not ended)
    assert again.authority == authority.authority
    assert bool(again.examine(new.certificate).authority)
    assert bool(again.examine(old.certificate).authority) == (not ended)
    if not ended:
        again.finish_rotation()
    assert names_in(folder) == ["ca.key", "ca.pem"]
    server_context(files_of(again, folder))


def test_what_cannot_be_written_is_said_and_can_be_repeated(authority, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pki, "write_atomically", full)
    with pytest.raises(CertificateError, match=r"No space left.*repeat the command"):
        authority.start_rotation()
    assert not authority.rotating
    monkeypatch.undo()
    authority.start_rotation()
    monkeypatch.setattr(pki, "write_atomically", full)
    with pytest.raises(CertificateError, match="No space left"):
        authority.finish_rotation()
    assert authority.rotating
    monkeypatch.undo()
    authority.finish_rotation()
    assert not authority.rotating
    assert not CertificateAuthority.load_or_create(folder).rotating


def test_a_lost_bundle_is_remade_for_both_keys(authority, folder):
    authority.start_rotation()
    new = authority.issue_device("new")
    (folder / "ca.pem").unlink()
    again = CertificateAuthority.load_or_create(folder)
    assert again.rotating
    assert again.examine(new.certificate).authority == authority.authority


@pytest.mark.parametrize("damage", ["no next key", "another next key", "another key", "three"])
def test_files_of_a_change_that_do_not_fit_are_named(authority, folder, tmp_path, damage):
    authority.start_rotation()
    other = CertificateAuthority.load_or_create(tmp_path / "other")
    if damage == "no next key":
        (folder / "next-ca.key").unlink()
    elif damage == "three":
        (folder / "ca.pem").write_bytes(authority.certificate + other.certificate)
    else:
        name = "next-ca.key" if damage == "another next key" else "ca.key"
        (folder / name).write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(CertificateError, match="backup"):
        CertificateAuthority.load_or_create(folder)
