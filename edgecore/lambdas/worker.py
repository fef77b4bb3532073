"""The worker process: loads one handler and calls it for each event. Standard library only, no asyncio.

Started by process.py as a fresh interpreter. Descriptor 3 is its socket to the daemon; when that
closes, the worker ends. What it prints goes to the daemon's log, line by line.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import logging
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType

from edgecore.lambdas import sdk
from edgecore.lambdas.channel import Channel, ChannelClosedError
from edgecore.lambdas.context import LambdaContext
from edgecore.lambdas.frames import BROKEN, ERROR, INVOKE, LOADED, RESULT, Frame, Meta

SOCKET = 3
# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
# Lambda's limit on file descriptors.
MAX_FILES = 1024
# What is kept of an error: what a person reads, and it fits a frame's meta even if JSON escapes all of it.
MAX_TRACE = 20
MAX_LINE = 512
MAX_TEXT = 2048

Handler = Callable[[object, LambdaContext], object]


class LoadError(Exception):
    """The handler cannot be loaded. `error_type` is the name that Lambda gives to this."""

    def __init__(self, error_type: str, text: str) -> None:
        self.error_type = error_type
        super().__init__(text)


def main(parent: int) -> None:
    """Run until the daemon (process id `parent`) says stop or closes the socket."""
    die_with(parent)
    os.closerange(SOCKET + 1, MAX_FILES)
    with socket.socket(fileno=SOCKET) as connection, contextlib.suppress(ChannelClosedError):
        connection.set_inheritable(False)
        channel = Channel(connection)
        setup = channel.work()
        limit(setup.number("memory"))
        Runtime(channel, setup, prepare_output()).run()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the daemon ended before its worker had started")


def limit(memory: int) -> None:
    """Limits of this process and of what it starts. `memory` bounds its data, not shared libraries."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    files = min(MAX_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


class LogLine(logging.Formatter):
    r"""Lambda's text format: "[LEVEL]\ttime\trequest id\ttext"."""

    def __init__(self) -> None:
        super().__init__()
        self.request_id = "-"

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record; further lines of it (a traceback) follow as they are."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = super().format(record)
        return f"[{record.levelname}]\t{stamp}.{int(record.msecs):03d}Z\t{self.request_id}\t{text}"


