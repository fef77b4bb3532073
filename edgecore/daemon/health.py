"""Tells the init system how the core is: sd_notify by hand, and the watchdog's self check.

The protocol is one datagram of KEY=VALUE lines to the socket in NOTIFY_SOCKET (sd_notify(3)); a
library for it would be larger than it. A ping follows only a turn of the loop and a write that
reached the disk, so a core that hangs, or whose store does, is killed and started again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from edgecore.base.clock import Clock
from edgecore.base.interfaces import Ready
from edgecore.store import Database, durable

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

_STEPS = ("CREATE TABLE heartbeat (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL) STRICT",)


class Notifier:
    """The way to the init system. Without an address (no systemd) it says nothing."""

    def __init__(self, address: str = "") -> None:
        # A leading "@" stands for the null byte of an abstract socket (sd_notify(3)).
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, text: str) -> None:
        """The core is up; `text` is what `systemctl status` shows."""
        self._send(f"READY=1\nSTATUS={text}")

    def watchdog(self) -> None:
        """The core is well."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The core has begun to stop."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
                out.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning("init system not reached error=%r", error)


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds between pings: half of what the init system allows; None when it does not watch us.

    WATCHDOG_USEC holds microseconds, WATCHDOG_PID the process that is meant (sd_watchdog_enabled(3)).
    """
    text = environment.get("WATCHDOG_USEC", "")
    if not text.isdecimal() or int(text) == 0 or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(text) / 2_000_000


class Watchdog:
    """Pings the init system every `interval` seconds, each time after a self check.

    Only made when the init system asks for it: each check is a write to the SD card.
    """

    def __init__(
        self,
        notifier: Notifier,
        db: Database,
        interval: float,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._notifier = notifier
        self._db = db
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._checks = 0
        self._took = 0.0

    async def run(self, ready: Ready) -> None:
        """Check and ping until cancelled. Raises StoreError when the store cannot write."""
        await self._db.migrate("health", _STEPS)
        ready()
        while True:
            await self._check()
            self._notifier.watchdog()
            await self._sleep(self._interval)

    def status(self) -> dict[str, object]:
        """Checks made, the interval in seconds, and how long the last check took, in seconds."""
        return {"checks": self._checks, "interval": self._interval, "check_seconds": round(self._took, 6)}

    async def _check(self) -> None:
        began = self._clock.monotonic()
        await durable(self._db.write(self._beat))
        self._took = self._clock.monotonic() - began
        self._checks += 1

    def _beat(self, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO heartbeat (id, at) VALUES (1, ?)", (self._clock.now(),))
