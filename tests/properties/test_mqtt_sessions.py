"""The laws of the server session: QoS 1 at least once and in order, QoS 2 exactly once, ids never collide."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.acceptance import SessionLimits
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.server_session import LIVE, ServerSession


def live(version, window=5, limits=None):
    session = ServerSession(limits or SessionLimits())
    properties = PropertyMap({pr.RECEIVE_MAXIMUM: window}) if version == V5 else PropertyMap()
    give(session, p.Connect("c", version, properties=properties), version)
    session.accept(p.Connect("c", version, properties=properties), "")
    session.take()
    return session


def give(session, packet, version):
    data = encode(packet, version)
    ((first, body),) = Framer(1 << 20).feed(data)
    return session.receive(first, body)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40),
    st.randoms(use_true_random=False),
    st.integers(1, 8),
)
def test_everything_arrives_in_order_through_a_small_window(plan, random, window):
    """Messages and answers in any interleaving; the client answers in any order."""
    session = live(V5, window)
    arrived, to_answer = [], []

    def client_reads():
        for first, body in Framer(1 << 20).feed(session.take()):
            packet = decode(first, body, V5)
            if isinstance(packet, p.Publish):
                arrived.append(int(packet.payload))
                if packet.qos:
                    kind = p.PubAck if packet.qos == 1 else p.PubRec
                    assert all(each.packet_id != packet.packet_id for each in to_answer)
                    to_answer.append(kind(packet.packet_id))
            else:
                to_answer.append(p.PubComp(packet.packet_id))
        assert session.outbound.in_flight <= window

    def client_answers():
        packet = to_answer.pop(random.randrange(len(to_answer)))
        give(session, packet, V5)
        session.pump(0.0)
        client_reads()

    for number, (qos, answer) in enumerate(plan):
        session.deliver(Message("t", b"%d" % number, qos, CORE), qos, False, 0.0)
        client_reads()
        if answer and to_answer:
            client_answers()
    while to_answer:
        client_answers()
    acknowledged = [number for number, (qos, _) in enumerate(plan) if qos]
    assert [number for number in arrived if plan[number][0]] == acknowledged
    assert sorted(arrived) == list(range(len(plan)))
    assert session.outbound.in_flight == 0


@given(st.lists(st.tuples(st.sampled_from(["publish", "release", "settle"]), st.integers(1, 4)), max_size=40))
def test_qos_2_is_handed_over_once_per_release(steps):
    session = live(V311)
    held, taken = {}, set()
    for step, packet_id in steps:
        if step == "publish":
            found = give(session, p.Publish("t", b"", 2, packet_id=packet_id), V311)
            assert (found is not None) == (packet_id not in taken)
            if found is not None:
                taken.add(packet_id)
                held[packet_id] = session.hold(packet_id, 2)
        elif step == "settle" and packet_id in held:
            session.settle(held.pop(packet_id))
        elif step == "release" and packet_id in taken:
            try:
                give(session, p.PubRel(packet_id), V311)
            except RemoteProtocolError:
                continue  # its PUBREC is held behind another one: the client was too early
            taken.discard(packet_id)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_acknowledgements_keep_the_order_of_receipt(immediate, random):
    session = live(V311)
    held = []
    for index, at_once in enumerate(immediate, 1):
        give(session, p.Publish("t", b"", 1, packet_id=index), V311)
        if at_once:
            session.acknowledge(index, 1)
        else:
            held.append(session.hold(index, 1))
    random.shuffle(held)
    for pending in held:
        session.settle(pending)
    answers = [decode(first, body, V311).packet_id for first, body in Framer(1 << 20).feed(session.take())]
    assert answers == list(range(1, len(immediate) + 1))


@given(st.binary(max_size=120), st.sampled_from([V311, V5]))
def test_a_live_session_takes_or_refuses_any_bytes(data, version):
    session = live(version)
    framer = Framer(1 << 16)
    try:
        for first, body in framer.feed(data):
            session.receive(first, body)
            if session.state != LIVE:
                break
    except RemoteProtocolError as error:
        session.fail(error)
        assert session.state != LIVE
