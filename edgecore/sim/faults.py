"""A TCP proxy that can be cut or stalled, to stand between a core and its cloud. Loopback only.

It carries bytes and knows nothing of TLS or MQTT. While it is cut, connections that stand are reset
and new ones are reset at once, as when a link fails behind a router that still answers. While it is
stalled, connections stand and new ones are accepted, and nothing arrives: a half-open link. What the
simulated cloud itself can do wrong is in cloud/faults.py.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

HOST: Final = "127.0.0.1"
# One read of a pipe. TLS records are at most 16 KiB; four of them fill a burst without many calls.
CHUNK: Final = 65_536
# SO_LINGER on with a time of zero: close() sends RST, so that the peer notices at once.
RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Carries connections from `port` on loopback to the target until it is cut."""

    def __init__(self, target_host: str, target_port: int, port: int = 0) -> None:
        self._target = (target_host, target_port)
        self.port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._carried = 0
        self._cuts = 0

    async def run(self, ready: Callable[[], None]) -> None:
        """Listen and carry until cancelled; `port` is the one in use once `ready()` was called."""
        async with asyncio.TaskGroup() as group:
            server = await asyncio.start_server(
                lambda reader, writer: self._accepted(group, reader, writer), HOST, self.port
            )
            self.port = server.sockets[0].getsockname()[1]
            try:
                ready()
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()
                self._reset_all()

    def cut(self) -> None:
        """Reset every connection and every new one until `restore()`."""
        self._is_cut = True
        self._cuts += 1
        self._reset_all()

    def stall(self) -> None:
        """Hold every byte back, and what new connections ask for, until `restore()`."""
        self._flowing.clear()

    def restore(self) -> None:
        """Carry new connections again, and what was held back."""
        self._is_cut = False
        self._flowing.set()

    def status(self) -> dict[str, object]:
        """Whether it is cut or stalled, the open sides, and what went through."""
        return {
            "cut": self._is_cut,
            "stalled": not self._flowing.is_set(),
            "cuts": self._cuts,
            "port": self.port,
            "open": len(self._writers),
            "bytes": self._carried,
        }

    def _accepted(
        self, group: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._is_cut:
            _reset(writer)
            return
        self._writers.add(writer)
        group.create_task(self._carry(reader, writer), name="proxy connection")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            # The target is down: to the client that looks like a cut.
            self._drop(writer)
            return
        self._writers.add(far_writer)
        if self._is_cut:
            self._reset_all()
        try:
            async with asyncio.TaskGroup() as pair:
                pair.create_task(self._pipe(reader, far_writer))
                pair.create_task(self._pipe(far_reader, writer))
        finally:
            self._finish(writer)
            self._finish(far_writer)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await self._next(reader):
                writer.write(chunk)
                await writer.drain()
                self._carried += len(chunk)
            writer.write_eof()
        except OSError:
            # One side is gone; the other is reset so that it knows too.
            self._drop(writer)

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        chunk = await reader.read(CHUNK)
        await self._flowing.wait()
        return chunk

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        if writer in self._writers:
            self._writers.discard(writer)
            _reset(writer)

    def _finish(self, writer: asyncio.StreamWriter) -> None:
        """Close in order, so that what is still buffered arrives."""
        self._writers.discard(writer)
        writer.close()

    def _reset_all(self) -> None:
        for writer in tuple(self._writers):
            self._drop(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
