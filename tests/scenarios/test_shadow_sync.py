"""A whole core and a cloud in another process, over mutual TLS: one shadow, and what can go wrong between its two sides.

The cloud's side is changed over HTTPS, as an application does; the core's by a device. Every scenario ends in the
same law: the sides are equal, and then nobody says any more. The pure forms are in tests/unit/shadow/test_dialogue.py.
"""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from edgecore.sim.faults import Proxy
from edgecore.sim.simcloud import SimulatedCloud
from tests.doubles.running import running
from tests.scenarios.conftest import Site

pytestmark = pytest.mark.xdist_group("scenario")

WITHIN = 20
SHADOW = "$aws/things/lamp/shadow"
GROUP = """
[group]
name = "shadows"
[devices.lamp]
shadow = { sync = true }
"""
# Less patient than in the field: what must be tried again is to be tried within the test.
SETTINGS = """
[uplink]
reconnect_min = "100ms"
reconnect_max = "300ms"
[shadow]
reply_timeout = "1s"
[shadow.retry]
initial = "200ms"
maximum = "500ms"
"""


def values(document):
    """What must be equal: not the version, nor the difference that each side computes for itself."""
    return {key: value for key, value in document["state"].items() if key != "delta"} if document else None


class There:
    """The cloud's side, as an application sees it."""

    def __init__(self, cloud, session):
        self.control = cloud.control
        self._url = f"https://localhost:{cloud.https.port}/things/lamp/shadow"
        self._session = session

    async def _ask(self, method, body=None):
        async with self._session.request(method, self._url, json=body) as response:
            document = json.loads(await response.text())
            assert response.status in {200, 404}, document
            return document if response.status == 200 else None

    async def get(self):
        return await self._ask("GET")

    async def update(self, **sections):
        return (await self._ask("POST", {"state": sections}))["version"]

    async def delete(self):
        assert await self._ask("DELETE") is not None


class Here:
    """A core's side, as the device sees it, and the line between the core and the cloud."""

    def __init__(self, site, line):
        self.site, self.line, self._answers = site, line, asyncio.Queue()
        self.device = site.device("lamp", subscriptions=[f"{SHADOW}/+/+"], received=self._received)

    def _received(self, topic, payload):
        document = json.loads(payload)
        if document.get("clientToken") == "test":
            self._answers.put_nowait((topic.removeprefix(f"{SHADOW}/"), document))

    async def _ask(self, verb, **request):
        self.device.publish(f"{SHADOW}/{verb}", json.dumps({**request, "clientToken": "test"}).encode())
        async with asyncio.timeout(WITHIN):
            said, document = await self._answers.get()
            while said not in {f"{verb}/accepted", f"{verb}/rejected"}:
                said, document = await self._answers.get()
        assert said.endswith("accepted") or document["code"] == 404, document
        return document if said.endswith("accepted") else None

    async def get(self):
        return await self._ask("get")

    async def update(self, **sections):
        return (await self._ask("update", state=sections))["version"]

    async def delete(self):
        assert await self._ask("delete") is not None

    async def link(self, state):
        return await self.site.status("shadow", "status", "link") == state


@pytest.fixture
def agree(eventually):
    """Wait until every side holds `on`, or the same one of them; then all versions stay as they are."""

    async def wait(*sides, on):
        ends = on if isinstance(on, list) else [on]

        async def equal():
            documents = [await side.get() for side in sides]
            held = [values(document) for document in documents]
            return documents if held[0] in ends and all(each == held[0] for each in held) else None

        found = await eventually(equal)
        again = [await side.get() for side in sides]
        assert [each and each["version"] for each in again] == [each and each["version"] for each in found]
        return again

    return wait


