"""The simulated cloud's broker."""

import json

import pytest

from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311, SubscriptionOptions, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud import broker as room
from edgecore.sim.cloud.broker import Broker, message_of
from edgecore.sim.cloud.sessions import Published
from edgecore.sim.cloud.shadows import Shadows


class Case:
    def __init__(self):
        self.woken = []
        self.broker = Broker(Shadows(lambda _key, _shadow: None), self.woken.append, redelivery=30.0)
        self.broker.epoch = 100.0

    def online(self, name, *filters, version=V5, clean=True, now=0.0, **options):
        session, present = self.broker.open(name, version, clean, now)
        session.attach(100)
        for topic_filter in filters:
            assert self.subscribe(session, topic_filter, **options) < 0x80
        self.present = present
        return session

    def subscribe(self, session, topic_filter, qos=1, **options):
        return self.broker.subscribe(session, SubscriptionOptions(topic_filter, qos, **options), 0.0)

    def publish(self, topic, payload=b"x", qos=1, retain=False, origin="", now=0.0):
        self.broker.publish(Published(topic, payload, qos, retain, origin=origin), now)

    @staticmethod
    def got(session, now=0.0):
        return [(one.topic, one.payload, one.qos, one.retain) for one in session.take(now)]


@pytest.fixture
def case():
    return Case()


class TestRouting:
    def test_matching_sessions_get_it_at_the_lower_qos(self, case):
        one, other = case.online("one", "a/+"), case.online("other", "a/b", qos=0)
        case.online("none", "c")
        case.publish("a/b")
        assert case.got(one) == [("a/b", b"x", 1, False)]
        assert case.got(other) == [("a/b", b"x", 0, False)]
        assert case.woken == ["one", "other"]

    def test_overlapping_subscriptions_give_one_copy_at_the_best_qos(self, case):
        session = case.online("one", "a/#", qos=0)
        case.subscribe(session, "a/b", qos=1)
        case.publish("a/b")
        assert case.got(session) == [("a/b", b"x", 1, False)]

    def test_a_new_subscription_counts_for_topics_already_seen(self, case):
        session = case.online("one")
        case.publish("a")
        case.subscribe(session, "a")
        case.publish("a")
        assert len(case.got(session)) == 1
        assert case.broker.unsubscribe(session, "a")
        assert not case.broker.unsubscribe(session, "a")
        case.publish("a")
        assert case.got(session) == []

    def test_no_local(self, case):
        session = case.online("one", "a", no_local=True)
        case.publish("a", origin="one")
        assert case.got(session) == []

    def test_a_share_group_takes_turns_among_those_online(self, case):
        first, second = case.online("1", "$share/g/a"), case.online("2", "$share/g/a")
        for _ in range(4):
            case.publish("a")
        assert (len(case.got(first)), len(case.got(second))) == (2, 2)
        case.broker.lost(first, 60, None, 0.0)
        case.publish("a")
        assert len(case.got(second)) == 1

    def test_basic_ingest_goes_past_the_broker(self, case):
        case.publish("$aws/rules/r/a")
        assert case.broker.status()["ingested"] == 1

    def test_the_memo_is_bounded(self, case, monkeypatch):
        monkeypatch.setattr(room, "MAX_MEMO", 2)
        session = case.online("one", "#")
        for topic in "abcde":
            case.publish(topic)
        assert len(case.got(session)) == 5


class TestSubscriptions:
    def test_limits(self, case):
        session = case.online("one", *(f"a/{index}" for index in range(50)))
        assert case.subscribe(session, "one/more") == ReasonCode.QUOTA_EXCEEDED
        assert case.subscribe(session, "a/1") == 1  # known already
        assert case.subscribe(session, "$share/g/" + "a/" * 8) == ReasonCode.TOPIC_FILTER_INVALID
        assert case.subscribe(session, "$aws/rules/r/#") == ReasonCode.NOT_AUTHORIZED


class TestRetained:
    def test_only_the_very_topic_gets_it(self, case):
        case.publish("a/b", retain=True)
        exact, wild, shared = (
            case.online("1", "a/b"),
            case.online("2", "a/#"),
            case.online("3", "$share/g/a/b"),
        )
        assert case.got(exact) == [("a/b", b"x", 1, True)]
        assert case.got(wild) == case.got(shared) == []

    def test_live_delivery_has_the_flag_only_as_published(self, case):
        plain, kept = case.online("1", "a"), case.online("2", "a", retain_as_published=True)
        case.publish("a", retain=True)
        assert case.got(plain) == [("a", b"x", 1, False)]
        assert case.got(kept) == [("a", b"x", 1, True)]

    def test_an_empty_one_deletes_and_is_forwarded(self, case):
        session = case.online("1", "a")
        case.publish("a", retain=True)
        case.publish("a", b"", retain=True)
        assert [payload for _, payload, _, _ in case.got(session)] == [b"x", b""]
        assert case.got(case.online("2", "a")) == []

    @pytest.mark.parametrize(("handling", "again"), [(0, 1), (1, 0), (2, 0)])
    def test_retain_handling(self, case, handling, again):
        case.publish("a", retain=True)
        session = case.online("1", "a", retain_handling=handling)
        first = len(case.got(session))
        assert first == (0 if handling == 2 else 1)
        case.subscribe(session, "a", retain_handling=handling)
        assert len(case.got(session)) == again


