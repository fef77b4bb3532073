import pytest

from edgecore.base.errors import ConfigError
from edgecore.listener.settings import ListenerSettings


def test_the_sessions_bounds_are_those_that_were_set():
    limits = ListenerSettings(receive_maximum=7, max_in_flight=8, max_queued=9, max_unsent=10).session
    assert (limits.receive_maximum, limits.max_in_flight, limits.max_queued, limits.max_unsent) == (
        7,
        8,
        9,
        10,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"websocket_port": 70_000},
        {"password_port": -1},
        {"websocket_origins": ("panel.example",)},
        {"websocket_origins": ("https://panel.example", "https://panel.example/path")},
        {"websocket_origins": ("https://Panel.example",)},
        {"max_connections": 0},
        {"max_connections_per_address": 0},
        {"max_connections_per_device": 0},
        {"max_packet_size": 100},
        {"max_keep_alive": 70_000},
        {"receive_maximum": 0},
        {"max_in_flight": 0},
    ],
)
def test_what_mqtt_does_not_allow_is_refused_by_name(wrong):
    with pytest.raises(ConfigError) as caught:
        ListenerSettings(**wrong)
    assert caught.value.key == f"listener.{next(iter(wrong))}"


def test_pages_are_named_by_their_origin():
    pages = ("https://panel.example", "https://192.0.2.1:8443", "app://panel")
    assert ListenerSettings(websocket_origins=pages).websocket_origins == pages
