"""A cloud in a few lines: answers as MQTT 5 says, but for what a test lets it say instead."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.sim.pki import ThrowawayAuthority

MAX_PACKET = 1 << 24
HANG_UP = object()


@dataclass
class ScriptedCloud:
    """`answers`: packet type -> function of the packet, which gives packets, HANG_UP, or None for the honest one.

    `published`: payloads that it acknowledged or took at QoS 0, in order. `client_ids`: of each CONNECT.
    """

    answers: dict = field(default_factory=dict)
    published: list = field(default_factory=list)
    client_ids: list = field(default_factory=list)
    port: int = 0

    async def serve(self, reader, writer):
        framer = Framer(MAX_PACKET)
        with contextlib.suppress(ConnectionError, RemoteProtocolError):
            while data := await reader.read(1 << 16):
                for first, body in framer.feed(data):
                    answer = self.answer(decode(first, body, p.V5))
                    said = [one for one in answer if one is not HANG_UP]
                    writer.write(b"".join(encode(one, p.V5) for one in said))
                    if HANG_UP in answer:
                        await writer.drain()
                        writer.close()
                        return
        writer.close()

    def answer(self, packet):
        """The packets that answer it."""
        if isinstance(packet, p.Connect):
            self.client_ids.append(packet.client_id)
        asked = self.answers.get(type(packet))
        said = asked(packet) if asked is not None else None
        if said is not None:
            return said
        if isinstance(packet, p.Publish):
            self.published.append(packet.payload)
        return honest(packet)


def honest(packet):
    """What MQTT asks for."""
    match packet:
        case p.Connect():
            return [p.ConnAck()]
        case p.Subscribe():
            return [p.SubAck(packet.packet_id, [1] * len(packet.filters))]
        case p.Publish(qos=1):
            return [p.PubAck(packet.packet_id)]
        case p.PingReq():
            return [p.PingResp()]
    return []


@contextlib.asynccontextmanager
async def listening(cloud: ScriptedCloud, folder: Path):
    """Let it listen with mutual TLS; its CA and the core's pair are in `folder`, as the simulated cloud has them."""
    now = dt.datetime.now(dt.UTC)
    context = await asyncio.to_thread(_prepare, folder, now)
    server = await asyncio.start_server(cloud.serve, "127.0.0.1", cloud.port, ssl=context)
    cloud.port = server.sockets[0].getsockname()[1]
    async with server:
        yield cloud


def _prepare(folder, now):
    authority = ThrowawayAuthority.load_or_create(folder, now)
    authority.client("core", "core", now)
    pair = authority.server("cloud", ("127.0.0.1",), now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context
