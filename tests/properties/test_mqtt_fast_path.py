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
from edgecore.mqtt.runs import PLAIN_PUBLISH, plain_run
from edgecore.router import Router


class Slow(DeviceSession):
    """A session without the fast path."""

    __slots__ = ()

    def _forward_runs(self, data):
        return 0


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

    def __init__(self, kind, version, mixed):
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
            (self.session(DeviceSession, "a", version), version),
            (self.session(DeviceSession, "b", other), other),
            (self.session(DeviceSession, "c", version, maximum=60), version),
        ]
        for number, (receiver, its_version) in enumerate(self.receivers):
            topic_filter = ("t/#", "t/a", "+/a")[number]
            packet = p.Subscribe(1, [p.SubscriptionOptions(topic_filter, number)])
            receiver.data(encode(packet, its_version), 0.0)

    def session(self, kind, name, version, maximum=0):
        book = type("Book", (), {"lookup": staticmethod(lambda fingerprint: fingerprint)})
        door = Door(ListenerSettings(), self.router, self.sessions, self.refusals, self.turn, self.clock)
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
            for callback in self.due:
                callback()
            self.due.clear()

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
KINDS = st.sampled_from(["plain", "plain", "plain", "properties", "properties", "qos 1", "large", "ping"])
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
        elif kind == "large":
            data += encode(p.Publish(topic, b"x" * draw(st.integers(100, 20_000))), version)
        elif kind == "properties" and version == V5:
            data += encode(p.Publish(topic, payload, properties=PropertyMap(draw(PROPERTIES))), version)
        else:
            data += encode(p.Publish(topic, payload), version) * draw(st.integers(1, 4))
    return version, data + draw(st.sampled_from(JUNK))


@settings(max_examples=200, deadline=None)
@given(streams(), st.booleans(), st.lists(st.integers(0, 40_000), max_size=8))
def test_the_fast_path_equals_the_general_path(stream, mixed, cuts):
    version, data = stream
    points = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parts = [data[start:end] for start, end in pairwise(points)]
    outcomes = []
    for kind in (DeviceSession, Slow):
        house = House(kind, version, mixed)
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


def decoded(first, body, version):
    """The packet, or the reason code that it is refused with."""
    try:
        return decode(first, body, version)
    except RemoteProtocolError as error:
        return error.reason_code
