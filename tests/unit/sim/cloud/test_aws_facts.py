"""The broker does what is known of AWS IoT Core's; each test is named by the fact.

The section numbers are those of docs/simulated-cloud.md. What is an MQTT rule and no peculiarity of
AWS is in test_conversation.py and test_broker.py.
"""

import json

import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud import rules

KEPT = PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 3600})
BOTH = pytest.mark.parametrize("version", [V311, V5])


def kept(world, name="core", version=V5, **more):
    """A client whose session outlives its connection."""
    return world.connected(
        name, version, clean_start=False, properties=KEPT if version == V5 else PropertyMap(), **more
    )


class TestConnack:
    @pytest.mark.parametrize(
        ("asked", "given"), [(1000, 1000), (65_535, 1200), (0, 1200), (29, 30), (30, 30)]
    )
    def test_server_keep_alive(self, world, asked, given):
        connack = world.connected(keep_alive=asked).connack
        assert connack.properties[ids.SERVER_KEEP_ALIVE] == given

    @pytest.mark.parametrize(
        ("asked", "given"), [(600, 600), (600_000, 3600), (0xFFFF_FFFF, 3600), (None, 0)]
    )
    def test_session_expiry(self, world, asked, given):
        properties = PropertyMap({} if asked is None else {ids.SESSION_EXPIRY_INTERVAL: asked})
        connack = world.connected(properties=properties).connack
        assert connack.properties[ids.SESSION_EXPIRY_INTERVAL] == given

    def test_the_rest(self, world):
        properties = world.connected().connack.properties
        expected = {
            ids.RECEIVE_MAXIMUM: 100,
            ids.MAXIMUM_QOS: 1,
            ids.MAXIMUM_PACKET_SIZE: 149_504,
            ids.TOPIC_ALIAS_MAXIMUM: 8,
            ids.RETAIN_AVAILABLE: 1,
            ids.WILDCARD_SUBSCRIPTION_AVAILABLE: 1,
            ids.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
            ids.SHARED_SUBSCRIPTION_AVAILABLE: 1,
        }
        assert {key: properties[key] for key in expected} == expected
        assert ids.ASSIGNED_CLIENT_IDENTIFIER not in properties

    def test_no_topic_aliases_towards_the_client(self, world):
        client = world.connected(properties=PropertyMap({ids.TOPIC_ALIAS_MAXIMUM: 10}))
        client.subscribe("a")
        client.publish("a")
        client.publish("a")
        messages = [one for one in client.take() if isinstance(one, p.Publish)]
        assert [one.topic for one in messages] == ["a", "a"]
        assert not any(ids.TOPIC_ALIAS in (one.properties or {}) for one in messages)


class TestQos2:
    def test_publish_is_not_answered_in_3(self, world):
        client = world.connected(version=V311)
        client.send(p.Publish("a", b"", 2, packet_id=1))
        assert (client.take(), client.closed) == ([], False)

    def test_publish_ends_a_connection_of_5(self, world):
        client = world.connected()
        client.send(p.Publish("a", b"", 2, packet_id=1))
        assert client.take() == [p.Disconnect(0x9B)]

    def test_subscribe_is_not_answered_in_3(self, world):
        client = world.connected(version=V311)
        client.send(p.Subscribe(1, [p.SubscriptionOptions("a", 2)]))
        assert (client.take(), client.closed) == ([], False)

    def test_subscribe_ends_a_connection_of_5(self, world):
        client = world.connected()
        client.send(p.Subscribe(1, [p.SubscriptionOptions("a", 2)]))
        assert client.take() == [p.Disconnect(0x9B)]

    def test_a_will_is_refused_with_the_connack_of_5(self, world):
        assert world.connected(will=p.Will("a", b"", 2)).connack.reason_code == 0x9B

    def test_there_is_no_auth_packet(self, world):
        client = world.connected()
        client.send(p.Auth(0x18))
        assert client.closed


