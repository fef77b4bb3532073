"""Class 16 on each port: a peer that says little, slowly, is cut at a deadline whatever it says.

Real TLS in memory, a transport that keeps what was sent, and a clock that the test moves.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import sys
from pathlib import Path

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec
from edgecore.listener.admission import Admission
from edgecore.listener.crowd import Crowd
from edgecore.listener.door import Door
from edgecore.listener.entrances import entrances
from edgecore.listener.passwords import PasswordRecord
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.tls import TlsFiles
from edgecore.listener.transport import LINGER, Connection
from edgecore.listener.turn import Turn
from edgecore.listener.verifier import Verifier
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import encode
from edgecore.router import Router

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from websocket_frames import BINARY, frame, request  # beside all tests, found by the line above

CONNECT = encode(p.Connect("c", 5, keep_alive=10), 5)
PASSWORD_CONNECT = encode(p.Connect("c", 5, keep_alive=10, username="a", password=b"correct horse"), 5)
PORTS = pytest.mark.parametrize("name", ["mqtt", "websocket", "password"])
WAYS = pytest.mark.parametrize(
    ("name", "before", "data"),
    [
        ("mqtt", b"", CONNECT),
        ("websocket", request(), frame(BINARY, CONNECT)),
        ("password", b"", PASSWORD_CONNECT),
    ],
)


# "correct horse" at a cost that a test can pay.
RECORD = PasswordRecord(
    "00" * 16,
    hashlib.scrypt(hashlib.sha256(b"correct horse").digest(), salt=bytes(16), n=16, r=1, p=1, dklen=32).hex(),
    0.0,
    16,
    1,
    1,
)


class Transport:
    def __init__(self):
        self.out, self.aborted, self.eof = [], False, False

    def get_extra_info(self, _name):
        return ("192.0.2.7", 1234)

    def set_write_buffer_limits(self, high):
        pass

    def write(self, data):
        self.out.append(data)

    def write_eof(self):
        self.eof = True

    def is_closing(self):
        return False

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def abort(self):
        self.aborted = True


class Book:
    def lookup(self, fingerprint):
        return "a"


class Line:
    """A TCP connection to one of the ports, and the TLS client at its other end."""

    def __init__(self, folder, name):
        authority = CertificateAuthority.load_or_create(folder)
        certificate, key = authority.ensure_server_certificate(())
        issued = authority.issue_device("a")
        (folder / "a.pem").write_bytes(issued.certificate + issued.key)
        self.clock, self.due, self.transport = ManualClock(), [], Transport()
        self.settings = ListenerSettings(handshake_timeout=5.0, connect_timeout=7.0, passwords=True)
        self.sessions, self.refusals = Sessions(), Refusals()
        door = Door(
            self.settings,
            Router(self.clock),
            self.sessions,
            self.refusals,
            Turn(self.due.append),
            self.clock,
        )
        specs = {"a": DeviceSpec("a", "a")}
        files = TlsFiles(folder / "ca.pem", certificate, key)
        verifier = Verifier(self, self._run, 1, self.time, b"secret")
        opened = entrances(door, Admission(Book(), specs.get), files, verifier)
        found = {each.name: each for each in opened}
        self.connections, self.stuck = set(), False
        self.connection = Connection(
            found[name].context,
            self.settings,
            self.connections,
            self.refusals,
            found[name].open,
            self,
            Crowd(),
        )
        self.connection.connection_made(self.transport)
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        if name != "password":
            context.load_cert_chain(folder / "a.pem")
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def record(self, name):
        """The password of device a is "correct horse"."""
        return RECORD if name == "a" else None

    def _run(self, work, done):
        """Check a password at once, or (`stuck`) never."""
        if not self.stuck:
            done(work())

    def time(self):
        return self.clock.monotonic()

    def shake_hands(self):
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.exchange()
        return self

    def exchange(self):
        data = self.outgoing.read()
        if data:
            self.connection.data_received(data)
        while self.due:
            self.due.pop()()
        for part in self.transport.out:
            self.incoming.write(part)
        self.transport.out.clear()

    def send(self, data):
        self.tls.write(data)
        self.exchange()

    def wait(self, seconds):
        """Let time pass, and the sweep come by."""
        self.clock.advance(seconds)
        self.connection.check(self.time())

    def drip(self, data, every):
        """Send byte by byte until the connection is cut; gives how many were taken."""
        for count, byte in enumerate(data):
            if self.transport.aborted:
                return count
            self.send(bytes([byte]))
            self.wait(every)
        return len(data)


@PORTS
def test_class_16_half_a_handshake(tmp_path, name):
    line = Line(tmp_path, name)
    with contextlib.suppress(ssl.SSLWantReadError):
        line.tls.do_handshake()
    hello = line.outgoing.read()
    for byte in hello[:4]:
        line.connection.data_received(bytes([byte]))
        line.wait(1.0)
    assert not line.transport.aborted
    line.wait(1.0)
    assert line.transport.aborted
    assert line.refusals.counts == {"handshake": 1}


@PORTS
def test_class_16_a_handshake_and_nothing_more(tmp_path, name):
    line = Line(tmp_path, name).shake_hands()
    line.wait(6.9)
    assert not line.transport.aborted
    line.wait(0.1)
    assert line.transport.aborted
    assert line.refusals.counts == {"connect": 1}


def test_class_16_a_request_for_a_websocket_in_drops(tmp_path):
    line = Line(tmp_path, "websocket").shake_hands()
    assert line.drip(request(), 0.1) < len(request())
    assert line.refusals.counts == {"connect": 1}


@WAYS
def test_class_16_connect_in_drops(tmp_path, name, before, data):
    """The one deadline holds for all that comes before CONNECT is whole: a request buys no time."""
    line = Line(tmp_path, name).shake_hands()
    if before:
        line.send(before)
    assert line.drip(data, 1.0) == 7
    assert line.refusals.counts == {"connect": 1}


def test_class_16_a_password_whose_check_does_not_end(tmp_path):
    """The deadline holds for the wait in line too; what comes of the check later is nobody's."""
    line = Line(tmp_path, "password").shake_hands()
    line.stuck = True
    line.send(PASSWORD_CONNECT)
    line.wait(6.9)
    assert not line.transport.aborted
    line.wait(0.1)
    assert line.transport.aborted
    assert len(line.sessions) == 0


@WAYS
def test_class_16_who_has_connected_and_is_silent(tmp_path, name, before, data):
    line = Line(tmp_path, name).shake_hands()
    if before:
        line.send(before)
    line.send(data)
    assert len(line.sessions) == 1
    line.wait(14.9)
    assert not line.transport.eof
    line.wait(0.2)
    assert line.transport.eof
    assert len(line.sessions) == 0
    line.wait(LINGER)
    assert line.transport.aborted
