"""A simulated signal controller: does what its shadow desires and reports what it does.

It speaks the shadow topics of AWS IoT as a device: get at every connect, delta while connected.
`wanted`, `merged` and `unreported` are pure; the rest sends what they decide.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any, Final

from edgecore.sim.device import Credentials, Device, Endpoint, Version

State = dict[str, Any]

_ANSWERS: Final = ("update/delta", "update/accepted", "update/rejected", "get/accepted", "get/rejected")
# Seconds from a command to the lamps: the yellow phase of a real controller, shortened.
CHANGEOVER: Final = 0.2


def shadow_prefix(thing: str) -> str:
    """The topic under which a thing's classic shadow is."""
    return f"$aws/things/{thing}/shadow"


def shadow_answers(thing: str) -> tuple[str, ...]:
    """What a client of a shadow subscribes to."""
    return tuple(f"{shadow_prefix(thing)}/{answer}" for answer in _ANSWERS)


def wanted(desired: Mapping[str, Any], applied: Mapping[str, Any]) -> State:
    """What `desired` asks to change in `applied`: the keys that differ, nested ones on their own."""
    changes: State = {}
    for key, value in desired.items():
        current = applied.get(key)
        if isinstance(value, dict) and isinstance(current, dict):
            value = wanted(value, current)
            if not value:
                continue
        elif value == current:
            continue
        changes[key] = value
    return changes


def merged(state: Mapping[str, Any], changes: Mapping[str, Any]) -> State:
    """`state` with the changes made, nested objects merged as the shadow service does."""
    result = dict(state)
    for key, value in changes.items():
        current = result.get(key)
        nested = isinstance(value, dict) and isinstance(current, dict)
        result[key] = merged(current, value) if nested and current is not None else value
    return result


def unreported(state: Mapping[str, Any]) -> State:
    """The part of `desired` that `reported` lacks, of a shadow's `state`: its delta."""
    return wanted(state.get("desired") or {}, state.get("reported") or {})


class Controller:
    """One controller. `applied` is what its lamps do, `reports` how often it has said so."""

    def __init__(self, thing: str, endpoint: Endpoint, credentials: Credentials, version: Version) -> None:
        self.thing = thing
        self.applied: State = {}
        self.deltas = 0
        self.reports = 0
        self.rejections: list[str] = []
        self._prefix = shadow_prefix(thing)
        self._tokens = itertools.count(1)
        self._asked: dict[str, asyncio.Future[State]] = {}
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None
        self._target: State = {}
        self.device = Device(
            thing,
            endpoint,
            credentials,
            version=version,
            subscriptions=shadow_answers(thing),
            received=self._receive,
            connected=self._ask,
        )

    async def shadow(self, within: float) -> State:
        """The core's copy of the shadow's `state`. Raises TimeoutError."""
        token = f"{self.thing}-{next(self._tokens)}"
        answer: asyncio.Future[State] = self._loop.create_future()
        self._asked[token] = answer
        try:
            async with asyncio.timeout(within):
                self._ask(token)
                return await answer
        finally:
            del self._asked[token]

    def _ask(self, token: str = "") -> None:
        body = json.dumps({"clientToken": token}).encode() if token else b""
        self.device.publish(f"{self._prefix}/get", body)

    def _receive(self, topic: str, payload: bytes) -> None:
        document = json.loads(payload)
        match topic.removeprefix(f"{self._prefix}/"):
            case "update/delta":
                self.deltas += 1
                self._want(document["state"])
            case "get/accepted":
                self._answer(document)
            case "get/rejected" if document.get("code") == 404:
                # No shadow yet: the first report makes one.
                self._answer({"clientToken": document.get("clientToken"), "state": {}})
                self._report()
            case "update/rejected" | "get/rejected":
                self.rejections.append(f"{document.get('code')} {document.get('message')}")

    def _answer(self, document: State) -> None:
        state = document.get("state") or {}
        answer = self._asked.get(document.get("clientToken") or "")
        if answer is not None and not answer.done():
            answer.set_result(state)
        self._want(state.get("desired") or {})
        if self.applied and wanted(self.applied, state.get("reported") or {}):
            self._report()

    def _want(self, desired: State) -> None:
        changes = wanted(desired, merged(self.applied, self._target))
        if not changes:
            return
        self._target = merged(self._target, changes)
        if self._due is None:
            self._due = self._loop.call_later(CHANGEOVER, self._act)

    def _act(self) -> None:
        self._due = None
        self.applied = merged(self.applied, self._target)
        self._target = {}
        self._report()

    def _report(self) -> None:
        update = {"state": {"reported": self.applied}}
        if self.device.publish(f"{self._prefix}/update", json.dumps(update).encode()):
            self.reports += 1
