import pytest

from edgecore.base.identity import CLOUD, device
from edgecore.base.message import Message
from edgecore.store import Database, RetainedStore, StoreSettings, durable


@pytest.fixture
async def store(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(reserve_bytes=0)) as db:
        store = RetainedStore(db)
        await store.open()
        yield store


async def contents(store):
    return [(message.topic, message.payload) for message in await store.load()]


async def test_the_last_message_of_a_topic_is_kept(store):
    store.save(Message("b", b"1", 1, CLOUD, retain=True))
    await durable(store.save(Message("b", b"2", 1, CLOUD, retain=True)))
    await durable(store.save(Message("a", b"3", 0, device("d"), retain=True)))
    assert await contents(store) == [("a", b"3"), ("b", b"2")]
    assert (await store.load())[0].sender == device("d")


async def test_erase(store):
    await durable(store.save(Message("a", b"1", 1, CLOUD)))
    await durable(store.erase("a"))
    await durable(store.erase("never"))
    assert await contents(store) == []


async def test_save_and_erase_in_one_turn(store):
    store.save(Message("a", b"1", 1, CLOUD))
    store.erase("a")
    store.erase("b")
    await durable(store.save(Message("b", b"2", 1, CLOUD)))
    assert await contents(store) == [("b", b"2")]


async def test_one_that_cannot_be_read_is_left_out(store, caplog):
    await durable(store.save(Message("a", b"1", 1, CLOUD)))
    await durable(store._database.write(lambda c: c.execute("INSERT INTO retained VALUES ('z', x'c1')")))
    assert await contents(store) == [("a", b"1")]
    assert "left out" in caplog.text
