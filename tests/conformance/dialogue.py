"""What the dialogues are written in: packets built byte by byte, a house of clients, and what each hears."""

from __future__ import annotations

from itertools import count

import pytest
from turn_database import TurnDatabase, session_store

from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.kept_sessions import KeptSessions
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.router import Router

OPEN, CLOSED = False, True
END = "the server ends the connection"
LOST = "the network fails"
# What CONNACK says of this server in 5: Receive Maximum 1024, Maximum Packet Size 262144, and this many
# topic aliases.
ALIASES = 16
ANNOUNCED = bytes.fromhex("210400 2700040000 22") + ALIASES.to_bytes(2, "big")

# Packets, written down ------------------------------------------------------------------------------


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return len(raw).to_bytes(2, "big") + raw


def variable(value):
    """A Variable Byte Integer, seven bits a byte, the lowest first."""
    low, rest = value & 127, value >> 7
    return bytes((low | 128,)) + variable(rest) if rest else bytes((low,))


def packet(first, *parts):
    body = b"".join(parts)
    return bytes((first,)) + variable(len(body)) + body


def packets(data):
    """The whole packets that `data` is made of."""
    found = []
    while data:
        body = 1 + next(place for place in range(1, 5) if data[place] < 128)
        end = body + sum((byte & 127) << 7 * place for place, byte in enumerate(data[1:body]))
        assert len(data) >= end, "half a packet"
        found.append(data[:end])
        data = data[end:]
    return found


def props(version, given=b""):
    return variable(len(given)) + given if version == 5 else b""


def connect(v, client="c", flags=2, keep=60, will=(), given=b"", will_given=b""):
    fields = [text(client)]
    if will:
        fields += [props(v, will_given), text(will[0]), text(will[1])]
    level = bytes((4 if v == 3 else 5, flags))
    return packet(0x10, text("MQTT"), level, keep.to_bytes(2, "big"), props(v, given), *fields)


def connack(v, present=0, given=b""):
    """The answer to a good CONNECT."""
    return packet(0x20, bytes((present, 0)), props(v, ANNOUNCED + given))


CONNACK = {v: connack(v) for v in (3, 5)}


def kept(v, client="c", expiry=3600, flags=0, given=b"", **more):
    """A CONNECT of a session that outlives its connection: for ever in 3.1.1, `expiry` seconds in 5."""
    lasting = b"\x11" + expiry.to_bytes(4, "big") if v == 5 else b""
    return connect(v, client, flags=flags, given=lasting + given, **more)


def publish(v, topic, payload, qos=0, pid=0, retain=0, dup=0, given=b""):
    where = pid.to_bytes(2, "big") if qos else b""
    return packet(0x30 | dup << 3 | qos << 1 | retain, text(topic), where, props(v, given), payload)


def subscribe(v, pid, *filters, given=b""):
    rows = b"".join(text(one) + bytes((options,)) for one, options in filters)
    return packet(0x82, pid.to_bytes(2, "big"), props(v, given), rows)


def suback(v, pid, *codes):
    return packet(0x90, pid.to_bytes(2, "big"), props(v), bytes(codes))


def unsubscribe(v, pid, *filters):
    return packet(0xA2, pid.to_bytes(2, "big"), props(v), *(text(one) for one in filters))


def unsuback(v, pid, *codes):
    return packet(0xB0, pid.to_bytes(2, "big"), props(v), bytes(codes) if v == 5 else b"")


def answer(first, pid, *reason):
    return packet(first, pid.to_bytes(2, "big"), bytes(reason))


def disconnect(reason, why):
    return packet(0xE0, bytes((reason,)), props(5, b"\x1f" + text(why)))


# Every property that travels with a message but its expiry, user properties with a repeat.
PROPERTIES = (
    bytes.fromhex("0101")
    + b"\x03" + text("text/plain") + b"\x08" + text("t/reply") + b"\x09" + text(b"\0\xff")
    + b"\x26" + text("k") + text("2") + b"\x26" + text("a") + text("0") + b"\x26" + text("k") + text("1")
)  # fmt: skip

PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70
PING, PONG, BYE = b"\xc0\0", b"\xd0\0", b"\xe0\0"
WILL, WILL_QOS_1, WILL_QOS_2, WILL_RETAIN = 0x04, 0x08, 0x10, 0x20

# The house ------------------------------------------------------------------------------------------


class Wire:
    def __init__(self):
        self.blocked, self.sent, self.closed = False, b"", False

    def send(self, data):
        assert not self.closed, "a packet after the end"
        self.sent += data

    def finish(self):
        self.closed = True

    def hold_reading(self, hold):
        pass


class Book:
    def lookup(self, fingerprint):
        return fingerprint


