import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.base.interfaces import Receipt
from edgecore.listener.acknowledging import Acknowledging
from edgecore.listener.traffic import Traffic
from edgecore.mqtt import packets as p
from edgecore.mqtt.acceptance import SessionLimits
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.runs import acked_run
from edgecore.mqtt.server_session import OVER, ServerSession

BOTH = pytest.mark.parametrize("version", [V311, V5])
DENIED, DONE = Receipt(allowed=False), Receipt(allowed=True)


class Case:
    """A client's session over a connection that writes down what it is told."""

    def __init__(self, version=V5, receive_maximum=10):
        self.version, self.told = version, []
        self.mqtt = ServerSession(SessionLimits(receive_maximum=receive_maximum))
        self.receive(p.Connect("c", version))
        self.mqtt.accept(p.Connect("c", version), "c")
        self.mqtt.take()
        self.clock, self.traffic = ManualClock(), Traffic()
        self.it = Acknowledging(self.mqtt, self, self.traffic, self.clock)

    def receive(self, packet):
        ((first, body),) = Framer(1 << 20).feed(encode(packet, self.version))
        return self.mqtt.receive(first, body)

    def publish(self, packet_id, qos, receipt):
        self.receive(p.Publish("t", b"", qos, packet_id=packet_id))
        self.it.answer(packet_id, qos, receipt)

    def waiting(self, packet_id, qos=1):
        commit = Commit()
        self.publish(packet_id, qos, Receipt(allowed=True, commits=(commit,)))
        return commit

    @property
    def said(self):
        return [decode(first, body, self.version) for first, body in Framer(1 << 20).feed(self.mqtt.take())]

    # The connection

    def stir(self):
        self.told.append("stir")

    def hold_reading(self, hold):
        self.told.append("hold" if hold else "go on")

    def let_go(self, packet_id):
        self.told.append(("let go", packet_id))

    def not_stored(self, reason):
        self.told.append(reason)


@BOTH
def test_what_has_nothing_to_wait_for_is_answered_at_once(version):
    case = Case(version)
    case.publish(1, 1, DONE)
    case.publish(2, 2, DONE)
    assert case.said == [p.PubAck(1), p.PubRec(2)]
    assert case.told == []


def test_what_no_route_allows_is_named_where_the_version_can():
    for version, code in ((V5, 0x87), (V311, 0)):
        case = Case(version)
        case.publish(1, 1, DENIED)
        case.publish(2, 2, DENIED)
        assert case.said == [p.PubAck(1, code), p.PubRec(2, code)]


def test_answers_wait_for_all_their_commits_and_keep_their_order():
    case = Case()
    first, second = Commit(), Commit()
    case.publish(1, 2, Receipt(allowed=True, commits=(first, second)))
    third = case.waiting(2)
    case.publish(3, 1, DONE)
    third.resolve()
    first.resolve()
    assert case.said == []
    second.resolve()
    assert case.said == [p.PubRec(1), p.PubAck(2), p.PubAck(3)]
    assert "stir" in case.told


def test_a_run_is_answered_in_one_piece_in_its_place():
    case = Case()
    commit = case.waiting(1)
    data = b"".join(encode(p.Publish("t", b"", 1, packet_id=each), V5) for each in (5, 6, 7))
    later = Commit()
    case.it.answer_run(acked_run(data, 0, True), [later])
    later.resolve()
    assert case.said == []
    commit.resolve()
    assert case.said == [p.PubAck(1), p.PubAck(5), p.PubAck(6), p.PubAck(7)]
    case.it.answer_run(acked_run(data, 0, True), [])
    assert case.said == [p.PubAck(5), p.PubAck(6), p.PubAck(7)]


def test_a_refusal_is_named_in_5_and_ends_the_connection_in_3_1_1():
    refused = Receipt(allowed=True, refused="full")
    case = Case(V5)
    case.publish(1, 1, refused)
    case.publish(2, 2, refused)
    assert case.said == [p.PubAck(1, 0x97), p.PubRec(2, 0x97)]
    assert case.told == [("let go", 2)]
    case = Case(V311)
    case.publish(1, 1, refused)
    case.publish(2, 2, refused)
    assert case.said == []
    assert case.told == ["full", ("let go", 2), "full"]


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_a_commit_that_fails_is_a_refusal_and_frees_the_identifier(version, qos):
    case = Case(version)
    case.waiting(1, qos).resolve(StoreError("no disk"))
    kind = p.PubAck if qos == 1 else p.PubRec
    assert case.said == ([kind(1, 0x97)] if version == V5 else [])
    assert (("let go", 1) in case.told) == (qos == 2)
    assert ("no disk" in case.told) == (version == V311)
    if qos == 2 and version == V5:
        assert case.receive(p.Publish("t", b"", 2, packet_id=1)) is not None  # it is new again


@pytest.mark.parametrize("error", [None, StoreError("no disk")])
def test_what_is_durable_when_the_connection_is_gone_is_known_on_the_next_one(error):
    case = Case()
    commit = case.waiting(1, 2)
    once = case.waiting(2, 1)
    case.mqtt.state = OVER
    commit.resolve(error)
    once.resolve(error)
    assert case.said == []
    assert case.told == ([] if error is None else [("let go", 1)])
    known = case.mqtt._inbound.begin(1).value
    assert known == ("taken" if error is None else "new")


def test_reading_stops_while_as_much_waits_as_was_announced():
    case = Case(receive_maximum=2)
    first = case.waiting(1)
    assert case.told == []
    second = case.waiting(2, 2)
    assert case.told == ["hold"]
    first.resolve()
    assert case.told == ["hold", "go on", "stir"]
    second.resolve()
    assert case.said == [p.PubAck(1), p.PubRec(2)]


def test_one_at_a_time_is_timed_from_its_arrival_to_its_answer():
    case = Case()
    first, second = case.waiting(1), case.waiting(2)
    case.clock.advance(0.5)
    second.resolve()
    first.resolve()
    failed = case.waiting(3)
    case.clock.advance(3.0)
    failed.resolve(StoreError("no disk"))
    case.waiting(4).resolve()
    status = case.traffic.acknowledged.status()
    assert (status["buckets"][-1], status["sum"]) == (["+Inf", 2], 0.5)
