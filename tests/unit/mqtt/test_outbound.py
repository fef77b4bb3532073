from array import array
from collections import deque

import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.outbound import MAX_PACKET_ID, QUEUED_OVERHEAD, Outbound, Release
from edgecore.mqtt.packets import PUBACK, PUBCOMP, V5
from edgecore.mqtt.runs import acked_run


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


def a_run(*payloads):
    frames = b"".join(encode(p.Publish("t", each, 1, packet_id=9), V5) for each in payloads)
    return acked_run(frames, 0, True), frames


def read(found):
    frames, number = found
    packets = [decode(first, body, V5) for first, body in Framer(1 << 20).feed(frames)]
    assert len(packets) == number
    return [(each.packet_id, each.payload) for each in packets]


def test_a_run_goes_out_as_the_window_opens_and_behind_what_waits():
    queue = outbound(window=3, messages=10)
    first = queue.begin(1)
    queue.push(message(0), 1, False)
    queue.push_run(*a_run(b"1", b"2", b"3", b"4"))
    assert queue.queued == 5
    assert queue.next_frames(V5, 0.0, 1000) is None
    assert queue.next(0.0).message.payload == b"0"
    assert read(queue.next_frames(V5, 0.0, 1000)) == [(3, b"1")]
    assert not queue.open
    assert queue.finished(first, PUBACK)
    assert queue.next(0.0) is None
    assert read(queue.next_frames(V5, 0.0, 1000)) == [(4, b"2")]
    assert queue.finish_run(array("H", [2, 3, 4]))
    assert read(queue.next_frames(V5, 0.0, 20)) == [(5, b"3"), (6, b"4")]
    assert (queue.queued, queue.waiting, queue.in_flight) == (0, deque(), 2)


def test_the_oldest_of_a_run_give_way_one_by_one():
    queue = outbound(messages=3)
    queue.push_run(*a_run(b"1", b"2"))
    queue.push_run(*a_run(b"3", b"4", b"5"))
    queue.keep_bounds()
    assert (queue.queued, queue.dropped) == (3, 2)
    assert [payload for _, payload in read(queue.next_frames(V5, 0.0, 1000))] == [b"3", b"4", b"5"]


def test_a_run_by_bytes_gives_way_too():
    run, frames = a_run(b"1", b"2", b"3")
    queue = outbound(messages=100, size=2 * (QUEUED_OVERHEAD + run.size))
    queue.push_run(run, frames)
    queue.keep_bounds()
    assert [payload for _, payload in read(queue.next_frames(V5, 0.0, 1000))] == [b"2", b"3"]


def test_a_run_goes_on_where_identifiers_are_taken_or_go_round():
    queue = outbound(window=MAX_PACKET_ID, messages=10)
    queue._last_id = MAX_PACKET_ID - 1
    queue._acks.add(2)
    queue.push_run(*a_run(b"1", b"2", b"3"))
    found = []
    while queue.queued:
        found += read(queue.next_frames(V5, 0.0, 1000))
    assert found == [(MAX_PACKET_ID, b"1"), (1, b"2"), (3, b"3")]


def test_acknowledgements_that_are_not_due_are_taken_one_by_one():
    queue = outbound()
    assert queue.begin(1) == 1
    exactly = queue.begin(2)
    for ids in ([1, 1], [1, 9], [1, exactly]):
        assert not queue.finish_run(array("H", ids))
    queue.remember_share(1, "$share/g/t", message(1), 1)
    assert not queue.finish_run(array("H", [1]))
    assert queue.in_flight == 2