class TestRedelivery:
    def test_on_the_live_connection_with_another_packet_id_and_without_dup(self, world):
        client = world.connected()
        client.subscribe("a")
        client.publish("a")
        first = [one for one in client.take() if isinstance(one, p.Publish)]
        world.tick(30.0)
        again = client.take()
        assert [one.payload for one in again] == [one.payload for one in first]
        assert again[0].packet_id != first[0].packet_id
        assert not again[0].dup

    def test_none_once_it_is_acknowledged(self, world):
        client = world.connected()
        client.subscribe("a")
        client.publish("a")
        assert len(client.got()) == 1
        world.tick(35.0)
        assert client.got() == []

    @pytest.mark.parametrize(("version", "seconds"), [(V311, 3600), (V5, 960)])
    def test_it_ends_after_an_hour_in_3_and_16_minutes_in_5(self, world, version, seconds):
        client = kept(world, version=version)
        client.subscribe("a")
        client.publish("a")
        client.take()
        for _ in range(seconds // 30 - 1):
            world.tick(30.0)
        client.conversation.forgive(world.now)
        assert client.take() != []
        world.tick(30.0)
        assert client.take() == []
        assert world.broker.sessions["core"].dropped == 1


class TestFilters:
    @pytest.mark.parametrize(
        ("topic_filter", "topic", "expected"),
        [
            ("sensor/#", "sensor", 0),
            ("sensor/#", "sensor/", 1),
            ("$share/g/sensor/#", "sensor", 0),
            ("#", "sensor", 1),
        ],
    )
    def test_a_multi_level_wildcard_does_not_match_its_parent(self, world, topic_filter, topic, expected):
        client = world.connected()
        client.subscribe(topic_filter)
        client.publish(topic)
        assert len(client.got()) == expected


class TestRetained:
    @pytest.mark.parametrize(
        ("topic_filter", "expected"), [("a/b", 1), ("a/+", 0), ("a/#", 0), ("$share/g/a/b", 0)]
    )
    def test_only_the_exact_filter_gets_it(self, world, topic_filter, expected):
        world.connected("other").publish("a/b", retain=True)
        client = world.connected()
        client.subscribe(topic_filter)
        messages = client.take()
        assert [one.retain for one in messages] == [True] * expected

    def test_later_live_ones_have_the_flag_off(self, world):
        client = world.connected()
        client.subscribe("a")
        world.connected("other").publish("a", retain=True)
        assert [one.retain for one in client.take()] == [False]

    def test_an_empty_one_deletes_and_is_forwarded(self, world):
        client = world.connected()
        client.subscribe("a")
        other = world.connected("other")
        other.publish("a", b"1", retain=True)
        other.publish("a", b"", retain=True)
        assert client.got() == [("a", b"1"), ("a", b"")]
        assert world.broker.retained == {}

    def test_none_on_reserved_topics(self, world):
        client = world.connected()
        client.publish("$aws/things/core/shadow/update", b"{}", retain=True)
        assert client.take() == [p.PubAck(7, ReasonCode.UNSPECIFIED_ERROR)]

    def test_shared_subscribers_get_live_ones(self, world):
        client = world.connected()
        client.subscribe("$share/g/a")
        world.connected("other").publish("a", retain=True)
        assert [(one.topic, one.retain) for one in client.take()] == [("a", False)]

    def test_a_will_may_be_retained(self, world):
        world.connected(will=p.Will("gone", b"x", 1, retain=True)).lost()
        assert world.broker.retained["gone"].payload == b"x"


class TestTakeover:
    def test_the_new_connection_wins_and_the_old_ones_will_is_sent(self, world):
        watcher = world.connected("watcher")
        watcher.subscribe("gone")
        old = world.connected(will=p.Will("gone", b"x"))
        world.connected()
        assert old.take() == [p.Disconnect(0x8E)]
        assert old.closed
        assert watcher.got() == [("gone", b"x")]

    def test_a_version_3_connection_is_just_closed(self, world):
        old = world.connected(version=V311)
        world.connected(version=V311)
        assert (old.take(), old.closed) == ([], True)


class TestSessions:
    @pytest.mark.parametrize(("before", "after"), [(V311, V5), (V5, V311)])
    def test_they_do_not_cross_versions(self, world, before, after):
        kept(world, version=before).lost()
        assert not kept(world, version=after).connack.session_present

    def test_expiry_is_0_by_default_in_5(self, world):
        world.connected(clean_start=False).lost()
        assert "core" not in world.broker.sessions

    def test_an_hour_in_3(self, world):
        kept(world, version=V311).lost()
        world.tick(3599.0)
        assert kept(world, version=V311).connack.session_present


class TestQuotas:
    @pytest.mark.parametrize(("size", "refused"), [(131_072, False), (131_073, True)])
    def test_payload_128_kb(self, world, size, refused):
        client = world.connected()
        client.publish("a", bytes(size))
        assert client.closed is refused

    def test_a_packet_of_more_than_146_kib(self, world):
        client = world.connected()
        client.publish("a", bytes(131_000), user_property=[("x", "y" * 19_000)])
        assert client.take() == [p.Disconnect(ReasonCode.QUOTA_EXCEEDED)]

    @pytest.mark.parametrize(("size", "code"), [(512, 0), (511, 0x80)])
    def test_a_clients_maximum_packet_size(self, world, size, code):
        connack = world.connected(properties=PropertyMap({ids.MAXIMUM_PACKET_SIZE: size})).connack
        assert connack.reason_code == code

    @pytest.mark.parametrize(
        ("topic", "code"),
        [
            ("é" * 128, 0),
            ("é" * 128 + "x", 0x90),
            ("a/b/c/d/e/f/g/h", 0),
            ("a/b/c/d/e/f/g/h/i", 0x90),
            ("$aws/rules/rule/a/b/c/d/e/f/g/h", 0),
            ("$aws/rules/rule/a/b/c/d/e/f/g/h/i", 0x90),
        ],
    )
    def test_topics_of_256_bytes_and_8_levels(self, world, topic, code):
        client = world.connected()
        client.publish(topic)
        assert [one.reason_code for one in client.take()] == [code]

    @pytest.mark.parametrize(
        ("topic_filter", "code"),
        [
            ("a/b/c/d/e/f/g/h", 1),
            ("a/b/c/d/e/f/g/h/i", 0x8F),
            ("$share/group/a/b/c/d/e/f/g/h", 1),
            ("$share/group/a/b/c/d/e/f/g/h/i", 0x8F),
            ("$share/" + "g" * 129 + "/a", 0x8F),
        ],
    )
    def test_filters_of_8_levels(self, world, topic_filter, code):
        assert world.connected().subscribe(topic_filter) == [code]

    @pytest.mark.parametrize(("client_id", "code"), [("x" * 128, 0), ("x" * 129, 0x85), ("$x", 0x85)])
    def test_client_ids(self, world, client_id, code):
        assert world.connected(client_id).connack.reason_code == code

    @BOTH
    def test_8_filters_in_one_subscribe(self, world, version):
        client = world.connected(version=version)
        assert client.subscribe(*"abcdefgh") == [1] * 8
        assert client.subscribe(*"abcdefghi") == [0x97 if version == V5 else 0x80] * 9

    @BOTH
    def test_50_subscriptions_on_one_connection(self, world, version):
        client = world.connected(version=version)
        for index in range(50):
            assert client.subscribe(f"a/{index}") == [1]
        assert client.subscribe("more") == [0x97 if version == V5 else 0x80]
        assert not client.closed

    def test_100_unacknowledged_towards_a_client(self, world):
        client = world.connected()
        client.subscribe("a")
        other = world.connected("other")
        for _ in range(150):
            other.publish("a")
        first = client.take()
        assert len(first) == 100
        client.send(p.PubAck(first[0].packet_id))
        assert len(client.take()) == 1

    def test_8_topic_aliases(self, world):
        client = world.connected()
        client.publish("a", topic_alias=8)
        assert client.take() == [p.PubAck(7)]
        client.publish("a", topic_alias=9)
        assert client.take() == [p.Disconnect(ReasonCode.TOPIC_ALIAS_INVALID)]

    @pytest.mark.parametrize(
        "properties",
        [
            {"user_property": [("k", "v" * 8192)]},
            {"correlation_data": bytes(8193)},
            {"content_type": "t" * 257},
        ],
    )
    def test_properties_that_are_too_long(self, world, properties):
        client = world.connected()
        client.publish("a", **properties)
        assert client.take() == [p.Disconnect(ReasonCode.QUOTA_EXCEEDED)]

    @pytest.mark.parametrize(("asked", "left"), [(0, 1), (60, 50), (700_000, 604_790)])
    def test_message_expiry_within_1_s_and_7_days_is_rewritten_on_delivery(self, world, asked, left):
        client = kept(world)
        client.subscribe("a")
        client.lost()
        world.connected("other").publish("a", message_expiry_interval=asked)
        world.now = 0.5 if asked == 0 else 10.0
        (message,) = [one for one in self._resumed(world) if isinstance(one, p.Publish)]
        assert message.properties[ids.MESSAGE_EXPIRY_INTERVAL] == left

    @staticmethod
    def _resumed(world):
        return kept(world).take()

    def test_an_expired_message_is_not_delivered(self, world):
        client = kept(world)
        client.subscribe("a")
        client.lost()
        world.connected("other").publish("a", message_expiry_interval=10)
        world.now = 10.0
        assert kept(world).take() == []


class TestKeepAlive:
    def test_it_is_cut_at_one_and_a_half_times(self, world):
        client = world.connected(keep_alive=30)
        client.conversation.check(44.9)
        assert not client.closed
        client.conversation.check(45.0)
        assert client.take() == [p.Disconnect(0x8D)]


class TestBasicIngest:
    def test_it_goes_past_the_broker_and_is_acknowledged(self, world):
        client = world.connected()
        client.subscribe("#")
        client.publish("$aws/rules/none/a/b", b"1")
        assert client.take() == [p.PubAck(7)]
        assert [(one.topic, one.payload) for one in world.broker.ingested] == [("$aws/rules/none/a/b", b"1")]

    @pytest.mark.parametrize(("version", "answer"), [(V5, [0x87]), (V311, None)])
    def test_it_cannot_be_subscribed(self, world, version, answer):
        client = world.connected(version=version)
        client.send(p.Subscribe(1, [p.SubscriptionOptions("$aws/rules/none/a", 1)]))
        assert [one.reason_codes for one in client.take()] == ([] if answer is None else [answer])
        assert client.closed is (answer is None)


class TestReasonCodes:
    """Whatever a client does, the codes are of AWS's list for that packet."""

    def test_disconnect(self):
        for reason in ReasonCode:
            if reason >= 0x80:
                assert rules.listed_disconnect(reason) in rules.LISTED["DISCONNECT"]

    def test_packets_that_break_the_protocol(self, world):
        for broken in (
            encode(p.Publish("a", bytes(150_000)), V5),
            encode(p.PubRel(1), V5),
            encode(
                p.Subscribe(1, [p.SubscriptionOptions("a")], PropertyMap({ids.SUBSCRIPTION_IDENTIFIER: [1]})),
                V5,
            ),
            b"\x30\x03\x00\x01+",
            b"\xf0\x00",
            b"\x82\x01\x00",
        ):
            client = world.connected()
            client.raw(broken)
            (last,) = client.take()
            assert last.reason_code in rules.LISTED["DISCONNECT"]

    def test_enhanced_authentication(self, world):
        connack = world.connected(properties=PropertyMap({ids.AUTHENTICATION_METHOD: "x"})).connack
        assert connack.reason_code in rules.LISTED["CONNACK"]

    def test_unsubscribing_what_is_not_subscribed(self, world):
        client = world.connected()
        client.send(p.Unsubscribe(1, ["a"]))
        assert client.take() == [p.UnsubAck(1, [0])]


class TestWills:
    def test_the_shadow_service_ignores_one_and_subscribers_see_it(self, world):
        watcher = world.connected("watcher")
        watcher.subscribe("$aws/things/a/shadow/#")
        will = p.Will("$aws/things/a/shadow/update", b'{"state":{"reported":{"on":false}}}', 1)
        world.connected(will=will).lost()
        assert [topic for topic, _ in watcher.got()] == ["$aws/things/a/shadow/update"]
        assert world.broker.services.shadows.items() == []


def test_a_shadow_over_mqtt_has_the_clouds_time(world):
    client = world.connected()
    client.subscribe("$aws/things/a/shadow/update/accepted")
    world.now = 5.0
    client.publish("$aws/things/a/shadow/update", b'{"state":{"reported":{"on":true}}}')
    ((_, payload),) = client.got()
    assert json.loads(payload)["timestamp"] == 105
