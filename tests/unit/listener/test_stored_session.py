"""A kept session through its connections, restarts and power cuts, as its client sees it."""

import pytest
from turn_database import TurnDatabase

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.base.group import Row
from edgecore.base.identity import CORE
from edgecore.listener.orphan_wills import WILL_GRACE
from edgecore.listener.sessions import Sessions
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

BOTH = pytest.mark.parametrize("version", [V311, V5])


def payloads(packets):
    return [each.payload for each in packets if isinstance(each, p.Publish)]


def away(house, version=V5, qos=1, name="two"):
    """A device that subscribed and is gone."""
    device = house.kept_device(name, version)
    device.subscribe(qos=qos)
    device.session.lost()
    house.turn_over()
    return device


def send(house, payload, qos=1, packet_id=1, device=None):
    device = device or house.device("one")
    device.send(p.Publish("t/a", payload, qos, packet_id=packet_id))
    return device.receive()


@BOTH
def test_messages_wait_for_a_client_that_is_away(keeping, version):
    away(keeping, version)
    one = keeping.device("one")
    for number in (1, 2, 3):
        assert send(keeping, str(number).encode(), packet_id=number, device=one) == [p.PubAck(number)]
    assert send(keeping, b"not kept", qos=0, device=one) == []
    two = keeping.kept_device("two", version)
    assert two.connack.session_present
    assert payloads(two.first) == [b"1", b"2", b"3"]
    assert [each.dup for each in two.first] == [False] * 3
    two.send(*(p.PubAck(each.packet_id) for each in two.first))
    assert two.receive() == []
    assert keeping.kept.status()["queued"] == 0
    assert keeping.database.connection.execute("SELECT count(*) FROM session_messages").fetchone() == (0,)


@BOTH
def test_what_was_not_acknowledged_comes_again_under_its_identifier(keeping, version):
    two = keeping.kept_device("two", version)
    two.subscribe(qos=1)
    send(keeping, b"1")
    (first,) = two.receive()
    status = keeping.kept.status()
    assert (status["queued"], status["in_flight"], status["away"]) == (0, 1, 0)
    two.session.lost()
    status = keeping.kept.status()
    assert (status["queued"], status["in_flight"], status["away"]) == (1, 0, 1)
    two = keeping.kept_device("two", version)
    assert [(each.packet_id, each.payload, each.dup) for each in two.first] == [(first.packet_id, b"1", True)]


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_an_acknowledged_message_survives_a_power_cut(keeping, version, qos):
    away(keeping, version, qos)
    one = keeping.device("one")
    answer = send(keeping, b"1", qos, device=one)
    assert answer[0].packet_id == 1
    house = keeping.restarted()
    two = house.kept_device("two", version)
    assert two.connack.session_present
    assert payloads(two.first) == [b"1"]


def test_the_acknowledgement_comes_after_the_commit(keeping):
    away(keeping)
    one = keeping.device("one")
    keeping.committing = False
    assert send(keeping, b"1", device=one) == []
    keeping.committing = True
    assert one.receive() == [p.PubAck(1)]


def test_a_live_client_hears_qos_1_before_the_commit_and_its_acknowledgement_spares_the_disk(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=1)
    one = keeping.device("one")
    keeping.committing = False
    one.send(p.Publish("t/a", b"1", 1, packet_id=1))
    (message,) = two.receive()
    two.send(p.PubAck(message.packet_id))
    two.receive()
    assert one.receive() == []
    keeping.committing = True
    assert one.receive() == [p.PubAck(1)]
    assert keeping.database.connection.execute("SELECT count(*) FROM session_messages").fetchone() == (0,)


def test_a_live_client_hears_qos_2_after_the_commit_that_holds_its_identifier(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=2)
    one = keeping.device("one")
    keeping.committing = False
    one.send(p.Publish("t/a", b"1", 2, packet_id=1))
    assert two.receive() == []
    keeping.committing = True
    assert payloads(two.receive()) == [b"1"]
    assert one.receive() == [p.PubRec(1)]


def test_qos_2_out_goes_on_where_it_was(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=2)
    send(keeping, b"1", qos=2)
    (message,) = two.receive()
    two.send(p.PubRec(message.packet_id))
    assert two.receive() == [p.PubRel(message.packet_id)]
    house = keeping.restarted()
    two = house.kept_device("two")
    assert two.first == [p.PubRel(message.packet_id)]
    two.send(p.PubComp(message.packet_id))
    two.receive()
    assert house.kept_device("two").first == []


