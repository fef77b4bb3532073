"""Publishes what a camera says, as its principal, and waits when too much of it is not durable yet.

Runs on the loop's thread. Knows nothing of frames.
"""

from __future__ import annotations

import asyncio

from edgecore.base.commit import when_all_done
from edgecore.base.group import CameraSpec
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Bus
from edgecore.base.message import Message
from edgecore.inference.messages import DEFAULT_QOS


class Publisher:
    """The messages of one camera. Bound: `limit` without their commit; rule: the camera waits."""

    def __init__(self, spec: CameraSpec, principal: Principal, bus: Bus, limit: int) -> None:
        self._topic = spec.topic
        self._qos = DEFAULT_QOS | spec.qos
        self._principal = principal
        self._bus = bus
        self._limit = limit
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self.published = 0
        self.unrouted = 0
        self.failed = 0
        self.failure = ""

    def publish(self, kind: str, payload: bytes) -> None:
        """Publish under `<topic>/<kind>`. What no route allows, or a receiver refused, is counted."""
        qos = self._qos[kind]
        receipt = self._bus.publish(Message(f"{self._topic}/{kind}", payload, qos, self._principal))
        self.published += 1
        self.unrouted += not receipt.allowed
        if receipt.refused:
            self._fail(receipt.refused)
        if qos and receipt.commits:
            self._waiting += 1
            if self._waiting >= self._limit:
                self._room.clear()
            when_all_done(receipt.commits, self._committed)

    async def room(self) -> None:
        """Return when the next frame may be looked at."""
        await self._room.wait()

    def status(self) -> dict[str, object]:
        """Messages so far: published, without a route, not stored, and waiting for their commit."""
        found: dict[str, object] = {
            "published": self.published,
            "unrouted": self.unrouted,
            "failed": self.failed,
            "waiting": self._waiting,
        }
        return found | ({"failure": self.failure} if self.failure else {})

    def _committed(self, error: Exception | None) -> None:
        self._waiting -= 1
        if self._waiting < self._limit:
            self._room.set()
        if error is not None:
            self._fail(str(error))

    def _fail(self, reason: str) -> None:
        self.failed += 1
        self.failure = reason
