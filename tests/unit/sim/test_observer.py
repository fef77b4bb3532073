"""What is recorded on the cloud's side."""

import json

from edgecore.sim import observer as module
from edgecore.sim.crossings import Crossing
from edgecore.sim.device import Endpoint
from edgecore.sim.observer import CrossingRecord, Observer, Telemetry
from edgecore.sim.signals import Source, telemetry

SOURCE = Source("loop-1", "occupancy", 3)


def event(frame=40, track=1, direction="in"):
    return json.dumps(
        {
            "camera": "north",
            "frame": frame,
            "decided": frame + 1,
            "at": 1.0,
            "line": "stop-line",
            "label": "vehicle",
            "direction": direction,
            "track": track,
        }
    ).encode()


def test_telemetry_counts_by_number_and_notices_duplicates():
    record = Telemetry([SOURCE])
    for number in (1, 2, 2, 4):
        record.receive(SOURCE.topic, telemetry(SOURCE, number))
    assert (len(record.arrived["loop-1"]), record.duplicates, record.altered) == (3, 1, 0)


def test_telemetry_that_is_not_what_was_sent_is_altered():
    record = Telemetry([SOURCE])
    record.receive(SOURCE.topic, telemetry(SOURCE, 1).replace(b'"unit":"%"', b'"unit":"?"'))
    record.receive("dt/stranger/x", b"{}")
    assert (len(record.arrived["loop-1"]), record.altered) == (0, 2)


def test_crossings_are_kept_once():
    record = CrossingRecord()
    for payload in (event(), event(), event(track=2), event(frame=90, direction="out")):
        record.receive(payload)
    assert [crossing for crossing, _ in record.crossings] == [
        Crossing(40, "stop-line", "vehicle", "in"),
        Crossing(40, "stop-line", "vehicle", "in"),
        Crossing(90, "stop-line", "vehicle", "out"),
    ]
    assert record.duplicates == 1


def test_the_oldest_crossings_are_forgotten_and_it_is_said_from_where_on_they_are_known(monkeypatch):
    monkeypatch.setattr(module, "MAX_CROSSINGS", 2)
    record = CrossingRecord()
    for frame in (10, 20, 30):
        record.receive(event(frame))
    assert [crossing.frame for crossing, _ in record.crossings] == [20, 30]
    assert record.forgotten == 11


async def test_it_sees_what_arrives_in_the_cloud_and_what_its_shadows_hold(cloud, eventually):
    where = Endpoint("127.0.0.1", cloud.link.port)
    observer = Observer("observer", where, cloud.credentials("observer"), [SOURCE], ["junction/north"])
    sender = cloud.device("loop-1")
    async with observer.device.running(), sender.running():
        await observer.device.until_connected(10)
        sender.publish(SOURCE.topic, telemetry(SOURCE, 1))
        sender.publish("junction/north/events", event())
        sender.publish("junction/north/status", b"{}")
        sender.publish("junction/north/timing", b'{"cycle": 60}')
        sender.publish("$aws/things/loop-1/shadow/update", b'{"state": {"reported": {"a": 1}}}')
        await eventually(lambda: observer.timings == 1 and not sender.waiting)
        assert await observer.shadow("loop-1", 10) == {"reported": {"a": 1}}
        assert await observer.shadow("nobody", 10) is None
    assert observer.timing == {"cycle": 60}
    assert len(observer.cameras["junction/north"].crossings) == 1
    assert 1 in observer.telemetry.arrived["loop-1"]
