"""Order, durability and failure of local requests."""

import asyncio
import json

import pytest

from edgecore.base.errors import RefusedError, StoreError
from edgecore.shadow import ShadowSettings
from edgecore.shadow.topics import ShadowId
from edgecore.store import Database, StoreSettings, durable

T = ShadowId("t")
UPDATE = T.topic("update")
GET = T.topic("get")


def reported(n, **more):
    return {"state": {"reported": {"n": n}}, **more}


async def test_nothing_is_said_before_it_is_durable(house):
    commit = house.bus.send(UPDATE, reported(1, clientToken="a"))
    assert house.bus.messages == []
    await durable(commit)
    assert [m.topic.split("shadow/")[1] for m in house.bus.messages] == [
        "update/documents",
        "update/accepted",
    ]
    assert {(m.qos, m.sender.id, m.retain) for m in house.bus.messages} == {(1, "shadow", False)}


async def test_requests_of_one_turn_are_answered_in_order(house):
    house.bus.send(GET, {"clientToken": "0"})
    commits = [house.bus.send(UPDATE, reported(1, clientToken="1"))]
    house.bus.send(UPDATE, {"clientToken": "2"})
    house.bus.send(GET, {"clientToken": "3"})
    commits.append(house.bus.send(UPDATE, reported(2, clientToken="4")))
    house.bus.send(UPDATE, reported(9, version=1, clientToken="5"))
    commits.append(house.bus.send(T.topic("delete"), {"clientToken": "6"}))
    house.bus.send(GET, {"clientToken": "7"})
    await durable(commits)
    await house.until(lambda: house.bus.heard("get/rejected")[-1:] == [house.bus.heard()[-1]])
    spoken = [(m.topic.split("shadow/")[1], json.loads(m.payload)) for m in house.bus.messages]
    order = [(suffix, body["clientToken"]) for suffix, body in spoken if suffix != "update/documents"]
    assert order == [
        ("get/rejected", "0"),
        ("update/accepted", "1"),
        ("update/rejected", "2"),
        ("get/accepted", "3"),
        ("update/accepted", "4"),
        ("update/rejected", "5"),
        ("delete/accepted", "6"),
        ("get/rejected", "7"),
    ]
    assert house.bus.heard("get/accepted")[0]["state"] == {"reported": {"n": 1}}


async def test_versions_strictly_grow_also_over_a_restart(house):
    for n in range(3):
        await durable(house.bus.send(UPDATE, reported(n)))
    await durable(house.bus.send(T.topic("delete"), b""))
    await house.stop()
    await house.start()
    await durable(house.bus.send(UPDATE, reported(9)))
    assert [body["version"] for body in house.bus.heard("update/accepted")] == [1, 2, 3, 5]


@pytest.mark.parametrize("turns", [1, 2])
async def test_a_failed_commit_is_said_and_the_document_falls_back(house, turns):
    await durable(house.bus.send(UPDATE, reported(1)))
    no_change = "CREATE TRIGGER no BEFORE UPDATE ON shadow_documents BEGIN SELECT raise(ABORT, 'no'); END"
    await durable(house.db.write(lambda c: c.execute(no_change)))
    failing = house.bus.send(UPDATE, reported(2, clientToken="x"))
    if turns == 2:
        await asyncio.sleep(0)  # the first is handed to the disk; nobody knows yet what becomes of it
        assert not failing.resolved
    built_on_it = house.bus.send(UPDATE, reported(3, clientToken="y"))
    house.bus.send(GET, b"")
    house.db.write(lambda c: c.execute("DROP TRIGGER no"))
    for commit in (failing, built_on_it):
        with pytest.raises(StoreError):
            await durable(commit)
    rejected = house.bus.heard("update/rejected")
    assert [(body["code"], body["message"], body["clientToken"]) for body in rejected] == [
        (500, "Internal service failure", "x"),
        (500, "Internal service failure", "y"),
    ]
    assert house.bus.heard("get/accepted")[0]["state"] == {"reported": {"n": 1}}
    await durable(house.db.write(lambda c: None))
    await durable(house.bus.send(UPDATE, reported(4)))
    assert house.bus.heard("update/accepted")[-1]["version"] == 2
    assert house.local(T) == {"reported": {"n": 4}}


