"""Temporary AWS credentials: this core's certificate, traded through a role alias, for its functions.

GET https://ENDPOINT/role-aliases/ALIAS/credentials over mutual TLS (AWS IoT, "Authorizing direct calls to AWS
services"). Knows no functions: lambdas/credentials.py hands them out. What is remembered for how long is that
of Greengrass's token exchange service, but for a line that is down: a core comes back within seconds.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import aiohttp
import msgspec

from edgecore.base.clock import Clock
from edgecore.base.errors import CredentialsError
from edgecore.base.interfaces import Credentials
from edgecore.uplink.settings import UplinkSettings

# Seconds before their end at which credentials are fetched anew. Until the end they are good all the same.
EARLY: Final = 300.0
# Seconds for which a failure is the answer: one that a person must mend, one of the service, of the line.
REFUSED_FOR: Final = 120.0
FAULT_FOR: Final = 60.0
OFFLINE_FOR: Final = 5.0
# Seconds for one fetch, all in all.
TIMEOUT: Final = 10.0
# An answer has some 1.5 KB: a session token has about 1,000 characters.
MAX_ANSWER: Final = 64 * 1024
BAD_GATEWAY: Final = 502

_REGION: Final = re.compile(r"\.iot\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


class _Granted(msgspec.Struct, rename="camel"):
    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: datetime


class _Answer(msgspec.Struct):
    credentials: _Granted


class _Refusal(msgspec.Struct):
    message: str = ""


@dataclass(slots=True)
class Memory:
    """What the last fetch gave. Pure."""

    credentials: Credentials | None = None
    failure: CredentialsError | None = None
    failed_at: float = 0.0

    def answer(self, now: float) -> Credentials | None:
        """What need not be asked for again at `now`, epoch seconds; None: ask. Raises CredentialsError."""
        held = self.credentials
        if held is not None and now < held.expires_at - EARLY:
            return held
        failure = self.failure
        # Not before it failed: the clock may have been set back.
        if failure is None or not 0 <= now - self.failed_at < _remembered(failure):
            return None
        if held is not None and now < held.expires_at:
            return held
        raise failure

    def granted(self, credentials: Credentials) -> Credentials:
        """The fetch gave these."""
        self.credentials, self.failure = credentials, None
        return credentials

    def failed(self, failure: CredentialsError, now: float) -> Credentials:
        """The fetch failed: what is held is good until its end. Raises `failure` when nothing is."""
        self.failure, self.failed_at = failure, now
        if self.credentials is None or now >= self.credentials.expires_at:
            raise failure
        return self.credentials


def _remembered(failure: CredentialsError) -> float:
    if failure.status == 0:
        return OFFLINE_FOR
    return REFUSED_FOR if failure.status < 500 else FAULT_FOR


def region_of(endpoint: str) -> str:
    """The AWS region of an endpoint of AWS IoT, "" of any other."""
    found = _REGION.search(endpoint.partition(":")[0])
    return found["region"] if found else ""


class RoleCredentials:
    """Implements base CloudCredentials. Made once; what it holds outlives its askers."""

    def __init__(self, settings: UplinkSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._memory = Memory()
        self._asking = asyncio.Lock()
        self._context: ssl.SSLContext | None = None

    @property
    def region(self) -> str:
        """The AWS region, "" when it is not known."""
        return self._settings.region or region_of(self._settings.credentials_endpoint)

    async def credentials(self) -> Credentials:
        """What is held, or else fetched: one fetch for all who ask. Raises CredentialsError."""
        async with self._asking:
            held = self._memory.answer(self._clock.now())
            if held is not None:
                return held
            try:
                return self._memory.granted(await self._fetch())
            except CredentialsError as failure:
                return self._memory.failed(failure, self._clock.now())

    async def _fetch(self) -> Credentials:
        settings = self._settings
        url = f"https://{settings.credentials_endpoint}/role-aliases/{settings.role_alias}/credentials"
        headers = {"x-amzn-iot-thingname": settings.client_id}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            if self._context is None:
                self._context = await asyncio.to_thread(self._make_context)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, ssl=self._context, headers=headers, allow_redirects=False) as response,
            ):
                return _read(response.status, await _body(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise CredentialsError(0, f"{settings.credentials_endpoint} cannot be asked: {said}") from error

    def _make_context(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        assert settings.certificate is not None  # with a role alias, [cloud] must name it
        context.load_cert_chain(settings.certificate, settings.key)
        return context


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(MAX_ANSWER):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise CredentialsError(BAD_GATEWAY, f"an answer of more than {MAX_ANSWER} bytes is none")
    return bytes(body)


def _read(status: int, body: bytes) -> Credentials:
    """The credentials of an answer. Raises CredentialsError."""
    if status != 200:
        raise CredentialsError(status, f"the credentials provider answered {status} {_reason(body)}".rstrip())
    try:
        granted = msgspec.json.decode(body, type=_Answer).credentials
    except msgspec.MsgspecError as error:
        raise CredentialsError(BAD_GATEWAY, f"the credentials provider gave none: {error}") from error
    expiration = f"{granted.expiration:%Y-%m-%dT%H:%M:%SZ}"
    return Credentials(
        granted.access_key_id,
        granted.secret_access_key,
        granted.session_token,
        expiration,
        granted.expiration.timestamp(),
    )


def _reason(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).message
    except msgspec.MsgspecError:
        return ""
