"""AWS's rate limits."""

import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud.limits import AWS, NONE, UNLIMITED, Bucket, Buckets, Limits

KEPT = PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 3600})


class TestBucket:
    def test_it_holds_one_seconds_worth(self):
        bucket = Bucket(3)
        assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
        assert [bucket.take(100.4) for _ in range(2)] == [True, False]
        assert [bucket.take(200.0) for _ in range(4)] == [True, True, True, False]

    def test_tenths_of_a_second_add_up(self):
        bucket = Bucket(1)
        assert bucket.take(0.0)
        got = [bucket.take(step / 10) for step in range(1, 11)]
        assert got == [False] * 9 + [True]

    def test_debt_is_paid_with_time(self):
        bucket = Bucket(100)
        bucket.spend(0.0, 300)
        assert bucket.wait(0.0) == 2.0
        assert bucket.wait(1.5) == 0.5
        assert bucket.wait(2.0) == 0.0

    def test_time_that_goes_back_gives_nothing(self):
        bucket = Bucket(1)
        assert bucket.take(10.0)
        assert not bucket.take(5.0)

    def test_without_a_limit(self):
        bucket = Bucket(UNLIMITED)
        bucket.spend(0.0, 1e12)
        assert bucket.wait(0.0) == 0
        assert all(bucket.take(0.0) for _ in range(1000))


class TestBuckets:
    def test_each_name_has_its_own(self):
        buckets = Buckets(1)
        assert [buckets.take(name, 0.0) for name in "aab"] == [True, False, True]

    def test_a_new_rate_counts_at_once(self):
        buckets = Buckets(1)
        assert buckets.take("a", 0.0)
        buckets.rate = 2
        assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]

    def test_names_are_bounded(self, monkeypatch):
        monkeypatch.setattr(Buckets, "MANY", 2)
        buckets = Buckets(1)
        for name in "abc":
            buckets.take(name, 0.0)
        assert len(buckets._buckets) == 1


def test_the_numbers_of_aws():
    assert (
        Limits(
            publishes=100,
            bytes=524_288,
            connects=1,
            replay=10,
            shared=20,
            retained=1,
            shadow=20,
            answers=False,
        )
        == AWS
    )
    assert Limits() == NONE


class TestPublishRate:
    def test_100_a_second_in_and_the_excess_is_discarded_and_not_answered(self, make_world):
        world = make_world(limits=AWS)
        client = world.connected()
        for _ in range(130):
            client.publish("a")
        assert client.take() == [p.PubAck(7)] * 100
        assert not client.closed
        assert world.broker.status()["throttled"] == 30
        world.now = 1.0
        client.publish("a")
        assert client.take() == [p.PubAck(7)]

    @pytest.mark.parametrize(("version", "answers"), [(V5, [p.PubAck(7, 0x97)]), (V311, [])])
    def test_the_excess_may_be_answered_in_5(self, make_world, version, answers):
        world = make_world(limits=Limits(publishes=1, answers=True))
        client = world.connected(version=version)
        client.publish("a")
        client.take()
        client.publish("a")
        assert client.take() == answers

    @pytest.mark.parametrize("qos", [0, 1])
    def test_deliveries_count_too_and_their_excess_is_gone(self, make_world, qos):
        world = make_world(limits=Limits(publishes=10))
        client = world.connected()
        client.subscribe("a", qos=qos)
        for index in range(3):
            sender = world.connected(f"sender-{index}")
            for _ in range(5):
                sender.publish("a", qos=qos)
        assert len(client.take()) == 10
        assert world.broker.sessions["core"].in_flight == (10 if qos else 0)
        client.publish("b", qos=0)
        assert world.broker.status()["throttled"] == 6

    def test_there_is_none_unless_it_is_asked_for(self, world):
        client = world.connected()
        for _ in range(500):
            client.publish("a")
        assert len(client.take()) == 500


