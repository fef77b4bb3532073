"""The control door, and what faults do to real connections."""

import asyncio
import contextlib
import json
import ssl

import aiohttp
import pytest


class Door:
    """A client of the control door, and HTTPS clients that wait in vain."""

    def __init__(self, folder):
        self.folder = folder
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / "control.sock")))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_error):
        await self._session.close()

    async def post(self, path, body=None, status=200):
        async with self._session.post(f"http://cloud{path}", json=body) as response:
            document = await response.json()
            assert response.status == status, document
            return document

    async def get(self, path, status=200):
        async with self._session.get(f"http://cloud{path}") as response:
            document = await response.json()
            assert response.status == status, document
            return document

    async def fault(self, name, value=None):
        await self.post(f"/faults/{name}", {} if value is None else {"value": value})

    async def https(self, path="/things/lamp/shadow", seconds=20):
        """The status of an HTTPS request; None when nothing answered within the time."""
        note = json.loads(await asyncio.to_thread((self.folder / "cloud.json").read_text))
        context = await asyncio.to_thread(self.context)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with asyncio.timeout(seconds):
                    async with session.get(f"https://127.0.0.1:{note['https_port']}{path}") as response:
                        return response.status
            except TimeoutError:
                return None

    def context(self):
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / "things/lamp.cert.pem", self.folder / "things/lamp.key.pem")
        return context


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "C"


@pytest.fixture
def cloud(folder, tools):
    @contextlib.asynccontextmanager
    async def start(**options):
        async with tools.serving(folder, **options) as port, Door(folder) as door:
            door.port = port
            yield door

    return start


@contextlib.asynccontextmanager
async def opened(door):
    """A TLS connection to the MQTT port; the handshake is done."""
    context = await asyncio.to_thread(door.context)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


# CONNECT of version 5 with client id "raw" and keep alive 60; PINGREQ.
CONNECT = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03raw"
PINGREQ = b"\xc0\x00"


async def packet(reader):
    async with asyncio.timeout(20):
        head = await reader.readexactly(2)
        return head + await reader.readexactly(head[1])


class TestDoor:
    async def test_the_status(self, cloud):
        async with cloud() as door:
            status = await door.get("/status")
            assert (status["faults"], status["jobs"], status["online"]) == ({}, [], 0)

    async def test_the_status_names_the_credentials_that_were_given(self, cloud):
        async with cloud() as door:
            assert (await door.get("/status"))["credentials"] == []
            assert await door.https("/role-aliases/camera/credentials") == 200
            (given,) = (await door.get("/status"))["credentials"]
            assert (given["accessKeyId"][:4], given["alias"]) == ("ASIA", "camera")

    async def test_mistakes_are_told_in_words(self, cloud):
        async with cloud() as door:
            for path, body, text in (
                ("/faults/flood", {}, "choose one of cut"),
                ("/faults/flood/off", {}, "no fault 'flood'"),
                ("/restore", {}, "no backup was made"),
                ("/jobs/one", {"document": []}, "a job needs"),
                ("/jobs/one", {"things": ["lamp"], "timeout": "long"}, "expected seconds"),
                ("/jobs/one", [], "must be a JSON object"),
                ("/jobs/one/cancel", {}, "no job 'one'"),
            ):
                assert text in (await door.post(path, body, 400))["error"]
            assert "Not Found" in (await door.get("/nowhere", 404))["error"]

    async def test_only_its_owner_may_open_it(self, cloud, folder):
        async with cloud():
            assert (folder / "control.sock").stat().st_mode & 0o777 == 0o600

    async def test_a_folder_too_deep_for_a_socket_goes_without(self, tmp_path, tools):
        folder = tmp_path / ("x" * 100)
        async with tools.serving(folder):
            assert json.loads((folder / "cloud.json").read_text())["control"] is None

    async def test_policies_are_read_again(self, cloud, folder):
        async with cloud() as door:
            assert await door.https() == 404
            (folder / "things.json").write_text('{"lamp": {"policies": []}}')
            await door.post("/account")
            assert await door.https() == 403


