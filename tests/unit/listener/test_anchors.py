"""Certificates that are trusted by themselves, by real handshakes in memory."""

import gc
import ssl

import pytest

from edgecore.listener.anchors import Anchors
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.tls import TlsFiles, server_context


class Foreigner:
    """Another's authority, as AWS IoT is: it issues certificates that a device brings along."""

    def __init__(self, folder):
        self.authority = CertificateAuthority.load_or_create(folder)

    def issue(self, name="AWS IoT Certificate"):
        issued = self.authority.issue_device(name.replace(" ", "-"))
        return issued, ssl.PEM_cert_to_DER_cert(issued.certificate.decode())


@pytest.fixture
def foreigner(tmp_path):
    return Foreigner(tmp_path / "foreign")


@pytest.fixture
def core(tmp_path):
    return CertificateAuthority.load_or_create(tmp_path / "core")


@pytest.fixture
def files(core, tmp_path):
    return TlsFiles(tmp_path / "core" / "ca.pem", *core.ensure_server_certificate(), Anchors())


def test_an_anchor_is_trusted_and_nothing_else_of_its_issuer(core, files, foreigner, shake, client_of):
    one, der = foreigner.issue()
    sibling, _ = foreigner.issue()
    files.anchors.add(one.fingerprint, der)
    context = server_context(files)
    assert shake(context, client_of(one, ca=core.certificate)) == der
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake(context, client_of(sibling, ca=core.certificate))


def test_a_context_in_use_takes_a_new_one(core, files, foreigner, shake, client_of):
    one, der = foreigner.issue()
    context = server_context(files)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, client_of(one, ca=core.certificate))
    files.anchors.add(one.fingerprint, der)
    assert shake(context, client_of(one, ca=core.certificate)) == der
    assert shake(context, client_of(core.issue_device("own")))


def test_a_forgotten_one_is_gone_from_the_next_context(core, files, foreigner, shake, client_of):
    one, der = foreigner.issue()
    files.anchors.add(one.fingerprint, der)
    assert one.fingerprint in files.anchors
    assert files.anchors.discard(one.fingerprint)
    assert not files.anchors.discard(one.fingerprint)
    assert len(files.anchors) == 0
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_context(files), client_of(one, ca=core.certificate))


def test_a_damaged_one_keeps_nobody_else_out(core, files, foreigner, shake, client_of, caplog):
    one, der = foreigner.issue()
    files.anchors.add("damaged", b"\x30\x03abc")
    files.anchors.add(one.fingerprint, der)
    assert shake(server_context(files), client_of(one, ca=core.certificate)) == der
    assert "register it again fingerprint=damaged" in caplog.text


def test_contexts_that_nobody_uses_are_not_kept():
    anchors = Anchors()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    anchors.load_into(context)
    assert len(anchors._contexts) == 1
    del context
    gc.collect()
    assert len(anchors._contexts) == 0
