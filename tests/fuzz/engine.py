"""The fuzzer's three parts: a bench with real sessions, the law they must obey, and a mutator.

Bytes go through DeviceSession, so through framer, codec, MQTT session, routes, router and the sessions that are
kept on disk, without a socket. The law: what comes in is accepted, or refused with a documented reason; nothing
else ever happens, to those who only listen neither.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from listening import House, Peer
from turn_database import TurnDatabase

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.group import Row
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

# What a peer may be told, and for what. README.md says the same in words.
DOCUMENTED = frozenset((0x81, 0x82, 0x84, 0x85, 0x87, 0x8C, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x97))
SUBACK = {V311: frozenset((0, 1, 2, 0x80)), V5: frozenset((0, 1, 2, 0x87, 0x8F, 0x97))}
UNSUBACK = frozenset((0, 0x11))
# Of PUBACK and PUBREC; of PUBREL and PUBCOMP, which may only say that nothing is known.
TAKEN, KNOWN = frozenset((0, 0x10, 0x87, 0x97)), frozenset((0, 0x92))
# Topics and filters that a mutation may bring up must not fill the house for the packets after it.
PACKETS_PER_HOUSE = 50_000
# Packets after which those who listen read, and time goes on a little.
PACKETS_PER_LOOK = 64
# Small, so that all bounds are reached within a house's life.
BOUNDS = {
    "max_subscriptions": 20,
    "receive_maximum": 20,
    "max_queued": 20,
    "session_records": 8,
    "session_bytes": 1024,
    "sessions_bytes": 4096,
    "max_sessions": 12,
}
FOR_EVER = 0xFFFF_FFFF


class LawError(AssertionError):
    """Something that is neither acceptance nor a documented refusal."""


class Noted:
    """Takes the place of the listener's log of refusals."""

    def __init__(self):
        self.last, self.counts, self.connects = None, Counter(), Counter()

    def note(self, kind, peer, reason, now, *, each=False):
        self.last = (kind, reason)


class Listener:
    """A correct client that only listens. Whatever others send, what reaches it is what MQTT allows."""

    def __init__(self, house, client_id, version, filters, *, kept=False, bounds=()):
        properties = PropertyMap(bounds)
        if kept and version == V5:
            properties[pr.SESSION_EXPIRY_INTERVAL] = FOR_EVER
        self.connect = p.Connect(client_id, version, not kept, properties=properties)
        self.house, self.version, self.peer, self.filters, self.id = house, version, None, filters, 0
        self.come()
        for number, (topic_filter, qos, identifier) in enumerate(filters, 1):
            given = PropertyMap({pr.SUBSCRIPTION_IDENTIFIER: [identifier]} if identifier else {})
            self.peer.send(p.Subscribe(number, [p.SubscriptionOptions(topic_filter, qos)], given))
        self.look()

    def come(self):
        self.peer = Peer(self.house, self.house.session("two"), self.version)
        self.peer.send(self.connect)

    def go(self):
        self.peer.session.lost()
        self.peer = None

    def look(self):
        """Read and answer what came. Raises LawError for what may not come."""
        peer = self.peer
        data, answers = b"".join(peer.wire.sent), bytearray()
        peer.wire.sent.clear()
        for packet in _read(data, self.version):
            if isinstance(packet, p.Publish) and packet.qos:
                answers += bytes((0x40 if packet.qos == 1 else 0x50, 2)) + packet.packet_id.to_bytes(2, "big")
            elif isinstance(packet, p.PubRel):
                answers += bytes((0x70, 2)) + packet.packet_id.to_bytes(2, "big")
            elif isinstance(packet, p.Disconnect):
                raise LawError(f"a correct client was told {packet}")
        if peer.wire.finished:
            raise LawError("a correct client was disconnected")
        if answers:
            peer.send(bytes(answers))


