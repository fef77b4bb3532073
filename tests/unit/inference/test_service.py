import asyncio
import json
import subprocess
import sys

from edgecore.base.clock import SystemClock
from edgecore.base.group import CameraSpec
from edgecore.inference import InferenceService, InferenceSettings

LINES = {"stop-line": ((0.0, 0.65), (1.0, 0.65))}


def spec(name="north", **changes):
    values = {"source": "synthetic:traffic?seed=7&fps=1000", "model": "traffic.onnx", "lines": LINES}
    return CameraSpec(name, topic=f"junction/{name}", **(values | changes))


def service(bus, models, *specs, **settings):
    cameras = {each.name: each for each in specs}
    return InferenceService(InferenceSettings(**settings), cameras, models, bus, SystemClock())


class Running:
    """The service in a task, until the test leaves."""

    def __init__(self, service):
        self._service = service
        self.ready = asyncio.Event()

    async def __aenter__(self):
        self._task = asyncio.create_task(self._service.run(self.ready.set))
        await asyncio.wait_for(self.ready.wait(), 5)
        return self

    async def __aexit__(self, *error):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, condition, seconds=30):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  what a bus and a status show has no event
                await asyncio.sleep(0.005)

    def state(self, name="north"):
        return self._service.status()["cameras"][name]


async def test_it_publishes_status_detections_counts_and_events(bus, models):
    async with Running(service(bus, models, spec(counts_every=5))) as running:
        await running.until(lambda: bus.on("junction/north/events"))
        await running.until(lambda: len(bus.on("junction/north/counts")) > 3)
    first = json.loads(bus.on("junction/north/status")[0].payload)
    assert (first["state"], first["first_frame"]) == ("running", 0)
    numbers = [json.loads(m.payload)["frame"] for m in bus.on("junction/north/detections")]
    assert numbers == list(range(len(numbers)))
    counts = [json.loads(m.payload)["frame"] for m in bus.on("junction/north/counts")]
    assert counts == list(range(4, len(counts) * 5, 5))
    assert {m.qos for m in bus.on("junction/north/events")} == {1}
    assert {m.sender.id for m in bus.messages} == {"camera:north"}


async def test_the_counts_are_those_of_the_events(bus, models):
    async with Running(service(bus, models, spec(counts_every=1))) as running:
        await running.until(lambda: len(bus.on("junction/north/events")) >= 3)
    last = json.loads(bus.on("junction/north/counts")[-1].payload)["counts"]["stop-line"]
    assert sum(sum(directions.values()) for directions in last.values()) >= 3
    assert running.state()["crossings"] == len(bus.on("junction/north/events"))


async def test_ready_waits_for_no_model_and_no_camera(bus, tmp_path):
    async with Running(service(bus, tmp_path, spec())) as running:
        assert running.state()["state"] in ("starting", "broken")


async def test_a_broken_camera_says_why_and_the_others_go_on(bus, models):
    specs = (
        spec("south", model="none.onnx"),
        spec("east", source="rtsp://camera"),
        spec("west", privacy=(((0.0, 0.0), (1.0, 1.0)),)),
        spec("north"),
    )
    async with Running(service(bus, models, *specs)) as running:
        await running.until(lambda: running.state()["frames"] > 3)
        for name, reason in (
            ("south", "no such file"),
            ("east", "rtsp is not available yet"),
            ("west", "no frame passes"),
        ):
            await running.until(lambda name=name: running.state(name)["state"] == "broken")
            assert reason in running.state(name)["reason"]
            said = json.loads(bus.on(f"junction/{name}/status")[-1].payload)
            assert said["state"] == "broken"
            assert reason in said["reason"]
        assert running.state()["state"] == "running"


async def test_an_error_that_nobody_foresaw_breaks_only_its_camera(bus, models, monkeypatch):
    def failing(*arguments):
        raise RuntimeError("the driver went away")

    monkeypatch.setattr("edgecore.inference.opening.open_source", failing)
    async with Running(service(bus, models, spec())) as running:
        await running.until(lambda: running.state()["state"] == "broken")
        assert running.state()["reason"] == "RuntimeError: the driver went away"


async def test_without_numpy_the_cure_is_named(bus, models, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgecore.inference.opening", None)
    async with Running(service(bus, models, spec())) as running:
        await running.until(lambda: running.state()["state"] == "broken")
        assert "edgecore[vision]" in running.state()["reason"]


async def test_a_source_that_ends_says_so_with_its_last_counts(bus, models, tmp_path):
    import cv2

    from edgecore.inference.scenes.parameters import draw_scene
    from edgecore.inference.scenes.traffic import TrafficScene

    scene = TrafficScene(draw_scene(7))
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), scene.frame(number))
    async with Running(service(bus, models, spec(source=f"folder:{tmp_path}?fps=1000"))) as running:
        await running.until(lambda: running.state()["state"] == "ended")
    assert json.loads(bus.on("junction/north/counts")[-1].payload)["frame"] == 2
    ended = json.loads(bus.on("junction/north/status")[-1].payload)
    assert (ended["state"], ended["frame"]) == ("ended", 2)


async def test_no_frame_is_dropped_while_messages_wait_for_their_commit(waiting_bus, models):
    bus = waiting_bus
    every = spec(qos={"detections": 1})
    async with Running(service(bus, models, every, in_flight=3)) as running:
        await running.until(lambda: len(bus.commits) >= 3)
        seen = len(bus.on("junction/north/detections"))
        await asyncio.sleep(0.05)
        assert len(bus.on("junction/north/detections")) == seen
        for _ in range(20):
            for commit in bus.commits:
                commit.resolve()
            await asyncio.sleep(0.005)
        await running.until(lambda: len(bus.on("junction/north/detections")) > seen)
    numbers = [json.loads(m.payload)["frame"] for m in bus.on("junction/north/detections")]
    assert numbers == list(range(len(numbers)))


async def test_frames_come_at_their_pace(bus, models):
    async with Running(service(bus, models, spec(source="synthetic:traffic?fps=0.1"))) as running:
        await running.until(lambda: running.state()["frames"] == 1)
        await asyncio.sleep(0.05)
        assert running.state()["frames"] == 1


async def test_a_service_without_cameras_runs(bus, models):
    empty = service(bus, models)
    async with Running(empty):
        assert empty.status() == {"cameras": {}}


def test_importing_the_room_loads_no_optional_extra():
    code = "import sys, edgecore.inference; print([m for m in ('numpy', 'cv2', 'onnxruntime') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "[]"
