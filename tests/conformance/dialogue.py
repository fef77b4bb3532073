"""What the dialogues are written in: packets built byte by byte, a house of clients, and what each hears."""

from __future__ import annotations

from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.router import Router

END = "the server ends the connection"
LOST = "the network fails"
CONNACK = {
    3: bytes.fromhex("20020000"),
    5: bytes.fromhex("200f00000c2104002700040000 2900 2a00".replace(" ", "")),
}

# Packets, written down ------------------------------------------------------------------------------


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return len(raw).to_bytes(2, "big") + raw


def packet(first, *parts):
    body = b"".join(parts)
    assert len(body) < 16_384
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 127 | 128, len(body) >> 7))
    return bytes((first,)) + length + body


def props(version, given=b""):
    return bytes((len(given),)) + given if version == 5 else b""


def connect(v, client="c", flags=2, keep=60, will=(), given=b"", will_given=b""):
    fields = [text(client)]
    if will:
        fields += [props(v, will_given), text(will[0]), text(will[1])]
    level = bytes((4 if v == 3 else 5, flags))
    return packet(0x10, text("MQTT"), level, keep.to_bytes(2, "big"), props(v, given), *fields)


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


PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70
PING, PONG, BYE = b"\xc0\0", b"\xd0\0", b"\xe0\0"
WILL, WILL_QOS_1, WILL_RETAIN = 0x04, 0x08, 0x20

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


class House:
    """Any number of clients by name; "a2" is the device of "a" on another connection."""

    def __init__(self):
        self.clock, self.due, self.wires, self.sessions = ManualClock(), [], {}, {}
        self.router, self.registry = Router(self.clock), Sessions()
        self.specs = {name: DeviceSpec(name, name) for name in "abc"}
        self.router.set_rows([Row(("device:*",), ("t/#", "$x/#"), ("device:*",))], self.specs)
        self.turn = Turn(self.due.append)

    def client(self, who):
        if who not in self.sessions:
            self.wires[who] = wire = Wire()
            door = Door(ListenerSettings(), self.router, self.registry, Refusals(), self.turn, self.clock)
            credential = CertificateCredential(Admission(Book(), self.specs.get), who[0])
            self.sessions[who] = DeviceSession(wire, credential, "peer", door)
        return self.sessions[who]

    def step(self, who, what):
        if isinstance(what, float):
            self.clock.advance(what)
            for session in list(self.sessions.values()):
                session.check(self.clock.monotonic())
        elif what == LOST:
            self.client(who).lost()
        else:
            self.client(who).data(what, self.clock.monotonic())
        while self.due:
            self.due.pop()()

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


def hears(**expected):
    return {
        who: [b"".join(each for each in what if each != END), *([END] if END in what else [])]
        if isinstance(what, list)
        else [what]
        for who, what in expected.items()
    }


def arrive(v, *who, client="c", **more):
    return [(one, connect(v, client, **more), hears(**{one: CONNACK[v]})) for one in who]


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
