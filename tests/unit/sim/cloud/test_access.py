"""What a connection may do, at the broker: authorisation failures in both versions."""

import json

import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.sim.cloud import access as room
from edgecore.sim.cloud.access import Account, Certificate, Holder, Thing
from edgecore.sim.cloud.broker import denial
from edgecore.sim.cloud.conversation import Guest
from edgecore.sim.cloud.policy import read_policy

BOTH = pytest.mark.parametrize("version", [V311, V5])
LAMP = Guest(Certificate("1" * 64, "lamp"), "192.0.2.7")


def policy(*allowed, denied=()):
    statements = [{"Effect": "Allow", "Action": action, "Resource": one} for action, one in allowed]
    statements += [{"Effect": "Deny", "Action": action, "Resource": one} for action, one in denied]
    return read_policy("p", {"Version": "2012-10-17", "Statement": statements})


EVERYTHING = policy(("iot:*", "*"))


def account(*policies, active=True, things=("lamp",)):
    known = {name: Thing(name, "Lamp", {"lane": "north"}) for name in things}
    return Account({LAMP.certificate.id: Holder(known, policies, active)})


@pytest.fixture
def world_of(make_world):
    def make(*allowed, denied=(), **options):
        return make_world(account=account(policy(*allowed, denied=denied), **options))

    return make


def lamp(world, version=V5, client_id="lamp", **more):
    return world.connected(client_id, version, guest=LAMP, **more)


class TestConnect:
    def test_not_allowed_in_5(self, world_of):
        client = lamp(world_of(("iot:Connect", "client/other")))
        assert client.connack.reason_code == 0x87
        assert client.closed

    def test_not_allowed_in_3_the_connection_is_closed(self, world_of):
        client = lamp(world_of(("iot:Connect", "client/other")), V311)
        assert client.connack is None
        assert client.closed

    def test_the_client_id_must_be_the_thing(self, world_of):
        world = world_of(("iot:Connect", "client/${iot:Connection.Thing.ThingName}"))
        assert lamp(world).connack.reason_code == 0
        assert lamp(world, client_id="other").connack.reason_code == 0x87

    @pytest.mark.parametrize(
        ("attributes", "code"),
        [({}, 0), ({"clean_start": False}, 0x87), ({"will": p.Will("gone/lamp", b"")}, 0)],
    )
    def test_what_it_asks_for_is_judged(self, make_world, attributes, code):
        document = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
                {
                    "Effect": "Deny",
                    "Action": "iot:Connect",
                    "Resource": "*",
                    "Condition": {
                        "ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}
                    },
                },
            ],
        }
        world = make_world(account=account(read_policy("p", document)))
        assert lamp(world, **attributes).connack.reason_code == code

    def test_the_wills_topic_is_a_variable(self, make_world):
        document = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": "*",
                "Condition": {"StringEquals": {"iot:LastWillTopic": "gone/${iot:ClientId}"}},
            },
        }
        world = make_world(account=account(read_policy("p", document)))
        assert lamp(world, will=p.Will("gone/lamp", b"")).connack.reason_code == 0
        assert lamp(world, will=p.Will("gone/other", b"")).connack.reason_code == 0x87

    def test_a_certificate_that_is_not_active(self, make_world):
        world = make_world(account=account(EVERYTHING, active=False))
        assert lamp(world).connack.reason_code == 0x87


class TestPublish:
    def test_qos_1_in_5_is_told_by_the_puback(self, world_of):
        client = lamp(world_of(("iot:Connect", "*"), ("iot:Publish", "topic/a")))
        client.publish("b")
        assert client.take() == [p.PubAck(7, 0x87)]
        client.publish("a")
        assert client.take() == [p.PubAck(7)]

    def test_qos_0_in_5_ends_the_connection(self, world_of):
        client = lamp(world_of(("iot:Connect", "*")))
        client.publish("b", qos=0)
        assert client.take() == [p.Disconnect(0x87)]

    @pytest.mark.parametrize("qos", [0, 1])
    def test_in_3_the_connection_is_closed(self, world_of, qos):
        client = lamp(world_of(("iot:Connect", "*")), V311)
        client.publish("b", qos=qos)
        assert (client.take(), client.closed) == ([], True)

    def test_retained_needs_its_own_right_too(self, world_of):
        world = world_of(("iot:Connect", "*"), ("iot:Publish", "*"), ("iot:RetainPublish", "topic/kept"))
        client = lamp(world)
        client.publish("a", retain=True)
        client.publish("kept", retain=True)
        assert client.take() == [p.PubAck(7, 0x87), p.PubAck(7)]

    def test_basic_ingest_by_its_whole_topic(self, world_of):
        client = lamp(world_of(("iot:Connect", "*"), ("iot:Publish", "topic/$aws/rules/r/*")))
        client.publish("$aws/rules/r/a")
        client.publish("$aws/rules/other/a")
        assert client.take() == [p.PubAck(7), p.PubAck(7, 0x87)]

    def test_a_will_that_is_not_allowed_is_not_sent(self, world_of, world):
        world = world_of(("iot:Connect", "*"))
        watcher = world.connected("watcher")
        watcher.subscribe("gone")
        lamp(world, will=p.Will("gone", b"")).lost()
        assert watcher.got() == []


