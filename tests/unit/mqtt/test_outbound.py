import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.mqtt.outbound import MAX_PACKET_ID, QUEUED_OVERHEAD, Outbound
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
    assert flight.received(packet_id, failed=False)
    assert flight.received(packet_id, failed=False)  # repeated: PUBREL again
    with pytest.raises(RemoteProtocolError):
        flight.finished(packet_id, PUBACK)
    assert flight.finished(packet_id, PUBCOMP)
    assert flight.in_flight == 0


def test_a_failed_pubrec_ends_it():
    flight = outbound()
    packet_id = flight.begin(2)
    assert not flight.received(packet_id, failed=True)
    assert flight.in_flight == 0
    assert not flight.received(packet_id, failed=False)


def test_pubrec_for_qos_1_breaks_the_protocol():
    flight = outbound()
    with pytest.raises(RemoteProtocolError):
        flight.received(flight.begin(1), failed=False)


def test_the_queue_drops_its_oldest_by_number_and_counts():
    queue = outbound(messages=3)
    for number in range(5):
        queue.push(message(number), 1, False)
    assert [queue.pop()[0].payload for _ in range(3)] == [b"2", b"3", b"4"]
    assert queue.dropped == 2


def test_the_queue_drops_its_oldest_by_bytes():
    queue = outbound(messages=100, size=2 * (QUEUED_OVERHEAD + 2))
    for number in range(5):
        queue.push(message(number), 1, False)
    assert len(queue.waiting) == 2
    assert queue.dropped == 3
