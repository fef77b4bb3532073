"""QoS 0 towards the cloud, in memory; more of it in test_outbox.py."""

from collections import Counter

from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.uplink.fleeting import IN_FLIGHT, Fleeting


def message(payload=b"x", **more):
    return Message("a", payload, 0, device("a"), **more)


def made(records=1000, size=1000):
    counts = Counter()
    return Fleeting(records, size, lambda reason, number: counts.update({reason: number})), counts


def test_what_waits_is_bounded_by_number_and_bytes():
    queue, counts = made(records=2, size=10)
    for payload in (b"1", b"2", b"3"):
        queue.put(message(payload))
    queue.put(message(bytes(9)))
    assert counts == {"QoS 0: queue full": 2}
    assert [queue.next(0.0).payload for _ in range(2)] == [b"3", bytes(9)]
    assert queue.next(0.0) is None


def test_few_are_handed_out_at_once():
    queue, counts = made()
    for _ in range(IN_FLIGHT + 1):
        queue.put(message())
    assert [queue.next(0.0) is not None for _ in range(IN_FLIGHT + 1)] == [True] * IN_FLIGHT + [False]
    queue.done(None)
    assert queue.next(0.0) is not None
    queue.done(OSError())
    assert counts == {"QoS 0: not sent": 1}


def test_a_client_that_is_gone_tells_nothing_more():
    queue, _ = made()
    for _ in range(IN_FLIGHT + 1):
        queue.put(message())
    for _ in range(IN_FLIGHT):
        queue.next(0.0)
    queue.forget()
    queue.done(None)  # late
    assert queue.next(0.0) is not None


def test_expired_ones_and_those_at_a_cut_are_counted():
    queue, counts = made()
    queue.put(message(expires_at=5.0))
    queue.put(message())
    assert queue.next(5.0).expires_at is None
    queue.put(message())
    queue.drop()
    queue.drop()
    assert counts == {"QoS 0: expired": 1, "QoS 0: offline": 1}
