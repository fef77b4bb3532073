"""The way of `edgecore device ...` to the registry: through the core, or by itself while that is down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgecore.base.errors import ConfigError, StoreError
from edgecore.cli.control import Control, NotRunningError
from edgecore.cli.options import paths_of

if TYPE_CHECKING:
    from edgecore.api.device_answers import DeviceAnswers
    from edgecore.config.paths import Paths
    from edgecore.listener.books import Books

Answer = dict[str, object]
# What is done with the books of devices when no core runs.
Direct = Callable[["Books"], Coroutine[Any, Any, Answer]]

# Another `edgecore device` may hold the store for a moment, or a core may be starting: it is asked next.
_PATIENCE: Final = 10.0
_LOOK_AGAIN: Final = 0.05


class HeldError(StoreError):
    """The store is held by another process, for now."""


def ask(
    folder: Path | None,
    running: Callable[[Control], Answer],
    direct: Callable[[DeviceAnswers], Coroutine[Any, Any, Answer]],
) -> Answer:
    """`ask_books` about certificates: answered without a core as a core would."""

    async def act(books: Books) -> Answer:
        from edgecore.api.device_answers import DeviceAnswers

        return await direct(DeviceAnswers(books.registry))

    return ask_books(folder, running, act)


def ask_books(folder: Path | None, running: Callable[[Control], Answer], direct: Direct) -> Answer:
    """Ask the core that runs; while none does, do it here, with the store's lock held."""
    paths = paths_of(folder)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return running(Control(paths.control))
        except NotRunningError:
            if not paths.config.exists():
                raise ConfigError(
                    str(paths.config), "", "no file", "a core's settings", "Make them with `edgecore init`."
                ) from None
        try:
            return _directly(paths, direct)
        except HeldError:
            if time.monotonic() > until:
                raise
        time.sleep(_LOOK_AGAIN)


def _directly(paths: Paths, act: Direct) -> Answer:
    from edgecore.store import StoreLock

    paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = StoreLock(paths.lock)
    try:
        lock.__enter__()
    except StoreError as error:
        raise HeldError(str(error)) from error
    try:
        return asyncio.run(_with_books(paths, act))
    finally:
        lock.__exit__(None, None, None)


async def _with_books(paths: Paths, act: Direct) -> Answer:
    from edgecore.base.clock import SystemClock
    from edgecore.listener.books import open_books
    from edgecore.listener.pki import CertificateAuthority
    from edgecore.store import Dictionary

    authority = CertificateAuthority.load_or_create(paths.pki)
    with (
        contextlib.closing(Dictionary.open(paths.registry)) as certificates,
        contextlib.closing(Dictionary.open(paths.passwords)) as passwords,
    ):
        return await act(open_books(certificates, passwords, authority, SystemClock()))
