"""Trading the certificate for AWS credentials, with a provider behind real mutual TLS."""

import asyncio
import contextlib
import datetime as dt
import ssl
from dataclasses import replace

import pytest
from aiohttp import web

from edgecore.base.clock import ManualClock
from edgecore.base.errors import CredentialsError
from edgecore.base.interfaces import Credentials
from edgecore.sim.pki import ThrowawayAuthority
from edgecore.uplink.credentials import (
    EARLY,
    FAULT_FOR,
    MAX_ANSWER,
    OFFLINE_FOR,
    REFUSED_FOR,
    Memory,
    RoleCredentials,
    region_of,
)
from edgecore.uplink.settings import UplinkSettings

HELD = Credentials("A", "secret", "token", "1970-01-01T01:00:00Z", 3600.0)
LATER = replace(HELD, access_key_id="B", expires_at=7200.0)


# What is remembered


def test_nothing_is_remembered_of_nothing():
    assert Memory().answer(0.0) is None


def test_credentials_are_used_until_shortly_before_their_end():
    memory = Memory()
    assert memory.granted(HELD) is HELD
    assert memory.answer(3600 - EARLY - 1) is HELD
    assert memory.answer(3600 - EARLY) is None


@pytest.mark.parametrize(("status", "seconds"), [(403, REFUSED_FOR), (503, FAULT_FOR), (0, OFFLINE_FOR)])
def test_a_failure_is_the_answer_for_a_while(status, seconds):
    memory, failure = Memory(), CredentialsError(status, "no")
    with pytest.raises(CredentialsError):
        memory.failed(failure, 1000.0)
    with pytest.raises(CredentialsError):
        memory.answer(1000.0 + seconds - 1)
    assert memory.answer(1000.0 + seconds) is None
    assert memory.answer(999.0) is None  # the clock was set back


def test_what_is_held_is_good_to_its_end_while_fetching_fails():
    memory, failure = Memory(), CredentialsError(500, "no")
    memory.granted(HELD)
    assert memory.failed(failure, 3400.0) is HELD
    assert memory.answer(3401.0) is HELD
    with pytest.raises(CredentialsError):
        memory.failed(failure, 3600.0)
    with pytest.raises(CredentialsError):
        memory.answer(3600.0)
    assert memory.granted(LATER) is LATER
    assert memory.answer(3601.0) is LATER


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("c1.credentials.iot.eu-west-1.amazonaws.com", "eu-west-1"),
        ("c1.credentials.iot.eu-west-1.amazonaws.com:443", "eu-west-1"),
        ("c1.credentials.iot.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("localhost:8443", ""),
        ("", ""),
    ],
)
def test_the_region_is_that_of_the_endpoint(endpoint, region):
    assert region_of(endpoint) == region


# The provider


def granted(**more):
    fields = {"accessKeyId": "AKID", "secretAccessKey": "S", "sessionToken": "T"}
    return {"credentials": fields | {"expiration": "1970-01-01T01:00:00Z"} | more}


class Provider:
    """A credentials provider. `answer`: (status, JSON or bytes)."""

    def __init__(self, folder):
        now = dt.datetime.now(dt.UTC)
        self.authority = ThrowawayAuthority.load_or_create(folder, now)
        self.mine = self.authority.server("server", ["localhost"], now)
        self.theirs = self.authority.client("core", "core-7", now)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority.ca))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_cert_chain(self.mine.certificate, self.mine.key)
        self.answer = 200, granted()
        self.requests, self.hold, self.asked = [], None, asyncio.Event()

    async def handle(self, request):
        self.requests.append((request.method, request.path, request.headers.get("x-amzn-iot-thingname")))
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        status, body = self.answer
        if isinstance(body, bytes):
            return web.Response(status=status, body=body)
        return web.json_response(body, status=status)

    @contextlib.asynccontextmanager
    async def open(self):
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.context).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    def settings(self, port):
        return UplinkSettings(
            "unused",
            self.theirs.certificate,
            self.theirs.key,
            "core-7",
            ca=self.authority.ca,
            credentials_endpoint=f"localhost:{port}",
            role_alias="edge=core",
        )


@pytest.fixture
async def provider(tmp_path):
    made = await asyncio.to_thread(Provider, tmp_path / "pki")
    async with made.open() as port:
        made.clock = ManualClock(0.0)
        made.source = RoleCredentials(made.settings(port), made.clock)
        yield made


async def test_the_certificate_is_traded(provider):
    found = await provider.source.credentials()
    assert found == Credentials("AKID", "S", "T", "1970-01-01T01:00:00Z", 3600.0)
    assert provider.requests == [("GET", "/role-aliases/edge=core/credentials", "core-7")]
    assert "S'" not in repr(found)


async def test_one_fetch_serves_all_who_ask(provider):
    provider.hold = asyncio.Event()
    asking = [asyncio.create_task(provider.source.credentials()) for _ in range(5)]
    await provider.asked.wait()
    provider.hold.set()
    assert {each.access_key_id for each in await asyncio.gather(*asking)} == {"AKID"}
    assert len(provider.requests) == 1


async def test_they_are_fetched_anew_before_they_end(provider):
    await provider.source.credentials()
    provider.clock.advance(3600 - EARLY)
    provider.answer = 200, granted(accessKeyId="NEXT")
    assert (await provider.source.credentials()).access_key_id == "NEXT"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ((403, {"message": "Access Denied", "traceId": "1"}), 403, "answered 403 Access Denied"),
        ((404, b"<html>"), 404, "answered 404"),
        ((302, b""), 302, "answered 302"),
        ((200, b"{}"), 502, "gave none: .*credentials"),
        ((200, granted(expiration="soon")), 502, "gave none"),
        ((200, b" " * (MAX_ANSWER + 1)), 502, "more than 65536 bytes"),
    ],
)
async def test_other_answers(provider, answer, status, words):
    provider.answer = answer
    with pytest.raises(CredentialsError, match=words) as caught:
        await provider.source.credentials()
    assert caught.value.status == status


async def test_nobody_there(provider, tmp_path):
    settings = replace(provider.settings(1), credentials_endpoint="localhost:1")
    with pytest.raises(CredentialsError, match="localhost:1 cannot be asked") as caught:
        await RoleCredentials(settings, ManualClock()).credentials()
    assert caught.value.status == 0
    settings = replace(settings, key=tmp_path / "none.pem")
    with pytest.raises(CredentialsError, match=r"cannot be asked: .*No such file"):
        await RoleCredentials(settings, ManualClock()).credentials()


async def test_credentials_that_are_at_their_end_are_not_good(provider):
    provider.clock.advance(3600)
    await provider.source.credentials()
    await provider.source.credentials()
    assert len(provider.requests) == 2


async def test_another_server_is_not_trusted(provider):
    elsewhere = await asyncio.to_thread(Provider, provider.authority.folder / "other")
    async with elsewhere.open() as port:
        settings = replace(provider.settings(port))
        with pytest.raises(CredentialsError, match=r"cannot be asked: .*certificate verify failed"):
            await RoleCredentials(settings, ManualClock()).credentials()
    assert elsewhere.requests == []


async def test_a_region_that_is_set_is_the_region(provider):
    assert provider.source.region == ""
    settings = replace(provider.settings(1), region="eu-central-1")
    assert RoleCredentials(settings, ManualClock()).region == "eu-central-1"
