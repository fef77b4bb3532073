"""The control API's paths for the messages that the cloud will never take: look, send again, drop."""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web

from edgecore.base.errors import OutboxError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import AsideMessages, AsideOutcome, SetAside

log = logging.getLogger(__name__)

# Of a page, and of the ids in one command: as many as are kept, unless `aside_records` says otherwise.
MAX_PAGE: Final = 1000

_Command = Callable[[Sequence[str] | None], Awaitable[AsideOutcome]]


class PageRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The query of GET /outbox/aside: at most `limit` messages, from behind the one with the id `after`."""

    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100


class AsideRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /outbox/aside/retry and /drop: the ids of some, or all. One of the two."""

    ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_PAGE)] = ()
    all: bool = False


class OutboxRoutes:
    """The handlers. `operator` tells who asks; that somebody may was checked for every path before."""

    def __init__(
        self, aside: Callable[[], AsideMessages], operator: Callable[[web.Request], Principal]
    ) -> None:
        self._aside = aside
        self._operator = operator

    def table(self) -> list[web.RouteDef]:
        """The paths."""
        return [
            web.get("/outbox/aside", self._list),
            web.get("/outbox/aside/{id}", self._show),
            web.post("/outbox/aside/retry", self._retry),
            web.post("/outbox/aside/drop", self._drop),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        asked = msgspec.convert(dict(request.query), PageRequest, strict=False)
        found = await self._aside().set_aside(asked.after, asked.limit + 1)
        page = found[: asked.limit]
        following = page[-1].id if len(found) > len(page) else None
        return web.json_response({"messages": [_summary(one) for one in page], "next": following})

    async def _show(self, request: web.Request) -> web.Response:
        one = await self._aside().find_aside(request.match_info["id"])
        return web.json_response({**_summary(one), "payload": base64.b64encode(one.payload).decode()})

    async def _retry(self, request: web.Request) -> web.Response:
        return await self._command(request, "retry", self._aside().retry_aside)

    async def _drop(self, request: web.Request) -> web.Response:
        return await self._command(request, "drop", self._aside().drop_aside)

    async def _command(self, request: web.Request, what: str, act: _Command) -> web.Response:
        asked = msgspec.json.decode(await request.read() or b"{}", type=AsideRequest)
        if bool(asked.ids) == asked.all:
            raise OutboxError('expected {"ids": ["ID", ...]} or {"all": true}, one of the two')
        outcome = await act(None if asked.all else asked.ids)
        log.info(
            "outbox %s operator=%s asked=%s done=%d left=%d",
            what,
            self._operator(request).name,
            "all" if asked.all else len(asked.ids),
            outcome.done,
            len(outcome.left),
        )
        return web.json_response({"done": outcome.done, "left": dict(outcome.left)})


def _summary(one: SetAside) -> dict[str, object]:
    """Everything but the payload, whose size is told."""
    return {
        "id": one.id,
        "topic": one.topic,
        "bytes": len(one.payload),
        "time": one.time,
        "reason": one.reason,
        "came_at": one.came_at,
        "qos": one.qos,
        "sender": one.sender,
    }