def test_pubrel_waits_for_the_commit_that_the_client_has_the_message(keeping):
    two = keeping.kept_device("two")
    two.subscribe(qos=2)
    send(keeping, b"1", qos=2)
    (message,) = two.receive()
    keeping.committing = False
    two.send(p.PubRec(message.packet_id), p.PubRec(message.packet_id))
    assert two.receive() == []
    house = keeping.restarted()  # before that commit: the message comes again, and the client knows it
    two = house.kept_device("two")
    assert [(each.packet_id, each.dup) for each in two.first] == [(message.packet_id, True)]
    keeping.committing = True


@BOTH
def test_qos_2_in_is_taken_once_over_a_power_cut(keeping, version):
    away(keeping, qos=2, name="three")
    two = keeping.kept_device("two", version)
    assert send(keeping, b"1", qos=2, packet_id=9, device=two) == [p.PubRec(9)]
    house = keeping.restarted()
    two = house.kept_device("two", version)
    two.send(p.Publish("t/a", b"1", 2, packet_id=9, dup=True))
    assert two.receive() == [p.PubRec(9)]
    two.send(p.PubRel(9))
    assert two.receive() == [p.PubComp(9)]
    two.send(p.Publish("t/a", b"2", 2, packet_id=9))
    assert two.receive() == [p.PubRec(9)]
    assert payloads(house.kept_device("three").first) == [b"1", b"2"]


def test_pubcomp_waits_for_the_commit_that_frees_the_identifier(keeping):
    two = keeping.kept_device("two")
    send(keeping, b"1", qos=2, packet_id=9, device=two)
    keeping.committing = False
    two.send(p.PubRel(9), p.PubRel(9))
    assert two.receive() == []
    keeping.committing = True
    assert two.receive() == [p.PubComp(9)]


def reconnecting(house, *packets, name="two", will=None):
    """A client that sends behind its CONNECT without waiting for the answer (5, 3.1.4)."""
    device = house.peer(lambda wire: house.session(name))
    expiry = PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 3600})
    device.send(p.Connect(name, clean_start=False, properties=expiry, will=will), *packets)
    return device


def test_a_pubrel_that_is_repeated_on_the_next_connection_is_answered_there(keeping):
    two = keeping.kept_device("two")
    send(keeping, b"1", qos=2, packet_id=9, device=two)
    keeping.committing = False
    two.subscribe()  # begins the turn's changes, which are told of before its deletions
    two.send(p.PubRel(9))
    two.session.lost()
    again = reconnecting(keeping, p.PubRel(9))
    keeping.committing = True
    connack, *answers = again.receive()
    assert connack.session_present
    assert [each.packet_id for each in answers if isinstance(each, p.PubComp)] == [9]


def test_a_publish_that_is_repeated_on_the_next_connection_is_answered_there(keeping):
    class Port:
        principal = CORE

        def deliver(self, message, qos, retain):
            return keeping.database.write(lambda connection: None)

    keeping.routes(Row(("device:*",), ("t/#",), ("cloud",)))
    keeping.router.attach("cloud", Port())
    two = keeping.kept_device("two")
    keeping.committing = False
    two.send(p.Publish("t/a", b"1", 2, packet_id=9))
    two.session.lost()
    again = reconnecting(keeping, p.Publish("t/a", b"1", 2, dup=True, packet_id=9))
    keeping.committing = True
    assert again.receive()[1:] == [p.PubRec(9)]
    assert keeping.router.published == 1


def test_subscriptions_are_acknowledged_when_they_are_durable(keeping):
    two = keeping.kept_device("two")
    keeping.committing = False
    assert two.subscribe(qos=1) == []
    keeping.committing = True
    assert two.receive() == [p.SubAck(1, [1])]
    keeping.committing = False
    two.send(p.Unsubscribe(2, ["t/#"]))
    assert two.receive() == []
    keeping.committing = True
    assert two.receive() == [p.UnsubAck(2, [0])]


def test_clean_start_forgets_the_session_before_it_is_answered(keeping):
    away(keeping)
    send(keeping, b"1")
    keeping.committing = False
    two = keeping.peer(lambda wire: keeping.session("two"), V5)
    two.send(p.Connect("two", clean_start=True))
    assert two.receive() == []
    keeping.committing = True
    (connack,) = two.receive()
    assert not connack.session_present
    assert keeping.database.connection.execute("SELECT count(*) FROM session_messages").fetchone() == (0,)
    assert not keeping.restarted().kept_device("two").connack.session_present


@BOTH
@pytest.mark.parametrize("how", ["clean start again", "left for good"])
def test_nobody_hears_that_there_is_no_session_while_a_power_cut_would_bring_it_back(keeping, version, how):
    """The client would have forgotten which QoS 2 messages it has, and get them twice."""
    away(keeping, version)
    send(keeping, b"1")
    if how == "left for good" and version == V5:
        keeping.kept_device("two").send(p.Disconnect(0, PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 0})))
    keeping.committing = False
    first, again = (keeping.peer(lambda wire: keeping.session("two"), version) for _ in range(2))
    if how == "clean start again" or version == V311:
        first.send(p.Connect("two", version, clean_start=True))
    again.send(p.Connect("two", version, clean_start=version == V311))
    assert again.receive() == []
    keeping.committing = True
    assert not again.receive()[0].session_present
    assert keeping.database.rows("session_messages") == 0
    assert keeping.kept._ending == {}


