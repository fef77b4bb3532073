import msgspec
import pytest
from aiohttp import web

from edgecore.api.password_routes import PasswordRoutes
from edgecore.base import identity


class Passwords:
    def __init__(self):
        self.known = {"lamp": b"correct horse"}

    async def set(self, name, password):
        self.known[name] = password

    async def remove(self, name):
        return self.known.pop(name, None) is not None

    def names(self):
        return sorted(self.known)


class Request:
    """What a path looks at."""

    def __init__(self, name, body):
        self.match_info = {"name": name}
        self.body = b"" if body is None else msgspec.json.encode(body)

    async def read(self):
        return self.body


@pytest.fixture
def passwords():
    return Passwords()


@pytest.fixture
def ask(passwords):
    """Ask one of the paths: method, path, name, body -> the answer."""
    routes = PasswordRoutes(passwords, lambda _request: identity.operator("local"))
    table = {(route.method, route.path): route.handler for route in routes.table()}

    async def ask(method, path, name="", body=None):
        answer = await table[method, path](Request(name, body))
        assert isinstance(answer, web.Response)
        return msgspec.json.decode(answer.body)

    return ask


async def test_who_has_a_password_is_told_and_no_password_is(ask):
    assert await ask("GET", "/passwords") == {"devices": ["lamp"]}


async def test_a_password_is_set(ask, passwords, caplog):
    caplog.set_level("INFO")
    assert await ask("POST", "/passwords/{name}", "gate", {"password": "bl\u00fchende Wiese"}) == {
        "name": "gate"
    }
    assert passwords.known["gate"] == "bl\u00fchende Wiese".encode()
    assert "operator=local device=gate" in caplog.text
    assert "Wiese" not in caplog.text


@pytest.mark.parametrize("body", [None, {}, {"password": 3}, {"password": "x", "more": 1}])
async def test_a_body_that_is_none_is_refused_and_sets_nothing(ask, passwords, body):
    with pytest.raises(msgspec.MsgspecError):
        await ask("POST", "/passwords/{name}", "gate", body)
    assert "gate" not in passwords.known


async def test_a_password_is_taken_away(ask, passwords):
    for removed in (True, False):
        answer = await ask("POST", "/passwords/{name}/remove", "lamp")
        assert answer == {"name": "lamp", "removed": removed}
    assert passwords.known == {}
