"""The HTTPS side over real mutual TLS: shadows, messages, connections, credentials."""

import asyncio
import base64
import contextlib
import json
import ssl

import aiohttp
import pytest

from edgecore.sim.cloud.dataplane import EXCEPTIONS

SHADOW = "/things/lamp/shadow"


class Https:
    """A client with a certificate of the cloud's folder."""

    def __init__(self, port, context):
        self._base = f"https://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_error):
        await self._session.close()

    async def ask(self, method, path, body=None, headers=None):
        """(status, document, headers)"""
        data = json.dumps(body) if isinstance(body, dict) else body
        async with asyncio.timeout(20):
            async with self._session.request(
                method, self._base + path, data=data, headers=headers
            ) as response:
                text = await response.text()
                return response.status, json.loads(text) if text else None, response.headers

    async def refused(self, method, path, body=None):
        status, document, headers = await self.ask(method, path, body)
        assert headers["x-amzn-ErrorType"] == EXCEPTIONS[status]
        assert set(document) == {"message", "traceId"}
        return status, document["message"]


def reach(folder, stem):
    """The HTTPS port and a TLS context for a certificate of the folder."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if stem:
        context.load_cert_chain(folder / f"{stem}.cert.pem", folder / f"{stem}.key.pem")
    return json.loads((folder / "cloud.json").read_text())["https_port"], context


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "C"


@pytest.fixture
def cloud(folder, tools):
    @contextlib.asynccontextmanager
    async def start(stem="things/lamp", **options):
        async with (
            tools.serving(folder, **options) as port,
            Https(*await asyncio.to_thread(reach, folder, stem)) as https,
        ):
            https.mqtt_port = port
            yield https

    return start


class TestShadows:
    async def test_update_get_delete(self, cloud):
        async with cloud() as https:
            status, document, _ = await https.ask(
                "POST", SHADOW, {"state": {"desired": {"on": True}}, "clientToken": "t"}
            )
            assert (status, document["version"], document["clientToken"]) == (200, 1, "t")
            status, document, _ = await https.ask("GET", SHADOW)
            assert (status, document["state"]) == (200, {"desired": {"on": True}, "delta": {"on": True}})
            assert "clientToken" not in document
            status, document, _ = await https.ask("DELETE", SHADOW)
            assert (status, document["version"]) == (200, 1)
            assert await https.refused("GET", SHADOW) == (404, "No shadow exists with name: 'lamp'")
            assert await https.refused("DELETE", SHADOW) == (404, "No shadow exists with name: 'lamp'")

    async def test_named_ones(self, cloud):
        async with cloud() as https:
            for name in ("b", "a", "c"):
                await https.ask("POST", f"{SHADOW}?name={name}", {"state": {"reported": {"n": 1}}})
            await https.ask("POST", SHADOW, {"state": {"reported": {"classic": 1}}})
            await https.ask("DELETE", f"{SHADOW}?name=c")
            assert await https.refused("GET", f"{SHADOW}?name=c") == (
                404,
                "No shadow exists with name: 'lamp~c'",
            )
            path = "/api/things/shadow/ListNamedShadowsForThing/lamp"
            _, document, _ = await https.ask("GET", path)
            assert document["results"] == ["a", "b"]
            assert isinstance(document["timestamp"], int)
            _, first, _ = await https.ask("GET", f"{path}?pageSize=1")
            _, second, _ = await https.ask("GET", f"{path}?pageSize=1&nextToken={first['nextToken']}")
            assert (first["results"], second["results"], "nextToken" in second) == (["a"], ["b"], False)
            assert (await https.refused("GET", f"{path}?pageSize=101"))[0] == 400
            assert (await https.ask("GET", path.replace("lamp", "unknown")))[1]["results"] == []

    @pytest.mark.parametrize(
        ("body", "status", "message"),
        [
            (b"{", 400, "Invalid JSON"),
            (b"{}", 400, "Missing required node: state"),
            (b'{"state":{"other":1}}', 400, "State contains an invalid node"),
            (b'{"state":{},"version":7}', 409, "Version conflict"),
            (
                b'{"state":{"desired":{"a":"' + b"x" * 9000 + b'"}}}',
                413,
                "The payload exceeds the maximum size allowed",
            ),
            (b'"\xff"', 415, "Unsupported documented encoding; supported encoding is UTF-8"),
        ],
    )
    async def test_errors_and_nothing_of_them_on_mqtt(self, cloud, folder, tools, body, status, message):
        async with cloud() as https, tools.paho(folder, https.mqtt_port) as watcher:
            await watcher.subscribe("$aws/things/lamp/shadow/#")
            assert await https.refused("POST", SHADOW, body) == (status, message)
            await watcher.publish("$aws/things/lamp/shadow/get", b"")
            topics = [topic for topic, _ in await watcher.expect(2)]
            assert sorted(topics) == [f"$aws/things/lamp/shadow/{end}" for end in ("get", "get/rejected")]

    async def test_names_and_methods(self, cloud):
        async with cloud() as https:
            assert (await https.refused("GET", "/things/a%20b/shadow"))[0] == 400
            assert (await https.refused("GET", f"{SHADOW}?name=a%20b"))[0] == 400
            assert (await https.refused("PUT", SHADOW, b"{}"))[0] == 405
            assert (await https.refused("GET", "/nowhere"))[0] == 404

    async def test_an_update_is_told_on_mqtt(self, cloud, folder, tools):
        async with cloud() as https, tools.paho(folder, https.mqtt_port) as watcher:
            await watcher.subscribe("$aws/things/lamp/shadow/update/+")
            await https.ask("POST", SHADOW, {"state": {"desired": {"on": True}}})
            told = [topic.rpartition("/")[2] for topic, _ in await watcher.expect(3)]
            assert told == ["documents", "delta", "accepted"]


class TestMessages:
    async def test_publish(self, cloud, folder, tools):
        async with cloud() as https, tools.paho(folder, https.mqtt_port) as watcher:
            await watcher.subscribe("dt/#")
            path = "/topics/dt/a?qos=1&contentType=text/plain&responseTopic=re&messageExpiry=60"
            status, document, _ = await https.ask("POST", path, b"hello")
            assert (status, document["message"]) == (200, "OK")
            ((topic, payload),) = await watcher.expect(1)
            assert (topic, payload) == ("dt/a", b"hello")
            properties = watcher.messages[0].properties
            assert (properties.ContentType, properties.ResponseTopic) == ("text/plain", "re")
            assert properties.MessageExpiryInterval == 60

    @pytest.mark.parametrize(
        ("path", "size", "status"),
        [
            ("/topics/a/%2B", 0, 400),
            ("/topics/" + "x" * 257, 0, 400),
            ("/topics/$aws/events/x", 0, 403),
            ("/topics/a?qos=2", 0, 400),
            ("/topics/a?messageExpiry=soon", 0, 400),
            ("/topics/a", 131_073, 413),
            ("/topics/a", 300_000, 413),
        ],
    )
    async def test_refused(self, cloud, path, size, status):
        async with cloud() as https:
            assert (await https.refused("POST", path, bytes(size)))[0] == status

    async def test_retained(self, cloud, folder, tools):
        async with cloud() as https:
            for topic, payload in (("a/b", b"1"), ("c", b"22"), ("d", b"3")):
                await https.ask("POST", f"/topics/{topic}?retain=true&qos=1", payload)
            status, document, _ = await https.ask("GET", "/retainedMessage/a%2Fb")
            assert (status, base64.b64decode(document["payload"]), document["qos"]) == (200, b"1", 1)
            assert document["lastModifiedTime"] > 1_600_000_000_000
            _, page, _ = await https.ask("GET", "/retainedMessage?maxResults=2")
            assert [(one["topic"], one["payloadSize"]) for one in page["retainedTopics"]] == [
                ("a/b", 1),
                ("c", 2),
            ]
            _, rest, _ = await https.ask(
                "GET", f"/retainedMessage?maxResults=2&nextToken={page['nextToken']}"
            )
            assert [one["topic"] for one in rest["retainedTopics"]] == ["d"]
            assert (await https.refused("GET", "/retainedMessage/none"))[0] == 404
            async with tools.paho(folder, https.mqtt_port) as watcher:
                await watcher.subscribe("c")
                assert await watcher.expect(1) == [("c", b"22")]

    async def test_a_connection_can_be_deleted(self, cloud, folder, tools):
        async with cloud() as https, tools.paho(folder, https.mqtt_port, client_id="victim") as victim:
            lost = asyncio.Event()
            loop = asyncio.get_running_loop()
            victim.client.on_disconnect = lambda *_: loop.call_soon_threadsafe(lost.set)
            status, _, _ = await https.ask("DELETE", "/connections/victim?cleanSession=true")
            assert status == 200
            async with asyncio.timeout(20):
                await lost.wait()
            victim.client.disconnect()
            assert (await https.refused("DELETE", "/connections/nobody"))[0] == 404


class TestWhoMayWhat:
    async def test_without_a_certificate_there_is_no_answer(self, cloud):
        async with cloud(None) as https:
            with pytest.raises(aiohttp.ClientError):
                await https.ask("GET", SHADOW)

    async def test_https_has_actions_of_its_own(self, cloud, folder):
        allowed = {
            "Effect": "Allow",
            "Action": ["iot:GetThingShadow", "iot:UpdateThingShadow"],
            "Resource": ["arn:aws:iot:eu-west-1:1:thing/lamp", "arn:aws:iot:eu-west-1:1:thing/lamp/config"],
        }
        (folder / "policies").mkdir(parents=True)
        document = {"Version": "2012-10-17", "Statement": [allowed]}
        (folder / "policies" / "devices.json").write_text(json.dumps(document))
        async with cloud():
            pass  # makes the certificates
        (folder / "things.json").write_text('{"lamp": {"policies": ["devices"]}}')
        async with cloud() as https:
            update = {"state": {"reported": {"on": True}}}
            assert (await https.ask("POST", SHADOW, update))[0] == 200
            assert (await https.ask("POST", f"{SHADOW}?name=config", update))[0] == 200
            for method, path in (
                ("GET", "/things/other/shadow"),
                ("DELETE", SHADOW),
                ("GET", f"{SHADOW}?name=secret"),
                ("GET", "/api/things/shadow/ListNamedShadowsForThing/lamp"),
                ("POST", "/topics/a"),
                ("GET", "/retainedMessage"),
                ("GET", "/retainedMessage/a"),
                ("DELETE", "/connections/a"),
            ):
                assert await https.refused(method, path) == (403, "Forbidden")


class TestCredentials:
    PATH = "/role-aliases/camera/credentials"

    async def test_a_certificate_is_traded(self, cloud):
        async with cloud(credential_seconds=900) as https:
            status, document, _ = await https.ask("GET", self.PATH, headers={"x-amzn-iot-thingname": "lamp"})
            assert status == 200
            assert document["credentials"]["expiration"].endswith("Z")

    async def test_aliases_and_things_of_the_folder(self, cloud, folder):
        async with cloud():
            pass
        (folder / "role-aliases.json").write_text('{"camera": 900}')
        (folder / "things.json").write_text('{"lamp": {}}')
        async with cloud() as https:
            assert (await https.ask("GET", self.PATH))[0] == 200
            status, document, _ = await https.ask("GET", self.PATH, headers={"x-amzn-iot-thingname": "other"})
            assert (status, document["message"]) == (403, "Access Denied")
            status, document, _ = await https.ask("GET", "/role-aliases/none/credentials")
            assert (status, document["message"]) == (404, "Not Found")

    async def test_aliases_that_are_wrong(self, folder, cloud):
        folder.mkdir()
        (folder / "role-aliases.json").write_text('{"camera": "long"}')
        with pytest.raises(Exception, match="seconds by role alias"):
            async with cloud():
                pass
