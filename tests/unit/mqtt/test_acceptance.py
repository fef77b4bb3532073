import pytest

from edgecore.mqtt import properties as pr
from edgecore.mqtt.acceptance import (
    MAX_CLIENT_ID_BYTES,
    SessionLimits,
    announcement,
    granted_expiry,
    granted_keep_alive,
    objection,
    window_of,
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


def test_connack_says_what_the_client_did_not_ask_for():
    connect = Connect("", V5, keep_alive=0, properties=PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 60}))
    found = announcement(connect, SessionLimits(), 1200, "given", 50)
    assert found[pr.SESSION_EXPIRY_INTERVAL] == 50
    assert found[pr.TOPIC_ALIAS_MAXIMUM] == 16
    assert found[pr.SERVER_KEEP_ALIVE] == 1200
    assert found[pr.ASSIGNED_CLIENT_IDENTIFIER] == "given"
    plain = announcement(Connect("c", V5, keep_alive=60), SessionLimits(), 60, "c", 0)
    assert not {pr.SESSION_EXPIRY_INTERVAL, pr.SERVER_KEEP_ALIVE, pr.ASSIGNED_CLIENT_IDENTIFIER} & set(plain)


@pytest.mark.parametrize(
    ("connect", "granted"),
    [
        (Connect("c", V311, clean_start=True), 0),
        (Connect("c", V311, clean_start=False), 100),
        (Connect("c", V5, clean_start=False), 0),
        (Connect("c", V5, properties=PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 60})), 60),
        (Connect("c", V5, properties=PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 0xFFFF_FFFF})), 100),
    ],
)
def test_a_session_is_kept_as_long_as_asked_and_allowed(connect, granted):
    assert granted_expiry(connect, 100) == granted


def test_the_window_is_the_smaller_of_what_both_sides_take():
    asks = PropertyMap({pr.RECEIVE_MAXIMUM: 5})
    assert window_of(Connect("c", V5, properties=asks), SessionLimits()) == 5
    assert window_of(Connect("c", V311), SessionLimits()) == SessionLimits().max_in_flight
