"""A disk that lost pages: the core starts all the same, serves with what was readable, and says so."""

import asyncio
import json
import sqlite3
import stat
from contextlib import closing

import pytest

from edgecore.sim.controller import Controller

pytestmark = pytest.mark.xdist_group("scenario")

DOCUMENTS = 60


def documents(site):
    with closing(sqlite3.connect(site.core.folder / "state" / "edgecore.sqlite")) as connection:
        return dict(connection.execute("SELECT name, content FROM shadow_documents"))


def zero(path, *pages):
    content = bytearray(path.read_bytes())
    for number in pages:
        content[(number - 1) * 4096 : number * 4096] = bytes(4096)
    path.write_bytes(content)


def page_of(path, words):
    """The only page with these words."""
    content = path.read_bytes()
    (found,) = {n + 1 for n in range(len(content) // 4096) if words in content[n * 4096 : (n + 1) * 4096]}
    return found


async def publish_documents(device, eventually):
    answers = []
    for number in range(DOCUMENTS):
        state = json.dumps({"state": {"reported": {f"value-{number:03}": "x" * 400}}}).encode()
        topic = f"$aws/things/sensor-1/shadow/name/n{number:03}/update"
        assert device.publish(topic, state, acknowledged=answers.append)
    await eventually(lambda: len(answers) == DOCUMENTS)
    assert all(answers)


async def test_a_core_with_a_damaged_store_starts_serves_and_says_so(site, eventually, edgecore_verb):
    site.write_group("", example="sensor-gateway")
    await site.start("sensor-1")
    controller = Controller("sensor-1", site.core.endpoint, site.core.credentials("sensor-1"), "5")
    async with controller.device.running():
        await controller.device.until_connected(20)
        update = json.dumps({"state": {"reported": {"position": 7}}}).encode()
        assert controller.device.publish("$aws/things/sensor-1/shadow/update", update)
        await publish_documents(controller.device, eventually)
    assert await site.core.stop() == 0

    state = site.core.folder / "state"
    before = documents(site)
    assert len(before) == DOCUMENTS + 1
    zero(state / "edgecore.sqlite", 1, page_of(state / "edgecore.sqlite", b"value-030"))
    zero(state / "registry.sqlite", 1)
    await site.core.start(site.group)

    # It serves: the device is known, its shadow is there, and new state is kept.
    async with controller.device.running():
        await controller.device.until_connected(20)
        assert (await controller.shadow(20))["reported"]["position"] == 7
        await publish_documents(controller.device, eventually)

    # It says so: in its status, for people and for programs, and in its log.
    code, out, err = await asyncio.to_thread(edgecore_verb, "status", "--json", "--dir", site.core.folder)
    assert code == 0, err
    units = json.loads(out)["units"]
    assert {unit["state"] for unit in units.values()} == {"running"}
    store = units["store"]["status"]
    database, registry = store["set_aside"]
    assert database.startswith("edgecore.sqlite.damaged-")
    assert registry.startswith("registry.sqlite.damaged-")
    rows = store["salvaged"][database]
    assert DOCUMENTS - 10 < rows["shadow_documents"] < DOCUMENTS + 1
    assert store["salvaged"][registry] == {"dictionary": 1}
    code, out, err = await asyncio.to_thread(edgecore_verb, "status", "--dir", site.core.folder)
    assert code == 0, err
    said = "".join(out.split())
    assert f"{database}:{sum(rows.values())}rowssalvaged".replace(" ", "") in said
    assert f"{registry}:1rowssalvaged" in said
    assert site.log_lines("is damaged", "salvaging what is readable")
    assert site.log_lines("salvaged", f"shadow_documents {rows['shadow_documents']}", database)

    # What was set aside is as it was, and nobody else reads any of it.
    assert (state / database).read_bytes()[:4096] == bytes(4096)
    assert {
        each.name: stat.S_IMODE(each.stat().st_mode) & 0o077 for each in state.iterdir()
    } == dict.fromkeys((each.name for each in state.iterdir()), 0)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert await site.core.stop() == 0
    assert documents(site).keys() == before.keys()
