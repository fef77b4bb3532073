"""One client's connection to the simulated cloud, bytes in and packets out."""

import json

import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud.conversation import CONNECT_SECONDS

BOTH = pytest.mark.parametrize("version", [V311, V5])


class TestConnect:
    @BOTH
    def test_accepted(self, world, version):
        client = world.client()
        client.version = version
        client.send(p.Connect("core", version))
        (connack,) = client.take()
        assert (connack.session_present, connack.reason_code) == (False, 0)
        assert connack.properties.get(ids.RECEIVE_MAXIMUM) == (100 if version == V5 else None)
        assert client.conversation.client_id == "core"

    @BOTH
    def test_a_kept_session_is_present(self, world, version):
        properties = PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 60}) if version == V5 else PropertyMap()
        first = world.connected(version=version, clean_start=False, properties=properties)
        first.subscribe("a")
        first.conversation.lost(0.0)
        world.connected("other").send(p.Publish("a", b"x", 1, packet_id=9))
        again = world.client()
        again.version = version
        again.send(p.Connect("core", version, clean_start=False, properties=properties))
        connack, publish = again.take()
        assert connack.session_present
        assert publish.payload == b"x"

    def test_an_empty_client_id_is_given_one(self, world):
        client = world.client()
        client.send(p.Connect("", V5))
        assert client.received[0].properties[ids.ASSIGNED_CLIENT_IDENTIFIER] == "auto-1"

    @pytest.mark.parametrize(("version", "code"), [(V5, 0x85), (V311, 2)])
    def test_refused(self, world, version, code):
        client = world.client()
        client.version = version
        client.send(p.Connect("$core", version))
        assert client.received[0].reason_code == code
        assert client.closed

    def test_takeover_ends_the_older_connection(self, world):
        old = world.connected()
        new = world.connected()
        assert old.take() == [p.Disconnect(ReasonCode.SESSION_TAKEN_OVER)]
        assert old.closed
        old.conversation.lost(0.0)
        new.send(p.PingReq())
        assert new.take() == [p.PingResp()]

    def test_another_protocol_level_is_answered_in_the_form_all_read(self, world):
        client = world.client()
        client.version = V311
        client.raw(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00")
        assert client.take() == [p.ConnAck(reason_code=1)]
        assert client.closed

    def test_something_else_first_is_refused_unheard(self, world):
        client = world.client()
        client.raw(encode(p.PingReq(), V5))
        assert client.closed
        assert client.received == []

    def test_a_second_connect_ends_it(self, world):
        client = world.connected()
        client.conversation._framer.only = None
        client.send(p.Connect("core", V5))
        assert client.take() == [p.Disconnect(ReasonCode.PROTOCOL_ERROR)]

    def test_silence_ends_it(self, world):
        client = world.client()
        client.conversation.check(CONNECT_SECONDS - 1)
        assert not client.closed
        client.conversation.check(CONNECT_SECONDS)
        assert client.closed


class TestKeepAlive:
    def test_it_is_one_and_a_half_times_what_was_negotiated(self, world):
        client = world.connected(keep_alive=1)  # becomes 30
        client.conversation.check(44.9)
        assert not client.closed
        world.now = 44.9
        client.send(p.PingReq())
        client.take()
        client.conversation.check(89.0)
        assert not client.closed
        client.conversation.check(89.9)
        assert client.take() == [p.Disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT)]


