"""AWS IoT Core's rules on top of MQTT."""

import pytest

from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311, Connect, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud import rules


@pytest.mark.parametrize(("asked", "given"), [(0, 1200), (1, 30), (30, 30), (1000, 1000), (65_535, 1200)])
def test_keep_alive(asked, given):
    assert rules.keep_alive(asked) == given


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (600, 600), (600_000, 3600), (0xFFFF_FFFF, 3600)])
def test_session_expiry_in_version_5(asked, given):
    connect = Connect("c", V5, properties=PropertyMap({ids.SESSION_EXPIRY_INTERVAL: asked}))
    assert rules.session_expiry(connect) == given


def test_session_expiry_in_version_3_is_that_of_the_account():
    assert rules.session_expiry(Connect("c", V311, clean_start=False)) == 3600
    assert rules.session_expiry(Connect("c", V311, clean_start=True)) == 0


def test_connack_is_what_aws_sends():
    answer = rules.connack_properties(Connect("c", V5, keep_alive=65_535), "")
    assert answer == {
        ids.SESSION_EXPIRY_INTERVAL: 0,
        ids.RECEIVE_MAXIMUM: 100,
        ids.MAXIMUM_QOS: 1,
        ids.RETAIN_AVAILABLE: 1,
        ids.MAXIMUM_PACKET_SIZE: 149_504,
        ids.TOPIC_ALIAS_MAXIMUM: 8,
        ids.WILDCARD_SUBSCRIPTION_AVAILABLE: 1,
        ids.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
        ids.SHARED_SUBSCRIPTION_AVAILABLE: 1,
        ids.SERVER_KEEP_ALIVE: 1200,
    }
    assert rules.connack_properties(Connect("", V5), "auto-1")[ids.ASSIGNED_CLIENT_IDENTIFIER] == "auto-1"


@pytest.mark.parametrize(
    ("connect", "expected"),
    [
        (Connect("c"), None),
        (Connect("", V5), None),
        (Connect("", V311), None),
        (Connect("", V311, clean_start=False), ReasonCode.CLIENT_IDENTIFIER_NOT_VALID),
        (Connect("$c"), ReasonCode.CLIENT_IDENTIFIER_NOT_VALID),
        (Connect("x" * 129), ReasonCode.CLIENT_IDENTIFIER_NOT_VALID),
        (Connect("c", properties=PropertyMap({ids.MAXIMUM_PACKET_SIZE: 511})), ReasonCode.UNSPECIFIED_ERROR),
        (
            Connect("c", properties=PropertyMap({ids.AUTHENTICATION_METHOD: "x"})),
            ReasonCode.UNSPECIFIED_ERROR,
        ),
        (Connect("c", will=Will("a", b"")), None),
        (Connect("c", will=Will("a", b"", qos=2)), ReasonCode.QOS_NOT_SUPPORTED),
        (Connect("c", will=Will("$SYS/a", b"")), ReasonCode.TOPIC_NAME_INVALID),
    ],
)
def test_connect(connect, expected):
    assert rules.refuse_connect(connect) is expected


@pytest.mark.parametrize(
    ("topic", "size", "retain", "expected"),
    [
        ("a", 131_072, False, None),
        ("a", 131_073, False, ReasonCode.QUOTA_EXCEEDED),
        ("x" * 257, 0, False, ReasonCode.TOPIC_NAME_INVALID),
        ("a/b/c/d/e/f/g/h", 0, True, None),
        ("a/b/c/d/e/f/g/h/i", 0, False, ReasonCode.TOPIC_NAME_INVALID),
        ("$aws/rules/r/a/b/c/d/e/f/g/h", 0, False, None),
        ("$aws/things/a/shadow/update", 0, False, None),
        ("$aws/things/a/shadow/name/n/get", 0, False, None),
        ("$aws/things/a/shadow/update", 0, True, ReasonCode.UNSPECIFIED_ERROR),
        ("$aws/things/a/shadow/update/accepted", 0, False, ReasonCode.NOT_AUTHORIZED),
        ("$aws/things/a/jobs/get", 0, False, None),
        ("$aws/things/a/jobs/notify", 0, False, ReasonCode.NOT_AUTHORIZED),
        ("$aws/things/a/jobs/get/accepted", 0, False, ReasonCode.NOT_AUTHORIZED),
        ("$SYS/a", 0, False, ReasonCode.NOT_AUTHORIZED),
    ],
)
def test_publish(topic, size, retain, expected):
    assert rules.refuse_publish(topic, size, retain) is expected


@pytest.mark.parametrize(
    ("topic_filter", "expected"),
    [
        ("a/#", None),
        ("#", None),
        ("a/b/c/d/e/f/g/+/#", ReasonCode.TOPIC_FILTER_INVALID),
        ("$aws/things/+/shadow/#", None),
        ("$aws/things/a/shadow/update/accepted", None),
        ("$aws/events/#", None),
        ("$aws/things/a/jobs/notify", None),
        ("$aws/rules/r/a", ReasonCode.NOT_AUTHORIZED),
        ("$share/g/$aws/rules/r/a", ReasonCode.NOT_AUTHORIZED),
        ("$share/" + "g" * 128 + "/a", None),
        ("$share/" + "g" * 129 + "/a", ReasonCode.TOPIC_FILTER_INVALID),
    ],
)
def test_filters(topic_filter, expected):
    assert rules.refuse_filter(topic_filter) is expected


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("sensor/#", "sensor", False),  # unlike the specification
        ("sensor/#", "sensor/", True),
        ("sensor/#", "sensor/a/b", True),
        ("#", "sensor", True),
        ("+/a", "b/a", True),
        ("#", "$aws/x", False),
    ],
)
def test_receives(topic_filter, topic, expected):
    assert rules.receives(topic_filter, topic) is expected


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (60, 60), (700_000, 604_800)])
def test_message_expiry(asked, given):
    assert rules.message_expiry(PropertyMap({ids.MESSAGE_EXPIRY_INTERVAL: asked})) == given


def test_no_message_expiry():
    assert rules.message_expiry(PropertyMap()) is None
