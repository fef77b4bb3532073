"""AWS's own shadow clients, unmodified, over mutual TLS: against this core, and against the simulated cloud.

V1 is IotShadowClient over MQTT 3.1.1, V2 is IotShadowClientV2 over MQTT 5. A device needs no row for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgecore.sim.cloud.server import serve
from tests.doubles.running import started

pytestmark = [pytest.mark.xdist_group("scenario"), pytest.mark.interop]

THING = "sensor-1"
NAMES = pytest.mark.parametrize("shadow", ["", "config"], ids=["classic", "named"])
# A group without one row.
GROUP = f'[group]\nname = "alone"\n[devices.{THING}]\n'


@dataclass
class Where:
    """Whom to connect to, and as whom."""

    port: int
    ca: Path
    certificate: Path
    key: Path

    def options(self, client_id):
        return {
            "endpoint": "localhost",
            "port": self.port,
            "ca_filepath": str(self.ca),
            "cert_filepath": str(self.certificate),
            "pri_key_filepath": str(self.key),
            "client_id": client_id,
        }


@pytest.fixture
async def core(site):
    site.write_group(GROUP)
    await site.start(THING)
    files = site.core.credentials(THING)
    return Where(site.core.port, files.ca, files.certificate, files.key)


@pytest.fixture
async def cloud(tmp_path):
    folder = tmp_path / "cloud"
    async with started(lambda ready: serve(folder, 0, things=(THING,), ready=ready)):
        port = json.loads((folder / "cloud.json").read_text())["port"]
        things = folder / "things"
        yield Where(port, folder / "ca.pem", things / f"{THING}.cert.pem", things / f"{THING}.key.pem")


@pytest.fixture(params=["core", "cloud"])
def where(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def iotshadow():
    return pytest.importorskip("awsiot.iotshadow")


class Names:
    """The SDK's names for a classic or a named shadow."""

    def __init__(self, module, shadow):
        self.module, self.shadow = module, shadow
        self.of = {"thing_name": THING, **({"shadow_name": shadow} if shadow else {})}
        self.word, self.part = ("Named", "named_") if shadow else ("", "")

    def request(self, verb, **fields):
        return getattr(self.module, f"{verb.capitalize()}{self.word}ShadowRequest")(**self.of, **fields)

    def update(self, version=None, **sections):
        return self.request("update", state=self.module.ShadowState(**sections), version=version)


async def within(future):
    return await asyncio.wait_for(asyncio.wrap_future(future), 20)


# Version 2


@contextlib.asynccontextmanager
async def mqtt5(where):
    builder = pytest.importorskip("awsiot.mqtt5_client_builder")
    loop, connected, stopped = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    client = builder.mtls_from_path(
        **where.options("v2"),
        on_lifecycle_connection_success=lambda _: loop.call_soon_threadsafe(connected.set),
        on_lifecycle_stopped=lambda _: loop.call_soon_threadsafe(stopped.set),
    )
    client.start()
    async with asyncio.timeout(20):
        await connected.wait()
    try:
        yield client
    finally:
        client.stop()
        async with asyncio.timeout(20):
            await stopped.wait()


class V2:
    """IotShadowClientV2 for one shadow, its streams as queues."""

    def __init__(self, client, names):
        from awscrt import mqtt_request_response

        options = mqtt_request_response.ClientOptions(4, 4, operation_timeout_in_seconds=20)
        self.client, self.names = names.module.IotShadowClientV2(client, options), names

    async def ask(self, verb, **fields):
        request = self.names.request(verb, **fields)
        return await within(getattr(self.client, f"{verb}_{self.names.part}shadow")(request))

    async def update(self, version=None, **sections):
        request = self.names.update(version, **sections)
        return await within(getattr(self.client, f"update_{self.names.part}shadow")(request))

    async def stream(self, kind):
        """A queue of what the stream brings; returns once it is subscribed."""
        import awsiot
        from awscrt.mqtt_request_response import SubscriptionStatusEventType

        loop, events, statuses = asyncio.get_running_loop(), asyncio.Queue(), asyncio.Queue()

        def into(queue):
            def put(event):
                with contextlib.suppress(RuntimeError):  # the loop has ended, and its stream not yet
                    loop.call_soon_threadsafe(queue.put_nowait, event)

            return put

        options = awsiot.ServiceStreamOptions(
            incoming_event_listener=into(events), subscription_status_listener=into(statuses)
        )
        word = {"delta_updated": "DeltaUpdated", "updated": "Updated"}[kind]
        request = getattr(self.names.module, f"{self.names.word}Shadow{word}SubscriptionRequest")
        create = getattr(self.client, f"create_{self.names.part}shadow_{kind}_stream")
        events.operation = create(request(**self.names.of), options)
        events.operation.open()
        async with asyncio.timeout(20):
            assert (await statuses.get()).type == SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED
        return events


