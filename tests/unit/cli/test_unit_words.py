import pytest

from edgecore.cli.unit_words import words_of

KEPT = {"sessions": 30, "away": 18, "queued": 1240, "in_flight": 4, "bytes": 300_000, "expired": 2}


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, ["no device connected"]),
        (
            {"port": 8883, "other_ports": "websocket 8884", "connected": 1, "devices": ["a"]},
            ["port 8883", "websocket 8884", "1 device connected"],
        ),
        ({"connected": 3, "devices": ["a", "b"]}, ["3 clients of 2 devices connected"]),
        (
            {"kept": {**KEPT, "dropped": {"overflow": 7, "expired": 1}}},
            [
                "no device connected",
                "30 sessions kept (18 away) with 1,240 messages that wait (300 KB)",
                "8 kept messages given up (overflow 7, expired 1)",
            ],
        ),
        ({"kept": {"sessions": 1, "away": 0, "queued": 0}}, ["no device connected", "1 session kept"]),
        (
            {"refused": {"connect": 2, "handshake": 1, "tls": 0}, "dropped": 1, "passwords_waiting": 2},
            [
                "no device connected",
                "2 passwords being checked",
                "3 refused (connect 2, handshake 1)",
                "1 message dropped for slow receivers",
            ],
        ),
        (
            {"traffic": {"received": 42}, "acknowledged": {"sum": 1.0}, "takeovers": 3, "host": "::"},
            ["no device connected"],
        ),
    ],
)
def test_the_listener_tells_of_devices_and_of_the_sessions_that_are_kept(own, said):
    assert words_of("listener", own) == said


@pytest.mark.parametrize(
    ("name", "own", "said"),
    [
        ("router", {}, []),
        (
            "router",
            {
                "published": 12_000,
                "delivered": 1,
                "denied": {"device:a": 2, "device:b": 1},
                "refused": {"cloud is not running": 4},
                "subscriptions": 5,
                "shared_subscriptions": 2,
                "retained": 1,
            },
            [
                "12,000 messages published",
                "1 delivery",
                "3 denied: no route",
                "4 refused (cloud is not running 4)",
                "5 subscriptions (2 shared)",
                "1 message retained",
            ],
        ),
        ("store", {"path": "/x", "open": True, "commits": 9, "works": 9, "salvaged": {}}, ["9 commits"]),
        (
            "store",
            {
                "waiting": 1,
                "disk_full": True,
                "refused": 2,
                "failed": 1,
                "salvaged": {"x.damaged-1": {"a": 1000, "b": 2}, "x.damaged-2": {}},
            },
            [
                "1 write waits",
                "the disk is full",
                "2 writes refused",
                "1 write failed",
                "x.damaged-1: 1,002 rows salvaged",
                "x.damaged-2: 0 rows salvaged",
            ],
        ),
        (
            "store",
            {"card": {"per_year": 12_000_000_000, "card_years": 416.7}},
            ["writes 12 GB a year: the card lasts 416.7 years"],
        ),
        ("store", {"card": {"per_year": 12_000, "card_years": None}}, ["writes 12 KB a year"]),
        ("shadow", {"documents": 2, "link": "down", "synced": 1, "problems": {}}, ["2 shadows"]),
        (
            "shadow",
            {"pending": 1, "conflicts": 2, "ignored": 1, "problems": {"lamp/config": "throttled"}},
            ["1 not yet synced", "2 conflicts settled", "1 request ignored", "lamp/config: throttled"],
        ),
        (
            "uplink",
            {"state": "not configured", "reason": "no [cloud]", "dropped": {"no cloud configured": 3}},
            ["not configured", "no [cloud]", "3 dropped (no cloud configured 3)"],
        ),
        (
            "uplink",
            {
                "state": "waiting",
                "cause": "captive portal",
                "reason": "sign in",
                "lines": [{"connected": True}, {"connected": False}],
                "outbox": {"alarm": 5.0, "probing": True},
            },
            [
                "waiting: captive portal",
                "sign in",
                "1 of 2 connections up",
                "the outbox drops messages",
                "looking for the message at which the cloud hangs up",
            ],
        ),
        (
            "uplink",
            {
                "state": "connected",
                "connected": True,
                "endpoint": "localhost:8883",
                "sessions_lost": 1,
                "outbox": {
                    "records": 2,
                    "bytes": 1500,
                    "sent": 70,
                    "set_aside": 1,
                    "dropped": {"too old": 1},
                },
                "inbound": {"received": 5},
            },
            [
                "connected to localhost:8883",
                "outbox 2 messages (1.5 KB)",
                "70 sent",
                "1 refused there and set aside: edgecore outbox list",
                "1 dropped (too old 1)",
                "5 received",
                "1 session lost there",
            ],
        ),
        (
            "deployments",
            {"state": "active", "active": 3, "group": "site", "origin": "local"},
            ["deployment 3 of group site, origin local"],
        ),
        (
            "deployments",
            {"state": "none", "active": 0, "refused": "use --force", "last_failure": "no such model"},
            ["no group", "use --force", "the last that failed: no such model"],
        ),
        ("deployments", {"state": "activating", "active": 0}, ["activating"]),
        (
            "api",
            {"socket": "/run/x.sock", "requests": 1, "feeds": 2, "dropped": 0},
            ["1 request", "2 watching"],
        ),
        ("sys", {"interval": 10.0, "topics": 53}, ["53 topics on $SYS/broker, every 10 s"]),
        ("sys", {"interval": 0, "topics": 0}, ["switched off by sys_interval"]),
        ("health", {"checks": 1, "interval": 15.0}, ["1 check", "every 15 s"]),
    ],
)
def test_each_unit_tells_what_is_there_and_what_is_wrong(name, own, said):
    assert words_of(name, own) == said


def test_a_unit_without_words_of_its_own_is_left_to_the_general_ones():
    assert words_of("lambdas", {"functions": {}}) is None


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999 bytes"), (1000, "1 KB"), (2_560_000, "2.56 MB"), (3_000_000_000, "3 GB")]
)
def test_sizes_are_in_thousands_as_in_the_settings(number, text):
    own = {"kept": {"sessions": 1, "queued": 1, "bytes": number}}
    assert words_of("listener", own)[-1] == f"1 session kept with 1 message that waits ({text})"