def test_a_session_ends_when_its_time_is_over(keeping):
    away(keeping)
    keeping.clock.advance(3599.0)
    keeping.kept.sweep()
    status = keeping.kept.status()
    assert (status["sessions"], status["away"], status["expired"]) == (1, 1, 0)
    keeping.clock.advance(1.0)
    keeping.kept.sweep()
    keeping.turn_over()
    status = keeping.kept.status()
    assert (status["sessions"], status["away"], status["expired"]) == (0, 0, 1)
    assert not keeping.kept_device("two").connack.session_present


def test_disconnect_may_end_the_session(keeping):
    two = keeping.kept_device("two")
    two.send(p.Disconnect(0, PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 0})))
    two.receive()
    assert not keeping.kept_device("two").connack.session_present


def test_another_device_has_another_session(keeping):
    away(keeping)
    assert not keeping.kept_device("one", client_id="two").connack.session_present


def test_what_no_route_allows_any_more_is_not_delivered(keeping):
    away(keeping)
    send(keeping, b"1")
    keeping.routes(Row(("device:*",), ("u/#",), ("device:*",)))
    assert keeping.kept_device("two").first == []
    assert keeping.kept.status()["dropped"] == {"not-allowed": 1}


def test_what_has_expired_is_not_delivered(keeping):
    away(keeping)
    one = keeping.device("one")
    for seconds, packet_id in ((10, 1), (100, 2)):
        expiry = PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: seconds})
        one.send(p.Publish("t/a", str(seconds).encode(), 1, packet_id=packet_id, properties=expiry))
        one.receive()
    keeping.clock.advance(10.0)
    assert payloads(keeping.kept_device("two").first) == [b"100"]


def test_the_oldest_gives_way_when_the_queue_is_full(make_house):
    house = make_house(TurnDatabase(), session_records=3)
    away(house)
    one = house.device("one")
    for number in range(1, 6):
        assert send(house, str(number).encode(), packet_id=number, device=one) == [p.PubAck(number)]
    assert payloads(house.kept_device("two").first) == [b"3", b"4", b"5"]
    assert house.kept.status()["dropped"] == {"overflow": 2}


def test_a_takeover_goes_on_with_the_session(keeping):
    first = keeping.kept_device("two")
    first.subscribe(qos=1)
    send(keeping, b"1")
    second = keeping.kept_device("two")
    assert [type(each) for each in first.receive()] == [p.Publish, p.Disconnect]
    assert second.connack.session_present
    assert payloads(second.first) == [b"1"]
    assert second.first[0].dup


def test_a_long_queue_comes_from_the_disk_in_order_window_by_window(keeping):
    away(keeping)
    one = keeping.device("one")
    sent = [str(number).encode() for number in range(700)]
    for number, payload in enumerate(sent, 1):
        one.send(p.Publish("t/a", payload, 1, packet_id=number))
    assert len(one.receive()) == 700
    two = keeping.kept_device("two")
    found, news = [], two.first
    while news:
        found += payloads(news)
        two.send(*(p.PubAck(each.packet_id) for each in news))
        news = two.receive()
    assert found == sent


def test_a_full_disk_refuses_and_keeps_what_it_had(keeping):
    away(keeping)
    one = keeping.device("one")
    keeping.database.fail = "the disk is full"
    assert [each.reason_code for each in send(keeping, b"1", device=one)] == [0x97]
    keeping.database.fail = None
    send(keeping, b"2", device=one)
    assert payloads(keeping.kept_device("two").first) == [b"2"]


class Refusing:
    """A room whose works fail, or that takes nothing."""

    principal = CORE

    def __init__(self, house, refuses=""):
        self.refuses, self.commits = refuses, []
        house.routes(Row(("device:*",), ("t/#",), ("cloud",)))
        house.router.attach("cloud", self)

    def deliver(self, message, qos, retain):
        if self.refuses:
            raise RefusedError(self.refuses)
        self.commits.append(Commit())
        return self.commits[-1]


