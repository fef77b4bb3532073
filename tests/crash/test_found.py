"""What the long forms have found, each alone and without chance."""

import random

import pytest

from tests.crash.brokers import Edgecore
from tests.crash.crowd import Crowd
from tests.crash.house import House

pytestmark = [pytest.mark.scenario, pytest.mark.xdist_group("crash")]


async def test_a_subscription_survives_a_second_kill_before_its_client_is_back(tmp_path):
    """Restoring a session that was connected wrote it down again before its subscriptions were there."""
    core, house = Edgecore(tmp_path), House()
    crowd = Crowd(core, house, random.Random(1))
    await core.prepare()
    await core.start()
    try:
        await crowd.arrive()
        for _ in range(2):
            await crowd.kill()
            await core.start()
        await crowd.connect_publishers()
        await crowd.connect_subscribers()
        crowd.mark()
        await crowd.drained(patience=5.0)
    finally:
        assert await crowd.end() == 0
    verdict = house.law.close()
    assert verdict.broken == {}, verdict.examples
    assert verdict.counts["arrived"] == 4 * 8
