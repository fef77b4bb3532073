"""What runs beside a block. The stage itself is set in tests/scenarios."""

import asyncio

import pytest

from edgecore.sim.stage import running, serving


async def test_work_runs_beside_the_block_and_ends_with_it():
    seen = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with running(work(), work()):
        await asyncio.sleep(0)
        assert seen == []
    assert seen == ["ended", "ended"]


async def test_what_the_work_raises_ends_the_block_as_it_is():
    async def work():
        raise KeyError("x")

    with pytest.raises(KeyError):
        async with running(work()):
            await asyncio.Event().wait()


async def test_what_the_block_raises_is_raised_as_it_is():
    with pytest.raises(KeyError):
        async with running(asyncio.Event().wait()):
            raise KeyError("x")


async def test_two_errors_stay_together():
    async def work(error):
        raise error

    with pytest.raises(ExceptionGroup) as raised:
        async with running(work(KeyError()), work(ValueError())):
            await asyncio.Event().wait()
    assert {type(error) for error in raised.value.exceptions} == {KeyError, ValueError}


async def test_a_service_is_there_when_the_block_begins():
    seen = []

    async def run(ready):
        await asyncio.sleep(0)
        seen.append("open")
        ready()
        await asyncio.Event().wait()

    async with serving(run):
        assert seen == ["open"]