@BOTH
@pytest.mark.parametrize("how", ["refused", "failed", "failed when the client was gone"])
def test_the_identifier_of_a_message_that_was_not_taken_is_free_after_a_power_cut_too(keeping, version, how):
    """Else the message that comes under it next would be acknowledged and lost."""
    port = Refusing(keeping, "full" if how == "refused" else "")
    two = keeping.kept_device("two", version)
    two.send(p.Publish("t/a", b"1", 2, packet_id=9))
    if how.endswith("gone"):
        two.session.lost()
    keeping.turn_over()
    for commit in port.commits:
        commit.resolve(StoreError("no disk"))
    assert two.receive() == ([p.PubRec(9, 0x97)] if version == V5 and not how.endswith("gone") else [])
    house = keeping.restarted()
    away(house, name="three")
    again = house.kept_device("two", version)
    again.send(p.Publish("t/a", b"2", 2, packet_id=9))
    assert again.receive() == [p.PubRec(9)]
    assert payloads(house.kept_device("three").first) == [b"2"]


@BOTH
def test_a_qos_2_message_that_no_route_allows_leaves_no_identifier_behind(keeping, version):
    away(keeping, name="three")
    two = keeping.kept_device("two", version)
    send(keeping, b"", qos=2, packet_id=5, device=two)  # begins deletions at its PUBREL
    two.send(p.PubRel(5), p.Publish("secret", b"", 2, packet_id=9))
    assert two.receive() == [p.PubRec(9, 0x87 if version == V5 else 0), p.PubComp(5)]
    assert keeping.database.rows("session_incoming") == 0


# What CONNACK may say (5, 3.2.2.2), of failures.
CONNACK_FAILURES = {*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F}


@BOTH
def test_who_connects_anew_before_being_answered_hears_what_connack_may_say(keeping, version):
    keeping.committing = False
    first, second = (keeping.peer(lambda wire: keeping.session("two"), version) for _ in range(2))
    expiry = PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 60} if version == V5 else {})
    for each in (first, second):
        each.send(p.Connect("two", version, clean_start=False, properties=expiry))
    (refusal,) = first.receive()
    assert refusal.reason_code in (CONNACK_FAILURES if version == V5 else {3})
    assert first.wire.finished
    keeping.committing = True
    assert second.receive()[0].reason_code == 0


@pytest.mark.parametrize("end", ["lost", "full disk", "revoked"])
def test_a_session_whose_begin_no_client_heard_of_is_none(keeping, end):
    """A client that has none must close when CONNACK says that there is one (5, 3.2.2.1.1)."""
    witness = keeping.device("three")
    witness.subscribe()
    keeping.committing = False
    two = reconnecting(keeping, will=p.Will("t/will", b"never accepted"))
    if end == "lost":
        two.session.lost()
    elif end == "full disk":
        keeping.database.fail = "the disk is full"
    else:
        certificate = keeping.book.pop("two")
    keeping.committing = True
    two.receive()
    keeping.database.fail = None
    assert witness.receive() == []
    if end == "revoked":
        keeping.book["two"] = certificate
    assert keeping.kept.status()["sessions"] == 0
    assert not keeping.kept_device("two").connack.session_present
    assert keeping.restarted().kept.status()["sessions"] == 1


def test_a_session_that_was_there_before_outlives_a_connection_that_was_never_answered(keeping):
    away(keeping)
    send(keeping, b"1")
    keeping.committing = False
    two = reconnecting(keeping)
    two.session.lost()
    keeping.committing = True
    keeping.turn_over()
    again = keeping.kept_device("two")
    assert (again.connack.session_present, payloads(again.first)) == (True, [b"1"])


def test_retained_messages_that_a_full_session_has_no_room_for_end_nothing(make_house):
    house = make_house(TurnDatabase(), sessions_bytes=200)
    one = house.device("one")
    one.send(p.Publish("t/a", b"x" * 200, 1, retain=True, packet_id=1))
    one.receive()
    two = house.kept_device("two")
    assert two.subscribe(qos=1) == [p.SubAck(1, [1])]
    assert not two.wire.finished
    assert house.refusals.counts == {"full": 1}


def test_subscriptions_survive_one_power_cut_after_another(keeping):
    keeping.kept_device("two").subscribe(qos=1)
    house = keeping
    for _ in range(2):
        house = house.restarted()
        house.turn_over()
    send(house, b"1")
    assert payloads(house.kept_device("two").first) == [b"1"]


def test_a_client_that_keeps_nothing_and_does_not_come_back_through_a_new_door_is_lost(keeping):
    """The door may be hung anew while the house stands: its unit is restarted."""
    away(keeping, name="three")
    for client_id in ("stays away", "comes back"):
        will = p.Will("t/will", client_id.encode(), 1)
        keeping.device("two", client_id=client_id, will=will).session.shut_down()
    keeping.sessions = Sessions(keeping.kept)
    keeping.device("two", client_id="comes back")
    keeping.clock.advance(WILL_GRACE)
    keeping.kept.sweep()
    assert payloads(keeping.kept_device("three").first) == [b"stays away"]
    keeping.turn_over()
    assert keeping.database.rows("sessions") == 1
