"""The container-credentials endpoint, asked as AWS's SDKs ask it."""

import asyncio
import itertools
import json

import aiohttp
import pytest

from edgecore.base.errors import CredentialsError
from edgecore.base.interfaces import Credentials
from edgecore.lambdas import credentials as module
from edgecore.lambdas.credentials import CredentialsDoor

GOOD = Credentials("AKID", "S", "T", "2026-01-01T00:00:00Z", 0.0)


class Source:
    region = "eu-west-1"

    def __init__(self):
        self.answer = GOOD

    async def credentials(self):
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def door():
    source = Source()
    numbers = itertools.count()
    made = CredentialsDoor(source, lambda: f"token-{next(numbers)}")
    made.source = source
    async with made.open(), aiohttp.ClientSession() as session:

        async def ask(token="token-0", method="GET", path=""):
            environment = made.environment("f")
            url = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] + path
            headers = {"Authorization": token} if token is not None else {}
            async with session.request(method, url, headers=headers) as response:
                return response.status, await response.json()

        made.ask = ask
        yield made


async def test_what_a_function_finds_in_its_environment(door):
    found = door.environment("f")
    assert found["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")
    assert found["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == "token-0"
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-west-1"
    door.source.region = ""
    assert "AWS_REGION" not in door.environment("g")


async def test_credentials_by_the_names_that_sdks_read(door):
    assert await door.ask() == (
        200,
        {
            "AccessKeyId": "AKID",
            "SecretAccessKey": "S",
            "Token": "T",
            "Expiration": "2026-01-01T00:00:00Z",
        },
    )
    assert door.status() == {"answers": {"200": 1}, "last_error": ""}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"token": None}, 403),
        ({"token": "token-7"}, 403),
        ({"token": "Bearer token-0"}, 403),
        ({"token": "é"}, 403),
        ({"method": "POST"}, 405),
        ({"method": "DELETE", "token": None}, 405),
        ({"path": "x"}, 400),
    ],
)
async def test_anybody_else_gets_nothing(door, asked, status):
    found, body = await door.ask(**asked)
    assert found == status
    assert set(body) == {"message"}


async def test_a_failure_keeps_its_status(door, caplog):
    for error, status in (
        (CredentialsError(403, "Access Denied"), 403),
        (CredentialsError(0, "offline"), 503),
    ):
        door.source.answer = error
        for _ in range(2):
            assert await door.ask() == (status, {"message": str(error)})
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 2  # said once each
    assert door.status()["last_error"] == "offline"


async def test_a_provider_that_does_not_answer(door, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    door.source.answer = None
    assert (await door.ask())[0] == 504


async def test_tokens_end_with_the_run(door):
    door.environment("f")
    assert door._whose("token-0") == "f"
    async with CredentialsDoor(door.source, lambda: "t").open():
        assert door._whose("t") == ""


class Region:
    region = "eu-west-1"


async def test_only_who_asks_for_it_finds_the_way_to_credentials(start, caplog):
    code = "import os\ndef handler(event, context):\n    return os.environ.get(event)"
    house = await start(code, source=Region(), credentials=True)
    url = json.loads(await house.service.invoke("f", b'"AWS_CONTAINER_CREDENTIALS_FULL_URI"'))
    assert url.startswith("http://127.0.0.1:")
    assert json.loads(await house.service.invoke("f", b'"AWS_REGION"')) == "eu-west-1"
    assert house.service.status()["credentials"] == {"answers": {}, "last_error": ""}
    house = await start(code, source=Region())
    assert await house.service.invoke("f", b'"AWS_CONTAINER_CREDENTIALS_FULL_URI"') == b"null"
    assert "credentials" not in house.service.status()
    assert caplog.records == []


async def test_a_function_that_wants_credentials_where_there_are_none_is_named(start, caplog):
    house = await start("def handler(event, context):\n    return 1", credentials=True)
    assert await house.service.invoke("f", b"0") == b"1"
    assert "f: no AWS credentials: [cloud] role_alias is not set" in caplog.text