class TestJobs:
    async def test_from_creation_to_deletion(self, cloud, folder, tools):
        async with cloud() as door, tools.paho(folder, door.port) as lamp:
            await lamp.subscribe("$aws/things/lamp/jobs/notify-next")
            created = await door.post("/jobs/one", {"document": {"do": "it"}, "things": ["lamp"]})
            assert created["executions"]["lamp"]["status"] == "QUEUED"
            ((_, payload),) = await lamp.expect(1)
            assert json.loads(payload)["execution"]["jobDocument"] == {"do": "it"}
            assert (await door.post("/jobs/one/cancel", {"force": True}))["status"] == "CANCELED"
            assert (await door.get("/jobs/one"))["executions"]["lamp"]["status"] == "CANCELED"
            assert await door.post("/jobs/one/delete") == {"jobId": "one", "status": "DELETED"}
            assert (await door.get("/status"))["jobs"] == []


class TestFaults:
    async def test_cut(self, cloud, tools):
        async with cloud() as door:
            async with opened(door) as (reader, writer):
                writer.write(CONNECT)
                assert (await packet(reader))[0] == 0x20
                await door.fault("cut")
                async with asyncio.timeout(20):
                    with contextlib.suppress(OSError):
                        assert await reader.read() == b""
            with pytest.raises(OSError):  # noqa: PT011  a reset, or the end within the handshake
                async with opened(door):
                    pass
            await door.post("/faults/off")
            async with opened(door) as (reader, writer):
                writer.write(CONNECT)
                assert (await packet(reader))[0] == 0x20

    async def test_half_open_and_it_goes_on_where_it_stopped(self, cloud, tools):
        async with cloud() as door, opened(door) as (reader, writer):
            writer.write(CONNECT)
            await packet(reader)
            await door.fault("half-open")
            writer.write(PINGREQ)
            context = await asyncio.to_thread(door.context)
            late = asyncio.create_task(asyncio.open_connection("127.0.0.1", door.port, ssl=context))
            question = asyncio.create_task(door.https())
            done, _ = await asyncio.wait({late, question}, timeout=0.3)
            assert done == set()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await reader.readexactly(1)
            await door.post("/faults/off")
            assert await packet(reader) == b"\xd0\x00"
            assert await question == 404
            async with asyncio.timeout(20):
                late_reader, late_writer = await late
            late_writer.write(CONNECT)
            assert (await packet(late_reader))[0] in (0x20, 0xE0)
            late_writer.close()
            await late_writer.wait_closed()

    async def test_what_happens_while_it_is_half_open_is_sent_afterwards(self, cloud, folder, tools):
        async with cloud() as door, tools.paho(folder, door.port) as lamp:
            await lamp.subscribe("$aws/things/lamp/jobs/notify")
            await door.fault("half-open")
            await door.post("/jobs/one", {"things": ["lamp"]})
            await door.get("/status")
            assert lamp.messages == []
            await door.post("/faults/half-open/off")
            assert (await lamp.expect(1))[0][0] == "$aws/things/lamp/jobs/notify"

    async def test_slow(self, cloud):
        loop = asyncio.get_running_loop()
        async with cloud() as door, opened(door) as (reader, writer):
            await door.fault("slow", "0.1")
            begun = loop.time()
            writer.write(CONNECT)
            assert (await packet(reader))[0] == 0x20
            assert loop.time() - begun >= 0.19
            begun = loop.time()
            assert await door.https() == 404
            assert loop.time() - begun >= 0.19
            writer.write(PINGREQ)
            writer.write(b"\xe0\x00")  # DISCONNECT: the answer comes first, then the end
            assert await packet(reader) == b"\xd0\x00"
            async with asyncio.timeout(20):
                assert await reader.read() == b""

    async def test_http_and_throttle(self, cloud):
        async with cloud() as door:
            await door.fault("http", "503")
            assert await door.https() == 503
            await door.post("/faults/off")
            await door.fault("throttle", "1")
            assert max([await door.https(), await door.https(), await door.https()]) == 429

    async def test_restored_from_a_backup(self, cloud, folder, tools):
        async with cloud() as door, tools.paho(folder, door.port) as lamp:
            await lamp.publish("$aws/things/lamp/shadow/update", b'{"state":{"reported":{"n":1}}}')
            assert await door.post("/backup") == {"shadows": 1}
            await lamp.publish("$aws/things/lamp/shadow/update", b'{"state":{"reported":{"n":2}}}')
            await lamp.publish("$aws/things/gate/shadow/update", b'{"state":{"reported":{"n":2}}}')
            assert await door.post("/restore") == {"shadows": 1}
            assert await door.https("/things/gate/shadow") == 404
        async with cloud() as door:  # and so it stays over a restart
            assert await door.https("/things/gate/shadow") == 404
            assert await door.https("/things/lamp/shadow") == 200
