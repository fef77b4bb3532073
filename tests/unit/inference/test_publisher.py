import asyncio

import pytest

from edgecore.base.errors import StoreError
from edgecore.base.group import CameraSpec
from edgecore.base.identity import camera
from edgecore.base.interfaces import Receipt
from edgecore.inference.publisher import Publisher

SPEC = CameraSpec("north", "synthetic:traffic", "junction/north", "m.onnx", qos={"counts": 1})


def test_topic_principal_and_quality_of_service(bus):
    publisher = Publisher(SPEC, camera("north"), bus, 4)
    for kind in ("counts", "events", "detections", "status"):
        publisher.publish(kind, b"{}")
    assert [(m.topic, m.qos, m.sender.id, m.retain) for m in bus.messages] == [
        ("junction/north/counts", 1, "camera:north", False),
        ("junction/north/events", 1, "camera:north", False),
        ("junction/north/detections", 0, "camera:north", False),
        ("junction/north/status", 1, "camera:north", False),
    ]
    assert publisher.status() == {"published": 4, "unrouted": 0, "failed": 0, "waiting": 0}


async def test_it_waits_when_too_much_is_not_durable(waiting_bus):
    publisher = Publisher(SPEC, camera("north"), waiting_bus, 2)
    publisher.publish("events", b"1")
    await asyncio.wait_for(publisher.room(), 1)
    publisher.publish("events", b"2")
    publisher.publish("detections", b"not counted")
    assert publisher.status()["waiting"] == 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(publisher.room(), 0.01)
    waiting_bus.commits[0].resolve()
    await asyncio.wait_for(publisher.room(), 1)


def test_what_is_not_stored_is_counted_with_its_reason(waiting_bus):
    publisher = Publisher(SPEC, camera("north"), waiting_bus, 2)
    publisher.publish("events", b"1")
    waiting_bus.commits[0].resolve(StoreError("disk full"))
    assert (publisher.status()["failed"], publisher.status()["failure"]) == (1, "disk full")


def test_a_refusal_and_a_missing_route_are_counted(bus):
    publisher = Publisher(SPEC, camera("north"), bus, 2)
    bus.receipt = lambda message: Receipt(allowed=True, refused="the queue of function:f is full")
    publisher.publish("events", b"1")
    bus.receipt = lambda message: Receipt(allowed=False)
    publisher.publish("events", b"2")
    status = publisher.status()
    assert (status["published"], status["unrouted"], status["failed"]) == (2, 1, 1)
    assert "function:f" in status["failure"]
