"""The fast path gives what the general path gives, for any stream of packets in any split."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore.base.clock import ManualClock
from edgecore.base.errors import RemoteProtocolError
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.runs import (
    MAX_PLAIN_PACKET,
    PLAIN_PUBLISH,
    acked_run,
    plain_run,
    puback_run,
    pubacks_of,
    renumbered,
)
from edgecore.router import Router


class Slow(DeviceSession):
    """A session without the fast path."""

    __slots__ = ()

    def _runs(self, ways, data, now):
        return data


class Wire:
    def __init__(self):
        self.blocked = False
        self.sent = []

    def send(self, data):
        self.sent.append(data)

    def finish(self):
        self.sent.append("finished")

    def hold_reading(self, hold):
        pass


class House:
    """A publisher and three subscribers, of which one may speak the other version."""

    def __init__(self, kind, version, mixed=False, asked=(0, 1, 2), window=256, answers="all", queue=1000):
        self.settings = ListenerSettings(max_in_flight=window, max_queued=queue)
        self.answers, self.read = answers, [0, 0, 0]
        self.router, self.due, self.clock = Router(ManualClock()), [], ManualClock()
        self.specs = {name: DeviceSpec(name, name) for name in ("pub", "a", "b", "c")}
        # "as" and a denied topic are on some routes, so that both kinds of way are met.
        rows = [
            Row(("device:*",), ("t/#",), ("device:*",)),
            Row(("device:*",), ("as/+",), ("device:*",), as_topic="t/renamed"),
        ]
        self.router.set_rows(rows, self.specs)
        self.turn, self.sessions, self.refusals = Turn(self.due.append), Sessions(), Refusals()
        self.publisher = self.session(kind, "pub", version)
        other = V5 + V311 - version if mixed else version
        self.receivers = [
            (self.session(kind, "a", version), version),
            (self.session(kind, "b", other), other),
            (self.session(kind, "c", version, maximum=60), version),
        ]
        for number, (receiver, its_version) in enumerate(self.receivers):
            topic_filter = ("t/#", "t/a", "+/a")[number]
            packet = p.Subscribe(1, [p.SubscriptionOptions(topic_filter, asked[number])])
            receiver.data(encode(packet, its_version), 0.0)

    def session(self, kind, name, version, maximum=0):
        book = type("Book", (), {"lookup": staticmethod(lambda fingerprint: fingerprint)})
        door = Door(self.settings, self.router, self.sessions, self.refusals, self.turn, self.clock)
        made = kind(Wire(), CertificateCredential(Admission(book, self.specs.get), name), "peer", door)
        properties = (
            PropertyMap({pr.MAXIMUM_PACKET_SIZE: maximum}) if maximum and version == V5 else PropertyMap()
        )
        made.data(encode(p.Connect(name, version, properties=properties), version), 0.0)
        return made

    def play(self, parts):
        for part in parts:
            if part and self.publisher.live:
                self.publisher.data(part, 0.0)
            self.turn_over()
            self.acknowledge()
            self.turn_over()

    def turn_over(self):
        while self.due:
            self.due.pop(0)()

    def acknowledge(self):
        """Let the receivers answer what they heard at QoS 1 since last time, in one piece."""
        for index, (session, version) in enumerate(self.receivers):
            heard = session._wire.sent[self.read[index] :]
            self.read[index] = len(session._wire.sent)
            frames = Framer(1 << 20).feed(b"".join(each for each in heard if each != "finished"))
            packets = [decode(first, body, version) for first, body in frames]
            ids = [each.packet_id for each in packets if isinstance(each, p.Publish) and each.qos == 1]
            answers = b"".join(encode(p.PubAck(each), version) for each in ids)
            if self.answers == "none" or not answers or not session.live:
                continue
            if self.answers == "odd":  # one that is not due, a request, half a packet
                answers += encode(p.PubAck(0xFFFF), version) + b"\xc0\0" + answers[:2]
            session.data(answers, 0.0)
            if self.answers == "odd":
                session.data(answers[2:4], 0.0)

    def outcome(self):
        received = []
        for session, version in [*self.receivers, (self.publisher, 0)]:
            data = b"".join(each for each in session._wire.sent if each != "finished")
            ended = "finished" in session._wire.sent
            if version:
                frames = Framer(1 << 20).feed(data)
                received.append((ended, [decode(first, body, version) for first, body in frames]))
            else:
                received.append((ended, data))
        return received, self.router.published, self.router.delivered, self.router.denied


TOPICS = st.sampled_from(["t/b", "t/a", "t/é", "as/x", "denied"])


JUNK = [b"", b"\x30\x80\0", b"\x30\2\0\1", b"\x30\4\0\1+\0", b"\x31\5\0\3t/a", b"\x38\3\0\1t", b"\x30"]
PAYLOADS = st.sampled_from([b"", b"x", b"y", b"\0" * 20]) | st.binary(max_size=40)
KINDS = st.sampled_from(
    [
        "plain",
        "plain",
        "plain",
        "properties",
        "properties",
        "qos 1",
        "qos 1 run",
        "qos 1 run",
        "large",
        "ping",
    ]
)
PROPERTIES = st.sampled_from([{pr.CONTENT_TYPE: "x"}, {pr.MESSAGE_EXPIRY_INTERVAL: 0}, {pr.TOPIC_ALIAS: 1}])


@st.composite
def streams(draw):
    version = draw(st.sampled_from([V311, V5]))
    data = b""
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(KINDS)
        topic, payload = draw(TOPICS), draw(PAYLOADS)
        if kind == "ping":
            data += encode(p.PingReq(), version)
        elif kind == "qos 1":
            data += encode(p.Publish(topic, payload, 1, packet_id=draw(st.integers(1, 9))), version)
        elif kind == "qos 1 run":
            first = draw(st.integers(1, 0xFFFF))
            for number in range(first, min(first + draw(st.integers(1, 20)), 0x1_0000)):
                data += encode(p.Publish(topic, payload, 1, packet_id=number), version)
            data += draw(
                st.sampled_from(
                    [b"", b"", b"", encode(p.Publish(topic, payload, 1, packet_id=1), version)[:-1]]
                )
            )
        elif kind == "large":
            data += encode(p.Publish(topic, b"x" * draw(st.integers(100, 20_000))), version)
        elif kind == "properties" and version == V5:
            data += encode(p.Publish(topic, payload, properties=PropertyMap(draw(PROPERTIES))), version)
        else:
            data += encode(p.Publish(topic, payload), version) * draw(st.integers(1, 4))
    return version, data + draw(st.sampled_from(JUNK))


@settings(max_examples=200, deadline=None)
@given(
    streams(),
    st.booleans(),
    st.lists(st.integers(0, 40_000), max_size=8),
    st.sampled_from([(0, 1, 2), (1, 1, 1), (1, 2, 1), (2, 2, 2)]),
    st.sampled_from([256, 256, 3]),
    st.sampled_from(["all", "all", "none", "odd"]),
    st.sampled_from([1000, 1000, 4]),
)
def test_the_fast_path_equals_the_general_path(stream, mixed, cuts, asked, window, answers, queue):
    version, data = stream
    points = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parts = [data[start:end] for start, end in pairwise(points)]
    outcomes = []
    for kind in (DeviceSession, Slow):
        house = House(kind, version, mixed, asked, window, answers, queue)
        house.play(parts)
        outcomes.append(house.outcome())
    assert outcomes[0] == outcomes[1]


@given(st.binary(max_size=60), st.booleans())
def test_a_run_is_what_the_framer_and_the_decoder_see(rest, has_properties):
    data = bytes((PLAIN_PUBLISH,)) + rest
    version = V5 if has_properties else V311
    run = plain_run(data, 0, has_properties)
    if run is None:
        return
    topic, end, count = run
    framed = list(Framer(1 << 20).feed(data[:end]))
    assert len(framed) == count
    for first, body in framed:
        packet = decoded(first, body, version)
        if isinstance(packet, int):
            assert packet in (0x81, 0x90)  # a topic that is none: the session looks at it once
        else:
            assert (packet.qos, packet.retain, packet.dup, packet.properties) == (0, False, False, None)
            assert packet.topic.encode() == topic[2:]


@given(
    st.sampled_from([V311, V5]),
    st.text("tab/", min_size=1, max_size=9),
    st.binary(max_size=300),
    st.lists(st.integers(1, 0xFFFF), min_size=1, max_size=30),
    st.integers(1, 0xFFFF),
    st.binary(max_size=9),
)
def test_a_run_at_qos_1_is_answered_and_renumbered_as_its_packets_would_be(
    version, topic, payload, ids, first, rest
):
    first = min(first, 0xFFFF - len(ids))
    data = b"".join(encode(p.Publish(topic, payload, 1, packet_id=each), version) for each in ids)
    run = acked_run(data + rest, 0, version == V5)
    if len(data) // len(ids) > MAX_PLAIN_PACKET:
        assert run is None
        return
    assert run.number >= len(ids)
    run = run.shorter(len(ids))
    assert data[: run.end] == data
    assert pubacks_of(run.highs, run.lows) == b"".join(encode(p.PubAck(each), version) for each in ids)
    renamed = b"".join(
        encode(p.Publish(topic, payload, 1, packet_id=first + each), version) for each in range(len(ids))
    )
    assert renumbered(data, run, first) == renamed


@given(st.lists(st.integers(0, 0xFFFF), max_size=50), st.binary(max_size=9))
def test_a_run_of_pubacks_is_its_identifiers(ids, rest):
    data = b"".join(b"\x40\x02" + each.to_bytes(2, "big") for each in ids)
    end, found = puback_run(data + rest, 0)
    assert list(found)[: len(ids)] == ids
    assert end == 4 * len(found)
    assert len(found) == len(ids) or rest.startswith(b"\x40\x02")


def test_a_packet_identifier_of_0_is_no_run():
    data = b"".join(encode(p.Publish("t", b"", 1, packet_id=each), V311) for each in (1, 2, 256))
    assert acked_run(data, 0, False).number == 3
    assert acked_run(data + bytes.fromhex("3205000174 0000"), 0, False) is None


def decoded(first, body, version):
    """The packet, or the reason code that it is refused with."""
    try:
        return decode(first, body, version)
    except RemoteProtocolError as error:
        return error.reason_code
