"""All simulated devices of a site: sensors and signal controllers, made from the group's devices.

What a device is, its group says: an attribute `signal` makes it a sensor of that signal, a
synchronised shadow a controller. Half of them speak MQTT 5, half 3.1.1, as on a grown site.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from edgecore.base.errors import ConfigError
from edgecore.base.group import DeviceSpec
from edgecore.sim.controller import Controller
from edgecore.sim.device import Credentials, Device, Endpoint, Version
from edgecore.sim.sensor import Sensor
from edgecore.sim.signals import SIGNALS, Source

_VERSIONS: Final[tuple[Version, ...]] = ("5", "3.1.1")


def sources(devices: Mapping[str, DeviceSpec], seed: int) -> list[Source]:
    """The sensors among the group's devices. Raises ConfigError for a signal that is not simulated."""
    found = []
    for spec in devices.values():
        signal = spec.attributes.get("signal")
        if signal is None:
            continue
        if signal not in SIGNALS:
            expected = f"one of {', '.join(sorted(SIGNALS))}"
            raise ConfigError("group.toml", f"devices.{spec.name}.attributes.signal", signal, expected)
        found.append(Source(spec.thing, signal, seed))
    return found


def controllers(devices: Mapping[str, DeviceSpec]) -> list[str]:
    """The things among them whose shadow is synchronised: signal controllers."""
    return [spec.thing for spec in devices.values() if spec.shadow.sync]


class Fleet:
    """The devices of a group, each with the certificate that `credentials` finds for its name."""

    def __init__(
        self,
        devices: Mapping[str, DeviceSpec],
        seed: int,
        period: float,
        endpoint: Endpoint,
        credentials: Callable[[str], Credentials],
    ) -> None:
        self._period = period
        names = {spec.thing: spec.name for spec in devices.values()}
        version = {thing: _VERSIONS[index % 2] for index, thing in enumerate(names)}
        self.sensors = [
            Sensor(
                Device(
                    source.thing, endpoint, credentials(names[source.thing]), version=version[source.thing]
                ),
                source,
                period,
            )
            for source in sources(devices, seed)
        ]
        self.controllers = [
            Controller(thing, endpoint, credentials(names[thing]), version[thing])
            for thing in controllers(devices)
        ]

    @property
    def devices(self) -> list[Device]:
        """Every client."""
        return [one.device for one in self.sensors] + [one.device for one in self.controllers]

    @property
    def outstanding(self) -> int:
        """Readings that wait for their acknowledgement."""
        return sum(sensor.outstanding for sensor in self.sensors)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Fleet]:
        """All connected or connecting until the block ends; then all end at the same time."""
        started: list[Device] = []
        try:
            for device in self.devices:
                await device.start()
                started.append(device)
            yield self
        finally:
            await asyncio.gather(*(device.stop() for device in started))

    async def until_connected(self, within: float) -> None:
        """Wait for every device. Raises TimeoutError, naming one that is missing."""
        await asyncio.gather(*(device.until_connected(within) for device in self.devices))

    async def measure(self) -> None:
        """Let every sensor publish until cancelled, spread over one period."""
        step = self._period / max(1, len(self.sensors))
        async with asyncio.TaskGroup() as group:
            for index, sensor in enumerate(self.sensors):
                group.create_task(sensor.run(index * step))
