"""Programs of the demonstration in processes of their own: started, watched, ended by their own pid.

It knows how to run an `edgecore` verb and wait for something to become true; not what for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from edgecore.base.errors import EdgecoreError

_T = TypeVar("_T")

# Seconds between two looks at something that gives no event (a file, a status).
_LOOK_AGAIN: Final = 0.05
# A reason shows this much of a child's last words.
_LAST_WORDS: Final = 2000


class DemonstrationError(EdgecoreError):
    """The demonstration cannot go on: says which part, and shows its last words."""


class Child:
    """A running `edgecore` verb. What it prints goes to `log`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(cls, name: str, log: Path, *arguments: str) -> Child:
        """Run `edgecore ARGUMENTS`. In a session of its own: Ctrl-C is for the demonstration alone."""
        with await asyncio.to_thread(log.open, "ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command(*arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def ended(self) -> int:
        """Wait for the end; gives the exit code (below zero: the signal that ended it)."""
        return await self._process.wait()

    async def stop(self, within: float) -> int:
        """Ask it to end (SIGTERM), force it when it does not. Gives the exit code."""
        if not self.running:
            return await self.ended()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within):
                return await self.ended()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it at once with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself a moment ago
            self._process.kill()
        return await self.ended()

    async def check(self) -> None:
        """Raise DemonstrationError when it has ended."""
        if not self.running:
            code = self._process.returncode
            raise DemonstrationError(f"{self.name} ended with exit code {code}: {await self.last_words()}")

    async def last_words(self) -> str:
        """The end of its log."""
        said = await asyncio.to_thread(self.log.read_text, errors="replace")
        return said[-_LAST_WORDS:].strip()


def command(*arguments: str) -> tuple[str, ...]:
    """The argv of an `edgecore` verb with this interpreter."""
    return sys.executable, "-m", "edgecore", *arguments


async def verb(*arguments: str, within: float = 30.0) -> str:
    """Run an `edgecore` verb to its end; gives what it printed. Raises DemonstrationError."""
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    line = "edgecore " + " ".join(arguments)
    try:
        async with asyncio.timeout(within):
            printed, said = await process.communicate()
    except TimeoutError:
        raise DemonstrationError(f"`{line}` did not end within {within:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        words = said.decode(errors="replace").strip()
        raise DemonstrationError(f"`{line}` ended with exit code {process.returncode}: {words}")
    return printed.decode()


def read_note(path: Path) -> dict[str, int] | None:
    """What a process noted of itself in a JSON file; None while there is none."""
    try:
        note: dict[str, int] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return note


async def until(
    what: str,
    within: float,
    look: Callable[[], Awaitable[_T | None]],
    needs: Child | None = None,
) -> _T:
    """Look until there is something, and give it.

    Raises DemonstrationError after `within` seconds, or at once when the child that it `needs` ends.
    """
    try:
        async with asyncio.timeout(within):
            while (found := await look()) is None:
                if needs is not None:
                    await needs.check()
                await asyncio.sleep(_LOOK_AGAIN)
            return found
    except TimeoutError:
        words = f"; {needs.name} last said: {await needs.last_words()}" if needs is not None else ""
        raise DemonstrationError(f"{what}: not within {within:g} s{words}") from None
