"""The simulated cloud as a process sees it: real sockets, real TLS, foreign clients."""

import asyncio
import contextlib
import json
import os
import ssl
import stat

import paho.mqtt.client as mqtt
import pytest
import uvloop

from edgecore.base.errors import CertificateError, EdgecoreError
from edgecore.sim.cloud import describe
from edgecore.sim.cloud import server as room

BOTH = pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "C"


async def test_the_note_says_where_it_is_while_it_runs(folder, tools):
    async with tools.serving(folder) as port:
        note = json.loads((folder / "cloud.json").read_text())
        assert (note["host"], note["port"], note["pid"]) == ("127.0.0.1", port, os.getpid())
        assert note["https_port"] == note["credentials_port"] != port
        assert note["control"] == str(folder / "control.sock")
        text = await asyncio.to_thread(describe, folder)
    assert f"127.0.0.1:{port}" in text
    assert "things/lamp.cert.pem" in text
    assert "not served" in text
    assert not (folder / "cloud.json").exists()


async def test_keys_are_for_their_owner_only(folder, tools):
    async with tools.serving(folder):
        pass
    keys = list(folder.rglob("*key*"))
    assert len(keys) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


@BOTH
async def test_paho_publishes_and_receives(folder, tools, version):
    async with tools.serving(folder) as port, tools.paho(folder, port, version=version) as client:
        assert await client.subscribe("dt/#") == [1]
        await client.publish("dt/a", b"1")
        await client.publish("dt/b", b"2", qos=0)
        assert await client.expect(2) == [("dt/a", b"1"), ("dt/b", b"2")]


def test_it_runs_on_uvloop(folder, tools):
    async def exchange():
        async with tools.serving(folder) as port, tools.paho(folder, port) as client:
            await client.subscribe("dt/#")
            await client.publish("dt/a", b"1")
            return await client.expect(1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(exchange()) == [("dt/a", b"1")]


async def test_a_refused_subscription(folder, tools):
    async with tools.serving(folder) as port, tools.paho(folder, port) as client:
        assert await client.subscribe("$aws/rules/r/a") == [0x87]


async def test_a_version_3_session_is_kept(folder, tools):
    options = {"client_id": "kept", "version": mqtt.MQTTv311, "clean_session": False}
    async with tools.serving(folder) as port:
        async with tools.paho(folder, port, **options) as client:
            await client.subscribe("cmd")
        async with tools.paho(folder, port) as other:
            await other.publish("cmd", b"missed")
        async with tools.paho(folder, port, **options) as client:
            assert await client.expect(1) == [("cmd", b"missed")]
            assert client.flags.session_present


async def test_what_is_not_acknowledged_comes_again_on_the_live_connection(folder, tools, monkeypatch):
    monkeypatch.setattr(room, "TICK_SECONDS", 0.01)
    async with (
        tools.serving(folder, redelivery=0.05) as port,
        tools.paho(folder, port, manual_ack=True) as client,
    ):
        await client.subscribe("cmd")
        await client.publish("cmd", b"again")
        await client.expect(3)
        assert len({message.mid for message in client.messages[:3]}) == 3
        assert not any(message.dup for message in client.messages)


async def test_without_a_certificate_there_is_no_connection(folder, tools):
    async with tools.serving(folder) as port:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        # TLS 1.3 tells the client only with its first read: an alert, a reset or the end.
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert await reader.read(1) == b""
        writer.close()
        await asyncio.wait((asyncio.create_task(writer.wait_closed()),))


async def test_silence_before_connect_is_ended(folder, tools, monkeypatch):
    monkeypatch.setattr(room, "TICK_SECONDS", 0.01)
    monkeypatch.setattr("edgecore.sim.cloud.conversation.CONNECT_SECONDS", 0.05)
    async with tools.serving(folder) as port:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "things/lamp.cert.pem", folder / "things/lamp.key.pem")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_shadows_outlive_a_restart_and_so_do_certificates(folder, tools):
    async with tools.serving(folder) as port, tools.paho(folder, port) as client:
        await client.publish("$aws/things/lamp/shadow/update", b'{"state":{"reported":{"on":true}}}')
    before = (folder / "ca.pem").read_bytes(), (folder / "things/lamp.cert.pem").read_bytes()
    async with tools.serving(folder) as port, tools.paho(folder, port) as client:
        assert before == ((folder / "ca.pem").read_bytes(), (folder / "things/lamp.cert.pem").read_bytes())
        await client.subscribe("$aws/things/lamp/shadow/get/accepted")
        await client.publish("$aws/things/lamp/shadow/get", b"")
        ((_, payload),) = await client.expect(1)
        assert json.loads(payload)["state"] == {"reported": {"on": True}}


async def test_a_running_cloud_writes_its_journal(folder, tools):
    async with tools.serving(folder) as port, tools.paho(folder, port) as client:
        await client.publish("$aws/things/lamp/shadow/update", b'{"state":{"reported":{"on":true}}}')
        await tools.until(lambda: "lamp" in (folder / "shadows.jsonl").read_text())


async def test_a_taken_port_says_what_to_do(folder, tmp_path, tools):
    async with tools.serving(folder) as port:
        with pytest.raises(EdgecoreError, match="choose another port"):
            async with tools.serving(tmp_path / "other", port):
                pass


async def test_a_damaged_ca_says_what_to_do(folder, tools):
    folder.mkdir()
    (folder / "ca.pem").write_text("nonsense")
    (folder / "ca.key").write_text("nonsense")
    with pytest.raises(CertificateError, match="delete both"):
        async with tools.serving(folder):
            pass