class TestPublish:
    @BOTH
    def test_to_a_subscriber(self, world, version):
        receiver = world.connected("receiver", version)
        assert receiver.subscribe("a/#") == [1]
        sender = world.connected("sender")
        sender.send(p.Publish("a/b", b"0"), p.Publish("a/b", b"1", 1, packet_id=7))
        assert sender.take() == [p.PubAck(7)]
        assert [(one.payload, one.qos) for one in receiver.take()] == [(b"0", 0), (b"1", 1)]
        receiver.send(p.PubAck(1))
        assert world.broker.sessions["receiver"].in_flight == 0

    def test_qos_2_is_answered_with_a_disconnect_in_5(self, world):
        client = world.connected()
        client.send(p.Publish("a", b"", 2, packet_id=1))
        assert client.take() == [p.Disconnect(ReasonCode.QOS_NOT_SUPPORTED)]

    def test_qos_2_is_not_answered_in_3(self, world):
        client = world.connected(version=V311)
        client.send(p.Publish("a", b"", 2, packet_id=1))
        assert (client.take(), client.closed) == ([], False)

    @pytest.mark.parametrize(
        ("topic", "reason"),
        [("x" * 257, ReasonCode.TOPIC_NAME_INVALID), ("$aws/events/x", ReasonCode.NOT_AUTHORIZED)],
    )
    def test_refused_at_qos_1_in_5(self, world, topic, reason):
        client = world.connected()
        client.send(p.Publish(topic, b"", 1, packet_id=1))
        assert client.take() == [p.PubAck(1, reason)]
        assert client.conversation.refusals

    def test_refused_at_qos_0_ends_the_connection(self, world):
        client = world.connected()
        client.send(p.Publish("x" * 257, b""))
        assert client.take() == [p.Disconnect(ReasonCode.TOPIC_NAME_INVALID)]

    def test_refused_in_3_ends_the_connection(self, world):
        client = world.connected(version=V311)
        client.send(p.Publish("x" * 257, b"", 1, packet_id=1))
        assert (client.take(), client.closed) == ([], True)

    def test_a_payload_above_the_limit_ends_the_connection(self, world):
        client = world.connected()
        client.send(p.Publish("a", bytes(131_073), 1, packet_id=1))
        assert client.take() == [p.Disconnect(ReasonCode.QUOTA_EXCEEDED)]

    def test_a_packet_above_the_limit_ends_the_connection(self, world):
        client = world.connected()
        client.send(p.Publish("a", bytes(150_000), 1, packet_id=1))
        assert client.take() == [p.Disconnect(ReasonCode.QUOTA_EXCEEDED)]

    def test_what_follows_the_end_is_not_read(self, world):
        client = world.connected()
        client.send(p.Publish("x" * 257, b""), p.PingReq())
        assert client.take() == [p.Disconnect(ReasonCode.TOPIC_NAME_INVALID)]

    def test_topic_aliases(self, world):
        client = world.connected()
        client.subscribe("a", "b")
        alias = PropertyMap({ids.TOPIC_ALIAS: 8})
        client.send(p.Publish("a", b"1", properties=alias), p.Publish("", b"2", properties=alias))
        client.send(p.Publish("b", b"3", properties=alias), p.Publish("", b"4", properties=alias))
        assert [(one.topic, one.payload) for one in client.take()] == [
            ("a", b"1"),
            ("a", b"2"),
            ("b", b"3"),
            ("b", b"4"),
        ]

    @pytest.mark.parametrize(("alias", "topic"), [(9, "a"), (1, "")])
    def test_unknown_topic_aliases(self, world, alias, topic):
        client = world.connected()
        client.send(p.Publish(topic, b"", properties=PropertyMap({ids.TOPIC_ALIAS: alias})))
        assert client.take() == [p.Disconnect(ReasonCode.TOPIC_ALIAS_INVALID)]

    def test_a_message_too_large_for_its_receiver_counts_as_delivered(self, world):
        properties = PropertyMap({ids.MAXIMUM_PACKET_SIZE: 512})
        client = world.connected(properties=properties)
        client.subscribe("a")
        world.connected("sender").send(
            p.Publish("a", bytes(600), 1, packet_id=1),
            p.Publish("a", bytes(600)),
            p.Publish("a", b"small", 1, packet_id=2),
        )
        assert [one.payload for one in client.take()] == [b"small"]

    def test_a_slow_receiver_is_left_alone_until_it_reads(self, world):
        client = world.connected()
        client.subscribe("a")
        client.conversation.paused = True
        world.connected("sender").send(p.Publish("a", b"", 1, packet_id=1))
        assert client.take() == []
        client.conversation.paused = False
        client.conversation.flush(0.0)
        assert len(client.take()) == 1

    def test_the_shadow_service_answers(self, world):
        client = world.connected()
        client.subscribe("$aws/things/core/shadow/get/+")
        client.send(p.Publish("$aws/things/core/shadow/get", b'{"clientToken":"t"}', 1, packet_id=1))
        ack, answer = sorted(client.take(), key=lambda one: isinstance(one, p.Publish))
        assert ack == p.PubAck(1)
        assert json.loads(answer.payload)["clientToken"] == "t"


