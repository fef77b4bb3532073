"""The laws of the codec and the framer: what is written is read, any split gives the same, junk is refused."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20)
TOPIC = st.text("ab/é$ ", min_size=1, max_size=12)
FILTER = st.sampled_from(["#", "+", "a/#", "+/b", "a//b", "/", "$share/g/a", "ü"])
ID = st.integers(1, 65_535)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)
MESSAGE_PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        pr.PAYLOAD_FORMAT_INDICATOR: st.integers(0, 1),
        pr.MESSAGE_EXPIRY_INTERVAL: st.integers(0, 2**32 - 1),
        pr.CONTENT_TYPE: TEXT,
        pr.RESPONSE_TOPIC: TOPIC,
        pr.CORRELATION_DATA: st.binary(max_size=20),
        pr.USER_PROPERTY: PAIRS,
    },
).map(PropertyMap)
REASON = st.fixed_dictionaries({}, optional={pr.REASON_STRING: TEXT, pr.USER_PROPERTY: PAIRS}).map(
    PropertyMap
)


@st.composite
def publishes(draw, version):
    qos = draw(st.integers(0, 2))
    properties = draw(MESSAGE_PROPERTIES) if version == V5 else None
    return p.Publish(
        draw(TOPIC),
        draw(st.binary(max_size=300)),
        qos,
        draw(st.booleans()),
        draw(st.booleans()) if qos else False,
        draw(ID) if qos else 0,
        properties or None,
    )


@st.composite
def connects(draw, version):
    def bag():
        return draw(MESSAGE_PROPERTIES) if version == V5 else PropertyMap()

    will = None
    if draw(st.booleans()):
        will = p.Will(
            draw(TOPIC), draw(st.binary(max_size=30)), draw(st.integers(0, 2)), draw(st.booleans()), bag()
        )
    username = draw(st.none() | TEXT)
    password = draw(st.none() | st.binary(max_size=9)) if version == V5 or username is not None else None
    return p.Connect(
        draw(TEXT), version, draw(st.booleans()), draw(st.integers(0, 65_535)), username, password, will
    )


@st.composite
def subscribes(draw, version):
    def options():
        qos = draw(st.integers(0, 2))
        topic_filter = draw(FILTER)
        if version == V311:
            return p.SubscriptionOptions(topic_filter, qos)
        no_local = draw(st.booleans()) and not topic_filter.startswith("$share")
        return p.SubscriptionOptions(
            topic_filter, qos, no_local, draw(st.booleans()), draw(st.integers(0, 2))
        )

    return p.Subscribe(draw(ID), [options() for _ in range(draw(st.integers(1, 4)))])


def packets(version):
    failed = st.sampled_from([0, 0x87, 0x97]) if version == V5 else st.just(0)
    reason = REASON if version == V5 else st.just(PropertyMap())
    return st.one_of(
        publishes(version),
        connects(version),
        subscribes(version),
        st.builds(p.PubAck, ID, failed, reason),
        st.builds(p.PubRec, ID, failed, reason),
        st.builds(p.PubRel, ID),
        st.builds(p.PubComp, ID),
        st.builds(p.Unsubscribe, ID, st.lists(FILTER, min_size=1, max_size=4)),
        st.builds(p.SubAck, ID, st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=4)),
        st.just(p.PingReq()),
        st.just(p.Disconnect()),
    )


VERSIONED = st.sampled_from([V311, V5]).flatmap(
    lambda v: st.tuples(st.just(v), st.lists(packets(v), max_size=6))
)


def split(data, cuts):
    points = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(points)]


@given(VERSIONED, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_what_is_written_is_read_back(versioned, cuts):
    version, sent = versioned
    framer = Framer(1 << 20)
    data = b"".join(encode(packet, version) for packet in sent)
    read = [decode(first, body, version) for part in split(data, cuts) for first, body in framer.feed(part)]
    assert read == sent
    assert len(framer.unfinished) == 0


def reason_of(action):
    """The reason code that `action` was refused with, or None."""
    try:
        action()
    except RemoteProtocolError as error:
        return error.reason_code
    return None


def read_all(framer, data, version):
    return [decode(first, body, version) for first, body in framer.feed(data)]


@given(st.integers(0, 255), st.binary(max_size=80), st.sampled_from([0, V311, V5]))
def test_junk_is_read_or_refused_with_a_documented_reason(first, body, version):
    reason = reason_of(lambda: decode(first, body, version))
    assert reason is None or 0x80 <= reason <= 0xA2


@given(VERSIONED, st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused(versioned, where, value):
    version, sent = versioned
    data = bytearray(b"".join(encode(packet, version) for packet in sent))
    if not data:
        return
    data[where % len(data)] = value
    reason = reason_of(lambda: read_all(Framer(1 << 16), bytes(data), version))
    assert reason is None or 0x80 <= reason <= 0xA2


@given(st.binary(max_size=200), st.integers(2, 64))
def test_a_framer_holds_no_more_than_its_cap(data, cap):
    framer = Framer(cap)
    for index in range(len(data)):
        reason = reason_of(lambda: list(framer.feed(data[index : index + 1])))  # noqa: B023  called at once
        # Nothing is announced before the fixed header is whole: at most five bytes.
        assert len(framer.unfinished) <= max(cap, 5)
        if reason is not None:
            assert reason in (0x81, 0x95)
            return
