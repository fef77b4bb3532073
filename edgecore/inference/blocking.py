"""Where the room leaves the loop: reading a frame and running a model block, in one thread per camera.

The only file of the room with threads. The thread owns the source and the pipeline; the loop only waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

_T = TypeVar("_T")


class CameraThread:
    """One thread, for as long as the `async with` lasts. Leaving it waits for the call under way."""

    def __init__(self, camera: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"camera-{camera}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=False)

    async def call(self, work: Callable[[], _T]) -> _T:
        """Run `work` in the thread. When cancelled, it still runs to its end, and nobody gets its result."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def later(self, work: Callable[[], None]) -> None:
        """Run `work` in the thread after all else, without waiting for it (a source is closed like that)."""
        self._executor.submit(work)
