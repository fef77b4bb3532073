"""A sensor that publishes and knows what was acknowledged."""

import asyncio

from edgecore.sim import sensor as module
from edgecore.sim.sensor import Sensor
from edgecore.sim.signals import Source, telemetry

SOURCE = Source("loop-1", "occupancy", 3)


class Wire:
    """Stands for the device: takes what is published, answers when told."""

    def __init__(self):
        self.sent = []
        self.room = True

    def publish(self, topic, payload, qos=1, acknowledged=None):
        if self.room:
            self.sent.append((topic, payload, acknowledged))
        return self.room


async def published(sensor, count, eventually):
    task = asyncio.create_task(sensor.run(0.0))
    await eventually(lambda: sensor.published >= count)
    task.cancel()
    await asyncio.wait([task])


async def test_readings_are_numbered_from_one_and_count_when_acknowledged(eventually):
    wire = Wire()
    sensor = Sensor(wire, SOURCE, period=0.001)
    await published(sensor, 3, eventually)
    assert [(topic, payload) for topic, payload, _ in wire.sent[:3]] == [
        (SOURCE.topic, telemetry(SOURCE, number)) for number in (1, 2, 3)
    ]
    assert (len(sensor.acknowledged), sensor.outstanding) == (0, sensor.published)
    for _, _, acknowledged in wire.sent:
        acknowledged(True)
    assert (len(sensor.acknowledged), sensor.outstanding) == (sensor.published, 0)


async def test_a_reading_that_was_answered_with_a_failure_is_sent_again(eventually, monkeypatch):
    monkeypatch.setattr(module, "_AGAIN", 0.001)
    wire = Wire()
    sensor = Sensor(wire, SOURCE, period=60)
    await published(sensor, 1, eventually)
    wire.sent[0][2](False)
    await eventually(lambda: len(wire.sent) == 2)
    assert wire.sent[1][:2] == wire.sent[0][:2]
    wire.sent[1][2](True)
    assert (sensor.refused, sensor.published, sensor.outstanding) == (1, 1, 0)


async def test_what_the_device_cannot_keep_was_never_measured(eventually):
    wire = Wire()
    wire.room = False
    sensor = Sensor(wire, SOURCE, period=0.001)
    task = asyncio.create_task(sensor.run(0.0))
    await asyncio.sleep(0.02)
    assert sensor.published == 0
    wire.room = True
    await eventually(lambda: wire.sent)
    task.cancel()
    await asyncio.wait([task])
    assert wire.sent[0][1] == telemetry(SOURCE, 1)
