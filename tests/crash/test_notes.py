"""Both halves of a client's session, packet by packet."""

from edgecore.mqtt import packets as p
from tests.crash.law import Stream
from tests.crash.notes import ReceiverNotes, SenderNotes

ONE, TWO = Stream("a", 1), Stream("b", 2)


def test_qos_1_is_over_with_puback_and_sent_again_until_then():
    notes = SenderNotes()
    first = notes.begin(ONE, 1, b"x", retain=True)
    assert first == p.Publish("a", b"x", 1, True, False, 1)
    assert notes.resend() == [p.Publish("a", b"x", 1, True, True, 1)]
    outcome = notes.take(p.PubAck(1))
    assert (outcome.flight.number, outcome.answer, outcome.over) == (1, None, outcome.flight)
    assert notes.resend() == []
    assert notes.take(p.PubAck(1)).flight is None


def test_qos_2_is_acknowledged_with_pubrec_and_over_with_pubcomp():
    notes = SenderNotes()
    notes.begin(TWO, 1, b"x")
    outcome = notes.take(p.PubRec(1))
    assert (outcome.flight.number, outcome.answer, outcome.over) == (1, p.PubRel(1), None)
    assert notes.resend() == [p.PubRel(1)]
    again = notes.take(p.PubRec(1))
    assert (again.flight, again.answer) == (None, p.PubRel(1))
    assert notes.take(p.PubComp(1)).over.number == 1
    assert (notes.resend(), notes.in_flight) == ([], 0)


def test_what_is_owed_is_sent_again_in_order_releases_in_the_order_of_pubrec():
    notes = SenderNotes()
    for number in range(1, 6):
        notes.begin(TWO, number, b"%d" % number)
    notes.take(p.PubRec(3))
    notes.take(p.PubRec(2))
    again = notes.resend()
    assert again[:2] == [p.PubRel(3), p.PubRel(2)]
    assert [(packet.packet_id, packet.dup) for packet in again[2:]] == [(1, True), (4, True), (5, True)]


def test_a_refusal_ends_the_handshake():
    notes = SenderNotes()
    notes.begin(ONE, 1, b"")
    notes.begin(TWO, 1, b"")
    for packet in (p.PubAck(1, 0x97), p.PubRec(2, 0x97)):
        outcome = notes.take(packet)
        assert (outcome.reason, outcome.answer, outcome.over) == (0x97, None, None)
    assert notes.in_flight == 0


def test_a_packet_id_is_not_taken_while_it_is_in_use_and_at_once_afterwards():
    notes = SenderNotes()
    notes.begin(TWO, 1, b"")
    notes.take(p.PubRec(1))
    assert notes.begin(ONE, 1, b"").packet_id == 2
    notes.take(p.PubComp(1))
    assert notes.begin(ONE, 2, b"").packet_id == 1


def test_without_a_session_nothing_is_known():
    notes = SenderNotes()
    notes.begin(ONE, 1, b"")
    notes.begin(TWO, 1, b"")
    notes.take(p.PubRec(2))
    notes.forget()
    assert (notes.resend(), notes.in_flight) == ([], 0)


def test_a_receiver_acknowledges_and_takes_a_qos_2_message_once():
    notes = ReceiverNotes()
    assert notes.take(p.Publish("a", b"0")) == (True, None, "")
    assert notes.take(p.Publish("a", b"1", 1, packet_id=5)) == (True, p.PubAck(5), "")
    two = p.Publish("b", b"2", 2, packet_id=6)
    assert notes.take(two) == (True, p.PubRec(6), "")
    assert notes.take(p.Publish("b", b"2", 2, dup=True, packet_id=6)) == (False, p.PubRec(6), "")
    assert notes.unreleased == 1
    assert notes.take(p.PubRel(6)) == (False, p.PubComp(6), "")
    assert notes.take(two)[0]


def test_a_packet_id_given_away_twice_is_seen():
    notes = ReceiverNotes()
    notes.take(p.Publish("b", b"2", 2, packet_id=6))
    new, answer, wrong = notes.take(p.Publish("b", b"3", 2, packet_id=6))
    assert (new, answer) == (False, p.PubRec(6))
    assert "packet id 6 of b" in wrong


def test_a_receiver_without_a_session_takes_everything_as_new():
    notes = ReceiverNotes()
    two = p.Publish("b", b"2", 2, packet_id=6)
    notes.take(two)
    notes.forget()
    assert notes.take(two)[0]
