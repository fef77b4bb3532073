"""Lifecycle events, alone and at the broker."""

import json

import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt.packets import V311
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud.access import Account, Certificate, Holder
from edgecore.sim.cloud.conversation import Guest
from edgecore.sim.cloud.presence import Presence, Visit, reason_of

LAMP = Guest(Certificate("1" * 64, "lamp"), "192.0.2.7")


def events(client):
    return {topic: json.loads(payload) for topic, payload in client.got()}


@pytest.fixture
def watcher(world):
    client = world.connected("watcher")
    client.subscribe("$aws/events/#")
    client.got()
    return client


def disconnected(watcher, client_id="lamp"):
    return events(watcher)[f"$aws/events/presence/disconnected/{client_id}"]


class TestPresence:
    def test_connected(self, world, watcher):
        world.now = 1.5
        world.connected("lamp", guest=LAMP)
        event = events(watcher)["$aws/events/presence/connected/lamp"]
        assert event.pop("sessionIdentifier")
        assert event == {
            "clientId": "lamp",
            "timestamp": 101_500,
            "eventType": "connected",
            "principalIdentifier": "1" * 64,
            "ipAddress": "192.0.2.7",
            "versionNumber": 0,
        }

    def test_disconnected_has_the_number_and_session_of_its_connect(self, world, watcher):
        client = world.connected("lamp", guest=LAMP)
        before = events(watcher)["$aws/events/presence/connected/lamp"]
        client.send(p.Disconnect())
        after = disconnected(watcher)
        assert after["versionNumber"] == before["versionNumber"]
        assert after["sessionIdentifier"] == before["sessionIdentifier"]
        assert "ipAddress" not in after

    def test_the_number_grows_and_starts_again_after_an_hour(self, world, watcher):
        numbers = []
        for pause in (0.0, 10.0, 3601.0):
            world.now += pause
            client = world.connected("lamp")
            numbers.append(events(watcher)["$aws/events/presence/connected/lamp"]["versionNumber"])
            client.lost()
            watcher.got()
        assert numbers == [0, 1, 0]

    @pytest.mark.parametrize(
        ("how", "initiated", "reason"),
        [
            (lambda one: one.send(p.Disconnect()), True, "CLIENT_INITIATED_DISCONNECT"),
            (lambda one: one.lost(), False, "CONNECTION_LOST"),
            (lambda one: one.conversation.check(1e9), False, "MQTT_KEEP_ALIVE_TIMEOUT"),
            (lambda one: one.publish("a", bytes(131_073)), False, "CLIENT_ERROR"),
            (lambda one: one.publish("x" * 257, qos=0), False, "CLIENT_ERROR"),
            (lambda one: one.publish("$aws/rules", qos=0), False, "AUTH_ERROR"),
            (
                lambda one: one.conversation.end(ReasonCode.ADMINISTRATIVE_ACTION, 0.0),
                False,
                "API_INITIATED_DISCONNECT",
            ),
            (
                lambda one: one.conversation.end(ReasonCode.SERVER_SHUTTING_DOWN, 0.0),
                False,
                "SERVER_INITIATED_DISCONNECT",
            ),
        ],
    )
    def test_reasons_of_a_disconnection(self, world, watcher, how, initiated, reason):
        client = world.connected("lamp")
        watcher.got()
        how(client)
        world.live.flush(0.0)
        event = disconnected(watcher)
        assert (event["clientInitiatedDisconnect"], event["disconnectReason"]) == (initiated, reason)

    def test_a_takeover_tells_both(self, world, watcher):
        world.connected("lamp")
        watcher.got()
        world.connected("lamp")
        found = events(watcher)
        assert found["$aws/events/presence/disconnected/lamp"]["disconnectReason"] == "DUPLICATE_CLIENTID"
        assert found["$aws/events/presence/connected/lamp"]["versionNumber"] == 1

    @pytest.mark.parametrize("version", [V311, 5])
    def test_a_connect_that_no_policy_allows(self, world, watcher, version):
        world.broker.account.become(Account({LAMP.certificate.id: Holder({}, ())}))
        world.connected("lamp", version, guest=LAMP)
        world.live.flush(0.0)
        event = events(watcher)["$aws/events/presence/connect_failed/lamp"]
        assert (event["eventType"], event["ipAddress"]) == ("connect_failed", "192.0.2.7")

    def test_a_client_id_with_a_wildcard_has_no_events(self, world, watcher):
        for client_id in ("a+", "a#"):
            world.connected(client_id).lost()
        assert watcher.got() == []

    def test_every_other_reason_is_the_clients_error(self):
        assert reason_of(ReasonCode.PROTOCOL_ERROR) == "CLIENT_ERROR"


class TestSubscriptions:
    def test_what_was_granted_and_what_was_taken_back(self, world, watcher):
        client = world.connected("lamp")
        watcher.got()
        client.subscribe("a", "$aws/rules/none/a", "b")
        assert events(watcher)["$aws/events/subscriptions/subscribed/lamp"]["topics"] == ["a", "b"]
        client.send(p.Unsubscribe(1, ["a", "never"]))
        assert events(watcher)["$aws/events/subscriptions/unsubscribed/lamp"]["topics"] == ["a"]

    def test_nothing_granted_is_no_event(self, world, watcher):
        client = world.connected("lamp")
        watcher.got()
        client.subscribe("$aws/rules/none/a")
        client.send(p.Unsubscribe(1, ["never"]))
        assert watcher.got() == []


def test_a_plain_wildcard_does_not_get_events(world):
    client = world.connected("all")
    client.subscribe("#")
    world.connected("lamp")
    assert client.got() == []


def test_the_visit_keeps_what_it_is_about():
    presence = Presence()
    first = presence.arrive(Visit("a", "s", "p", "1.2.3.4"), 0.0)
    assert first == Visit("a", "s", "p", "1.2.3.4", 0)
    assert presence.arrive(first, 0.0).version == 1
