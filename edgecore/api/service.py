"""The control API's life: the Unix socket, its owner and mode, and the server behind it.

The only file of this room that opens something. What is answered is in routes.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from edgecore.api.routes import OperatorBus, Routes
from edgecore.api.settings import ApiSettings
from edgecore.base.clock import Clock
from edgecore.base.errors import ConfigError, UnavailableError
from edgecore.base.interfaces import AsideMessages, DevicePasswords, Devices, Ready, ShadowList, Statuses

SOCKET_NAME: Final = "control.sock"
# unix(7): sun_path has 108 bytes with its terminating null byte.
MAX_SOCKET_PATH: Final = 107
# Seconds that open requests have to end once the service stops; streams end at once.
_DRAIN: Final = 1.0
# A probe of a left-over socket: who does not accept within this many seconds is not there.
_PROBE: Final = 1.0


class ApiService:
    """Serves the control API on `run_dir`/control.sock to root and to the user that the core runs as.

    `aside` gives the uplink that runs now: a deployment replaces it.
    """

    def __init__(
        self,
        settings: ApiSettings,
        bus: OperatorBus,
        devices: Devices,
        passwords: DevicePasswords,
        statuses: Statuses,
        shadows: ShadowList,
        aside: Callable[[], AsideMessages],
        run_dir: Path,
        clock: Clock,
    ) -> None:
        self._path = run_dir / SOCKET_NAME
        self._routes = Routes(
            settings, bus, devices, passwords, statuses, shadows, aside, clock, os.geteuid()
        )

    async def run(self, ready: Ready) -> None:
        """Serve until cancelled. Raises ConfigError for a path that is too long, UnavailableError."""
        async with _bound(self._path) as listening, self._served(listening):
            ready()
            await asyncio.Event().wait()

    def status(self) -> dict[str, object]:
        """The socket, requests so far, who watches, and what slow watchers lost."""
        return {
            "socket": str(self._path),
            "requests": self._routes.requests,
            "feeds": len(self._routes.feeds),
            "dropped": sum(feed.dropped for feed in self._routes.feeds),
        }

    @contextlib.asynccontextmanager
    async def _served(self, listening: socket.socket) -> AsyncIterator[None]:
        runner = web.AppRunner(self._routes.application(), access_log=None, shutdown_timeout=_DRAIN)
        await runner.setup()
        if runner.server is None:
            raise AssertionError("aiohttp made no server")
        server = await asyncio.get_running_loop().create_unix_server(runner.server, sock=listening)
        try:
            yield
        finally:
            self._routes.close()
            server.close()
            await runner.cleanup()


@contextlib.asynccontextmanager
async def _bound(path: Path) -> AsyncIterator[socket.socket]:
    """The socket at `path`, for its owner only, removed at the end. File work is kept off the loop."""
    listening = await asyncio.to_thread(_bind, path)
    try:
        yield listening
    finally:
        listening.close()
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _bind(path: Path) -> socket.socket:
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH:
        found, expected = f"a path of {length} bytes", f"at most {MAX_SOCKET_PATH}, for a socket"
        raise ConfigError(str(path), "", found, expected, "Choose a shorter --dir.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        # Nobody can connect before listen(), which comes after this.
        path.chmod(0o600)
    except OSError:
        listening.close()
        raise
    return listening


def _remove_stale(path: Path) -> None:
    """Remove what a killed daemon left behind; never the socket of one that answers."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise UnavailableError(f"{path}: another edgecore answers there: stop it, or choose another --dir")
