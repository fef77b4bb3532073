import asyncio
import threading

import pytest

from edgecore.inference.blocking import CameraThread


async def test_work_runs_in_one_other_thread():
    async with CameraThread("north") as thread:
        names = {await thread.call(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"camera-north_0"}


async def test_errors_come_back():
    async with CameraThread("north") as thread:
        with pytest.raises(ZeroDivisionError):
            await thread.call(lambda: 1 // 0)


async def test_what_comes_later_runs_after_a_cancelled_call():
    order, go, closed = [], threading.Event(), threading.Event()

    def read():
        go.wait(5)
        order.append("read")

    def close():
        order.append("close")
        closed.set()

    async with CameraThread("north") as thread:
        call = asyncio.create_task(thread.call(read))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        thread.later(close)
        go.set()
    await asyncio.to_thread(closed.wait, 5)
    assert order == ["read", "close"]
