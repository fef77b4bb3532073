"""The control API's paths for passwords of devices. A password comes in here and is never given out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from aiohttp import web

from edgecore.base.identity import Principal
from edgecore.base.interfaces import DevicePasswords

log = logging.getLogger(__name__)


class PasswordRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /passwords/NAME."""

    password: str


class PasswordRoutes:
    """The handlers. `operator` tells who asks; that somebody may was checked for every path before."""

    def __init__(self, passwords: DevicePasswords, operator: Callable[[web.Request], Principal]) -> None:
        self._passwords = passwords
        self._operator = operator

    def table(self) -> list[web.RouteDef]:
        """The paths."""
        return [
            web.get("/passwords", self._all),
            web.post("/passwords/{name}", self._set),
            web.post("/passwords/{name}/remove", self._remove),
        ]

    async def _all(self, _request: web.Request) -> web.Response:
        return web.json_response({"devices": list(self._passwords.names())})

    async def _set(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        asked = msgspec.json.decode(await request.read(), type=PasswordRequest)
        log.info("device password operator=%s device=%s", self._operator(request).name, name)
        await self._passwords.set(name, asked.password.encode())
        return web.json_response({"name": name})

    async def _remove(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        log.info("device password remove operator=%s device=%s", self._operator(request).name, name)
        return web.json_response({"name": name, "removed": await self._passwords.remove(name)})
