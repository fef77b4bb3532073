import base64

import msgspec
import pytest
from aiohttp import web

from edgecore.api.outbox_routes import MAX_PAGE, OutboxRoutes
from edgecore.base import identity
from edgecore.base.errors import OutboxError
from edgecore.base.interfaces import AsideOutcome, SetAside


class Aside:
    def __init__(self):
        self.kept = [
            SetAside("0x87", 5.0, f"t/{n}", b"\xff" * n, f"1-{n}", 4.0, 1, "device:a") for n in range(3)
        ]
        self.asked = []

    async def set_aside(self, after, limit):
        self.asked.append(("list", after, limit))
        return [one for one in self.kept if one.id > after][:limit]

    async def find_aside(self, name):
        return next(one for one in self.kept if one.id == name)

    async def retry_aside(self, names):
        self.asked.append(("retry", names))
        return AsideOutcome(2, {"1-9": "gone"})

    async def drop_aside(self, names):
        self.asked.append(("drop", names))
        return AsideOutcome(3, {})


class Request:
    """What a path looks at."""

    def __init__(self, name="", body=None, **query):
        self.match_info, self.query = {"id": name}, query
        self.body = b"" if body is None else msgspec.json.encode(body)

    async def read(self):
        return self.body


@pytest.fixture
def aside():
    return Aside()


@pytest.fixture
def ask(aside):
    routes = OutboxRoutes(lambda: aside, lambda _request: identity.operator("local"))
    table = {(route.method, route.path): route.handler for route in routes.table()}

    async def ask(method, path, **request):
        answer = await table[method, path](Request(**request))
        assert isinstance(answer, web.Response)
        return msgspec.json.decode(answer.body)

    return ask


async def test_a_page_says_where_the_next_one_begins_and_no_payload(ask, aside):
    page = await ask("GET", "/outbox/aside", limit="2")
    assert [one["id"] for one in page["messages"]] == ["1-0", "1-1"]
    assert page["next"] == "1-1"
    assert page["messages"][1] == {
        "id": "1-1",
        "topic": "t/1",
        "bytes": 1,
        "time": 5.0,
        "reason": "0x87",
        "came_at": 4.0,
        "qos": 1,
        "sender": "device:a",
    }
    last = await ask("GET", "/outbox/aside", after="1-1")
    assert ([one["id"] for one in last["messages"]], last["next"]) == (["1-2"], None)
    assert aside.asked == [("list", "", 3), ("list", "1-1", 101)]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": str(MAX_PAGE + 1)}, {"limit": "x"}, {"odd": "1"}]
)
async def test_a_page_that_cannot_be(ask, query):
    with pytest.raises(msgspec.MsgspecError):
        await ask("GET", "/outbox/aside", **query)


async def test_one_with_its_payload(ask):
    one = await ask("GET", "/outbox/aside/{id}", name="1-2")
    assert (one["id"], base64.b64decode(one["payload"])) == ("1-2", b"\xff\xff")


@pytest.mark.parametrize("what", ["retry", "drop"])
async def test_commands_name_some_or_all(ask, aside, what, caplog):
    caplog.set_level("INFO")
    done = await ask("POST", f"/outbox/aside/{what}", body={"ids": ["1-0", "1-9"]})
    assert done == ({"done": 2, "left": {"1-9": "gone"}} if what == "retry" else {"done": 3, "left": {}})
    await ask("POST", f"/outbox/aside/{what}", body={"all": True})
    assert aside.asked == [(what, ("1-0", "1-9")), (what, None)]
    assert f"outbox {what} operator=local asked=2" in caplog.text
    assert f"outbox {what} operator=local asked=all" in caplog.text


@pytest.mark.parametrize("body", [None, {}, {"ids": []}, {"ids": ["1-0"], "all": True}])
async def test_neither_or_both_do_nothing(ask, aside, body):
    with pytest.raises(OutboxError, match="one of the two"):
        await ask("POST", "/outbox/aside/drop", body=body)
    assert aside.asked == []


async def test_more_ids_than_are_kept(ask):
    with pytest.raises(msgspec.MsgspecError, match="length <= 1000"):
        await ask("POST", "/outbox/aside/drop", body={"ids": ["1-0"] * (MAX_PAGE + 1)})
