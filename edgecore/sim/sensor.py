"""A simulated sensor: publishes telemetry at QoS 1 and knows which numbers were acknowledged."""

from __future__ import annotations

import asyncio
from functools import partial

from edgecore.sim.device import Device
from edgecore.sim.sequences import SequenceSet
from edgecore.sim.signals import Source, telemetry

# Seconds until a reading that was answered with a failure (MQTT 5: 0x97, quota) is sent again.
_AGAIN = 1.0


class Sensor:
    """Publishes reading 1, 2, 3 ... of `source` every `period` seconds.

    `acknowledged`: the numbers that the core has answered for; only these are promised.
    """

    def __init__(self, device: Device, source: Source, period: float) -> None:
        self.device = device
        self.source = source
        self.published = 0
        self.refused = 0
        self.acknowledged = SequenceSet()
        self._period = period
        self._loop = asyncio.get_running_loop()

    @property
    def outstanding(self) -> int:
        """Readings that were published and are not acknowledged yet."""
        return self.published - len(self.acknowledged)

    async def run(self, start: float) -> None:
        """Publish until cancelled. `start`: seconds to wait first, so that sensors do not march in step."""
        await asyncio.sleep(start)
        due = self._loop.time()
        while True:
            self._publish_next()
            due += self._period
            await asyncio.sleep(due - self._loop.time())

    def _publish_next(self) -> None:
        if self._send(self.published + 1):
            self.published += 1

    def _send(self, number: int) -> bool:
        payload = telemetry(self.source, number)
        return self.device.publish(self.source.topic, payload, acknowledged=partial(self._answered, number))

    def _answered(self, number: int, accepted: bool) -> None:
        if accepted:
            self.acknowledged.add(number)
        else:
            self.refused += 1
            self._loop.call_later(_AGAIN, self._send, number)
