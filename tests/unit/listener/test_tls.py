import contextlib
import ssl

import pytest

from edgecore.base.errors import CertificateError
from edgecore.listener.tls import MAX_HANDSHAKE_BYTES, TlsChannel, TlsFiles, check_trustable, server_context


class TlsClient:
    """The other end, in memory."""

    def __init__(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def step(self, data=b""):
        self.incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def write(self, data):
        self.tls.write(data)
        return self.outgoing.read()

    def read(self, data):
        self.incoming.write(data)
        found = b""
        try:
            while part := self.tls.read(1 << 20):
                found += part
        except ssl.SSLWantReadError:
            pass
        return found


def establish(pki, name="one", version=None):
    context = pki.client(name)
    if version:
        context.maximum_version = version
    channel, client = TlsChannel(server_context(pki.files)), TlsClient(context)
    data = client.step()
    while not channel.established:
        data = client.step(channel.handshake(data))
    client.step(data)
    return channel, client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_certificate_is_known_by_its_fingerprint(pki, version):
    channel, _ = establish(pki, "one", version)
    assert channel.fingerprint() == pki.fingerprint("one")


def test_bytes_go_both_ways(pki):
    channel, client = establish(pki)
    assert channel.decrypt(client.write(b"hello")) == b"hello"
    assert client.read(channel.encrypt(b"x" * 100_000)) == b"x" * 100_000


def test_many_records_are_read_at_once_and_a_cut_one_later(pki):
    channel, client = establish(pki)
    data = b"".join(client.write(b"%d," % number) for number in range(50)) + client.write(b"y" * 40_000)
    assert channel.decrypt(data[:-10]).startswith(b"0,1,2,")
    assert channel.decrypt(data[-10:-5]) == b""
    assert channel.decrypt(data[-5:]).endswith(b"y" * 100)


def test_what_comes_with_the_last_handshake_bytes_is_not_lost(pki):
    channel, client = TlsChannel(server_context(pki.files)), TlsClient(pki.client("one"))
    finish = client.step(channel.handshake(client.step()))
    channel.handshake(finish + client.write(b"early"))
    assert channel.established
    assert channel.has_input
    assert channel.decrypt(b"") == b"early"
    assert not channel.has_input


def test_a_close_is_seen_and_said(pki):
    channel, client = establish(pki)
    data = client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert channel.decrypt(data + client.outgoing.read()) == b"last"
    assert channel.closed
    assert channel.close()


def test_our_close_reaches_the_peer(pki):
    channel, client = establish(pki)
    client.incoming.write(channel.close())
    assert client.tls.read(10) == b""


@pytest.mark.parametrize("name", [None, "foreign"])
def test_a_bad_certificate_fails_the_handshake_and_the_peer_hears_why(pki, name):
    channel, client = TlsChannel(server_context(pki.files)), TlsClient(pki.client(name))
    with pytest.raises(ssl.SSLError):
        channel.handshake(client.step(channel.handshake(client.step())))
    assert not channel.established
    with pytest.raises(ssl.SSLError):
        client.read(channel.take())


def test_the_dates_of_a_certificate_are_left_to_the_registry(pki):
    """A clock of 1970 must not lock out who holds a certificate that began later (docs/decisions/0011)."""
    channel, _ = establish(pki, "expired")
    assert channel.fingerprint() == pki.fingerprint("expired")


def test_what_tls_cannot_trust_is_refused(pki):
    check_trustable((pki.folder / "one.pem").read_text())
    for pem in ("", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(CertificateError, match="TLS cannot use"):
            check_trustable(pem)


def test_old_tls_is_refused(pki):
    context = pki.client("one")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    channel, client = TlsChannel(server_context(pki.files)), TlsClient(context)
    with pytest.raises(ssl.SSLError):
        channel.handshake(client.step())


def test_a_handshake_has_an_end(pki):
    channel = TlsChannel(server_context(pki.files))
    with pytest.raises(ssl.SSLError):
        channel.handshake(b"\x16\x03\x01\x40\x00" + b"\1" * MAX_HANDSHAKE_BYTES)


def test_broken_records_raise(pki):
    channel, client = establish(pki)
    data = bytearray(client.write(b"hello"))
    data[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        channel.decrypt(bytes(data))


def test_files_that_cannot_be_used_are_named(pki, tmp_path):
    with pytest.raises(CertificateError, match=r"ca\.pem"):
        server_context(TlsFiles(tmp_path / "ca.pem", pki.files.certificate, pki.files.key))