class Bench:
    """One house, in which bytes are fed to clients that are connected anew whenever their session has ended.

    Of each version there is one of which nothing is kept and one whose session is kept on disk.
    """

    def __init__(self):
        self._build()

    def _build(self):
        house = self._house = House(TurnDatabase(), **BOUNDS)
        house.routes(
            Row(("device:*",), ("t/#", "a/+", "$SYS/x"), ("device:*",)),
            Row(("device:*",), ("b/#",), ("device:*",), as_topic="t/b"),
        )
        self.noted = house.refusals = Noted()
        self._live = dict.fromkeys([(version, kept) for version in (V311, V5) for kept in (False, True)])
        self._taken = 0
        plain, several = [("t/#", 1, 0)], [("t/+", 2, 7), ("t/#", 1, 8), ("$share/g/#", 2, 9)]
        slow = {pr.RECEIVE_MAXIMUM: 3}
        small = {pr.TOPIC_ALIAS_MAXIMUM: 4, pr.MAXIMUM_PACKET_SIZE: 64}
        self._listeners = [
            Listener(house, "plain", V311, [("t/#", 0, 0)]),
            Listener(house, "once", V311, [("#", 2, 0)], kept=True),
            Listener(house, "sharing", V311, [("$share/g/#", 1, 0)]),
            Listener(house, "few", V5, several, kept=True, bounds=slow),
            Listener(house, "aliases", V5, plain, bounds=small),
        ]
        self._absent = Listener(house, "absent", V5, plain, kept=True)
        self._absent.go()

    def _connected(self, version, kept):
        found = self._live[version, kept]
        if found is not None and found.over:
            _taken_over(version, b"".join(found._wire.sent))
            found = None
        if found is None:
            self.noted.last, session = None, self._house.session("one")
            properties = PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 100} if kept and version == V5 else {})
            if version == V5:
                properties[pr.TOPIC_ALIAS_MAXIMUM] = 3
            connect = p.Connect(f"{version} {kept}", version, not kept, properties=properties)
            session.data(encode(connect, version), 0.0)
            self._house.turn_over()
            if self.noted.last is not None and "max_sessions is reached" in self.noted.last[1]:
                self._build()  # those who came before have left as many sessions as are kept
                return self._connected(version, kept)
            if not session.live:
                raise LawError(f"the plain CONNECT was not accepted: {self.noted.last}")
            session._wire.sent.clear()
            found = self._live[version, kept] = session
        return found

    def give(self, version, data):
        """Feed bytes to a live session of `version`, or (0) as the first packet; gives what became of them.

        Raises LawError when it is neither acceptance nor a documented refusal.
        """
        self._taken += 1
        if self._taken > PACKETS_PER_HOUSE:
            self._build()
        key = version, self._taken % 8 == 0
        session = self._connected(*key) if version else self._house.session("one")
        wire = session._wire
        self.noted.last = None
        try:
            if data:
                session.data(data, self._house.clock.monotonic())
            self._house.turn_over()
            if self._taken % PACKETS_PER_LOOK == 0:
                self._look_round()
        except Exception as error:
            self._build()
            raise LawError(f"{type(error).__name__}: {error}") from error
        answers = b"".join(wire.sent)
        wire.sent.clear()
        outcome = _judge(version, answers, wire.finished, self.noted.last)
        pending = bool(session._framer.unfinished)
        if wire.finished or not version or pending:
            # An unfinished packet would eat the next one: what is fed is judged by itself.
            if version:
                self._live[key] = None
            session.lost()
        return outcome

    def _look_round(self):
        """Those who listen read, one of them comes and goes, and wills and sessions become due."""
        house = self._house
        self._absent.come()
        house.turn_over()
        for each in (*self._listeners, self._absent):
            each.look()
        house.turn_over()
        self._absent.go()
        house.clock.advance(1)
        house.kept.sweep()
        house.turn_over()


def _read(data, version):
    """What the server said. Raises LawError for what it cannot read itself, or for a reason it may not give."""
    try:
        said = [decode(first, body, version) for first, body in Framer(1 << 20).feed(data)]
    except RemoteProtocolError as error:
        raise LawError(f"the server said {data.hex()}: {error}") from error
    if b"".join(encode(each, version) for each in said) != data:
        raise LawError(f"the server said what it cannot read itself: {data.hex()}")
    for each in said:
        if isinstance(each, p.SubAck):
            known, codes = SUBACK[version], each.reason_codes
        elif isinstance(each, p.UnsubAck):
            known, codes = UNSUBACK, each.reason_codes
        elif isinstance(each, p.PubAck | p.PubRec):
            known, codes = TAKEN, (each.reason_code,)
        elif isinstance(each, p.PubRel | p.PubComp):
            known, codes = KNOWN, (each.reason_code,)
        else:
            continue
        if not known.issuperset(codes):
            raise LawError(f"{each}")
    return said


def _taken_over(version, answers):
    """A first packet came under its name. Raises LawError if it was ended for anything else."""
    said = _read(answers, version)
    if version == V5 and getattr(said[-1], "reason_code", 0) != 0x8E:
        raise LawError(f"ended by {said}")


def _judge(version, answers, closed, refusal):
    # A first packet names its version itself; CONNACK has two bytes in 3.1.1 and more in 5.
    version = version or (V311 if answers[1:2] == b"\x02" else V5)
    said = _read(answers, version)
    if not closed:
        if refusal is not None and refusal[0] not in ("connect", "full"):
            raise LawError(f"refused and left open: {refusal}")
        return "accepted", tuple(type(each).__name__ for each in said[:1]), ""
    last = said[-1] if said else None
    if refusal is None or (refusal[0] == "full" and version == V5 and not isinstance(last, p.Disconnect)):
        # A message that found no room is no reason to end a connection in 5.
        return "ended by the client", (), ""
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
        """(version, bytes): 0 stands for a first packet. One in eight is a run of several packets."""
        version, data = self._one()
        if self._random.random() < 0.125:
            data = self._run(version, data)
        return version, data

    def _run(self, version, data):
        """The same packet some times, under packet identifiers that follow each other, then another one."""
        out = bytearray()
        for number in range(1 + int(self._random.random() * 5)):
            out += _numbered(data, number)
        other, more = self._corpus[int(self._random.random() * len(self._corpus))]
        return bytes(out + more if other == version else out)

    def _one(self):
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


def _numbered(data, number):
    """A PUBLISH at QoS 1 or 2 of fewer than 128 bytes under an identifier that is so much higher."""
    at = 4 + data[3] if len(data) > 3 else len(data)
    if not (data[:1] >= b"0" and data[0] >> 4 == p.PUBLISH and data[0] & 6) or at + 2 > len(data):
        return data
    packet_id = int.from_bytes(data[at : at + 2], "big") + number & 0xFFFF
    return data[:at] + packet_id.to_bytes(2, "big") + data[at + 2 :]


def read_packets(path):
    """The committed packets of a file: one per line, `VERSION HEX`, with # for remarks."""
    lines = (line.partition("#")[0].split() for line in path.read_text().splitlines())
    return [(int(line[0]), bytes.fromhex("".join(line[1:]))) for line in lines if line]
