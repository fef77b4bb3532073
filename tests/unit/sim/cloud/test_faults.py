"""Faults on demand, as far as they are decided."""

import json

import pytest

from edgecore.base.errors import EdgecoreError
from edgecore.mqtt import packets as p
from edgecore.sim.cloud.faults import FAULTS, Faults
from edgecore.sim.cloud.limits import AWS


class TestFaults:
    @pytest.mark.parametrize("name", FAULTS)
    def test_each_goes_on_and_off(self, name):
        faults = Faults()
        faults.set(name, "iot:Publish" if name == "deny" else None)
        assert list(faults.status()) == [name]
        faults.clear(name)
        assert faults.status() == {}

    def test_all_off_at_once(self):
        faults = Faults()
        for name in ("cut", "slow", "lossy"):
            faults.set(name)
        faults.clear()
        assert faults.status() == {}

    @pytest.mark.parametrize(
        ("name", "value", "found"),
        [
            ("slow", "0.1", 0.1),
            ("lossy", "1", 1.0),
            ("http", "500", 500),
            ("skew", "-3600", -3600.0),
            ("throttle", "2", 2.0),
        ],
    )
    def test_values(self, name, value, found):
        faults = Faults()
        faults.set(name, value)
        assert faults.status() == {name: found}

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("flood", None, "choose one of cut, half-open"),
            ("lossy", "2", "not within 0 and 1"),
            ("slow", "much", "needs a number, found 'much'"),
            ("http", "200", "not within 400 and 599"),
            ("deny", None, "needs an action"),
        ],
    )
    def test_mistakes_are_told(self, name, value, text):
        with pytest.raises(EdgecoreError, match=text):
            Faults().set(name, value)

    def test_an_unknown_one_cannot_be_taken_off(self):
        with pytest.raises(EdgecoreError, match="no fault 'flood'"):
            Faults().clear("flood")

    def test_denials_add_up(self):
        faults = Faults()
        faults.set("deny", "iot:Publish")
        faults.set("deny", "iot:Receive")
        assert faults.status() == {"deny": ["iot:Publish", "iot:Receive"]}

    def test_what_is_lost_is_a_matter_of_chance_and_counted(self):
        chances = iter([0.1, 0.5, 0.3])
        faults = Faults(lambda: next(chances))
        assert not faults.lose()  # healthy: no dice
        faults.set("lossy", "0.4")
        assert [faults.lose() for _ in range(3)] == [True, False, True]
        assert faults.lost == 2

    def test_throttling_leaves_the_other_limits(self):
        faults = Faults()
        assert faults.state.limits(AWS) is AWS
        faults.set("throttle", "3")
        limits = faults.state.limits(AWS)
        assert (limits.publishes, limits.shadow, limits.bytes) == (3, 3, AWS.bytes)


class TestAtTheBroker:
    def test_throttled(self, world):
        client = world.connected()
        world.broker.change_faults("throttle", "2")
        for _ in range(3):
            client.publish("a")
        assert client.take() == [p.PubAck(7)] * 2
        world.broker.change_faults("throttle", on=False)
        client.publish("a")
        assert client.take() == [p.PubAck(7)]

    def test_lossy_publishes_and_deliveries(self, make_world):
        world = make_world(faults=Faults(lambda: 0.0))
        client = world.connected()
        client.subscribe("a")
        world.broker.change_faults("lossy", "1")
        client.publish("a", b"lost")
        assert client.take() == []
        world.broker.change_faults("lossy", on=False)
        sender = world.connected("sender")
        world.broker.faults.lose = iter([False, True, False]).__next__
        sender.publish("a", b"late")
        assert client.take() == []
        world.tick(30.0)  # at QoS 1 it stayed in flight
        assert client.got() == [("a", b"late")]

    def test_a_clock_that_is_off(self, world):
        client = world.connected()
        client.subscribe("$aws/things/a/shadow/update/accepted")
        world.broker.change_faults("skew", "-100")
        client.publish("$aws/things/a/shadow/update", b'{"state":{}}')
        ((_, payload),) = client.got()
        assert json.loads(payload)["timestamp"] == 0

    def test_denied(self, world):
        client = world.connected()
        world.broker.change_faults("deny", "iot:Publish=topic/a*")
        client.publish("a/b")
        client.publish("b")
        assert client.take() == [p.PubAck(7, 0x87), p.PubAck(7)]
        world.broker.change_faults(None, on=False)
        client.publish("a/b")
        assert client.take() == [p.PubAck(7)]

    def test_denied_with_a_hang_up(self, world):
        client = world.connected()
        world.broker.change_faults("deny", "iot:Publish=topic/a")
        world.broker.change_faults("hang-up")
        client.publish("x" * 257)
        client.publish("a")
        assert client.take() == [p.PubAck(7, 0x90), p.Disconnect(0x87)]

    def test_shadows_restored_from_a_backup(self, world):
        client = world.connected()
        client.publish("$aws/things/a/shadow/update", b'{"state":{"reported":{"n":1}}}')
        backup = world.broker.services.shadows.items()
        for thing in ("a", "b"):
            client.publish(f"$aws/things/{thing}/shadow/update", b'{"state":{"reported":{"n":2}}}')
        world.broker.services.shadows.restore(backup)
        client.subscribe("$aws/things/+/shadow/get/+")
        client.publish("$aws/things/a/shadow/get", b"")
        client.publish("$aws/things/b/shadow/get", b"")
        first, second = (json.loads(payload) for _, payload in client.got())
        assert (first["version"], first["state"]) == (1, {"reported": {"n": 1}})
        assert second["code"] == 404
        client.publish("$aws/things/b/shadow/update", b'{"state":{"reported":{"n":3}}}')
        client.publish("$aws/things/b/shadow/get", b"")
        assert json.loads(client.got()[0][1])["version"] == 1
