"""The control API's paths: each turns a request into a question to another room, and its answer to JSON.

Knows rooms only by the protocols of base. The socket and its owner are service.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec
from aiohttp import web

from edgecore import __version__
from edgecore.api.device_routes import DeviceRoutes
from edgecore.api.feed import Feed
from edgecore.api.metrics import CONTENT_TYPE, exposition
from edgecore.api.outbox_routes import OutboxRoutes
from edgecore.api.password_routes import PasswordRoutes
from edgecore.api.peer import local_operator, peer_uid
from edgecore.api.replies import PublishRequest, error_reply, http_error_reply
from edgecore.api.settings import ApiSettings
from edgecore.base.clock import Clock
from edgecore.base.commit import Commit, when_all_done
from edgecore.base.errors import EdgecoreError, NotAuthorizedError, RefusedError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import (
    AsideMessages,
    Bus,
    DevicePasswords,
    Devices,
    ShadowList,
    Statuses,
    Subscriber,
)
from edgecore.base.message import Message
from edgecore.base.topic import check_filter, check_topic

log = logging.getLogger(__name__)

Reply = web.StreamResponse

# A watcher that has gone is noticed after this many seconds, even on a silent topic.
WATCH_INTERVAL: Final = 1.0


class OperatorBus(Bus, Protocol):
    """The Bus, and what a new watcher is owed."""

    def retained_for(self, subscriber: Subscriber, topic_filter: str) -> Sequence[tuple[Message, int]]:
        """Retained messages on the filter, each with its QoS cap."""
        ...


class Routes:
    """The handlers, with what they ask. One instance per service."""

    def __init__(
        self,
        settings: ApiSettings,
        bus: OperatorBus,
        devices: Devices,
        passwords: DevicePasswords,
        statuses: Statuses,
        shadows: ShadowList,
        aside: Callable[[], AsideMessages],
        clock: Clock,
        own_uid: int,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._device_routes = DeviceRoutes(devices, self._operator)
        self._password_routes = PasswordRoutes(passwords, self._operator)
        self._outbox_routes = OutboxRoutes(aside, self._operator)
        self._statuses = statuses
        self._shadows = shadows
        self._clock = clock
        self._own_uid = own_uid
        self._closing = False
        self.feeds: set[Feed] = set()
        self.requests = 0

    def application(self) -> web.Application:
        """The aiohttp application with all paths."""
        app = web.Application(client_max_size=self._settings.max_body, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/status", self._status),
                web.get("/metrics", self._metrics),
                web.get("/shadows", self._all_shadows),
                *self._device_routes.table(),
                *self._password_routes.table(),
                *self._outbox_routes.table(),
                web.post("/publish", self._publish),
                web.get("/subscribe", self._subscribe),
            ]
        )
        return app

    def close(self) -> None:
        """Let every open stream come to its end."""
        self._closing = True
        for feed in self.feeds:
            feed.wake()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Awaitable[Reply]]) -> Reply:
        """Find out who asks, refuse strangers, and put every error as JSON."""
        self.requests += 1
        try:
            self._operator(request)
            return await handler(request)
        except msgspec.MsgspecError as error:
            return web.json_response({"error": f"request body: {error}", "hint": ""}, status=400)
        except EdgecoreError as error:
            status, body = error_reply(error)
            log.info("request failed path=%s status=%d error=%r", request.path, status, str(error))
            return web.json_response(body, status=status)
        except web.HTTPException as error:
            return web.json_response(http_error_reply(error.status, error.reason), status=error.status)
        except Exception as error:  # a fault in one answer must not cost the asker the JSON that was promised
            log.exception("request failed path=%s", request.path)
            text = f"{type(error).__name__}: {error}"
            return web.json_response(http_error_reply(500, text), status=500)

    def _operator(self, request: web.Request) -> Principal:
        connection = request.get_extra_info("socket")
        if connection is None:
            raise NotAuthorizedError("the connection is gone: ask again")
        return local_operator(peer_uid(connection), self._own_uid)

    async def _status(self, _request: web.Request) -> Reply:
        now = self._clock.now()
        return web.json_response({"version": __version__, "time": now, "units": self._statuses.statuses()})

    async def _metrics(self, _request: web.Request) -> Reply:
        text = exposition(self._statuses.statuses())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _all_shadows(self, _request: web.Request) -> Reply:
        return web.json_response({"shadows": msgspec.to_builtins(self._shadows.shadows())})

    async def _publish(self, request: web.Request) -> Reply:
        """Publish as the operator; answers when the message is durable wherever it must be."""
        asked = msgspec.json.decode(await request.read(), type=PublishRequest)
        sender = self._operator(request)
        message = Message(check_topic(asked.topic), asked.payload, asked.qos, sender, asked.retain)
        receipt = self._bus.publish(message)
        log.info(
            "operator published operator=%s topic=%s qos=%d bytes=%d receivers=%d",
            sender.name,
            message.topic,
            message.qos,
            len(message.payload),
            receipt.receivers,
        )
        if receipt.refused:
            raise RefusedError(f"not taken: {receipt.refused}")
        if not receipt.allowed:
            raise NotAuthorizedError(
                f"no route takes {message.topic!r} from {sender.id}: add one to the group"
            )
        await _all_durable(receipt.commits)
        return web.json_response({"receivers": receipt.receivers})

    async def _subscribe(self, request: web.Request) -> Reply:
        """Stream messages on `filter` (may be repeated) as lines of JSON until the client goes."""
        filters = [check_filter(each) for each in request.query.getall("filter", ["#"])]
        if len(self.feeds) >= self._settings.max_feeds:
            raise RefusedError(f"{len(self.feeds)} subscribers watch already: end one of them")
        feed = Feed(self._operator(request), self._settings.feed_length)
        self.feeds.add(feed)
        try:
            self._watch(feed, filters, _qos(request.query.get("qos", "0")))
            return await self._stream(request, feed)
        finally:
            self.feeds.discard(feed)
            self._bus.unsubscribe_all(feed)

    def _watch(self, feed: Feed, filters: Sequence[str], qos: int) -> None:
        log.info("operator subscribed operator=%s filters=%s", feed.principal.name, ",".join(filters))
        for each in filters:
            if not self._bus.subscribe(feed, each, qos, retain_as_published=False):
                raise NotAuthorizedError(f"no route could ever deliver {each!r} to {feed.principal.id}")
            for message, cap in self._bus.retained_for(feed, each):
                feed.deliver(message, min(cap, qos), retain=True)

    async def _stream(self, request: web.Request, feed: Feed) -> Reply:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        while not (self._closing or _gone(request)):
            try:
                await response.write(b"".join(msgspec.json.encode(line) + b"\n" for line in feed.take()))
            except ConnectionError:
                break  # the watcher went between the look and the write
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_INTERVAL):
                    await feed.some()
        return response


def _qos(text: str) -> int:
    return msgspec.convert({"topic": "", "qos": text}, PublishRequest, strict=False).qos


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _all_durable(commits: Sequence[Commit]) -> None:
    """Wait for the commits; raises the first error among them."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(error: Exception | None) -> None:
        if done.done():  # the client went away meanwhile
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    when_all_done(commits, settle)
    await done