class TestSessions:
    def test_a_kept_session_resumes_with_what_it_missed(self, case):
        session = case.online("core", "a", clean=False)
        case.broker.lost(session, 3600, None, 0.0)
        case.publish("a")
        again = case.online("core", clean=False, now=3599.0)
        assert case.present
        assert again is session
        assert len(case.got(again)) == 1

    @pytest.mark.parametrize("how", ["expired", "clean", "version"])
    def test_a_session_ends(self, case, how):
        session = case.online("core", "a", clean=False)
        case.broker.lost(session, 3600, None, 0.0)
        version = V311 if how == "version" else V5
        case.online("core", version=version, clean=how == "clean", now=3600.0 if how == "expired" else 1.0)
        assert not case.present

    def test_the_tick_ends_sessions(self, case):
        session = case.online("core", "a")
        case.broker.lost(session, 5, None, 0.0)
        case.broker.tick(4.0)
        assert case.broker.status()["sessions"] == 1
        case.broker.tick(5.0)
        assert case.broker.status()["sessions"] == 0

    def test_a_session_without_expiry_ends_with_its_connection(self, case):
        case.broker.lost(case.online("core"), 0, None, 0.0)
        assert set(case.broker.status().values()) == {0}

    def test_the_tick_redelivers(self, case):
        session = case.online("core", "a")
        case.publish("a")
        case.got(session)
        case.broker.tick(29.0)
        assert case.got(session) == []
        case.woken.clear()
        case.broker.tick(30.0)
        assert case.woken == ["core"]
        assert len(case.got(session)) == 1

    def test_an_older_connection_of_a_session_cannot_end_the_new_one(self, case):
        old = case.online("core")
        new = case.online("core")
        case.broker.lost(old, 0, None, 0.0)
        assert case.broker.sessions["core"] is new


class TestWills:
    def will(self, delay=None, retain=False):
        properties = PropertyMap({} if delay is None else {ids.WILL_DELAY_INTERVAL: delay})
        return Will("gone", b"core", 1, retain, properties)

    def test_it_is_sent_when_the_connection_is_lost(self, case):
        watcher = case.online("watcher", "gone")
        case.broker.lost(case.online("core"), 60, self.will(), 0.0)
        assert case.got(watcher) == [("gone", b"core", 1, False)]

    def test_a_delayed_one_waits_and_is_withdrawn_by_a_return(self, case):
        watcher = case.online("watcher", "gone")
        case.broker.lost(case.online("core"), 60, self.will(delay=10), 0.0)
        case.broker.tick(9.0)
        assert case.got(watcher) == []
        session = case.online("core", clean=False, now=9.0)
        case.broker.tick(20.0)
        assert case.got(watcher) == []
        case.broker.lost(session, 60, self.will(delay=10), 20.0)
        case.broker.tick(30.0)
        assert len(case.got(watcher)) == 1

    def test_it_is_due_when_the_session_ends(self, case):
        watcher = case.online("watcher", "gone")
        case.broker.lost(case.online("core"), 60, self.will(delay=50), 0.0)
        case.online("core", clean=True, now=1.0)
        case.broker.tick(1.0)
        assert len(case.got(watcher)) == 1

    def test_the_shadow_service_ignores_wills(self, case):
        watcher = case.online("watcher", "$aws/things/a/shadow/#")
        will = Will("$aws/things/a/shadow/update", b'{"state":{"reported":{"a":1}}}', 1)
        case.broker.lost(case.online("core"), 60, will, 0.0)
        assert [topic for topic, _, _, _ in case.got(watcher)] == ["$aws/things/a/shadow/update"]


def test_shadow_requests_are_answered_on_topics(case):
    session = case.online("core", "$aws/things/a/shadow/update/accepted")
    case.publish("$aws/things/a/shadow/update", b'{"state":{"reported":{"a":1}}}')
    ((topic, payload, qos, _),) = case.got(session)
    assert (topic, qos) == ("$aws/things/a/shadow/update/accepted", 1)
    assert json.loads(payload)["timestamp"] == 100


def test_a_message_keeps_what_is_the_publishers_and_not_what_is_the_connections():
    properties = PropertyMap(
        {
            ids.CONTENT_TYPE: "x",
            ids.TOPIC_ALIAS: 3,
            ids.MESSAGE_EXPIRY_INTERVAL: 60,
            ids.USER_PROPERTY: [("a", "b")],
        }
    )
    message = message_of("t", b"p", 1, retain=True, properties=properties, now=5.0, origin="core")
    assert message.properties == {ids.CONTENT_TYPE: "x", ids.USER_PROPERTY: [("a", "b")]}
    assert (message.expires_at, message.origin, message.retain) == (65.0, "core", True)
