import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.mqtt.outbound import MAX_PACKET_ID, QUEUED_OVERHEAD, Outbound, Release
from edgecore.mqtt.packets import PUBACK, PUBCOMP


def outbound(window=10, messages=3, size=10_000):
    return Outbound(window, messages, size)


def message(number):
    return Message("t", str(number).encode(), 1, CORE)


def test_ids_are_never_shared_and_never_zero():
    flight = Outbound(MAX_PACKET_ID, 1, 1)
    ids = {flight.begin(1) for _ in range(MAX_PACKET_ID)}
    assert ids == set(range(1, MAX_PACKET_ID + 1))
    assert not flight.open
    assert flight.finished(77, PUBACK)
    assert flight.begin(2) == 77


def test_the_window_opens_when_a_message_is_acknowledged():
    flight = outbound(window=1)
    packet_id = flight.begin(1)
    assert not flight.open
    assert flight.finished(packet_id, PUBACK)
    assert flight.open
    assert not flight.finished(packet_id, PUBACK)


def test_qos_2_takes_pubrec_and_pubcomp():
    flight = outbound()
    packet_id = flight.begin(2)
    with pytest.raises(RemoteProtocolError):
        flight.finished(packet_id, PUBCOMP)
    assert flight.received(packet_id, failed=False) is Release.NOW
    assert flight.received(packet_id, failed=False) is Release.NOW  # repeated: PUBREL again
    with pytest.raises(RemoteProtocolError):
        flight.finished(packet_id, PUBACK)
    assert flight.finished(packet_id, PUBCOMP)
    assert flight.in_flight == 0


def test_a_failed_pubrec_ends_it():
    flight = outbound()
    packet_id = flight.begin(2)
    assert flight.received(packet_id, failed=True) is Release.FAILED
    assert flight.in_flight == 0
    assert flight.received(packet_id, failed=False) is Release.UNKNOWN


def test_pubrec_for_qos_1_breaks_the_protocol():
    flight = outbound()
    with pytest.raises(RemoteProtocolError):
        flight.received(flight.begin(1), failed=False)


def test_the_queue_drops_its_oldest_by_number_and_counts():
    queue = outbound(messages=3)
    for number in range(5):
        queue.push(message(number), 1, False)
    assert [queue.next(0).message.payload for _ in range(3)] == [b"2", b"3", b"4"]
    assert queue.dropped == 2


def test_the_queue_drops_its_oldest_by_bytes():
    queue = outbound(messages=100, size=2 * (QUEUED_OVERHEAD + 2))
    for number in range(5):
        queue.push(message(number), 1, False)
    assert len(queue.waiting) == 2
    assert queue.dropped == 3


def test_what_expired_in_the_queue_is_passed_over_and_counted():
    queue = outbound()
    queue.push(Message("t", b"old", 1, CORE, expires_at=10.0), 1, False)
    queue.push(message(1), 1, True, (3,), "")
    item = queue.next(10.0)
    assert (item.message.payload, item.retain, item.dup, item.identifiers) == (b"1", True, False, (3,))
    assert queue.dropped == 1
    assert queue.next(10.0) is None


def test_what_came_by_a_share_and_was_not_acknowledged_is_for_another_member():
    queue = outbound(window=2, messages=10)
    sent, done, exactly = queue.begin(1), queue.begin(1), queue.begin(2)
    for packet_id, number, qos in ((sent, 1, 1), (done, 2, 1), (exactly, 3, 2)):
        queue.remember_share(packet_id, "$share/g/t", message(number), qos)
    queue.finished(done, PUBACK)
    queue.push(message(4), 2, False, (), "$share/g/t")
    queue.push(message(5), 1, False)
    assert [(share, each.payload, qos) for share, each, qos in queue.unfinished()] == [
        ("$share/g/t", b"1", 1),
        ("$share/g/t", b"4", 2),
    ]


def test_what_cannot_be_sent_leaves_its_place_and_is_counted():
    queue = outbound(window=1)
    queue.give_up(queue.begin(2))
    assert (queue.in_flight, queue.dropped, queue.open) == (0, 1, True)
