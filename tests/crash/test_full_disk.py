"""A full disk: refused as MQTT says, nothing acknowledged is lost, the core goes on and recovers."""

import asyncio
import random

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


async def test_a_full_disk_is_refused_survived_and_recovered_from(tmp_path):
    core, house = Edgecore(tmp_path), House()
    house.may_refuse = True
    crowd = Crowd(core, house, random.Random(1))
    await core.prepare()
    async with full_disk.on_a_small_disk(core.core.folder / "state"):
        try:
            await core.start()
            await crowd.arrive()
            await crowd.leave(crowd.slow)
            await fill_and_look(crowd)

            # Killed on a full disk, it starts on a full disk.
            await crowd.kill(complete=False)
            await core.start()
            # What is taken by those that it waited for makes room, without help from outside.
            await crowd.connect_subscribers()
            await crowd.taken()
            assert await full_disk.accepts(crowd)
            await crowd.drained()
            await crowd.leave(crowd.subscribers)

            # The same on a disk that something else has filled, until that is gone.
            foreign = await asyncio.to_thread(full_disk.take_all_room, core.core.folder / "state")
            await fill_and_look(crowd)
            await asyncio.to_thread(foreign.unlink)
            assert await full_disk.accepts(crowd)
            await crowd.connect_subscribers()
            await crowd.drained()
        finally:
            assert await crowd.end() == 0
    verdict = house.law.close()
    assert verdict.broken == {}, verdict.examples
    assert verdict.counts["expected"] > 2_000
