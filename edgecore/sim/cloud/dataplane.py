"""The HTTPS side of the simulated cloud, over mutual TLS: device data plane and credentials provider.

Paths, parameters, bodies and errors are those of the IoT data plane API. At AWS the credentials
provider has a host of its own; here it shares the port, since no path is in both.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from edgecore.base.errors import TopicError
from edgecore.base.topic import check_topic
from edgecore.mqtt import properties as ids
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud import rules
from edgecore.sim.cloud.access import Access
from edgecore.sim.cloud.broker import Broker, message_of
from edgecore.sim.cloud.connection import guest_of, new_id
from edgecore.sim.cloud.conversation import Guest
from edgecore.sim.cloud.credentials import Provider
from edgecore.sim.cloud.limits import UNLIMITED, Buckets
from edgecore.sim.cloud.live import Live
from edgecore.sim.cloud.shadows import Key, parse_topic

# HTTP status -> the exception of the API model. A shadow's rejected code is such a status too.
EXCEPTIONS: Final = {
    400: "InvalidRequestException",
    401: "UnauthorizedException",
    403: "ForbiddenException",
    404: "ResourceNotFoundException",
    405: "MethodNotAllowedException",
    409: "ConflictException",
    413: "RequestEntityTooLargeException",
    415: "UnsupportedDocumentEncodingException",
    429: "ThrottlingException",
    500: "InternalFailureException",
    503: "ServiceUnavailableException",
}
MAX_PAGE: Final = 100
MAX_RETAINED_PAGE: Final = 200
DEFAULT_PAGE: Final = 25
# Requests are at most a payload; the rest is headers, which aiohttp bounds.
MAX_BODY: Final = 2 * rules.MAX_PAYLOAD_BYTES

_ACTIONS: Final = {"GET": "get", "POST": "update", "DELETE": "delete"}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class DataPlane:
    """Answers requests; `healthy` is set while the cloud is not half-open."""

    def __init__(self, broker: Broker, live: Live, provider: Provider, healthy: asyncio.Event) -> None:
        self._broker = broker
        self._live = live
        self._provider = provider
        self._healthy = healthy
        self._pace = Buckets(UNLIMITED)
        self.requests = 0

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._guarded], client_max_size=MAX_BODY)
        app.router.add_route("*", "/things/{thing}/shadow", self._shadow)
        app.router.add_get("/api/things/shadow/ListNamedShadowsForThing/{thing}", self._list_shadows)
        app.router.add_post("/topics/{topic:.+}", self._publish)
        app.router.add_get("/retainedMessage", self._list_retained)
        app.router.add_get("/retainedMessage/{topic:.+}", self._retained)
        app.router.add_delete("/connections/{client_id:.+}", self._disconnect)
        app.router.add_get("/role-aliases/{alias}/credentials", self._credentials)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Faults on demand before, errors in AWS's words behind."""
        self.requests += 1
        state = self._broker.faults.state
        if state.slow:
            await asyncio.sleep(2 * state.slow)
        await self._healthy.wait()
        self._pace.rate = state.throttle or UNLIMITED
        try:
            if state.http:
                return _error(state.http, "Service unavailable on demand")
            if not self._pace.take(_guest(request).certificate.id, time.monotonic()):
                return _error(429, "Rate exceeded")
            return await handler(request)
        except _RefusedError as refused:
            return _error(refused.status, str(refused))
        except web.HTTPException as refused:
            return _error(refused.status, refused.reason)

    # -- shadows

    async def _shadow(self, request: web.Request) -> web.StreamResponse:
        operation = _ACTIONS.get(request.method)
        if operation is None:
            raise _RefusedError(405, "The requested method is not allowed")
        thing, name = request.match_info["thing"], request.query.get("name", "")
        resource = f"thing/{thing}/{name}" if name else f"thing/{thing}"
        self._permit(request, f"iot:{operation.capitalize()}ThingShadow", resource)
        key = Key(thing, name)
        if parse_topic(f"{key.prefix}/get") is None:
            raise _RefusedError(400, "Invalid thing or shadow name")
        body = await request.read() if operation == "update" else b""
        now = time.monotonic()
        reply = self._broker.ask_shadow(key, operation, body, now)
        self._live.flush(now)
        if reply.topic.endswith("/rejected"):
            raise _RefusedError(int(reply.document["code"]), str(reply.document["message"]))
        return _answer(reply.document)

    async def _list_shadows(self, request: web.Request) -> web.StreamResponse:
        thing = request.match_info["thing"]
        self._permit(request, "iot:ListNamedShadowsForThing", f"thing/{thing}")
        names = sorted(
            key.shadow
            for key, shadow in self._broker.services.shadows.items()
            if key.thing == thing and key.shadow and shadow.exists
        )
        page, following = _page(request, names, "pageSize", MAX_PAGE)
        document: dict[str, object] = {"results": page, "timestamp": self._wall()}
        return _answer(document | following)

    # -- messages

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        topic, payload = request.match_info["topic"], await request.read()
        retain = request.query.get("retain", "false").lower() == "true"
        qos = _integer(request, "qos", 0, 0, 1)
        refusal = rules.refuse_publish(_topic(topic), len(payload), retain)
        if refusal is not None:
            status = {ReasonCode.QUOTA_EXCEEDED: 413, ReasonCode.NOT_AUTHORIZED: 403}.get(refusal, 400)
            raise _RefusedError(status, f"Publish refused: {refusal.name}")
        self._permit(request, "iot:Publish", f"topic/{topic}")
        if retain:
            self._permit(request, "iot:RetainPublish", f"topic/{topic}")
        now = time.monotonic()
        message = message_of(topic, payload, qos, retain, _properties(request), now, "")
        self._broker.publish(message, now)
        self._live.flush(now)
        return _answer({"message": "OK", "traceId": new_id()})

    async def _retained(self, request: web.Request) -> web.StreamResponse:
        topic = request.match_info["topic"]
        self._permit(request, "iot:GetRetainedMessage", f"topic/{topic}")
        message = self._broker.retained.get(topic)
        if message is None:
            raise _RefusedError(404, "No retained message")
        document: dict[str, object] = {
            "topic": topic,
            "payload": base64.b64encode(message.payload).decode(),
            "qos": message.qos,
            "lastModifiedTime": int(self._broker.retained_at[topic] * 1000),
        }
        if message.properties.user_properties:
            pairs = [{name: value} for name, value in message.properties.user_properties]
            document["userProperties"] = base64.b64encode(json.dumps(pairs).encode()).decode()
        return _answer(document)

    async def _list_retained(self, request: web.Request) -> web.StreamResponse:
        self._permit(request, "iot:ListRetainedMessages", "*")
        page, following = _page(request, sorted(self._broker.retained), "maxResults", MAX_RETAINED_PAGE)
        topics = [
            {
                "topic": topic,
                "payloadSize": len(self._broker.retained[topic].payload),
                "qos": self._broker.retained[topic].qos,
                "lastModifiedTime": int(self._broker.retained_at[topic] * 1000),
            }
            for topic in page
        ]
        return _answer({"retainedTopics": topics} | following)

    async def _disconnect(self, request: web.Request) -> web.StreamResponse:
        client_id = request.match_info["client_id"]
        self._permit(request, "iot:DeleteConnection", f"client/{client_id}")
        will = request.query.get("preventWillMessage", "false").lower() != "true"
        now = time.monotonic()
        if not self._live.end(client_id, ReasonCode.ADMINISTRATIVE_ACTION, now, will=will):
            raise _RefusedError(404, "No such connection")
        if request.query.get("cleanSession", "false").lower() == "true":
            self._broker.forget(client_id, now)
        self._live.flush(now)
        return web.Response()

    # -- credentials

    async def _credentials(self, request: web.Request) -> web.StreamResponse:
        guest = _guest(request)
        answer = self._provider.issue(
            request.match_info["alias"],
            request.headers.get("x-amzn-iot-thingname"),
            self._broker.account.holder(guest.certificate),
            self._access(request),
            self._broker.wall(time.monotonic()),
        )
        return web.json_response(answer.document, status=answer.status)

    def _access(self, request: web.Request) -> Access:
        guest = _guest(request)
        return self._broker.account.request(guest.certificate, guest.address)

    def _permit(self, request: web.Request, action: str, resource: str) -> None:
        if not self._access(request).allows(action, resource):
            raise _RefusedError(403, "Forbidden")

    def _wall(self) -> int:
        return int(self._broker.wall(time.monotonic()))


