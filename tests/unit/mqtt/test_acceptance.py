import pytest

from edgecore.mqtt import properties as pr
from edgecore.mqtt.acceptance import (
    MAX_CLIENT_ID_BYTES,
    SessionLimits,
    announcement,
    granted_keep_alive,
    objection,
)
from edgecore.mqtt.packets import V5, V311, Connect
from edgecore.mqtt.properties import PropertyMap


@pytest.mark.parametrize(
    ("connect", "reason"),
    [
        (Connect("", V311, False), 0x85),
        (Connect("x" * (MAX_CLIENT_ID_BYTES + 1), V5), 0x85),
        (Connect("c", V5, properties=PropertyMap({pr.AUTHENTICATION_METHOD: "SCRAM"})), 0x8C),
    ],
)
def test_what_cannot_be_served_is_named(connect, reason):
    assert objection(connect)[0] == reason


@pytest.mark.parametrize(
    "connect", [Connect("", V311, True), Connect("", V5, False), Connect("c", V311, False)]
)
def test_what_can_be_served_meets_no_objection(connect):
    assert objection(connect) is None


@pytest.mark.parametrize(
    ("version", "asked", "granted"),
    [(V5, 0, 100), (V5, 50, 50), (V5, 200, 100), (V311, 0, 0), (V311, 200, 200)],
)
def test_only_5_can_be_told_another_keep_alive(version, asked, granted):
    assert granted_keep_alive(Connect("c", version, keep_alive=asked), 100) == granted


def test_connack_says_what_is_not_there():
    connect = Connect("", V5, keep_alive=0, properties=PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 60}))
    found = announcement(connect, SessionLimits(), 1200, "given")
    assert found[pr.SHARED_SUBSCRIPTION_AVAILABLE] == 0
    assert found[pr.SUBSCRIPTION_IDENTIFIER_AVAILABLE] == 0
    assert found[pr.SESSION_EXPIRY_INTERVAL] == 0
    assert found[pr.SERVER_KEEP_ALIVE] == 1200
    assert found[pr.ASSIGNED_CLIENT_IDENTIFIER] == "given"
    plain = announcement(Connect("c", V5, keep_alive=60), SessionLimits(), 60, "c")
    assert not {pr.SESSION_EXPIRY_INTERVAL, pr.SERVER_KEEP_ALIVE, pr.ASSIGNED_CLIENT_IDENTIFIER} & set(plain)
