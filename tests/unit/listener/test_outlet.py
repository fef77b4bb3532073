"""What becomes of bytes for a client that does not read, and of that client's own."""

import pytest
from listening import House
from turn_database import TurnDatabase

from edgecore.listener.outlet import MAX_UNREAD_ANSWERS
from edgecore.listener.unread import ENTRY_OVERHEAD, Unread
from edgecore.listener.wire import HIGH_WATER
from edgecore.mqtt import packets as p

PING = b"\xc0\0"
VERSIONS = pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])


def memory_of(peer):
    return peer.session._outlet._memory


@VERSIONS
@pytest.mark.parametrize(
    "packet",
    [PING, p.Publish("t/a", b"", 1, packet_id=1), p.Publish("t/a", b"", 2, packet_id=1), p.PubRel(7)],
    ids=["PINGREQ", "QoS 1", "QoS 2 again", "PUBREL"],
)
def test_who_does_not_read_its_answers_is_not_read_either(version, packet):
    house = House()
    peer = house.device("one", version)
    peer.wire.blocked = True
    for _ in range(MAX_UNREAD_ANSWERS):
        peer.send(packet)
        house.turn_over()
    assert not peer.wire.holding
    peer.send(packet)
    peer.send(packet)
    house.turn_over()
    assert peer.wire.holding
    peer.wire.blocked = False
    peer.session.writable()
    assert not peer.wire.holding
    assert len(peer.receive()) > MAX_UNREAD_ANSWERS


def test_a_few_large_answers_are_as_many_small_ones():
    house = House(max_unsent=1000, max_packet_size=20_000)
    peer = house.device()
    peer.wire.blocked = True
    peer.send(p.Unsubscribe(1, ["t"] * 6000))
    peer.send(p.Unsubscribe(1, ["t"] * 6000))
    peer.send(p.Unsubscribe(1, ["t"] * 6000))
    house.turn_over()
    assert peer.session._mqtt.unsent < 21_000
    assert not peer.wire.holding
    peer.send(*(p.Unsubscribe(1, ["t"] * 6000) for _ in range(1)))
    house.turn_over()
    assert peer.wire.holding


def test_messages_alone_hold_nobody():
    """A subscriber that is slow may go on to speak: what it gets has bounds of its own."""
    house = House(max_unsent=5000)
    one, slow = house.device("one"), house.device("two")
    slow.subscribe()
    slow.wire.blocked = True
    for _ in range(2000):
        one.send(p.Publish("t/a", b"x" * 100))
        house.turn_over()
    assert slow.session.dropped > 1900
    assert not slow.wire.holding


def test_two_reasons_not_to_read_are_not_one():
    """A client with too many unread answers that also has as much uncommitted as may be."""
    house = House()
    peer = house.device()
    outlet = peer.session._outlet
    peer.wire.blocked = True
    peer.send(PING * (MAX_UNREAD_ANSWERS + 1))
    house.turn_over()
    outlet.hold_reading(hold=True)
    outlet.hold_reading(hold=False)
    assert peer.wire.holding
    outlet.hold_reading(hold=True)
    peer.wire.blocked = False
    peer.session.writable()
    assert peer.wire.holding
    outlet.hold_reading(hold=False)
    assert not peer.wire.holding


def test_what_waits_for_a_slow_client_is_known_to_the_house():
    house = House()
    one, slow = house.device("one"), house.device("two")
    slow.subscribe()
    memory = memory_of(slow)
    one.send(p.Publish("t/a", b"x" * 100))
    house.turn_over()
    assert memory.bytes == 0

    send, slow.wire.send = slow.wire.send, lambda data: (send(data), setattr(slow.wire, "blocked", True))
    one.send(p.Publish("t/a", b"x" * 100))
    house.turn_over()
    stuck = HIGH_WATER + len(slow.wire.sent[-1])
    assert memory.bytes == stuck
    one.send(p.Publish("t/a", b"x" * 100))
    house.turn_over()
    assert memory.bytes == stuck + slow.session._mqtt.unsent + ENTRY_OVERHEAD
    slow.wire.send, slow.wire.blocked = send, False
    slow.session.writable()
    assert memory.bytes == 0


def test_what_waits_for_acknowledgements_counts_too():
    house = House(max_in_flight=1)
    one, slow = house.device("one"), house.device("two")
    slow.subscribe(qos=1)
    for number in range(1, 4):
        one.send(p.Publish("t/a", b"x" * 100, 1, packet_id=number))
        house.turn_over()
    held = slow.session._mqtt.outbound.held_bytes
    assert 200 < held == memory_of(slow).bytes
    slow.send(p.PubAck(1), p.PubAck(2), p.PubAck(3))
    slow.send(p.Disconnect())
    assert memory_of(slow).bytes == 0


def test_a_kept_session_counts_what_of_it_is_in_memory():
    house = House(TurnDatabase(), max_in_flight=1)
    one, slow = house.device("one"), house.kept_device("two")
    slow.subscribe(qos=1)
    for number in range(1, 4):
        one.send(p.Publish("t/a", b"x" * 100, 1, packet_id=number))
        house.turn_over()
    held = slow.session._mqtt.outbound.held_bytes
    assert 200 < held == memory_of(slow).bytes


def test_who_takes_most_is_disconnected_when_all_memory_is_used():
    house = House()
    house.unread = Unread(3 * HIGH_WATER)
    one, slow, slower = house.device("one"), house.device("two"), house.device("three")
    for number, each in enumerate((slow, slower)):
        each.subscribe()
        each.session._outlet._stuck = HIGH_WATER + number * 50_000
        each.session._outlet.holds = each.wire.blocked = True
    while not slower.wire.finished:
        one.send(p.Publish("t/a", b"x" * 10_000))
        house.turn_over()
        assert not slow.wire.finished
    assert house.refusals.counts == {"slow": 1}
    assert len(house.sessions) == 2
    for _ in range(5):
        one.send(p.Publish("t/a", b"x" * 10_000))
        house.turn_over()
    assert not slow.wire.finished