class TestSubscribe:
    def test_in_5_each_filter_is_answered(self, world_of):
        client = lamp(world_of(("iot:Connect", "*"), ("iot:Subscribe", "topicfilter/a/*")))
        assert client.subscribe("a/#", "b", "a/+") == [1, 0x87, 1]

    def test_in_3_the_connection_is_closed(self, world_of):
        client = lamp(world_of(("iot:Connect", "*"), ("iot:Subscribe", "topicfilter/a/*")), V311)
        client.send(p.Subscribe(1, [p.SubscriptionOptions("a/b"), p.SubscriptionOptions("b")]))
        assert (client.take(), client.closed) == ([], True)

    def test_receive_is_asked_at_each_delivery_and_drops_silently(self, world_of):
        world = world_of(("iot:*", "*"), denied=[("iot:Receive", "topic/a/secret/*")])
        client = lamp(world)
        assert client.subscribe("a/#") == [1]
        other = world.connected("other")
        for topic in ("a/secret/x", "a/open"):
            other.publish(topic)
            other.publish(topic, qos=0)
        assert [topic for topic, _ in client.got()] == ["a/open", "a/open"]
        assert not client.closed
        assert world.broker.sessions["lamp"].denied == 2

    def test_shadows_over_mqtt_are_judged_as_topics(self, world_of):
        shadow = "$aws/things/lamp/shadow"
        world = world_of(
            ("iot:Connect", "*"),
            ("iot:Publish", f"topic/{shadow}/get"),
            (["iot:Subscribe", "iot:Receive"], [f"topicfilter/{shadow}/get/*", f"topic/{shadow}/get/*"]),
        )
        client = lamp(world)
        client.subscribe(f"{shadow}/get/+")
        client.publish(f"{shadow}/get", b"")
        ((topic, payload),) = client.got()
        assert (topic, json.loads(payload)["code"]) == (f"{shadow}/get/rejected", 404)


class TestAccount:
    def test_without_tables_everybody_may_do_everything(self):
        access = Account().connect(LAMP.certificate, "x", "")
        assert access.allows("iot:Publish", "topic/a")
        assert Account().holder(LAMP.certificate).thing("any").name == "any"

    @BOTH
    def test_what_changes_counts_for_connections_that_stand(self, world, version):
        client = lamp(world, version)
        client.publish("a")
        assert client.take() == [p.PubAck(7)]
        world.broker.account.become(account(policy(("iot:Connect", "*"))))
        client.publish("a")
        assert client.take() == ([p.PubAck(7, 0x87)] if version == V5 else [])

    def test_a_denial_on_demand_holds_for_all(self, world):
        client = lamp(world)
        world.broker.account.deny((denial("iot:Publish=topic/a"),))
        client.publish("a")
        client.publish("b")
        assert client.take() == [p.PubAck(7, 0x87), p.PubAck(7)]
        world.broker.account.deny(())
        client.publish("a")
        assert client.take() == [p.PubAck(7)]

    def test_https_has_neither_client_id_nor_thing(self):
        tables = account(policy(("iot:Publish", "topic/${iot:ClientId}")))
        access = tables.request(LAMP.certificate, "192.0.2.7")
        assert not access.allows("iot:Publish", "topic/lamp")

    def test_the_address_and_the_attributes_are_variables(self):
        document = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "*",
                "Resource": "topic/${iot:Connection.Thing.Attributes[lane]}/${iot:Connection.Thing.ThingTypeName}",
                "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
            },
        }
        tables = account(read_policy("p", document))
        assert tables.connect(LAMP.certificate, "lamp", "192.0.2.7").allows("iot:Publish", "topic/north/Lamp")
        assert not tables.connect(LAMP.certificate, "lamp", "10.0.0.1").allows(
            "iot:Publish", "topic/north/Lamp"
        )

    def test_decisions_are_remembered_within_a_bound(self, monkeypatch):
        monkeypatch.setattr(room, "MAX_MEMO", 3)
        access = account(policy(("iot:Publish", "topic/1"))).connect(LAMP.certificate, "lamp", "")
        assert [access.allows("iot:Publish", f"topic/{n}") for n in range(10)] == [n == 1 for n in range(10)]
        assert len(access._memo) <= 3

    def test_persistent_sessions_are_judged_by_what_holds_at_delivery(self, make_world):
        world = make_world(account=account(EVERYTHING))
        kept = {"clean_start": False, "properties": PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 60})}
        client = lamp(world, **kept)
        client.subscribe("a")
        client.lost()
        world.connected("other").publish("a")
        world.broker.account.become(account(policy(("iot:*", "*"), denied=[("iot:Receive", "topic/a")])))
        assert lamp(world, **kept).got() == []
