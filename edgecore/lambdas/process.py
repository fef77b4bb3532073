"""The daemon's end of one worker process: start, frames, output, end. No decisions: see scheduling.py.

The process is a fresh interpreter (posix_spawn, never a fork of the daemon) in a session of its own.
Its end is watched through a pidfd, so no SIGCHLD handler and no thread is needed, and its process group is
killed before it is reaped, while its number cannot yet belong to somebody else. Sockets and pipes are
read with add_reader and not through transports, so that what a dead worker still said is read
before its death is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import edgecore
from edgecore.base.group import FunctionSpec
from edgecore.lambdas.frames import Frame, FrameError, Framer, Meta, encode
from edgecore.lambdas.output import Output

# -I: no PYTHON* variables, no user site. -S: no site: a virtual environment's .pth files cost 10 ms.
INTERPRETER_FLAGS: Final = ("-I", "-S", "-X", "faulthandler")
BOOT: Final = (
    "import sys; parent, *sys.path[len(sys.path):] = sys.argv[1:]; del sys.argv[1:]; "
    "from edgecore.lambdas.worker import main; main(int(parent))"
)
# Where the worker finds its socket (worker.py, SOCKET).
WORKER_SOCKET: Final = 3
# Some thousand small frames: one read must not hold the loop for long.
READ_SIZE: Final = 64 * 1024
# Rounds of reading what a dead worker left: kernel buffers hold a few READ_SIZE, and a
# grandchild that escaped may write for ever.
LAST_READS: Final = 8
PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Events(Protocol):
    """Whom a worker process reports to. All are called on the loop."""

    def frame_arrived(self, frame: Frame) -> None:
        """A whole frame. May raise FrameError, which counts as a violation."""
        ...

    def line_printed(self, line: str) -> None:
        """A line of its output."""
        ...

    def violated(self, reason: str) -> None:
        """It broke a rule and cannot be trusted any more. Nothing more of it is read."""
        ...

    def exited(self, reason: str) -> None:
        """It is gone and reaped. Said once."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """What to execute for a worker."""

    argv: tuple[str, ...]
    environ: dict[str, str]


def program(spec: FunctionSpec, folder: Path, scratch: Path, more: Mapping[str, str]) -> Program:
    """The program of a function's workers. Looks at the disk: not to be called in the loop.

    `more`: variables of this run, which the function's own cannot override either.
    """
    return Program(tuple(command()), {**environment(spec, folder, scratch), **more})


def environment(spec: FunctionSpec, folder: Path, scratch: Path) -> dict[str, str]:
    """All that a worker sees of an environment: nothing of the daemon's own.

    The function's own variables come first and cannot override Lambda's, as in Lambda.
    """
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        **spec.environment,
        "TMPDIR": str(scratch),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory // (1024 * 1024)),
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": spec.handler,
    }


def command() -> list[str]:
    """What to execute: its last arguments are where edgecore and what is installed beside it are found."""
    places = dict.fromkeys((str(Path(edgecore.__file__).parent.parent), sysconfig.get_path("purelib")))
    return [sys.executable, *INTERPRETER_FLAGS, "-c", BOOT, str(os.getpid()), *places]


class Process:
    """One worker process, from `start` until it has reported `exited`."""

    def __init__(self, events: Events, output: Output, max_payload: int, now: Callable[[], float]) -> None:
        self._events = events
        self._output = output
        self._framer = Framer(max_payload)
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._listening = True
        self._gone = False
        self.pid = 0

    def start(self, program: Program) -> None:
        """Start the process. Raises OSError."""
        with contextlib.ExitStack() as undo:
            self._socket, theirs = socket.socketpair()
            undo.callback(self._socket.close)
            with theirs:
                self._pipe, output = os.pipe()
                undo.callback(os.close, self._pipe)
                try:
                    self.pid = _spawn(program, theirs.fileno(), output)
                finally:
                    os.close(output)
            undo.callback(self._abandon)
            self._pidfd = os.pidfd_open(self.pid)
            undo.pop_all()
        self._socket.settimeout(0.0)
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._socket, self._read_socket)
        self._loop.add_reader(self._pipe, self._read_pipe)
        self._loop.add_reader(self._pidfd, self._reap)

    def send(self, kind: int, meta: Meta, payload: bytes = b"") -> None:
        """Send a frame; what the socket does not take at once is sent later, in order."""
        if self._gone:
            return
        empty = not self._unsent
        self._unsent += encode(kind, meta, payload)
        if empty:
            self._write()

    def kill(self) -> None:
        """SIGKILL to its process group, now."""
        if not self._gone:
            os.killpg(self.pid, signal.SIGKILL)

    def read(self) -> None:
        """Take in what has already arrived, without waiting."""
        if not self._gone:
            self._read_socket()

    def _write(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._write)
            return
        except OSError:
            self._unsent.clear()  # it is dying: the pidfd tells
        self._loop.remove_writer(self._socket)

    def _read_socket(self) -> bool:
        """One read; whether there may be more."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            return False
        if self._listening:
            self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        try:
            for frame in self._framer.feed(data):
                self._events.frame_arrived(frame)
        except FrameError as error:
            self._violated(f"it sent garbage: {error}")

    def _read_pipe(self) -> bool:
        """One read; whether there may be more."""
        try:
            data = os.read(self._pipe, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._pipe)
            return False
        for line in self._output.feed(data, self._now()):
            self._events.line_printed(line)
        if self._output.flooding:
            self._violated("it flooded its output")
        return True

    def _violated(self, reason: str) -> None:
        if self._listening:
            self._listening = False
            self._events.violated(reason)

    def _reap(self) -> None:
        """The process is dead and not yet reaped: kill its group, read the rest, report."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        for read in (self._read_socket, self._read_pipe):
            for _ in range(LAST_READS):
                if not read():
                    break
        if rest := self._output.rest():
            self._events.line_printed(rest)
        self._close()
        self._events.exited(describe_exit(status))

    def _close(self) -> None:
        self._gone = True
        for descriptor in (self._socket, self._pipe, self._pidfd):
            self._loop.remove_reader(descriptor)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        os.close(self._pipe)
        os.close(self._pidfd)

    def _abandon(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _spawn(program: Program, socket_end: int, output: int) -> int:
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        return os.posix_spawn(
            program.argv[0],
            program.argv,
            program.environ,
            file_actions=_file_actions(null, output, socket_end),
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them; user code expects the defaults
        )
    finally:
        os.close(null)


def _file_actions(null: int, output: int, socket_end: int) -> list[tuple[int, int, int]]:
    """dup2 of each to its place. None of ours is below 4 while 0 to 3 are open, which the daemon's are."""
    return [
        (os.POSIX_SPAWN_DUP2, null, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
        (os.POSIX_SPAWN_DUP2, socket_end, WORKER_SOCKET),
    ]


def describe_exit(status: int) -> str:
    """What a wait status says, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"it exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"it was killed by {name}"
