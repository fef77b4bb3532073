"""Which records of the outbox are on their way."""

from edgecore.base.backoff import Backoff
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.uplink.window import BEFORE_ALL, Entry, Window, retry_delay


def entries(*ids):
    return [Entry(i, b"", Message(f"t/{i}", b"", 1, device("a")), float(i)) for i in ids]


def drain(window, now=0.0):
    out = []
    while (entry := window.next(now)) is not None:
        out.append(entry.id)
    return out


def filled(limit, *ids):
    window = Window(limit)
    window.add(entries(*ids))
    return window


def test_records_go_out_in_order_up_to_the_limit():
    window = filled(2, 1, 2, 3)
    assert drain(window) == [1, 2]
    assert window.in_flight == 2


def test_a_settled_record_makes_room():
    window = filled(2, 1, 2, 3)
    drain(window)
    assert window.settled(1).id == 1
    assert drain(window) == [3]


def test_settling_twice_is_harmless():
    window = filled(2, 1)
    drain(window)
    window.settled(1)
    assert window.settled(1) is None


def test_a_failed_record_goes_out_again_before_anything_new_once_it_is_due():
    window = filled(2, 1, 2, 3)
    drain(window)
    window.failed(2, due=5.0)
    assert drain(window, now=4.0) == []  # 1 in flight and 2 waiting fill the window
    assert window.next_due() == 5.0
    assert drain(window, now=5.0) == [2]
    assert window.next_due() is None


def test_the_oldest_failed_record_is_first():
    window = filled(3, 1, 2, 3, 4)
    drain(window)
    for failed in (3, 1, 2):
        window.failed(failed, 0.0)
    assert drain(window) == [1, 2, 3]


def test_failing_what_is_not_in_flight_is_ignored():
    window = filled(3, 1)
    window.failed(1, 0.0)
    window.failed(99, 0.0)
    assert drain(window) == [1]


def test_last_is_where_the_queue_is_read_on():
    window = filled(3)
    assert window.last == BEFORE_ALL
    window.add(entries(4, 6))
    assert window.last == 6
    window.skip(9)
    assert window.last == 9


def test_it_is_hungry_until_a_window_is_fetched():
    window = filled(2, 1)
    assert window.hungry
    window.add(entries(2))
    assert not window.hungry


def test_a_disconnect_forgets_what_was_only_read():
    window = filled(2, 1, 2, 3, 4)
    drain(window)
    window.disconnected()
    assert window.last == 2  # 3 is read again
    assert window.in_flight == 2
    window.disconnected()
    assert window.last == 2


def test_what_an_abandoned_client_held_goes_out_again():
    window = filled(2, 1, 2, 3)
    drain(window)
    window.abandoned()
    assert window.in_flight == 0
    assert drain(window) == [1, 2]


def test_attempts_are_counted():
    window = filled(1, 1)
    first = window.next(0.0)
    window.failed(1, 0.0)
    assert window.next(0.0) is first
    assert first.attempts == 2


def test_the_oldest_record_is_the_lowest_id_wherever_it_is():
    window = filled(2, 3, 4, 5)
    assert window.oldest() == 3.0
    drain(window)
    window.failed(3, 9.0)
    assert window.oldest() == 3.0
    assert Window(1).oldest() is None


def test_retries_wait_longer_up_to_a_bound():
    backoff = Backoff(initial=0.5, maximum=60.0)
    assert [retry_delay(backoff, n) for n in (1, 2, 3, 8, 500)] == [0.5, 1.0, 2.0, 60.0, 60.0]