async def test_the_disk_can_refuse(tmp_path, house_of):
    async with (
        Database(tmp_path / "c.db", StoreSettings(max_waiting=1, reserve_bytes=0)) as db,
        house_of(db) as house,
    ):
        first = db.write(lambda c: None)
        with pytest.raises(RefusedError):
            house.bus.send(UPDATE, reported(1))
        await durable(first)
        assert house.service.status()["documents"] == 0
        await durable(house.bus.send(UPDATE, reported(1)))
        assert house.bus.heard("update/accepted")[0]["version"] == 1


async def test_a_closed_store_is_said_later_and_not_from_within_the_delivery(tmp_path, house_of):
    async with Database(tmp_path / "c.db", StoreSettings(reserve_bytes=0)) as db:
        house = house_of(db)
        await house.start()
    commit = house.bus.send(UPDATE, reported(1))
    assert isinstance(commit.error, StoreError)
    await house.until(lambda: house.bus.heard("update/rejected"))
    assert house.local(T) is None
    await house.stop()


async def test_asking_for_what_is_not_there_keeps_nothing(house):
    for n in range(20):
        house.bus.send(ShadowId("t", f"n{n}").topic("get"), b"")
    await house.until(lambda: len(house.bus.heard("get/rejected")) == 20)
    assert house.service._shadows._lanes == {}


async def test_the_number_of_shadows_is_bounded(db, house_of):
    async with house_of(db, ShadowSettings(max_documents=2)) as house:
        for name in ("a", "b", "c"):
            house.bus.send(ShadowId("t", name).topic("update"), reported(1, clientToken=name))
        await house.until(lambda: house.bus.heard("update/rejected"))
        assert [(b["code"], b["clientToken"]) for b in house.bus.heard("update/rejected")] == [(429, "c")]
        await durable(house.bus.send(ShadowId("t", "a").topic("update"), reported(2)))


async def test_requests_that_wait_for_the_disk_are_bounded(db, house_of):
    async with house_of(db, ShadowSettings(max_waiting=5)) as house:
        house.bus.send(UPDATE, reported(1))
        for _ in range(4):
            house.bus.send(GET, b"")
        with pytest.raises(RefusedError, match="5 requests wait for the disk"):
            house.bus.send(GET, b"")
        house.bus.send(ShadowId("u").topic("get"), b"")
        await house.until(lambda: len(house.bus.heard("get/accepted")) == 4)


@pytest.mark.parametrize(("depth", "accepted"), [(1, 1), (2, 2)])
async def test_the_depth_is_set(db, house_of, depth, accepted):
    async with house_of(db, ShadowSettings(max_depth=depth)) as house:
        house.bus.send(UPDATE, {"state": {"desired": {"a": 1}}})
        house.bus.send(UPDATE, {"state": {"desired": {"a": {"b": 1}}}})
        await house.until(
            lambda: len(house.bus.heard("update/accepted") + house.bus.heard("update/rejected")) == 2
        )
        assert len(house.bus.heard("update/accepted")) == accepted


async def test_notices_are_forgotten_once_their_receivers_have_them(house):
    await durable(house.bus.send(UPDATE, reported(1)))
    await durable(house.bus.send(UPDATE, reported(2)))
    await house.stop()
    assert await house.db.read(lambda c: c.execute("SELECT count(*) FROM shadow_notices").fetchone()) == (0,)
    await house.start()


async def test_what_may_not_have_been_sent_is_sent_again(house, failed_commit, monkeypatch):
    monkeypatch.setattr("edgecore.shadow.service.SEND_AGAIN_AFTER", 0)
    house.bus.commits = (failed_commit,)
    await durable(house.bus.send(UPDATE, reported(1)))
    await house.stop()
    sent, house.bus.messages, house.bus.commits = house.bus.messages, [], ()
    await house.start()
    await house.until(lambda: len(house.bus.messages) == 2)
    assert [(m.topic, m.payload) for m in house.bus.messages] == [(m.topic, m.payload) for m in sent]
    await house.stop()
    house.bus.messages.clear()
    await house.start()
    await asyncio.sleep(0)
    assert house.bus.messages == []
