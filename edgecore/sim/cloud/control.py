"""The control door of the simulated cloud: HTTP on a Unix socket, for tests and `edgecore sim cloud`.

    GET  /status                               what goes on
    POST /faults/NAME        {"value": "0.5"}  put a fault on
    POST /faults/NAME/off, /faults/off         take it off, or all of them
    POST /backup, /restore                     keep the shadows as they are; put them back
    POST /jobs/ID            {"document": {}, "things": ["gate"], "timeout": 60}
    GET  /jobs/ID                              its executions
    POST /jobs/ID/cancel     {"force": true}   what is queued, and with force what runs
    POST /jobs/ID/delete                       forget it
    POST /account                              read policies and things.json again

An error is {"error": "..."} with status 400 or HTTP's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from edgecore.base.errors import EdgecoreError
from edgecore.sim.cloud.broker import Broker
from edgecore.sim.cloud.credentials import Provider
from edgecore.sim.cloud.live import Live
from edgecore.sim.cloud.shadows import Reply

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Keeper(Protocol):
    """What the door needs of the process."""

    def faults_changed(self) -> None:
        """Faults are others now."""
        ...

    async def backup(self) -> int:
        """Keep the shadows; gives how many."""
        ...

    async def restore(self) -> int:
        """Put them back; gives how many."""
        ...

    async def read_account(self) -> None:
        """Read policies and things again."""
        ...


class ControlDoor:
    """The routes of the control door."""

    def __init__(self, broker: Broker, live: Live, provider: Provider, keeper: Keeper, folder: Path) -> None:
        self._broker = broker
        self._live = live
        self._provider = provider
        self._keeper = keeper
        self._folder = folder

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[_in_words])
        app.router.add_get("/status", self._status)
        app.router.add_post("/faults/off", self._no_fault)
        app.router.add_post("/faults/{name}", self._fault)
        app.router.add_post("/faults/{name}/off", self._no_fault)
        app.router.add_post("/backup", self._backup)
        app.router.add_post("/restore", self._restore)
        app.router.add_post("/account", self._account)
        app.router.add_post("/jobs/{job}", self._create_job)
        app.router.add_get("/jobs/{job}", self._describe_job)
        app.router.add_post("/jobs/{job}/cancel", self._cancel_job)
        app.router.add_post("/jobs/{job}/delete", self._delete_job)
        return app

    async def _status(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self._told())

    def _told(self) -> dict[str, object]:
        return {
            **self._broker.status(),
            "faults": self._broker.faults.status(),
            "lost": self._broker.faults.lost,
            "jobs": self._broker.jobs.names(),
            "credentials": self._provider.status(),
            "folder": str(self._folder),
        }

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        value = (await _body(request)).get("value")
        self._broker.change_faults(request.match_info["name"], None if value is None else str(value))
        self._keeper.faults_changed()
        return web.json_response(self._told())

    async def _no_fault(self, request: web.Request) -> web.StreamResponse:
        self._broker.change_faults(request.match_info.get("name"), on=False)
        self._keeper.faults_changed()
        return web.json_response(self._told())

    async def _backup(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"shadows": await self._keeper.backup()})

    async def _restore(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"shadows": await self._keeper.restore()})

    async def _account(self, _request: web.Request) -> web.StreamResponse:
        await self._keeper.read_account()
        return web.json_response(self._told())

    async def _create_job(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        document, things, timeout = body.get("document", {}), body.get("things"), body.get("timeout")
        if not isinstance(document, dict) or not isinstance(things, list) or not things:
            raise EdgecoreError('a job needs {"document": {...}, "things": ["NAME", ...]}')
        if timeout is not None and not isinstance(timeout, int):
            raise EdgecoreError(f"timeout: expected seconds, found {timeout!r}")
        job_id = request.match_info["job"]
        names = [str(thing) for thing in things]
        self._say(lambda wall: self._broker.jobs.create(job_id, document, names, wall, timeout))
        return web.json_response(self._broker.jobs.describe(job_id))

    async def _describe_job(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._broker.jobs.describe(request.match_info["job"]))

    async def _cancel_job(self, request: web.Request) -> web.StreamResponse:
        job_id, force = request.match_info["job"], bool((await _body(request)).get("force"))
        self._say(lambda wall: self._broker.jobs.cancel(job_id, wall, force=force))
        return web.json_response(self._broker.jobs.describe(job_id))

    async def _delete_job(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job"]
        self._say(lambda wall: self._broker.jobs.delete(job_id, wall))
        return web.json_response({"jobId": job_id, "status": "DELETED"})

    def _say(self, act: Callable[[int], list[Reply]]) -> None:
        """Do something to jobs, and publish the notifications."""
        now = time.monotonic()
        self._broker.announce(act(int(self._broker.wall(now))), now)
        self._live.flush(now)


@web.middleware
async def _in_words(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except EdgecoreError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response(
            {"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status
        )


async def _body(request: web.Request) -> dict[str, Any]:
    text = await request.text()
    try:
        body = json.loads(text or "{}")
    except ValueError as error:
        raise EdgecoreError(f"the request is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise EdgecoreError("the request must be a JSON object")
    return body
