"""The process: settings, lock and certificates before the loop; signals, health and exit code around it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgecore import __version__
from edgecore.base.clock import SystemClock
from edgecore.base.errors import EdgecoreError, StoreError
from edgecore.config import Config, load_config
from edgecore.daemon import exit_codes
from edgecore.daemon.assembly import House, Wanted
from edgecore.daemon.health import Notifier, watchdog_interval
from edgecore.daemon.logs import BoundedQueueHandler, for_journal, logging_to
from edgecore.daemon.open_files import raise_open_files
from edgecore.daemon.supervisor import EssentialBrokenError, Supervisor
from edgecore.deployments import check_local
from edgecore.listener import ListenerSettings, TlsFiles
from edgecore.listener.addresses import local_names
from edgecore.listener.books import Books, open_books
from edgecore.listener.pki import CertificateAuthority
from edgecore.store import Dictionary, StoreLock

NewLoop = Callable[[], asyncio.AbstractEventLoop]

try:
    import uvloop
except ImportError:  # no wheel for this machine and no compiler: asyncio's own loop does
    _fast_loop: NewLoop | None = None
else:
    _fast_loop = uvloop.new_event_loop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `folder`: `--dir`, or None for this machine's core."""

    folder: Path | None = None
    group: Path | None = None
    mqtt_port: int | None = None
    force: bool = False


class LockedError(EdgecoreError):
    """Another process holds this core's store."""


def run(options: Options) -> int:
    """Run a core until SIGTERM or SIGINT; gives the process's exit code.

    Raises ConfigError, CertificateError or LockedError before anything has started.
    """
    config = _configured(options)
    environment = os.environ
    journal = for_journal(environment)
    with (
        logging_to(None, config.log.level, config.log.format, journal=journal) as handler,
        _locked(config),
        _books(config) as (books, tls, renew),
    ):
        raise_open_files()
        watchdog = watchdog_interval(environment, os.getpid())
        notifier = Notifier(environment.get("NOTIFY_SOCKET", ""))
        wanted = Wanted(options.group, options.force, watchdog)

        def build() -> House:
            return House(config, wanted, books, tls, notifier, SystemClock(), renew)

        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(build, notifier, handler, config))


async def _serve(
    build: Callable[[], House], notifier: Notifier, handler: BoundedQueueHandler, config: Config
) -> int:
    supervisor = build().supervisor
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _Stop(supervisor, notifier), number)

    def ready() -> None:
        # What the start has made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        log.info("core ready thing=%s version=%s", config.thing, __version__)
        notifier.ready(f"core {config.thing} is up")

    code = exit_codes.OK
    try:
        await supervisor.run(ready)
    except EssentialBrokenError as error:
        log.critical("core ends unit=%s reason=%r", error.unit, error.reason)
        code = exit_codes.ESSENTIAL_BROKEN
    log.info("core stopped code=%d", code)
    if supervisor.stuck:
        # Their tasks would hold the loop for ever; all that was durable is.
        handler.drain()
        os._exit(code or exit_codes.ESSENTIAL_BROKEN)
    return code


class _Stop:
    """What a signal does: the first ends the core in order, the second at once."""

    def __init__(self, supervisor: Supervisor, notifier: Notifier) -> None:
        self._supervisor = supervisor
        self._notifier = notifier
        self._asked = False

    def __call__(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._asked:
            log.warning("second signal, ending at once signal=%s", name)
            os._exit(exit_codes.INTERRUPTED)
        self._asked = True
        log.info("stopping signal=%s", name)
        self._notifier.stopping()
        self._supervisor.request_stop()


def _configured(options: Options) -> Config:
    config = load_config(options.folder)
    if options.mqtt_port is not None:
        config = replace(config, listener=_on_port(config.listener, options.mqtt_port))
    if options.group is not None:
        check_local(options.group, config.thing, config.deployments)
    return config


def _on_port(listener: ListenerSettings, port: int) -> ListenerSettings:
    """The listener of one core among several on a machine: where the file says nothing, a free port."""
    standard = ListenerSettings()
    if listener.websocket_port == standard.websocket_port:
        listener = replace(listener, websocket_port=0)
    if listener.password_port == standard.password_port:
        listener = replace(listener, password_port=0)
    return replace(listener, port=port)


@contextlib.contextmanager
def _locked(config: Config) -> Iterator[None]:
    """The folders, and the lock that keeps a second core away from them."""
    paths = config.paths
    for folder, mode in ((paths.state, 0o700), (paths.artifacts, 0o755), (paths.run, 0o755)):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(StoreLock(paths.lock))
        except StoreError as error:
            raise LockedError(str(error)) from error
        yield


@contextlib.contextmanager
def _books(config: Config) -> Iterator[tuple[Books, TlsFiles, Callable[[], bool]]]:
    """Who may come in, and the files that the door is opened with, and what renews them."""
    authority = CertificateAuthority.load_or_create(config.paths.pki)
    certificate, key = authority.ensure_server_certificate(local_names())
    with (
        contextlib.closing(Dictionary.open(config.paths.registry)) as certificates,
        contextlib.closing(Dictionary.open(config.paths.passwords)) as passwords,
    ):
        books = open_books(certificates, passwords, authority, SystemClock())
        yield (
            books,
            TlsFiles(config.paths.pki / "ca.pem", certificate, key, books.registry.anchors),
            lambda: authority.renew_server_certificate(local_names()),
        )


def _loop_factory() -> NewLoop | None:
    if _fast_loop is None:
        log.warning("uvloop is not installed: TLS connections cost eight times the memory on asyncio's loop")
    return _fast_loop
