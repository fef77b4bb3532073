"""The control API's paths for devices; routes.py has the others. What they answer is device_answers.py's."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from aiohttp import web

from edgecore.api.device_answers import Answer, DeviceAnswers
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Devices

log = logging.getLogger(__name__)


class DeviceRoutes:
    """The handlers. `operator` tells who asks; that somebody may was checked for every path before."""

    def __init__(self, devices: Devices, operator: Callable[[web.Request], Principal]) -> None:
        self._answers = DeviceAnswers(devices)
        self._operator = operator

    def table(self) -> list[web.RouteDef]:
        """The paths."""
        return [
            web.get("/devices", self._all),
            web.post("/devices", self._add),
            web.get("/devices/{name}", self._one),
            web.post("/devices/{name}/renew", self._renew),
            web.post("/devices/{name}/revoke", self._revoke),
            web.post("/authority/rotate", self._rotate),
            web.post("/authority/finish", self._finish),
        ]

    async def _all(self, _request: web.Request) -> web.Response:
        return web.json_response(await self._answers.all())

    async def _one(self, request: web.Request) -> web.Response:
        return web.json_response(await self._answers.one(request.match_info["name"]))

    async def _add(self, request: web.Request) -> web.Response:
        body = await _body(request)
        self._note(request, "add", body.get("name"))
        return web.json_response(await self._answers.add(body), status=201)

    async def _renew(self, request: web.Request) -> web.Response:
        body, name = await _body(request), request.match_info["name"]
        self._note(request, "renew", name)
        return web.json_response(await self._answers.renew(name, body), status=201)

    async def _revoke(self, request: web.Request) -> web.Response:
        body, name = await _body(request), request.match_info["name"]
        self._note(request, "revoke", name)
        return web.json_response(await self._answers.revoke(name, body))

    async def _rotate(self, request: web.Request) -> web.Response:
        log.info("authority rotate operator=%s", self._operator(request).name)
        return web.json_response(await self._answers.rotate())

    async def _finish(self, request: web.Request) -> web.Response:
        body = await _body(request)
        log.info("authority finish operator=%s", self._operator(request).name)
        return web.json_response(await self._answers.finish_rotation(body))

    def _note(self, request: web.Request, what: str, name: object) -> None:
        log.info("device %s operator=%s device=%s", what, self._operator(request).name, name)


async def _body(request: web.Request) -> Answer:
    """The body, which may be left away where nothing in it must be said."""
    return msgspec.json.decode(await request.read() or b"{}", type=dict[str, object])