@NAMES
async def test_version_2_over_mqtt_5(where, iotshadow, shadow):
    awsiot = pytest.importorskip("awsiot")
    async with mqtt5(where) as client:
        it = V2(client, Names(iotshadow, shadow))
        with pytest.raises(awsiot.V2ServiceException) as refused:
            await it.ask("get")
        error = refused.value.modeled_error
        name = f"{THING}~{shadow}" if shadow else THING
        assert (error.code, error.message) == (404, f"No shadow exists with name: '{name}'")

        deltas, updates = await it.stream("delta_updated"), await it.stream("updated")
        answer = await it.update(desired={"on": True, "speed": 3}, reported={"on": False})
        assert (answer.version, answer.state.desired) == (1, {"on": True, "speed": 3})
        assert answer.client_token
        async with asyncio.timeout(20):
            delta, update = await deltas.get(), await updates.get()
        assert (delta.version, delta.state) == (1, {"on": True, "speed": 3})
        assert delta.metadata["on"]["timestamp"] == answer.metadata.desired["on"]["timestamp"]
        assert (update.previous, update.current.version) == (None, 1)

        with pytest.raises(awsiot.V2ServiceException) as refused:
            await it.update(version=9, desired={"on": False})
        assert (refused.value.modeled_error.code, refused.value.modeled_error.message) == (
            409,
            "Version conflict",
        )

        await it.update(version=1, reported={"on": True, "speed": 3})
        document = await it.ask("get")
        assert (document.version, document.state.delta) == (2, None)
        assert document.state.reported == document.state.desired == {"on": True, "speed": 3}
        async with asyncio.timeout(20):
            assert (await updates.get()).previous.version == 1
        assert deltas.empty()

        assert (await it.ask("delete")).version == 2
        with pytest.raises(awsiot.V2ServiceException):
            await it.ask("delete")
        assert (await it.update(reported={"on": False})).version == 4
        del deltas.operation, updates.operation


# Version 1


@contextlib.asynccontextmanager
async def mqtt311(where):
    builder = pytest.importorskip("awsiot.mqtt_connection_builder")
    connection = builder.mtls_from_path(**where.options("v1"), clean_session=True)
    await within(connection.connect())
    try:
        yield connection
    finally:
        await within(connection.disconnect())


class V1:
    """IotShadowClient for one shadow; all that it hears in one queue, as (kind, message)."""

    def __init__(self, connection, names):
        from awscrt.mqtt import QoS

        self.client, self.names, self.qos = names.module.IotShadowClient(connection), names, QoS.AT_LEAST_ONCE
        self.heard = asyncio.Queue()
        self.loop = asyncio.get_running_loop()

    async def listen(self):
        part, word = self.names.part, self.names.word
        for verb in ("get", "update", "delete"):
            for outcome in ("accepted", "rejected"):
                request = f"{verb.capitalize()}{word}ShadowSubscriptionRequest"
                await self._subscribe(f"{verb}_{part}shadow_{outcome}", request, f"{verb} {outcome}")
        for kind, name in (("delta_updated", "DeltaUpdated"), ("updated", "Updated")):
            request = f"{word}Shadow{name}SubscriptionRequest"
            await self._subscribe(f"{part}shadow_{kind}_events", request, kind)

    async def _subscribe(self, method, request, kind):
        def told(message):
            self.loop.call_soon_threadsafe(self.heard.put_nowait, (kind, message))

        made = getattr(self.names.module, request)(**self.names.of)
        granted, _ = getattr(self.client, f"subscribe_to_{method}")(made, self.qos, told)
        await within(granted)

    async def ask(self, verb, request, count):
        """Publish the request; gives the next messages, by kind."""
        await within(getattr(self.client, f"publish_{verb}_{self.names.part}shadow")(request, self.qos))
        async with asyncio.timeout(20):
            return dict([await self.heard.get() for _ in range(count)])


@NAMES
async def test_version_1_over_mqtt_3_1_1(where, iotshadow, shadow):
    names = Names(iotshadow, shadow)
    async with mqtt311(where) as connection:
        it = V1(connection, names)
        await it.listen()
        missing = await it.ask("get", names.request("get", client_token="a"), 1)
        assert (missing["get rejected"].code, missing["get rejected"].client_token) == (404, "a")

        made = await it.ask("update", names.update(desired={"on": True}, reported={"on": False}), 3)
        assert sorted(made) == ["delta_updated", "update accepted", "updated"]
        assert made["delta_updated"].state == {"on": True}
        assert (made["updated"].previous, made["updated"].current.version) == (None, 1)

        conflict = names.update(7, desired={"on": False})
        conflict.client_token = "c"
        refused = await it.ask("update", conflict, 1)
        assert (refused["update rejected"].code, refused["update rejected"].client_token) == (409, "c")

        followed = await it.ask("update", names.update(1, reported={"on": True}), 2)
        assert sorted(followed) == ["update accepted", "updated"]
        found = (await it.ask("get", names.request("get"), 1))["get accepted"]
        assert (found.version, found.state.reported, found.state.delta) == (2, {"on": True}, None)
        gone = (await it.ask("delete", names.request("delete", client_token="d"), 1))["delete accepted"]
        assert (gone.version, gone.client_token) == (2, "d")
        gone = (await it.ask("delete", names.request("delete"), 1))["delete rejected"]
        assert gone.code == 404
