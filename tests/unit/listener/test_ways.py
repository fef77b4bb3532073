"""The fast path at QoS 1 to sessions that are kept, and what it leaves to the general one."""

import pytest
from turn_database import TurnDatabase

from edgecore.base.group import Row
from edgecore.listener import ways
from edgecore.listener.bodies import MAX_RUN
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

BOTH = pytest.mark.parametrize("version", [V311, V5])


def publishes(version, count, topic="t/a", first=1, payload=b"payload %03d"):
    return b"".join(
        encode(p.Publish(topic, payload % number, 1, packet_id=number), version)
        for number in range(first, first + count)
    )


def payloads(packets):
    return [each.payload for each in packets if isinstance(each, p.Publish)]


def sent(count, first=1):
    return [b"payload %03d" % number for number in range(first, first + count)]


def rows(house):
    return house.database.connection.execute("SELECT count(*) FROM session_messages").fetchone()[0]


@BOTH
def test_a_run_is_one_row_acknowledged_after_its_commit_and_gone_with_its_last_puback(keeping, version):
    two = keeping.kept_device("two", version)
    two.subscribe(qos=1)
    one = keeping.device("one", version)
    keeping.committing = False
    one.send(publishes(version, 50))
    got = two.receive()
    assert payloads(got) == sent(50)
    assert one.receive() == []
    keeping.committing = True
    assert one.receive() == [p.PubAck(number) for number in range(1, 51)]
    assert rows(keeping) == 1
    two.send(*(p.PubAck(each.packet_id) for each in got[:-1]))
    two.receive()
    assert rows(keeping) == 1
    two.send(p.PubAck(got[-1].packet_id))
    two.receive()
    assert rows(keeping) == 0
    assert keeping.kept.status()["bytes"] == 0


