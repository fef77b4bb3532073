"""A killed process: whatever it said was durable is there when the store opens again."""

import asyncio
import subprocess
import sys

import pytest

from edgecore.store import Database, Dictionary, DurableQueue, QueueBounds, StoreSettings

WRITER = """
import asyncio, sys
from pathlib import Path
from edgecore.store import Database, Dictionary, DurableQueue, QueueBounds, StoreSettings, durable

async def main(folder):
    dictionary = Dictionary.open(folder / "registry.sqlite")
    async with Database(folder / "core.db", StoreSettings(reserve_bytes=0)) as db:
        queue = DurableQueue(db, "q", QueueBounds(100_000, 10_000_000))
        await queue.open()
        turn = 0
        while True:
            turn += 1
            ids = [queue.append(b"%d/%d" % (turn, n)) for n in range(10)]
            await durable([commit for _, commit in ids])
            await durable(queue.ack(identifier for identifier, _ in ids[:3]))
            await dictionary.aput("turn", turn)
            print(turn, flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


async def stored(path):
    async with Database(path, StoreSettings(reserve_bytes=0)) as db:
        assert db.status()["set_aside"] == []
        queue = DurableQueue(db, "q", QueueBounds(100_000, 10_000_000))
        await queue.open()
        return [record for _, record in await queue.peek(0, 100_000, 10_000_000)]


@pytest.mark.parametrize("turns", [1, 20])
def test_what_was_acknowledged_survives_a_kill(tmp_path, turns):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        for _ in range(turns):
            line = writer.stdout.readline()
        writer.kill()
        acknowledged = int((line + writer.stdout.read()).split()[-1])
    found = asyncio.run(stored(tmp_path / "core.db"))
    expected = [b"%d/%d" % (turn, n) for turn in range(1, acknowledged + 1) for n in range(3, 10)]
    assert found[: len(expected)] == expected
    dictionary = Dictionary.open(tmp_path / "registry.sqlite")
    assert dictionary.get("turn") >= acknowledged
    dictionary.close()