class Server:
    """The server side. Made here and nowhere else: what outlives a connection, and what one starts with.

    The disk is there, and its commits are done within the step that causes them.
    """

    def __init__(self):
        self.clock, self.due, self.database = ManualClock(), [], TurnDatabase()
        self.router = Router(self.clock)
        self.specs = {name: DeviceSpec(name, name) for name in "abc"}
        nobody_there = Row(("device:*",), ("f/#",), ("function:f",))
        self.router.set_rows([Row(("device:*",), ("t/#", "$x/#"), ("device:*",)), nobody_there], self.specs)
        settings = ListenerSettings()
        store, _ = session_store(self.database)
        self.kept = KeptSessions(store, self.router, settings, self.clock)
        sessions = Sessions(self.kept, map(str, count(1)).__next__)
        turn = Turn(self.due.append)
        self.door = Door(settings, self.router, sessions, Refusals(), turn, self.clock)
        self.admission = Admission(Book(), self.specs.get)

    def open(self, wire, device):
        """What takes the bytes of a new connection of the device."""
        return DeviceSession(wire, CertificateCredential(self.admission, device), "peer", self.door)

    def wait(self, seconds, sessions):
        """Let virtual time pass for these sessions, and for what is kept of those that are gone."""
        self.clock.advance(seconds)
        for session in sessions:
            session.check(self.clock.monotonic())
        self.kept.sweep()

    def settle(self):
        """Do what is put off to the end of a turn of the loop, and what waits for the disk."""
        while self.due or self.database.commit():
            while self.due:
                self.due.pop(0)()


class House:
    """Any number of clients by name; "a2" is the device of "a" on another connection."""

    def __init__(self):
        self.server, self.wires, self.sessions = Server(), {}, {}

    def client(self, who):
        if who not in self.sessions:
            self.wires[who] = wire = Wire()
            self.sessions[who] = self.server.open(wire, who[0])
        return self.sessions[who]

    def step(self, who, what):
        if isinstance(what, float):
            self.server.wait(what, list(self.sessions.values()))
        elif what == LOST:
            self.client(who).lost()
            del self.wires[who], self.sessions[who]
        else:
            self.client(who).data(what, self.server.clock.monotonic())
        self.server.settle()

    def heard(self):
        """What came to whom since the last look, END at the end of what was closed."""
        found = {}
        for who, wire in list(self.wires.items()):
            if wire.sent or wire.closed:
                found[who] = [each for each in (wire.sent, END if wire.closed else None) if each]
            wire.sent = b""
            if wire.closed:
                del self.wires[who], self.sessions[who]
        return found


def exchange(first, then=""):
    """(what came back after `then`, or after `first` alone; whether the connection was closed)."""
    house, heard = House(), []
    for data in filter(None, (first, then)):
        house.step("a", bytes.fromhex(data))
        heard = house.heard().get("a", [])
    return b"".join(each for each in heard if each != END), END in heard


def play(steps):
    """Go through a dialogue: each step is heard by those it says, and by nobody else."""
    house = House()
    for number, (who, what, expected) in enumerate(steps, 1):
        house.step(who, what)
        expected = {name: [each for each in said if each] for name, said in expected.items()}
        assert house.heard() == expected, f"step {number}"


class OneOf:
    """Bytes of which the standard leaves the order, or the choice, to the server."""

    def __init__(self, *those):
        self.those = those

    def __eq__(self, other):
        return other in self.those

    def __hash__(self):
        return hash(self.those)

    def __repr__(self):
        return f"one of {self.those}"


def hears(**expected):
    return {
        who: [b"".join(each for each in what if each != END), *([END] if END in what else [])]
        if isinstance(what, list)
        else [what]
        for who, what in expected.items()
    }


def arrive(v, *who, client="c", **more):
    return [(one, connect(v, client, **more), hears(**{one: CONNACK[v]})) for one in who]


def come(v, who, present, *then, **more):
    """The client of a session that is kept connects, and hears whether it is there and what it is owed."""
    return (who, kept(v, **more), hears(**{who: [connack(v, present), *then]}))


def take(v, who, topic_filter, options=0, pid=1):
    granted = suback(v, pid, options & 3)
    return (who, subscribe(v, pid, (topic_filter, options)), hears(**{who: granted}))


def both(name_3, name_5, make):
    """The same dialogue in both versions, named by each version's statements."""
    named = []
    for version, numbers, words in ((3, *name_3), (5, *name_5)):
        ids = ", ".join(f"{version}: MQTT-{number}" for number in numbers.split())
        named.append((f"{ids} {words}", make(version)))
    return named


def row(version, numbers, words, steps):
    return [(", ".join(f"{version}: MQTT-{number}" for number in numbers.split()) + f" {words}", steps)]


def rows(table):
    """Test cases of a table whose rows begin with their names."""
    return [pytest.param(*each[1:], id=each[0]) for each in table]
