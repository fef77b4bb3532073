"""What the cloud keeps for one client id."""

import pytest

from edgecore.mqtt import properties as ids
from edgecore.sim.cloud import sessions as room
from edgecore.sim.cloud.sessions import Published, Session


@pytest.fixture
def session():
    session = Session("core-7", 5)
    session.attach(2)
    return session


def offer(session, *payloads, qos=1, **more):
    for payload in payloads:
        session.offer(Published("t", payload, qos, **more), qos, retain=False)


def taken(session, now=0.0):
    return [(packet.payload, packet.packet_id) for packet in session.take(now)]


def test_no_more_than_receive_maximum_is_in_flight(session):
    offer(session, b"1", b"2", b"3")
    assert taken(session) == [(b"1", 1), (b"2", 2)]
    assert (session.in_flight, session.queued) == (2, 1)
    assert session.acknowledge(1)
    assert not session.acknowledge(1)
    assert taken(session) == [(b"3", 3)]


def test_packet_ids_skip_what_is_in_flight(session):
    session._last_id = 0xFFFE
    offer(session, b"1", b"2")
    assert taken(session) == [(b"1", 0xFFFF), (b"2", 1)]
    session._last_id = 0xFFFE
    session.acknowledge(1)
    offer(session, b"3")
    assert taken(session) == [(b"3", 1)]


def test_qos_0_has_no_id_and_no_limit(session):
    offer(session, b"1", b"2", b"3", qos=0)
    assert taken(session) == [(b"1", 0), (b"2", 0), (b"3", 0)]


def test_offline_qos_1_waits_and_qos_0_is_gone(session):
    offer(session, b"gone", qos=0)
    session.detach(10.0, 60)
    offer(session, b"kept")
    offer(session, b"gone", qos=0)
    assert session.expires_at == 70.0
    session.attach(2)
    assert [payload for payload, _ in taken(session)] == [b"kept"]
    assert session.expires_at is None


def test_what_was_in_flight_comes_first_after_a_reconnection(session):
    offer(session, b"1", b"2", b"3")
    taken(session)
    session.detach(0.0, 60)
    session.attach(10)
    assert [payload for payload, _ in taken(session)] == [b"1", b"2", b"3"]


def test_what_is_overdue_is_sent_again_with_a_new_id(session):
    offer(session, b"1")
    assert taken(session, 0.0) == [(b"1", 1)]
    assert session.overdue(29.0, 30.0) == 0
    assert session.overdue(30.0, 30.0) == 1
    assert taken(session, 30.0) == [(b"1", 2)]
    assert not session.acknowledge(1)


def test_an_expired_message_is_not_delivered_and_a_living_one_says_what_remains(session):
    offer(session, b"dead", expires_at=5.0)
    offer(session, b"living", expires_at=65.5)
    (packet,) = session.take(5.0)
    assert packet.properties[ids.MESSAGE_EXPIRY_INTERVAL] == 60
    assert session.dropped == 1


def test_the_queue_is_bounded(session, monkeypatch):
    monkeypatch.setattr(room, "MAX_QUEUED", 1)
    offer(session, b"1", b"2")
    offer(session, b"1", b"2", qos=0)
    assert (session.queued, session.dropped) == (1, 1)
    assert len(taken(session)) == 2