def prepare_output() -> LogLine:
    """Lines leave when they end, and the root logger has its handler before user code looks for it."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]  # real files here
    handler = logging.StreamHandler(sys.stdout)
    line = LogLine()
    handler.setFormatter(line)
    logging.getLogger().addHandler(handler)
    return line


class Runtime:
    """One handler and the loop that feeds it."""

    def __init__(self, channel: Channel, setup: Frame, log_line: LogLine) -> None:
        self._channel = channel
        self._log_line = log_line
        self._name = setup.text("name")
        self._handler_name = setup.text("handler")
        self._folder = setup.text("folder")
        self._memory = setup.number("memory")
        self._max_payload = setup.number("max_payload")
        self._memory_used = Memory()

    def run(self) -> None:
        """Load the handler, then answer events until STOP. Raises ChannelClosedError."""
        sdk.connection.channel = self._channel
        try:
            handler = load(self._handler_name, self._folder)
        except BaseException as error:  # noqa: BLE001  user code is imported: whatever it raises is its report
            self._channel.send(BROKEN, described(error))
            return
        self._channel.send(LOADED, {})
        while (frame := self._channel.work()).kind == INVOKE:
            self._invoke(handler, frame)

    def _invoke(self, handler: Handler, frame: Frame) -> None:
        """Call the handler for one event and send what came of it."""
        request_id = self._log_line.request_id = frame.text("id")
        remaining = frame.number("remaining_ms") / 1000
        context = LambdaContext(self._name, self._memory, request_id, frame.text("subject"), remaining)
        try:
            value = handler(decoded(frame.payload), context)
            result = b"" if value is None else marshalled(value, self._max_payload)
        except BaseException as error:  # noqa: BLE001  the boundary to user code: an error is an answer
            flush()
            self._channel.send(
                ERROR, {**described(error), "id": request_id, "rss": self._memory_used.resident()}
            )
            return
        flush()
        self._channel.send(
            RESULT, {"id": request_id, "none": value is None, "rss": self._memory_used.resident()}, result
        )


def load(handler: str, folder: str) -> Handler:
    """The function that "module.function" names. Raises LoadError, and whatever the import raises."""
    module_name, _, function_name = handler.replace("/", ".").rpartition(".")
    if not module_name or not function_name:
        raise LoadError(
            "Runtime.MalformedHandlerName", f"found handler {handler!r}, expected 'module.function'"
        )
    if module_name.partition(".")[0] in sys.builtin_module_names:
        raise LoadError(
            "Runtime.BuiltInModuleConflict", f"{module_name!r} is a built-in module: rename the file"
        )
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True  # a function's folder is content-addressed: no __pycache__ in it
    module = imported(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        where = getattr(module, "__file__", module_name)
        raise LoadError("Runtime.HandlerNotFound", f"found no function {function_name!r} in {where}")
    return function  # type: ignore[no-any-return]  # user code: its signature is a contract, not a type


def imported(module_name: str) -> object:
    """The module, or LoadError with Lambda's name for what went wrong."""
    try:
        return importlib.import_module(module_name)
    except SyntaxError as error:
        raise LoadError(
            "Runtime.UserCodeSyntaxError", f"{error.msg} ({error.filename}, line {error.lineno})"
        ) from error
    except ImportError as error:
        raise LoadError("Runtime.ImportModuleError", f"cannot import {module_name!r}: {error}") from error


def decoded(payload: bytes) -> object:
    """The event: the JSON value of the payload, or its bytes when it is not JSON."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload


def marshalled(value: object, max_payload: int) -> bytes:
    """A result as bytes. Raises LoadError with Lambda's names when it cannot be sent."""
    if isinstance(value, bytes):
        data = value
    else:
        try:
            data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise LoadError("Runtime.MarshalError", f"the result is no JSON: {error}") from error
    if len(data) > max_payload:
        raise LoadError(
            "Function.ResponseSizeTooLarge",
            f"found a result of {len(data)} bytes, expected at most {max_payload}",
        )
    return data


def described(error: BaseException) -> Meta:
    """Lambda's error body. Our own calls at the top of the trace are left out."""
    error_type = error.error_type if isinstance(error, LoadError) else type(error).__name__
    trace = (
        () if isinstance(error, LoadError) else traceback.extract_tb(own_code_skipped(error.__traceback__))
    )
    lines = traceback.format_list(list(trace)[-MAX_TRACE:])
    return {
        "errorType": error_type[:MAX_TEXT],
        "errorMessage": text_of(error)[:MAX_TEXT],
        "stackTrace": [line.rstrip()[:MAX_LINE] for line in lines],
    }


def text_of(error: BaseException) -> str:
    """The text of an error, whose `__str__` is user code too."""
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001  the boundary to user code
        return f"(its text could not be made: {type(problem).__name__})"


def own_code_skipped(trace: TracebackType | None) -> TracebackType | None:
    """The part of a trace that begins in user code."""
    own = (__file__, importlib.__file__)
    while trace is not None and (
        trace.tb_frame.f_code.co_filename in own
        or "importlib._bootstrap" in trace.tb_frame.f_code.co_filename
    ):
        trace = trace.tb_next
    return trace


class Memory:
    """The resident size of this process. getrusage would give the daemon's: it survives an exec."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = resource.getpagesize()

    def resident(self) -> int:
        """Bytes. Costs some 4 microseconds."""
        return int(os.pread(self._statm, 128, 0).split()[1]) * self._page


def flush() -> None:
    """What the handler printed leaves before its result."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # user code closed it
