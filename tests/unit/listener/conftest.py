"""Throw-away certificates and a listener without sockets, for the listener's tests."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from listening import Book, House
from turn_database import TurnDatabase

from edgecore.listener.tls import TlsFiles

BEGIN, END = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2099, 1, 1, tzinfo=dt.UTC)


@dataclass
class Pki:
    """A folder with ca, server, and the devices `one`, `two`, `expired`, `foreign` (of another CA)."""

    folder: Path

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.folder / "ca.pem", self.folder / "server.pem", self.folder / "server.key")

    def fingerprint(self, name: str) -> str:
        der = ssl.PEM_cert_to_DER_cert((self.folder / f"{name}.pem").read_text())
        return hashlib.sha256(der).hexdigest()

    def client(self, name: str | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.folder / "ca.pem")
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    ca, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    write(folder, "ca", ca, "CA", ca, ca=True)
    write(folder, "server", ec.generate_private_key(ec.SECP256R1()), "CA", ca)
    for name in ("one", "two"):
        write(folder, name, ec.generate_private_key(ec.SECP256R1()), "CA", ca)
    write(
        folder, "expired", ec.generate_private_key(ec.SECP256R1()), "CA", ca, end=BEGIN + dt.timedelta(days=1)
    )
    write(folder, "foreign", ec.generate_private_key(ec.SECP256R1()), "other CA", other)
    return Pki(folder)


def write(folder, name, key, issuer, authority, ca=False, end=END):
    san = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA" if ca else name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(san), critical=False)
        .sign(authority, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@pytest.fixture
def make_house():
    return House


@pytest.fixture
def house():
    return House()


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def keeping():
    """A house that keeps sessions, on a disk of its own."""
    return House(TurnDatabase())


def shake_hands(server, client, name="localhost"):
    """Two ends of TLS in memory, both verifying; gives the client's certificate (DER). Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
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


@pytest.fixture
def shake():
    return shake_hands


@pytest.fixture
def client_of(tmp_path):
    """A TLS client for what a core has issued: certificate, key and CA, as a device keeps them."""

    def make(issued, ca=None, key=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
        context.load_verify_locations(cadata=(ca or issued.ca).decode())
        chain = tmp_path / f"{issued.fingerprint}.pem"
        chain.write_bytes(issued.certificate + (key or issued.key))
        context.load_cert_chain(chain)
        return context

    return make