@pytest.fixture
async def cloud(tmp_path):
    made = SimulatedCloud(tmp_path / "cloud", tmp_path / "cloud.log", ["lamp"])
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def there(cloud):
    context = await asyncio.to_thread(cloud.credentials("lamp").context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield There(cloud, session)


@pytest.fixture
def core_of(cloud, eventually):
    """A core with one device, on a line of its own to the cloud."""

    @contextlib.asynccontextmanager
    async def begin(site, thing):
        async with running(Proxy("localhost", cloud.endpoint.port)) as line:
            site.write_group(GROUP)
            await site.core.initialise(thing, *cloud.options_for(line.port))
            await site.core.configure(SETTINGS)
            await site.core.start(site.group)
            await site.core.add_devices(["lamp"])
            here = Here(site, line)
            async with here.device.running():
                await here.device.until_connected(WITHIN)
                await eventually(lambda: here.link("up"))
                yield here

    return begin


@pytest.fixture
async def here(site, core_of):
    async with core_of(site, "core-1") as made:
        yield made


@pytest.fixture
def offline(eventually):
    """No way to the cloud for a while."""

    @contextlib.asynccontextmanager
    async def cut(here):
        here.line.cut()
        await eventually(lambda: here.link("down"))
        yield
        here.line.restore()
        await eventually(lambda: here.link("up"))

    return cut


async def test_both_sides_change_while_the_link_is_down(here, there, agree, offline):
    await here.update(desired={"on": False, "level": 1}, reported={"on": False})
    await agree(here, there, on={"desired": {"on": False, "level": 1}, "reported": {"on": False}})
    async with offline(here):
        await here.update(desired={"on": "here", "mine": 1}, reported={"on": "here"})
        await there.update(desired={"on": "there", "theirs": 2, "level": None}, reported={"on": "there"})
    merged = {"desired": {"on": "there", "mine": 1, "theirs": 2}, "reported": {"on": "here"}}
    await agree(here, there, on=merged)
    assert await here.site.status("shadow", "status", "conflicts") == 2


async def test_a_thousand_edits_offline_cost_one_update(here, there, agree, offline, eventually):
    await here.update(reported={"count": 0})
    _, before = await agree(here, there, on={"reported": {"count": 0}})
    async with offline(here):
        for count in range(1, 1001):
            payload = json.dumps({"state": {"reported": {"count": count}}}).encode()
            here.device.publish(f"{SHADOW}/update", payload)
        await eventually(lambda: not here.device.waiting)
    _, after = await agree(here, there, on={"reported": {"count": 1000}})
    assert after["version"] == before["version"] + 1


async def test_deleted_and_made_anew_on_either_side(here, there, agree, offline):
    await here.update(desired={"on": 1})
    await agree(here, there, on={"desired": {"on": 1}})
    async with offline(here):
        await here.delete()
    await agree(here, there, on=None)
    await there.update(desired={"on": 2})
    await agree(here, there, on={"desired": {"on": 2}})
    async with offline(here):
        await there.delete()
    await agree(here, there, on=None)
    async with offline(here):
        await there.update(desired={"on": 3, "old": 1})
    await agree(here, there, on={"desired": {"on": 3, "old": 1}})
    async with offline(here):
        await here.delete()
        await here.update(desired={"on": 4})
    await agree(here, there, on={"desired": {"on": 4}})
    async with offline(here):
        await there.delete()
        await here.update(desired={"new": 5})  # a change outlives a deletion that did not know of it
    await agree(here, there, on={"desired": {"on": 4, "new": 5}})


async def test_a_cloud_that_was_restored_from_a_backup(here, there, agree, offline):
    await here.update(desired={"on": 1}, reported={"on": 1})
    await agree(here, there, on={"desired": {"on": 1}, "reported": {"on": 1}})
    await there.control.backup()
    await there.update(desired={"on": 2})
    await here.update(reported={"on": 2})
    local, _ = await agree(here, there, on={"desired": {"on": 2}, "reported": {"on": 2}})
    async with offline(here):
        await there.control.restore()
    # What the cloud desires stands, as of then; what the device reported stands, as of now.
    again, _ = await agree(here, there, on={"desired": {"on": 1}, "reported": {"on": 2}})
    assert again["version"] > local["version"]


async def test_a_cloud_that_was_restored_while_the_core_was_connected(here, there, agree):
    await there.update(desired={"on": 1})
    await agree(here, there, on={"desired": {"on": 1}})
    await there.control.backup()
    for number in (2, 3, 4):
        await there.update(desired={"on": number})
    await agree(here, there, on={"desired": {"on": 4}})
    await there.control.restore()
    await there.update(desired={"more": True})
    await agree(here, there, on={"desired": {"on": 1, "more": True}})


async def test_a_gap_in_the_versions(here, there, agree):
    """Announcements are lost on the way: the next one shows the gap."""
    await there.update(desired={"on": 1})
    await agree(here, there, on={"desired": {"on": 1}})
    await there.control.fault("lossy", 1)
    await there.update(desired={"lost": 2})
    await there.control.heal()
    await there.update(desired={"next": 3})
    await agree(here, there, on={"desired": {"on": 1, "lost": 2, "next": 3}})


async def test_replies_are_lost(here, there, agree):
    """Our update arrives or not, its reply does not: asked again, with the version that was known (409)."""
    await here.update(reported={"on": 0})
    await agree(here, there, on={"reported": {"on": 0}})
    await there.control.fault("lossy", 0.6)
    for number in range(1, 30):
        await here.update(reported={"on": number})
        await there.update(desired={"on": number})
    await there.control.heal()
    await agree(here, there, on={"reported": {"on": 29}, "desired": {"on": 29}})


async def test_a_cloud_that_throttles(here, there, agree):
    await here.update(reported={"on": 0})
    await agree(here, there, on={"reported": {"on": 0}})
    await there.control.fault("throttle", 1)
    for number in range(1, 30):
        await here.update(reported={"on": number})
    local = await here.get()
    assert values(local) == {"reported": {"on": 29}}
    await there.control.heal()
    await agree(here, there, on={"reported": {"on": 29}})


async def test_a_half_open_link_in_the_middle_of_edits(here, there, agree):
    await here.update(reported={"on": 0})
    await agree(here, there, on={"reported": {"on": 0}})
    here.line.stall()
    await here.update(reported={"on": 1})
    await there.update(desired={"on": 1})
    here.line.cut()
    here.line.restore()
    await agree(here, there, on={"reported": {"on": 1}, "desired": {"on": 1}})


async def test_the_core_is_killed_while_it_synchronises(here, there, agree, eventually):
    await here.update(reported={"on": 0})
    await agree(here, there, on={"reported": {"on": 0}})
    for number in (1, 2, 3):
        await here.update(reported={"on": number, f"kept-{number}": True})
        await there.update(desired={"on": number})
        await here.site.core.child.kill()
        await there.update(desired={f"meanwhile-{number}": True})
        await here.site.core.start(None)
        await here.device.until_connected(WITHIN)
    await agree(
        here,
        there,
        on={
            "reported": {"on": 3} | {f"kept-{number}": True for number in (1, 2, 3)},
            "desired": {"on": 3} | {f"meanwhile-{number}": True for number in (1, 2, 3)},
        },
    )


async def test_two_cores_on_one_thing(here, there, agree, core_of, offline, tmp_path):
    """By mistake: each is to the other a client of the cloud, and nothing goes back and forth."""
    folder = tmp_path / "second"
    await asyncio.to_thread(folder.mkdir)
    second = Site(folder)
    async with core_of(second, "core-2") as other:
        await here.update(reported={"on": 1})
        await agree(here, other, there, on={"reported": {"on": 1}})
        async with offline(here), offline(other):
            await here.update(reported={"on": "first", "first": True})
            await other.update(reported={"on": "second", "second": True})

        # The device wins its reported values: with two of them, the one that came last.
        ends = [{"reported": {"on": last, "first": True, "second": True}} for last in ("first", "second")]
        await agree(here, other, there, on=ends)
    assert await second.core.stop() == 0
