"""What holds for every test: no blocking call in the loop, no leaked task, process or socket."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from pathlib import Path

import psutil
import pytest
from blockbuster import blockbuster_ctx

SOCKETS = Path("/proc/self/fd")


def open_sockets() -> int:
    """How many sockets this process holds (0 where there is no /proc)."""
    if not SOCKETS.exists():
        return 0
    count = 0
    for each in SOCKETS.iterdir():
        try:
            count += os.readlink(each).startswith("socket:")  # noqa: PTH115  Path.readlink builds a Path per entry
        except FileNotFoundError:
            continue  # the directory's own descriptor
    return count


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Fail the test that leaves a child process or a socket; unclosed files are warnings, and so errors."""
    sockets = open_sockets()
    children = set(psutil.Process().children())
    yield
    left = [child for child in psutil.Process().children() if child not in children]
    assert [" ".join(child.cmdline()) for child in left if child.status() != psutil.STATUS_ZOMBIE] == []
    if open_sockets() > sockets:
        gc.collect()
        assert open_sockets() <= sockets, "sockets left open"


@pytest.fixture
async def _loop_is_clean():
    with blockbuster_ctx("edgecore") as blockbuster:
        # Coverage takes a lock of its own where a line of ours is the first of its file on a new thread.
        blockbuster.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", {"lock_data"})
        yield
    current = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not current and not task.done()]
    assert [task.get_name() + " " + repr(task.get_coro()) for task in left] == []


@pytest.fixture(autouse=True)
def loop_is_clean(request):
    """For coroutine tests: edgecore makes no blocking call in the loop, and no task outlives the test."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_loop_is_clean")
