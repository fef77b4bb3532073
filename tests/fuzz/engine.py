"""The fuzzer's three parts: a bench with the real session, the law it must obey, and a mutator.

Bytes go through DeviceSession, so through framer, codec, MQTT session, routes and router, without a socket.
The law: what comes in is accepted, or refused with a documented reason; nothing else ever happens.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from edgecore.base.clock import ManualClock
from edgecore.base.errors import RemoteProtocolError
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.router import Router

CONNECTS = {
    version: encode(p.Connect(f"client of the bench {version}", version), version) for version in (V311, V5)
}
# What a peer may be told, and for what. README.md says the same in words.
DOCUMENTED = frozenset((0x81, 0x82, 0x84, 0x85, 0x87, 0x8C, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x97, 0xA1))
# Topics and filters that a mutation may bring up must not fill the router for the packets after it.
PACKETS_PER_HOUSE = 200_000


class LawError(AssertionError):
    """Something that is neither acceptance nor a documented refusal."""


class Wire:
    __slots__ = ("blocked", "closed", "sent")

    def __init__(self):
        self.blocked, self.closed, self.sent = False, False, []

    def send(self, data):
        self.sent.append(data)

    def finish(self):
        self.closed = True

    def hold_reading(self, hold):
        pass


class Noted:
    """Takes the place of the listener's log of refusals."""

    def __init__(self):
        self.last, self.connects = None, Counter()

    def note(self, kind, peer, reason, now, *, each=False):
        self.last = (kind, reason)


class Book:
    def lookup(self, fingerprint):
        return fingerprint


class Bench:
    """One house with one client, which is connected anew whenever its session has ended."""

    def __init__(self):
        self._settings = ListenerSettings()
        self._build()

    def _build(self):
        self._clock, self._due = ManualClock(), []
        self._router = Router(self._clock)
        specs = {"d": DeviceSpec("d", "d")}
        rows = [Row(("device:*",), ("t/#", "a/+", "$SYS/x"), ("device:*",))]
        self._router.set_rows(rows, specs)
        self._admission = Admission(Book(), specs.get)
        self._sessions, self._turn = Sessions(), Turn(self._due.append)
        self.noted = Noted()
        self._live = {V311: None, V5: None}
        self._taken = 0

    def _open(self):
        wire = Wire()
        door = Door(self._settings, self._router, self._sessions, self.noted, self._turn, self._clock)
        session = DeviceSession(wire, CertificateCredential(self._admission, "d"), "peer", door)
        return session, wire

    def _flush(self):
        due = self._due
        while due:
            due.pop()()

    def _connected(self, version):
        found = self._live[version]
        if found is None:
            session, wire = self._open()
            session.data(CONNECTS[version], 0.0)
            self._flush()
            if wire.closed or not session.live:
                raise LawError("the plain CONNECT was not accepted")
            wire.sent.clear()
            found = self._live[version] = session, wire
        return found

    def give(self, version, data):
        """Feed bytes to a live session of `version`, or (0) as the first packet; gives what became of them.

        Raises LawError when it is neither acceptance nor a documented refusal.
        """
        self._taken += 1
        if self._taken > PACKETS_PER_HOUSE:
            self._build()
        session, wire = self._connected(version) if version else self._open()
        self.noted.last = None
        try:
            if data:
                session.data(data, 0.0)
            self._flush()
        except Exception as error:
            self._live = {V311: None, V5: None}
            raise LawError(f"{type(error).__name__}: {error}") from error
        answers = b"".join(wire.sent)
        wire.sent.clear()
        outcome = _judge(version, data, answers, wire.closed, self.noted.last)
        pending = session._framer.pending
        if wire.closed or not version or pending:
            # An unfinished packet would eat the next one: what is fed is judged by itself.
            if version:
                self._live[version] = None
            session.lost()
        return outcome


