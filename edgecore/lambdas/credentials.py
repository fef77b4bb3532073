"""A container-credentials endpoint for functions: where an unmodified AWS SDK finds its credentials.

HTTP on loopback, asked by AWS_CONTAINER_CREDENTIALS_FULL_URI with the token that one function's environment
holds (AWS SDKs, "Container credential provider"). Path and statuses are those of Greengrass's token exchange
service. Where the credentials come from is the uplink's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from edgecore.base.errors import CredentialsError
from edgecore.base.interfaces import CloudCredentials

log = logging.getLogger(__name__)

PATH: Final = "/2016-11-01/credentialprovider/"
LOOPBACK: Final = "127.0.0.1"
# An SDK gives up after two seconds and asks three times; this is the wall behind that.
TIMEOUT: Final = 30.0
# A request has no body.
MAX_BODY: Final = 1024


class CredentialsDoor:
    """The endpoint of all functions of a core. `token` gives unguessable texts."""

    def __init__(self, source: CloudCredentials, token: Callable[[], str]) -> None:
        self._source = source
        self._make_token = token
        self._names: dict[str, str] = {}
        self._port = 0
        self.answers: Counter[str] = Counter()
        self.last_error = ""

    def environment(self, name: str) -> dict[str, str]:
        """What the workers of function `name` find it by. Only while it is open."""
        token = self._make_token()
        self._names[token] = name
        region = self._source.region
        found = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{LOOPBACK}:{self._port}{PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        }
        return found | ({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {})

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer on a free port of loopback, within the context."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{any:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, LOOPBACK, 0)
            await site.start()
            self._port = runner.addresses[0][1]
            yield
        finally:
            self._names.clear()
            await runner.cleanup()

    def status(self) -> dict[str, object]:
        """How many requests were answered how, and the last failure."""
        return {"answers": dict(self.answers), "last_error": self.last_error}

    async def _answer(self, request: web.Request) -> web.Response:
        status, body = await self._decide(request)
        self.answers[str(status)] += 1
        return web.json_response(body, status=status)

    async def _decide(self, request: web.Request) -> tuple[int, dict[str, str]]:
        if request.path != PATH:
            return 400, {"message": f"expected {PATH}"}
        if request.method != "GET":
            return 405, {"message": "expected GET"}
        name = self._whose(request.headers.get("Authorization", ""))
        if not name:
            return 403, {"message": "the token is not that of a function"}
        try:
            async with asyncio.timeout(TIMEOUT):
                credentials = await self._source.credentials()
        except TimeoutError:
            return 504, {"message": "the credentials provider did not answer in time"}
        except CredentialsError as error:
            if str(error) != self.last_error:
                log.warning("function %s gets no AWS credentials: %s", name, error)
            self.last_error = str(error)
            return error.status or 503, {"message": str(error)}
        return 200, {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": credentials.expiration,
        }

    def _whose(self, given: str) -> str:
        """The function that a token is for, "" if none. Every one is compared, whole, for its time."""
        sent = given.encode()
        found = [name for token, name in self._names.items() if hmac.compare_digest(token.encode(), sent)]
        return found[0] if found else ""