class TestSubscribe:
    def test_a_reserved_topic_is_refused_in_5(self, world):
        assert world.connected().subscribe("a", "$aws/rules/r/a") == [1, 0x87]

    def test_a_reserved_topic_ends_a_connection_of_3(self, world):
        client = world.connected(version=V311)
        client.send(p.Subscribe(1, [p.SubscriptionOptions("$aws/rules/r/a", 1)]))
        assert (client.take(), client.closed) == ([], True)

    @pytest.mark.parametrize(("version", "refused"), [(V5, 0x97), (V311, 0x80)])
    def test_more_than_eight_at_once(self, world, version, refused):
        client = world.connected(version=version)
        assert client.subscribe(*"abcdefghi") == [refused] * 9

    def test_qos_2(self, world):
        client = world.connected()
        client.send(p.Subscribe(1, [p.SubscriptionOptions("a", 2)]))
        assert client.take() == [p.Disconnect(ReasonCode.QOS_NOT_SUPPORTED)]
        old = world.connected("old", V311)
        old.send(p.Subscribe(1, [p.SubscriptionOptions("a", 2)]))
        assert (old.take(), old.closed) == ([], False)

    def test_identifiers(self, world):
        client = world.connected()
        client.send(
            p.Subscribe(1, [p.SubscriptionOptions("a")], PropertyMap({ids.SUBSCRIPTION_IDENTIFIER: [1]}))
        )
        assert client.take() == [p.Disconnect(ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED)]

    def test_unsubscribe(self, world):
        client = world.connected()
        client.subscribe("a")
        client.send(p.Unsubscribe(2, ["a", "b"]))
        assert client.take() == [p.UnsubAck(2, [0, 0])]  # AWS lists no 0x11

    def test_what_only_a_server_sends_ends_it(self, world):
        client = world.connected()
        client.send(p.SubAck(1, [0]))
        assert client.take() == [p.Disconnect(ReasonCode.PROTOCOL_ERROR)]


class TestDisconnect:
    WILL = p.Will("gone", b"")

    @pytest.mark.parametrize(("reason", "sent"), [(0, 0), (4, 1)])
    def test_the_will_is_sent_only_when_asked_for(self, world, reason, sent):
        watcher = world.connected("watcher")
        watcher.subscribe("gone")
        client = world.connected(will=self.WILL)
        client.send(p.Disconnect(reason))
        assert client.closed
        client.conversation.lost(0.0)
        world.live.flush(0.0)
        assert len(watcher.take()) == sent

    def test_the_will_is_sent_when_the_connection_is_lost(self, world):
        watcher = world.connected("watcher")
        watcher.subscribe("gone")
        world.connected(will=self.WILL).conversation.lost(0.0)
        world.live.flush(0.0)
        assert len(watcher.take()) == 1

    def test_the_session_may_be_ended_early_and_not_be_kept_late(self, world):
        expiry = PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 60})
        world.connected(properties=expiry).send(
            p.Disconnect(0, PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 0}))
        )
        assert world.broker.sessions == {}
        client = world.connected()
        client.send(p.Disconnect(0, expiry))
        assert client.take() == [p.Disconnect(ReasonCode.PROTOCOL_ERROR)]

    def test_ending_twice_is_harmless(self, world):
        client = world.connected()
        client.conversation.end(ReasonCode.SERVER_SHUTTING_DOWN, 0.0)
        client.conversation.end(ReasonCode.SERVER_SHUTTING_DOWN, 0.0)
        assert len(client.take()) == 1