def _judge(version, data, answers, closed, refusal):
    # A first packet names its version itself; CONNACK has two bytes in 3.1.1 and more in 5.
    version = version or (V311 if answers[1:2] == b"\x02" else V5)
    said = [decode(first, body, version) for first, body in Framer(1 << 20).feed(answers)]
    if b"".join(encode(each, version) for each in said) != answers:
        raise LawError(f"the server said what it cannot read itself: {answers.hex()}")
    if not closed:
        if refusal is not None and refusal[0] != "connect":
            raise LawError(f"refused and left open: {refusal}")
        return "accepted", tuple(type(each).__name__ for each in said[:1]), ""
    if refusal is None:
        return "ended by the client", (), ""
    last = said[-1] if said else None
    if isinstance(last, p.ConnAck):
        # Accepted and then ended without a word, since 3.1.1 has none: the 0 stands last.
        reasons = {0, 1, 2, 3, 4, 5} if version == V311 else DOCUMENTED
        if last.reason_code not in reasons:
            raise LawError(f"CONNACK with {last.reason_code:#04x}")
        return "refused", (last.reason_code,), refusal[1]
    if isinstance(last, p.Disconnect):
        if version != V5 or last.reason_code not in DOCUMENTED:
            raise LawError(f"DISCONNECT with {last.reason_code:#04x} in version {version}")
        return "refused", (last.reason_code,), refusal[1]
    return "refused", (), refusal[1]


def codec(version, data):
    """The law of the codec alone: what it reads it writes so that it reads the same again."""
    try:
        for first, body in Framer(1 << 20).feed(data):
            packet = decode(first, body, version)
            own = packet.version if isinstance(packet, p.Connect) else version
            ((again, rest),) = Framer(1 << 20).feed(encode(packet, own))
            if decode(again, rest, own) != packet:
                raise LawError(f"read, written and read again is not the same: {data.hex()}")
    except RemoteProtocolError as error:
        if error.reason_code not in DOCUMENTED:
            raise LawError(f"refused with {error.reason_code:#04x}") from error
        return False
    return True


# The values at the borders of MQTT's integers, lengths and wildcards.
BYTES = (0x00, 0x01, 0x02, 0x04, 0x7F, 0x80, 0x81, 0xC0, 0xFF, 0x23, 0x24, 0x2B, 0x2F)


class Mutator:
    """Packets made from a corpus by small changes. The same seed gives the same packets."""

    def __init__(self, seed, corpus):
        self._random = Random(seed)
        self._corpus = corpus

    def next(self):
        """(version, bytes): 0 stands for a first packet."""
        pick = self._random.random
        corpus = self._corpus
        version, seed = corpus[int(pick() * len(corpus))]
        data = bytearray(seed)
        for _ in range(1 + int(pick() * 3)):
            self._change(data, pick)
        if pick() < 0.7 and len(data) > 1:
            self._mend_length(data)
        return version, bytes(data)

    def _change(self, data, pick):
        if not data:
            data.append(int(pick() * 256))
            return
        where, kind = int(pick() * len(data)), int(pick() * 8)
        if kind == 0:
            data[where] ^= 1 << int(pick() * 8)
        elif kind == 1:
            data[where] = BYTES[int(pick() * len(BYTES))]
        elif kind == 2:
            data[where] = int(pick() * 256)
        elif kind == 3:
            del data[where : where + 1 + int(pick() * 4)]
        elif kind == 4:
            data[where:where] = bytes(int(pick() * 256) for _ in range(1 + int(pick() * 4)))
        elif kind == 5:
            data[where:where] = data[where : where + 1 + int(pick() * 8)]
        elif kind == 6:
            del data[where:]
        else:
            _, other = self._corpus[int(pick() * len(self._corpus))]
            data[where:] = other[int(pick() * len(other)) :]

    @staticmethod
    def _mend_length(data):
        """Let the announced length be true, so that the change is seen behind the framer."""
        end = 1
        while end < len(data) - 1 and end < 4 and data[end] & 0x80:
            end += 1
        length, out = len(data) - end - 1, bytearray()
        while True:
            out.append(length & 0x7F | (0x80 if length > 0x7F else 0))
            length >>= 7
            if not length:
                break
        data[1 : end + 1] = out


def read_packets(path):
    """The committed packets of a file: one per line, `VERSION HEX`, with # for remarks."""
    lines = (line.partition("#")[0].split() for line in path.read_text().splitlines())
    return [(int(line[0]), bytes.fromhex("".join(line[1:]))) for line in lines if line]
