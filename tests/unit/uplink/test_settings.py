from pathlib import Path

from edgecore.uplink.settings import UplinkSettings


def test_defaults_are_those_of_aws_iot_core():
    settings = UplinkSettings("host", Path("c"), Path("k"), "core-7")
    assert settings.port == 8883
    assert settings.in_flight < 100  # AWS: 100 unacknowledged for a connection, shadow sync shares them
    assert 30 <= settings.keep_alive <= 1200
    assert settings.aws_limits


def test_backoff_has_the_reconnect_bounds():
    settings = UplinkSettings("host", Path("c"), Path("k"), "core-7", reconnect_min=0.1, reconnect_max=2.0)
    delays = settings.backoff.delays(lambda: 1.0)
    assert [round(next(delays), 2) for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