@BOTH
def test_a_long_run_is_several_rows(keeping, version):
    two = keeping.kept_device("two", version)
    two.subscribe(qos=1)
    one = keeping.device("one", version)
    one.send(publishes(version, 300))
    assert len(one.receive()) == 300
    assert rows(keeping) == -(-300 // MAX_RUN)


@BOTH
@pytest.mark.parametrize("reader", [V311, V5])
def test_a_run_survives_a_power_cut_for_a_reader_of_either_version(keeping, version, reader):
    two = keeping.kept_device("two", reader)
    two.subscribe(qos=1)
    two.session.lost()
    one = keeping.device("one", version)
    one.send(publishes(version, 5))
    assert len(one.receive()) == 5
    house = keeping.restarted()
    two = house.kept_device("two", reader)
    assert payloads(two.first) == sent(5)
    two.send(*(p.PubAck(each.packet_id) for each in two.first[:3]))
    two.receive()
    two.session.lost()
    two = house.kept_device("two", reader)
    assert [(each.payload, each.dup) for each in two.first] == [(each, True) for each in sent(2, 4)]
    two.send(*(p.PubAck(each.packet_id) for each in two.first))
    two.receive()
    assert rows(house) == 0


def test_a_run_goes_out_as_the_window_opens(keeping):
    two = keeping.kept_device("two", more={pr.RECEIVE_MAXIMUM: 4})
    two.subscribe(qos=1)
    one = keeping.device("one")
    one.send(publishes(V5, 10))
    one.receive()
    found, news = [], two.receive()
    while news:
        assert len(news) <= 4
        found += payloads(news)
        two.send(*(p.PubAck(each.packet_id) for each in news[:3]))
        held, news = news[3:], two.receive()
        two.send(*(p.PubAck(each.packet_id) for each in held))
        news += two.receive()
    assert found == sent(10)
    assert rows(keeping) == 0


def test_a_run_goes_one_by_one_to_a_client_with_aliases_or_a_small_packet(keeping):
    for more in ({pr.TOPIC_ALIAS_MAXIMUM: 1}, {pr.MAXIMUM_PACKET_SIZE: 30}):
        two = keeping.kept_device("two", client_id=str(more), more=more)
        two.subscribe(qos=1)
        one = keeping.device("one")
        one.send(publishes(V5, 3))
        assert len(one.receive()) == 3
        assert payloads(two.receive()) == sent(3)
        two.session.close(0)


def test_a_run_whose_route_is_gone_is_not_delivered(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=1)
    two.session.lost()
    one = keeping.device("one")
    one.send(publishes(V5, 7))
    one.receive()
    keeping.routes(Row(("device:*",), ("u/#",), ("device:*",)))
    assert keeping.kept_device("two").first == []
    assert keeping.kept.status()["dropped"] == {"not-allowed": 7}


def test_a_run_that_is_refused_is_answered_by_the_general_path(make_house):
    from turn_database import TurnDatabase

    house = make_house(TurnDatabase(), session_bytes=100)
    two = house.kept_device("two")
    two.subscribe(qos=1)
    one = house.device("one")
    one.send(publishes(V5, 3, payload=b"x" * 90 + b"%d"))
    assert [each.reason_code for each in one.receive()] == [0x97] * 3


def test_what_fails_to_be_stored_is_refused_message_by_message(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=1)
    two.session.lost()
    keeping.turn_over()
    one = keeping.device("one")
    keeping.database.fail = "the disk is full"
    one.send(publishes(V5, 3))
    assert [(each.packet_id, each.reason_code) for each in one.receive()] == [(1, 0x97), (2, 0x97), (3, 0x97)]


def test_more_than_the_receive_maximum_is_told(make_house):
    from turn_database import TurnDatabase

    house = make_house(TurnDatabase(), receive_maximum=4)
    two = house.kept_device("two")
    two.subscribe(qos=1)
    one = house.device("one")
    house.committing = False
    one.send(publishes(V5, 4))
    assert one.wire.holding
    one.send(publishes(V5, 1, first=5))
    assert [each.reason_code for each in one.receive()] == [0x93]
    house.committing = True


def test_qos_0_reaches_a_kept_session_that_is_there_and_no_other(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=1)
    one = keeping.device("one")
    one.send(p.Publish("t/a", b"1"))
    assert payloads(two.receive()) == [b"1"]
    two.session.lost()
    one.send(p.Publish("t/a", b"2"))
    one.receive()
    assert keeping.kept_device("two").first == []


def test_the_known_topics_are_bounded(house, monkeypatch):
    monkeypatch.setattr(ways, "MAX_KNOWN_TOPICS", 4)
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    for number in range(20):
        one.send(p.Publish(f"t/{number}", b""))
    assert len(two.receive()) == 20
    assert len(one.session._ways) <= 4


@pytest.mark.parametrize("qos", [0, 1])
def test_long_topics_are_not_remembered(house, qos):
    """Else 256 of them would be megabytes for each connection."""
    one, two = house.device("one"), house.device("two")
    two.subscribe(qos=qos)
    topic = "t/" + "x" * ways.MAX_KNOWN_TOPIC
    for number in range(3):
        one.send(p.Publish(topic, b"%d" % number, qos, packet_id=qos))
    assert [each.payload for each in two.receive()] == [b"0", b"1", b"2"]
    assert len(one.session._ways) == 0


def test_properties_and_other_qos_take_the_general_path(house):
    one, two = house.device("one"), house.device("two")
    two.subscribe(qos=1)
    one.send(p.Publish("t/a", b"1", 1, packet_id=1, properties=PropertyMap({pr.CONTENT_TYPE: "x"})))
    one.send(p.Publish("t/a", b"2", 2, packet_id=2))
    assert payloads(two.receive()) == [b"1", b"2"]
    assert [type(each) for each in one.receive()] == [p.PubAck, p.PubRec]


@BOTH
def test_a_run_that_is_longer_than_a_session_may_have_messages_keeps_to_the_bound(make_house, version):
    house = make_house(TurnDatabase(), session_records=3)
    two = house.kept_device("two", version)
    two.subscribe(qos=1)
    two.session.lost()
    one = house.device("one", version)
    one.send(publishes(version, 10))
    assert len(one.receive()) == 10
    assert house.kept.status()["queued"] == 3
    assert payloads(house.kept_device("two", version).first) == sent(3, first=8)
    assert house.kept.status()["dropped"] == {"overflow": 7}
