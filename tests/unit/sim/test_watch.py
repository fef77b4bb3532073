"""What a camera says of its frames, as an operator sees it."""

import asyncio
import base64
import json

import pytest
from aiohttp import web

from edgecore.sim import watch as module
from edgecore.sim.crossings import Interval
from edgecore.sim.watch import FrameRecord, Watch


def counts(first, frame, **lines):
    return json.dumps({"first_frame": first, "frame": frame, "counts": lines}).encode()


def detections(frame, *objects):
    return json.dumps({"frame": frame, "objects": list(objects), "infer_ms": 6.5}).encode()


def stream_line(topic, payload):
    return json.dumps({"topic": topic, "payload": base64.b64encode(payload).decode()}).encode() + b"\n"


def test_frames_without_a_break_are_one_interval_for_each_start():
    record = FrameRecord()
    for payload in (counts(3, 10), counts(3, 30, a={}), counts(3, 20), counts(88, 90, b={})):
        record.receive("counts", payload)
    assert record.intervals == (Interval(3, 30), Interval(88, 90))
    assert record.counts == {"b": {}}


def test_the_newest_frame_is_shown_and_other_kinds_are_passed_over():
    record = FrameRecord()
    record.receive("detections", detections(7, {"label": "vehicle"}))
    record.receive("status", b"{}")
    assert (record.frame, record.objects, record.infer_ms, record.seen) == (7, [{"label": "vehicle"}], 6.5, 1)
    assert record.intervals == ()


async def test_half_a_line_is_no_line_and_lost_ones_are_counted(tmp_path):
    watch = Watch(tmp_path / "control.sock", ["junction/north"])
    whole = stream_line("junction/north/counts", counts(1, 5))
    watch.receive(whole[:-10])
    assert watch.cameras["junction/north"].intervals == ()
    watch.receive(whole)
    watch.receive(b'{"dropped": 4}\n')
    watch.receive(stream_line("junction/south/counts", counts(1, 5)))
    assert (watch.cameras["junction/north"].intervals, watch.dropped) == ((Interval(1, 5),), 4)


class ControlSocket:
    """Answers GET /subscribe with one line for each time that it is asked."""

    def __init__(self, path):
        self.path = path
        self.asked = []

    async def __aenter__(self):
        app = web.Application()
        app.add_routes([web.get("/subscribe", self.subscribe)])
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.UnixSite(self.runner, str(self.path)).start()

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def subscribe(self, request):
        self.asked.append(request.query.getall("filter"))
        response = web.StreamResponse()
        await response.prepare(request)
        first = 100 * len(self.asked)
        await response.write(stream_line("junction/north/counts", counts(first, first + 10)))
        return response


@pytest.mark.parametrize("late", [False, True])
async def test_the_watch_goes_on_when_the_daemon_comes_back(tmp_path, eventually, monkeypatch, late):
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    control = ControlSocket(tmp_path / "control.sock")
    watch = Watch(control.path, ["junction/north"])
    task = asyncio.create_task(watch.run())
    if late:
        await asyncio.sleep(0.03)
    async with control:
        await eventually(lambda: len(watch.cameras["junction/north"].intervals) >= 2)
        task.cancel()
        await asyncio.wait([task])
    assert watch.cameras["junction/north"].intervals[:2] == (Interval(100, 110), Interval(200, 210))
    assert control.asked[0] == ["junction/north/#"]
