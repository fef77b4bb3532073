"""One service, run as the supervisor would, for as long as a test wants it."""

from __future__ import annotations

import asyncio
import contextlib

# Seconds. A service that is not ready by then never will be.
PATIENCE = 20


@contextlib.asynccontextmanager
async def started(run):
    """Call `run(ready)` and give its task once it is ready; its own failure ends the test."""
    ready = asyncio.Event()
    task = asyncio.create_task(run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        if task.done():
            task.result()
        assert ready.is_set(), f"not ready within {PATIENCE} s"
        yield task
    finally:
        for each in (task, waiting):
            each.cancel()
        ended, _ = await asyncio.gather(task, waiting, return_exceptions=True)
    if isinstance(ended, Exception):  # while it ran, or at its end
        raise ended


@contextlib.asynccontextmanager
async def running(service):
    """Run a service and give it once it is ready."""
    async with started(service.run):
        yield service