def _guest(request: web.Request) -> Guest:
    assert request.transport is not None, "a request in progress has its connection"
    return guest_of(request.transport)


def _answer(document: dict[str, object]) -> web.Response:
    return web.json_response(document, headers={"x-amzn-RequestId": new_id()})


def _error(status: int, message: str) -> web.Response:
    headers = {"x-amzn-ErrorType": EXCEPTIONS.get(status, EXCEPTIONS[500]), "x-amzn-RequestId": new_id()}
    return web.json_response({"message": message, "traceId": new_id()}, status=status, headers=headers)


def _topic(topic: str) -> str:
    try:
        return check_topic(topic)
    except TopicError as error:
        raise _RefusedError(400, str(error)) from None


def _integer(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise _RefusedError(400, f"{name} must be within {low} and {high}")
    return int(text)


def _page(
    request: web.Request, names: list[str], size: str, most: int
) -> tuple[list[str], dict[str, object]]:
    """One page of sorted names, and the nextToken where there are more. The token is the last name."""
    count = _integer(request, size, DEFAULT_PAGE, 1, most)
    token = request.query.get("nextToken", "")
    left = [name for name in names if name > token] if token else names
    more: dict[str, object] = {"nextToken": left[count - 1]} if len(left) > count else {}
    return left[:count], more


def _properties(request: web.Request) -> PropertyMap:
    properties = PropertyMap()
    if "contentType" in request.query:
        properties[ids.CONTENT_TYPE] = request.query["contentType"]
    if "responseTopic" in request.query:
        properties[ids.RESPONSE_TOPIC] = request.query["responseTopic"]
    if "messageExpiry" in request.query:
        properties[ids.MESSAGE_EXPIRY_INTERVAL] = _integer(request, "messageExpiry", 0, 0, 2**32 - 1)
    return properties
