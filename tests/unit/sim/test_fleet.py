"""The devices of a group."""

import pytest

from edgecore.base.errors import ConfigError
from edgecore.base.group import DeviceSpec, ShadowSpec
from edgecore.sim.device import Endpoint
from edgecore.sim.fleet import Fleet, controllers, sources
from edgecore.sim.signals import Source

DEVICES = {
    "loop-1": DeviceSpec("loop-1", "loop-1", {"signal": "occupancy", "lane": "1"}),
    "loop-2": DeviceSpec("loop-2", "loop-2", {"signal": "speed"}),
    "signal-1": DeviceSpec("signal-1", "signal-1", shadow=ShadowSpec(sync=True)),
    "lamp": DeviceSpec("lamp", "lamp-7"),
}


def test_a_device_is_what_its_group_says():
    assert sources(DEVICES, 3) == [Source("loop-1", "occupancy", 3), Source("loop-2", "speed", 3)]
    assert controllers(DEVICES) == ["signal-1"]


def test_a_signal_that_is_not_simulated_is_refused():
    devices = {"a": DeviceSpec("a", "a", {"signal": "gravity"})}
    with pytest.raises(
        ConfigError, match=r"devices\.a\.attributes\.signal: found gravity, expected one of air"
    ):
        sources(devices, 0)


async def test_all_connect_measure_and_leave(cloud, eventually):
    where = Endpoint("127.0.0.1", cloud.link.port)
    fleet = Fleet(DEVICES, 3, 0.02, where, cloud.credentials)
    async with fleet.running():
        await fleet.until_connected(10)
        assert [device.name for device in fleet.devices] == ["loop-1", "loop-2", "signal-1"]
        await eventually(lambda: all(device.connected for device in fleet.devices))
        async with measuring(fleet):
            await eventually(lambda: all(sensor.published > 3 for sensor in fleet.sensors))
        await eventually(lambda: not fleet.outstanding)
    assert all(len(sensor.acknowledged) == sensor.published for sensor in fleet.sensors)


def measuring(fleet):
    from edgecore.sim.stage import running

    return running(fleet.measure())


async def test_who_has_no_certificate_is_an_error_and_nobody_stays(cloud):
    fleet = Fleet(
        {**DEVICES, "x": DeviceSpec("x", "x", {"signal": "rain"})}, 3, 1.0, cloud.endpoint, cloud.credentials
    )
    with pytest.raises(FileNotFoundError):
        async with fleet.running():
            pass
