"""The simulated cloud as a process sees it: real sockets, real TLS, foreign clients."""

import asyncio
import concurrent.futures
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


class Aws:
    """AWS's own clients, as the SDK's samples make them."""

    def __init__(self, folder, port):
        from awscrt import mqtt5
        from awsiot import mqtt5_client_builder

        self.stopped = concurrent.futures.Future()
        self.connected = concurrent.futures.Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(folder / "things/lamp.cert.pem"),
            str(folder / "things/lamp.key.pem"),
            ca_filepath=str(folder / "ca.pem"),
            endpoint="127.0.0.1",
            port=port,
            client_id="lamp",
            on_lifecycle_connection_success=self.connected.set_result,
            on_lifecycle_stopped=self.stopped.set_result,
            session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
        )

    async def __aenter__(self):
        self.client.start()
        await self.wait(self.connected)
        return self.client

    async def __aexit__(self, *_error):
        self.client.stop()
        await self.wait(self.stopped)
        del self.client

    @staticmethod
    async def wait(future):
        async with asyncio.timeout(20):
            return await asyncio.wrap_future(future)


async def test_aws_shadow_client_version_2(folder, tools):
    import awsiot
    from awscrt.mqtt_request_response import ClientOptions
    from awsiot import iotshadow

    async with tools.serving(folder) as port, Aws(folder, port) as client:
        shadow = iotshadow.IotShadowClientV2(client, ClientOptions(2, 2, 10))
        state = iotshadow.ShadowState(desired={"color": "green"}, reported={"color": "red"})
        updated = await Aws.wait(
            shadow.update_shadow(iotshadow.UpdateShadowRequest(thing_name="lamp", state=state))
        )
        assert (updated.version, updated.state.desired) == (1, {"color": "green"})
        got = await Aws.wait(shadow.get_shadow(iotshadow.GetShadowRequest(thing_name="lamp")))
        assert got.state.delta == {"color": "green"}
        with pytest.raises(awsiot.V2ServiceException) as conflict:
            await Aws.wait(
                shadow.update_shadow(iotshadow.UpdateShadowRequest(thing_name="lamp", state=state, version=7))
            )
        assert conflict.value.modeled_error.code == 409
        deleted = await Aws.wait(shadow.delete_shadow(iotshadow.DeleteShadowRequest(thing_name="lamp")))
        assert deleted.version == 1
        del shadow


async def test_aws_shadow_client_version_1(folder, tools):
    from awscrt import mqtt
    from awsiot import iotshadow

    got = concurrent.futures.Future()
    delta = concurrent.futures.Future()
    async with tools.serving(folder) as port, Aws(folder, port) as client:
        shadow = iotshadow.IotShadowClient(client.new_connection())
        qos = mqtt.QoS.AT_LEAST_ONCE
        about = {"thing_name": "lamp", "shadow_name": "config"}
        subscribed, _ = shadow.subscribe_to_named_shadow_delta_updated_events(
            iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest(**about), qos, delta.set_result
        )
        await Aws.wait(subscribed)
        subscribed, _ = shadow.subscribe_to_update_named_shadow_accepted(
            iotshadow.UpdateNamedShadowSubscriptionRequest(**about), qos, got.set_result
        )
        await Aws.wait(subscribed)
        request = iotshadow.UpdateNamedShadowRequest(
            **about, client_token="tok", state=iotshadow.ShadowState(desired={"every": 5})
        )
        await Aws.wait(shadow.publish_update_named_shadow(request, qos))
        accepted = await Aws.wait(got)
        assert (accepted.client_token, accepted.version, accepted.state.desired) == ("tok", 1, {"every": 5})
        assert (await Aws.wait(delta)).state == {"every": 5}
        del shadow