class TestThroughput:
    def test_512_kb_a_second_in_and_what_follows_waits(self, make_world):
        world = make_world(limits=Limits(bytes=524_288))
        client = world.connected()
        for _ in range(8):
            client.publish("a", bytes(131_000), qos=0)
        wait = client.conversation.wait(0.0)
        assert 0.95 < wait < 1.05
        assert client.conversation.wait(wait) == pytest.approx(0, abs=1e-9)

    def test_deliveries_wait_too_and_come_later(self, make_world):
        world = make_world(limits=Limits(bytes=1000))
        client = world.connected()
        client.subscribe("a")
        sender = world.connected("sender")
        for _ in range(5):
            sender.publish("a", bytes(400))
        received = len(client.take())
        assert received < 5
        assert client.delays
        while received < 5:
            world.now += client.delays.pop()
            client.conversation.flush(world.now)
            received += len(client.take())
        assert world.now > 0.6  # 2,035 bytes, 1,000 at once, the last one into debt


class TestConnects:
    @pytest.mark.parametrize(("version", "code"), [(V5, 0x97), (V311, 3)])
    def test_one_a_second_for_each_client_id(self, make_world, version, code):
        world = make_world(limits=AWS)
        assert world.connected("a", version).connack.reason_code == 0
        world.now = 0.9
        assert world.connected("a", version).connack.reason_code == code
        assert world.connected("b", version).connack.reason_code == 0
        world.now = 1.0
        assert world.connected("a", version).connack.reason_code == 0


class TestReplay:
    def test_stored_messages_come_at_10_a_second(self, make_world):
        world = make_world(limits=Limits(replay=10))
        client = world.connected(clean_start=False, properties=KEPT)
        client.subscribe("a")
        client.lost()
        sender = world.connected("sender")
        for index in range(35):
            sender.publish("a", str(index).encode())
        client = world.connected(clean_start=False, properties=KEPT)
        counts = [len(client.got())]
        for _ in range(6):
            world.tick(0.5)
            counts.append(len(client.got()))
        assert counts == [10, 5, 5, 5, 5, 5, 0]

    def test_live_ones_do_not_wait_for_them(self, make_world):
        world = make_world(limits=Limits(replay=10))
        client = world.connected(clean_start=False, properties=KEPT)
        client.subscribe("a")
        client.lost()
        sender = world.connected("sender")
        for _ in range(11):
            sender.publish("a", b"stored")
        client = world.connected(clean_start=False, properties=KEPT)
        client.got()
        sender.publish("a", b"live")
        assert client.got() == [("a", b"live")]
        world.tick(1.0)
        assert client.got() == [("a", b"stored")]

    def test_an_interrupted_replay_goes_on_in_order(self, make_world):
        world = make_world(limits=Limits(replay=1))
        client = world.connected(clean_start=False, properties=KEPT)
        client.subscribe("a")
        client.lost()
        sender = world.connected("sender")
        for payload in (b"1", b"2", b"3"):
            sender.publish("a", payload)
        client = world.connected(clean_start=False, properties=KEPT)
        assert client.got() == [("a", b"1")]
        client.lost()
        world.now = 10.0
        client = world.connected(clean_start=False, properties=KEPT)
        assert client.got() == [("a", b"2")]
        world.tick(1.0)
        assert client.got() == [("a", b"3")]

    def test_without_the_limit_all_come_at_once(self, world):
        client = world.connected(clean_start=False, properties=KEPT)
        client.subscribe("a")
        client.lost()
        sender = world.connected("sender")
        for _ in range(50):
            sender.publish("a")
        assert len(world.connected(clean_start=False, properties=KEPT).take()) == 50


def test_a_retained_message_a_second_for_each_topic(make_world):
    world = make_world(limits=Limits(retained=1))
    client = world.connected()
    for topic, payload in (("a", b"1"), ("a", b"2"), ("b", b"3")):
        client.publish(topic, payload, retain=True)
    assert {topic: one.payload for topic, one in world.broker.retained.items()} == {"a": b"1", "b": b"3"}
    client.publish("a", b"plain")
    assert client.take() == [p.PubAck(7)] * 3


def test_20_requests_a_second_for_each_shadow(make_world):
    world = make_world(limits=AWS)
    client = world.connected()
    client.subscribe("$aws/things/a/shadow/get/+", "$aws/things/b/shadow/get/+", qos=0)
    for _ in range(21):
        client.publish("$aws/things/a/shadow/get", b"", qos=0)
    client.publish("$aws/things/b/shadow/get", b"", qos=0)
    answers = client.got()
    assert [b'"code":429' in payload for _, payload in answers] == [False] * 20 + [True, False]
    assert ReasonCode.QUOTA_EXCEEDED not in [getattr(one, "reason_code", 0) for one in client.take()]
