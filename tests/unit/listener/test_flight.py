from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import COUNT_SHIFT, RUN
from edgecore.listener.flight import Flight
from edgecore.mqtt.packets import PUBACK, PUBCOMP, PUBREC


def run_of(count, packet_id=10):
    return Flight(Entry(1, 100, packet_id, 1 | RUN | count - 1 << COUNT_SHIFT))


def test_a_run_is_sent_message_by_message_and_done_with_its_last_acknowledgement():
    flight = run_of(3)
    assert [flight.take() for _ in range(3)] == [0, 1, 2]
    assert flight.sent
    assert [flight.finish(each) for each in (12, 10, 11)] == [False, False, True]


def test_a_new_connection_gets_what_was_not_acknowledged():
    flight = run_of(4)
    for _ in range(3):
        flight.take()
    flight.finish(10)
    flight.finish(12)
    assert flight.unacknowledged() == [11, 13]
    flight.start_again()
    assert (flight.again, flight.sent) == (True, False)
    assert [flight.take(), flight.take()] == [1, 3]
    assert flight.sent
    assert not flight.finish(11)
    assert flight.finish(13)


def test_what_is_awaited_follows_the_qos_and_what_the_client_has():
    assert run_of(1).awaited == PUBACK
    exactly = Flight(Entry(1, 100, 10, 2))
    assert exactly.awaited == PUBREC
    exactly.awaited = PUBCOMP
    exactly.start_again()
    assert exactly.awaited == PUBREC
    released = Flight(Entry(1, 0, 10, 2), released=True)
    released.start_again()
    assert released.awaited == PUBCOMP
