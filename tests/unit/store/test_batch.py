import asyncio

from edgecore.store import Database, StoreSettings, durable
from edgecore.store.batch import Batcher


async def test_the_rows_of_a_turn_share_one_work_and_one_commit(tmp_path):
    applied = []
    async with Database(tmp_path / "x.db", StoreSettings(reserve_bytes=0)) as db:
        batcher = Batcher(db, list, lambda _, rows: applied.append(list(rows)))
        assert batcher.open() is None
        first = batcher.join()
        first.rows.append(1)
        assert batcher.open() is first
        assert batcher.join() is first
        first.rows.append(2)
        await asyncio.sleep(0)
        second = batcher.join()
        second.rows.append(3)
        assert second is not first
        await durable([first.commit, second.commit])
        assert applied == [[1, 2], [3]]


async def test_a_failed_batch_is_not_joined(tmp_path):
    db = Database(tmp_path / "x.db")
    batcher = Batcher(db, list, lambda _, rows: None)
    assert batcher.join() is not batcher.join()
