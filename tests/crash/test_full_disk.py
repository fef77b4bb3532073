"""A full disk: refused as MQTT says, nothing acknowledged is lost, the core goes on and recovers."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from tests.crash import full_disk
from tests.crash.brokers import Edgecore
from tests.crash.crowd import Crowd
from tests.crash.house import House

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.xdist_group("crash"),
    pytest.mark.skipif(bool(full_disk.why_not()), reason=full_disk.why_not()),
]


async def fill_and_look(crowd):
    core = crowd.broker
    refused, ending = await full_disk.fill(crowd)
    # Refused as each version says: 0x97, or no acknowledgement and the end of the connection.
    assert (refused >= 2 * full_disk.AT_ONCE, ending) == (True, "closed")
    units = (await core.core.status())["units"]
    assert units["store"]["status"]["failed"] > 0
    assert units["listener"]["status"]["refused"]["full"] > 0
    assert await full_disk.passes_at_once(core.door("pub"), core.door("sub"))


@asynccontextmanager
async def crowded(folder, foreign=0):
    """A crowd around a core on a small disk, of which a foreign file takes some; gives both. Judged at the end."""
    core, house = Edgecore(folder), House()
    house.may_refuse = house.law.refusing = True
    crowd = Crowd(core, house, random.Random(1))
    await core.prepare()
    state = core.core.folder / "state"
    async with full_disk.on_a_small_disk(state):
        file = await asyncio.to_thread(full_disk.take_room, state, foreign)
        try:
            await core.start()
            await crowd.arrive()
            await crowd.leave(crowd.slow)
            yield crowd, file
        finally:
            assert await crowd.end() == 0
    verdict = house.law.close()
    assert verdict.broken == {}, verdict.examples
    assert verdict.counts["expected"] > 100


async def test_a_full_disk_is_refused_survived_and_recovered_from(tmp_path):
    async with crowded(tmp_path) as (crowd, _):
        await fill_and_look(crowd)
        # Killed on a full disk, it starts on a full disk.
        await crowd.kill(complete=False)
        await crowd.broker.start()
        # What is taken by those that it waited for makes room, without help from outside.
        await crowd.connect_subscribers()
        await crowd.taken()
        assert await full_disk.accepts(crowd)
        await crowd.drained()


async def test_a_disk_that_something_else_has_filled_is_used_again_when_that_is_gone(tmp_path):
    async with crowded(tmp_path, foreign=16) as (crowd, foreign):
        await fill_and_look(crowd)
        await asyncio.to_thread(foreign.unlink)
        assert await full_disk.accepts(crowd)
        await crowd.connect_subscribers()
        await crowd.drained()
