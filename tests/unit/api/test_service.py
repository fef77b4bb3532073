import asyncio
import base64
import contextlib
import json
import os
import socket
import stat

import aiohttp
import pytest

from edgecore.api import ApiService, ApiSettings
from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import (
    CertificateError,
    ConfigError,
    PasswordError,
    RefusedError,
    StoreError,
    UnavailableError,
)
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.identity import CLOUD, CORE, device
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord, ShadowSummary
from edgecore.base.message import Message
from edgecore.router import Router

RECORD = DeviceRecord("loop-north", 5.0, (DeviceCertificate("ab12", 5.0),))


class FakeDevices:
    async def add(self, name, csr=b"", *, certificate=b"", days=0):
        raise CertificateError(f"found device name {name!r}, expected other characters")

    def rotation(self):
        return None

    def records(self):
        return (RECORD,)


class FakePasswords:
    """Takes what is long enough."""

    def __init__(self):
        self.known = {"lamp": b"correct horse"}

    async def set(self, name, password):
        if len(password) < 8:
            raise PasswordError(f"found a password of {len(password)} bytes")
        self.known[name] = password

    async def remove(self, name):
        return self.known.pop(name, None) is not None

    def names(self):
        return sorted(self.known)


class FakeStatuses:
    def __init__(self):
        self.answer = {"router": {"state": "running", "status": {"published": 4}}}

    def statuses(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Outbox:
    """A port of the router that takes what a test lets it."""

    def __init__(self, principal=CLOUD):
        self.principal = principal
        self.taken = []
        self.answer = None

    def deliver(self, message, qos, retain):
        if isinstance(self.answer, Exception):
            raise self.answer
        self.taken.append(message)
        return self.answer


class Window:
    """A running ApiService and a client of its socket."""

    def __init__(self, folder, settings=None):
        self.run_dir = folder / "run"
        self.path = self.run_dir / "control.sock"
        self.router = Router(ManualClock())
        self.router.set_rows(
            [Row(("device:*",), ("to/cloud",), ("cloud",))], {"sensor": DeviceSpec("sensor", "sensor")}
        )
        self.devices = FakeDevices()
        self.passwords = FakePasswords()
        self.statuses = FakeStatuses()
        self.service = ApiService(
            settings or ApiSettings(),
            self.router,
            self.devices,
            self.passwords,
            self.statuses,
            self,
            None,  # the outbox has tests of its own
            self.run_dir,
            ManualClock(),
        )

    def shadows(self):
        return [ShadowSummary("gate", "config", 3, 17, "pending")]

    async def __aenter__(self):
        ready = asyncio.Event()
        self.task = asyncio.create_task(self.service.run(ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([self.task, waiting], timeout=5, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()
        assert ready.is_set()
        self.client = aiohttp.ClientSession(
            "http://edgecore", connector=aiohttp.UnixConnector(str(self.path))
        )
        return self

    async def stop(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(5):
                await self.task

    async def __aexit__(self, *_):
        await self.stop()
        await self.client.close()

    async def get(self, path):
        async with self.client.get(path) as reply:
            return reply.status, await reply.json()

    async def post(self, path, body=None):
        async with self.client.post(path, json=body) as reply:
            return reply.status, await reply.json()

    async def publish(self, topic, payload=b"", **more):
        return await self.post(
            "/publish", {"topic": topic, "payload": base64.b64encode(payload).decode(), **more}
        )

    @contextlib.asynccontextmanager
    async def watching(self, query):
        async with self.client.get(f"/subscribe?{query}") as reply:
            assert reply.status == 200, await reply.text()
            yield reply

    def from_core(self, topic, payload=b"x", retain=False):
        return self.router.publish(Message(topic, payload, 0, CORE, retain))


async def line(reply):
    async with asyncio.timeout(5):
        return json.loads(await reply.content.readline())


@pytest.fixture
async def window(tmp_path):
    async with Window(tmp_path) as window:
        yield window


async def test_the_socket_is_for_its_owner_only_and_goes_with_the_service(window):
    mode = window.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    await window.stop()
    assert not window.path.exists()


async def test_status_holds_every_unit(window):
    status, body = await window.get("/status")
    assert status == 200
    assert body["units"] == {"router": {"state": "running", "status": {"published": 4}}}
    assert set(body) == {"version", "time", "units"}


async def test_metrics_are_what_prometheus_reads(window):
    async with window.client.get("/metrics") as reply:
        text = await reply.text()
        assert reply.headers["Content-Type"].startswith("text/plain; version=")
    assert "edgecore_messages_published_total 4.0" in text


async def test_shadows_are_listed(window):
    status, body = await window.get("/shadows")
    assert status == 200
    assert body == {
        "shadows": [{"thing": "gate", "name": "config", "version": 3, "bytes": 17, "cloud": "pending"}]
    }


async def test_devices_are_listed(window):
    status, body = await window.get("/devices")
    assert (status, body["devices"][0]["name"], body["rotation"]) == (200, "loop-north", None)


async def test_an_error_of_the_registry_is_put_as_json(window):
    status, body = await window.post("/devices", {"name": "bad name"})
    assert status == 400
    assert body["error"].startswith("found device name 'bad name'")


async def test_passwords_are_set_and_taken_away(window):
    assert await window.post("/passwords/gate", {"password": "battery staple"}) == (200, {"name": "gate"})
    assert await window.get("/passwords") == (200, {"devices": ["gate", "lamp"]})
    assert await window.post("/passwords/lamp/remove") == (200, {"name": "lamp", "removed": True})
    status, body = await window.post("/passwords/gate", {"password": "short"})
    assert (status, body["error"]) == (400, "found a password of 5 bytes")
    assert window.passwords.known == {"gate": b"battery staple"}


async def test_an_operator_publishes_by_the_rows_of_any_source(window):
    cloud = Outbox()
    window.router.attach("cloud", cloud)
    status, body = await window.publish("to/cloud", b"\x00\xff", qos=1)
    assert (status, body) == (200, {"receivers": 1})
    [message] = cloud.taken
    assert message.payload == b"\x00\xff"
    assert message.qos == 1
    assert message.sender.kind == "operator"


async def test_a_publish_answers_only_when_it_is_durable(window):
    cloud = Outbox()
    cloud.answer = commit = Commit()
    window.router.attach("cloud", cloud)
    answer = asyncio.create_task(window.publish("to/cloud", qos=1))
    async with asyncio.timeout(5):
        while not cloud.taken:  # noqa: ASYNC110  the request travels through a real socket
            await asyncio.sleep(0)
    assert not answer.done()
    commit.resolve()
    assert await answer == (200, {"receivers": 1})


async def test_a_publish_that_could_not_be_stored_says_so(window):
    cloud = Outbox()
    cloud.answer = Commit()
    cloud.answer.resolve(StoreError("disk full"))
    window.router.attach("cloud", cloud)
    status, body = await window.publish("to/cloud", qos=1)
    assert status == 507
    assert body["error"] == "disk full"
    assert "df" in body["hint"]


async def test_a_publish_that_a_full_queue_refused_says_so(window):
    cloud = Outbox()
    cloud.answer = RefusedError("outbox is full")
    window.router.attach("cloud", cloud)
    status, body = await window.publish("to/cloud", qos=1)
    assert status == 503
    assert body == {
        "error": "not taken: outbox is full",
        "hint": "the queue that refused is full: see `edgecore status`",
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"topic": "a", "qos": 3}, "request body: Expected `int` <= 2"),
        ({"topic": "a", "colour": 1}, "unknown field `colour`"),
        ({}, "missing required field `topic`"),
        ({"topic": "a", "payload": "%"}, "Invalid base64"),
        ({"topic": "a/#"}, "holds a wildcard"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_reason(window, body, text):
    status, answer = await window.post("/publish", body)
    assert status == 400
    assert text in answer["error"]


async def test_a_body_that_is_no_json_is_refused(window):
    async with window.client.post("/publish", data=b"{") as reply:
        assert reply.status == 400
        assert "truncated" in (await reply.json())["error"]


async def test_a_body_beyond_the_cap_is_refused(tmp_path):
    async with Window(tmp_path, ApiSettings(max_body=1000)) as window:
        status, body = await window.publish("a", b"x" * 1000)
    assert status == 413
    assert "max_body" in body["hint"]


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("DELETE", 405)])
async def test_errors_of_http_are_json_too(window, method, status):
    path = "/nowhere" if status == 404 else "/status"
    async with window.client.request(method, path) as reply:
        assert reply.status == status
        assert set(await reply.json()) == {"error", "hint"}


async def test_a_watcher_sees_what_flows(window):
    async with window.watching("filter=a/%23&qos=1") as reply:
        window.from_core("a/b", b"hello")
        assert await line(reply) == {
            "topic": "a/b",
            "payload": base64.b64encode(b"hello").decode(),
            "qos": 0,
            "retain": False,
            "sender": "core",
        }


async def test_a_watcher_may_have_several_filters(window):
    async with window.watching("filter=a&filter=b") as reply:
        for topic in ("a", "c", "b"):
            window.from_core(topic)
        assert [(await line(reply))["topic"] for _ in range(2)] == ["a", "b"]


async def test_a_watcher_is_owed_what_is_retained(window):
    window.router.attach("cloud", Outbox())
    window.router.publish(Message("to/cloud", b"kept", 1, device("sensor"), retain=True))
    async with window.watching("filter=to/%23") as reply:
        first = await line(reply)
    assert (first["topic"], first["retain"]) == ("to/cloud", True)


async def test_a_slow_watcher_loses_the_oldest_and_is_told(tmp_path):
    async with Window(tmp_path, ApiSettings(feed_length=2)) as window, window.watching("filter=a") as reply:
        for number in range(5):  # in one turn of the loop, so that nothing is taken in between
            window.from_core("a", str(number).encode())
        assert await line(reply) == {"dropped": 3}
        assert base64.b64decode((await line(reply))["payload"]) == b"3"
        assert window.service.status()["dropped"] == 3


async def test_a_watcher_that_goes_is_forgotten(window, monkeypatch):
    monkeypatch.setattr("edgecore.api.routes.WATCH_INTERVAL", 0.01)
    async with window.watching("filter=a"):
        assert window.service.status()["feeds"] == 1
    async with asyncio.timeout(5):
        while window.service.status()["feeds"]:  # noqa: ASYNC110  the hang-up travels through a real socket
            await asyncio.sleep(0)
    assert window.router.status()["subscriptions"] == 0


async def test_the_number_of_watchers_has_a_bound(tmp_path):
    async with Window(tmp_path, ApiSettings(max_feeds=1)) as window, window.watching("filter=a"):
        status, body = await window.get("/subscribe?filter=b")
    assert status == 503
    assert "1 subscribers watch already" in body["error"]


@pytest.mark.parametrize(
    ("query", "text"), [("filter=a/%23/b", "'#' must be the whole last level"), ("qos=7", "<= 2")]
)
async def test_a_wrong_subscription_is_refused(window, query, text):
    status, body = await window.get(f"/subscribe?{query}")
    assert status == 400
    assert text in body["error"]
    assert window.service.status()["feeds"] == 0


async def test_streams_end_when_the_service_stops(window):
    async with window.watching("filter=a") as reply:
        await window.stop()
        async with asyncio.timeout(5):
            assert await reply.content.read() == b""


async def test_an_unexpected_error_is_a_fault_and_not_a_crash(window, caplog):
    window.statuses.answer = ZeroDivisionError("oh")
    status, body = await window.get("/status")
    assert status == 500
    assert body["hint"] == "this is a fault of edgecore; its log holds the trace"
    assert "ZeroDivisionError: oh" in caplog.text
    assert not window.task.done()


async def test_strangers_are_refused(tmp_path, monkeypatch):
    window = Window(tmp_path)
    monkeypatch.setattr("edgecore.api.routes.peer_uid", lambda _: 12345)
    async with window:
        status, body = await window.get("/status")
    assert status == 403
    assert "user 12345 is not an operator of this core" in body["error"]


async def test_a_socket_that_nobody_answers_is_replaced(tmp_path):
    window = Window(tmp_path)
    window.run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(window.path))
    async with window:
        assert (await window.get("/devices"))[0] == 200


async def test_a_socket_that_answers_is_left_alone(tmp_path):
    window = Window(tmp_path)
    window.run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(window.path))
        other.listen()
        with pytest.raises(UnavailableError, match="another edgecore answers there"):
            await window.service.run(lambda: None)
    assert window.path.exists()


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    deep = tmp_path / ("x" * 120)
    with pytest.raises(ConfigError, match="Choose a shorter --dir"):
        await Window(deep).service.run(lambda: None)


async def test_a_folder_that_cannot_be_used_raises(tmp_path):
    window = Window(tmp_path)
    window.run_dir.mkdir()
    window.path.mkdir()
    with pytest.raises(OSError, match="in use"):
        await window.service.run(lambda: None)


async def test_requests_are_counted(window):
    await window.get("/devices")
    assert window.service.status() == {
        "socket": os.fspath(window.path),
        "requests": 1,
        "feeds": 0,
        "dropped": 0,
    }
