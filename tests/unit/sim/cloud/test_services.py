"""The services behind the broker, and whom their replies reach."""

import json

import pytest

from edgecore.mqtt.packets import SubscriptionOptions
from edgecore.sim.cloud.jobs import Jobs
from edgecore.sim.cloud.services import Services
from edgecore.sim.cloud.shadows import Key, Shadows

JOBS = "$aws/things/lamp/jobs"
SHADOW = "$aws/things/lamp/shadow"


@pytest.fixture
def services():
    return Services(Shadows(lambda _key, _shadow: None), Jobs())


def test_a_topic_that_no_service_knows(services):
    answer = services.answer("$aws/things/lamp/streams/s/get/json", b"{}", 0.0, 100)
    assert (answer.direct, answer.published) == ([], [])


def test_shadow_replies_are_published_and_job_replies_are_direct(services):
    shadow = services.answer(f"{SHADOW}/get", b"", 0.0, 100)
    assert ([one.topic for one in shadow.published], shadow.direct) == ([f"{SHADOW}/get/rejected"], [])
    job = services.answer(f"{JOBS}/get", b"", 0.0, 100)
    assert ([one.topic for one in job.direct], job.published) == ([f"{JOBS}/get/accepted"], [])


def test_too_many_requests_for_one_shadow(services):
    services.limit(1)
    codes = [services.ask_shadow(Key("lamp"), "get", b"", 0.0, 100)[-1].document["code"] for _ in range(2)]
    assert codes == [404, 429]


class TestAtTheBroker:
    def test_job_replies_reach_the_one_who_asked_subscribed_or_not_and_nobody_else(self, world):
        asking, other = world.connected("lamp"), world.connected("other")
        other.subscribe(f"{JOBS}/#")
        asking.publish(f"{JOBS}/get", b'{"clientToken":"t"}')
        ((topic, payload),) = asking.got()
        assert topic == f"{JOBS}/get/accepted"
        assert json.loads(payload)["clientToken"] == "t"
        assert [topic for topic, _ in other.got()] == [f"{JOBS}/get"]

    def test_at_the_qos_of_the_askers_subscription(self, world):
        client = world.connected("lamp")
        client.subscribe(f"{JOBS}/get/accepted")
        client.publish(f"{JOBS}/get", b"")
        (_, reply) = sorted(client.take(), key=lambda one: hasattr(one, "topic"))
        assert reply.qos == 1

    def test_notifications_are_ordinary_messages(self, world):
        watcher = world.connected("watcher")
        watcher.subscribe(f"{JOBS}/notify-next")
        world.broker.announce(world.broker.jobs.create("one", {}, ["lamp"], 100), 0.0)
        world.live.flush(0.0)
        ((_, payload),) = watcher.got()
        assert json.loads(payload)["execution"]["jobId"] == "one"

    def test_a_job_that_times_out_is_told_by_the_tick(self, world):
        client = world.connected("lamp")
        world.broker.jobs.create("one", {}, ["lamp"], 100)
        client.publish(f"{JOBS}/start-next", b'{"stepTimeoutInMinutes":1}')
        client.subscribe(f"{JOBS}/notify")
        client.got()
        world.tick(60.0)
        assert [topic for topic, _ in client.got()] == [f"{JOBS}/notify"]

    def test_over_https_a_success_is_told_on_mqtt_and_a_failure_is_not(self, world):
        session, _ = world.broker.open("watcher", 5, True, 0.0)
        session.attach(100)
        world.broker.subscribe(session, SubscriptionOptions(f"{SHADOW}/#", 1), 0.0)
        reply = world.broker.ask_shadow(Key("lamp"), "update", b'{"state":{"desired":{"on":1}}}', 0.0)
        assert reply.topic == f"{SHADOW}/update/accepted"
        told = [one.topic.removeprefix(f"{SHADOW}/update/") for one in session.take(0.0)]
        assert told == ["documents", "delta", "accepted"]
        assert world.broker.ask_shadow(Key("lamp"), "get", b"", 0.0).topic == f"{SHADOW}/get/accepted"
        assert world.broker.ask_shadow(Key("lamp"), "update", b"[]", 0.0).topic == f"{SHADOW}/update/rejected"
        assert list(session.take(0.0)) == []
