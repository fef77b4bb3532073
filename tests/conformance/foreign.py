"""Clients that are not ours, with their callbacks turned into events to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

MOSQUITTO = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")),
    reason="mosquitto-clients is not installed",
)


def mosquitto(tool, version, name, port, *more):
    """The command line of one of Mosquitto's tools, to be run in the folder of the certificates."""
    tls = ("--cafile", "ca.pem", "--cert", f"{name}.pem", "--key", f"{name}.key")
    return (tool, "-h", "localhost", "-p", str(port), "-V", version, "-i", f"m-{name}", *tls, *more)


def proves(name):
    """Name a test after the statements that it proves, as the rows of the tables are."""
    return pytest.mark.parametrize((), [pytest.param(id=name)])


class Device:
    """A paho client whose callbacks end in a queue of the loop."""

    def __init__(self, pki: Path, name: str, version: int, *, kept=False) -> None:
        self.events: asyncio.Queue = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(*event):
            loop.call_soon_threadsafe(self.events.put_nowait, event)

        clean = not kept if version == paho.MQTTv311 else None
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"paho-{name}", clean, protocol=version)
        self.how = {"clean_start": not kept} if version == paho.MQTTv5 else {}
        if version == paho.MQTTv5 and kept:
            self.how["properties"] = Properties(paho.PacketTypes.CONNECT)
            self.how["properties"].SessionExpiryInterval = 3600
        self.client.tls_set(pki / "ca.pem", pki / f"{name}.pem", pki / f"{name}.key")
        self.client.on_connect = lambda _c, _u, flags, reason, _p: put(
            "connect", str(reason), flags.session_present
        )
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: put("subscribe", *map(str, reasons))
        self.client.on_publish = lambda _c, _u, mid, _r, _p: put("publish", mid)
        self.client.on_message = lambda _c, _u, message: put("message", message)
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: put("disconnect", str(reason))

    async def connect(self, port: int, *, present=False) -> None:
        await asyncio.to_thread(self.client.connect, "localhost", port, **self.how)
        self.client.loop_start()
        assert await self.event("connect") == ("Success", present)

    async def event(self, kind: str):
        async with asyncio.timeout(10):
            while True:
                found = await self.events.get()
                if found[0] == kind:
                    return found[1:]

    async def drop(self) -> None:
        """Lose the connection: no DISCONNECT, and no return."""
        self.client.reconnect_delay_set(60, 60)
        self.client.socket().shutdown(socket.SHUT_RDWR)
        await self.event("disconnect")

    async def close(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)
        self.client._reset_sockets()  # paho leaves its pair of wake-up sockets to the collector


@contextlib.asynccontextmanager
async def device(pki, name, version, port, *, present=False, **more):
    made = Device(pki, name, version, **more)
    try:
        await made.connect(port, present=present)
        yield made
    finally:
        await made.close()


class Aws5:
    """AWS's MQTT 5 client, whose callbacks end in a queue of the loop."""

    def __init__(self, pki, name, port, bootstrap, **more):
        builder = pytest.importorskip("awsiot.mqtt5_client_builder")
        self.events: asyncio.Queue = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(kind):
            return lambda data: loop.call_soon_threadsafe(self.events.put_nowait, (kind, data))

        self.client = builder.mtls_from_path(
            str(pki / f"{name}.pem"),
            str(pki / f"{name}.key"),
            ca_filepath=str(pki / "ca.pem"),
            endpoint="localhost",
            port=port,
            client_id=f"aws5-{name}",
            client_bootstrap=bootstrap,
            on_publish_received=put("message"),
            on_lifecycle_connection_success=put("connect"),
            on_lifecycle_stopped=put("stopped"),
            **more,
        )

    async def event(self, kind):
        async with asyncio.timeout(20):
            while True:
                found, data = await self.events.get()
                if found == kind:
                    return data
