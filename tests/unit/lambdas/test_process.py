import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from edgecore.base.group import FunctionSpec
from edgecore.lambdas.frames import INVOKE, FrameError
from edgecore.lambdas.output import Output
from edgecore.lambdas.process import Process, Program, command, describe_exit, environment, program


class Seen:
    def __init__(self):
        self.frames, self.lines, self.violations, self.exits = [], [], [], []
        self.end = asyncio.Event()
        self.fault = asyncio.Event()

    def frame_arrived(self, frame):
        if frame.meta.get("bad"):
            raise FrameError("bad")
        self.frames.append(frame)

    def line_printed(self, line):
        self.lines.append(line)

    def violated(self, reason):
        self.violations.append(reason)
        self.fault.set()

    def exited(self, reason):
        self.exits.append(reason)
        self.end.set()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


HELPER = "import sys, socket, struct, os; s = socket.socket(fileno=3);"
SEND = "send = lambda meta, payload=b'': s.sendall(struct.pack('>IIB', len(payload), len(meta), 18) + meta + payload);"


@pytest.fixture
async def run():
    started = []

    async def begin(code, max_payload=10_000_000):
        seen = Seen()
        process = Process(seen, Output(1e6, 1e6, 0), max_payload, lambda: 0.0)
        process.start(Program((sys.executable, "-I", "-S", "-c", HELPER + SEND + code), {"A": "1"}))
        started.append((process, seen))
        return process, seen

    yield begin
    for process, seen in started:
        process.kill()
        await asyncio.wait_for(seen.end.wait(), 10)


async def test_what_a_process_said_is_read_before_its_end_is_told(run):
    _, seen = await run("send(b'{}', b'last'); print('words'); os._exit(4) if not sys.stdout.flush() else 0")
    await asyncio.wait_for(seen.end.wait(), 10)
    assert [frame.payload for frame in seen.frames] == [b"last"]
    assert seen.lines == ["words"]
    assert seen.exits == ["it exited with code 4"]


async def test_large_frames_go_through_in_order_in_both_directions(run):
    code = """
size = 0
while size < 3_000_100: size += len(s.recv(65536))
send(b'{}', b'x' * 2_000_000)
"""
    process, seen = await run("\n" + code)
    for _ in range(3):
        process.send(INVOKE, {}, b"y" * 1_000_000)
    process.send(INVOKE, {}, b"y" * 100)
    await asyncio.wait_for(seen.end.wait(), 10)
    assert len(seen.frames[0].payload) == 2_000_000


async def test_after_a_violation_nothing_more_is_heard(run):
    process, seen = await run("send(b'{\"bad\":1}'); send(b'{}'); s.recv(1)")
    await asyncio.wait_for(seen.fault.wait(), 10)
    process.kill()
    await asyncio.wait_for(seen.end.wait(), 10)
    assert seen.violations == ["it sent garbage: bad"]
    assert seen.frames == []
    assert seen.exits == ["it was killed by SIGKILL"]


async def test_sending_to_and_killing_the_dead_is_harmless(run):
    process, seen = await run("")
    await asyncio.wait_for(seen.end.wait(), 10)
    process.send(INVOKE, {}, b"x")
    process.read()
    process.kill()
    assert seen.exits == ["it exited with code 0"]


async def test_a_process_that_closes_its_socket_and_output_is_still_watched(run):
    _, seen = await run(
        "s.close(); os.close(1); os.close(2); sys.stdin.read(); import time; time.sleep(0.05)"
    )
    await asyncio.wait_for(seen.end.wait(), 10)
    assert len(seen.exits) == 1


async def test_a_program_that_does_not_exist_leaves_nothing_open():
    before = open_files()
    process = Process(Seen(), Output(1, 1, 0), 1, lambda: 0.0)
    with pytest.raises(OSError, match="No such file"):
        process.start(Program(("/no/such/program",), {}))
    assert open_files() == before


async def test_without_a_pidfd_the_process_is_not_left_alone(monkeypatch):
    def refuse(pid):
        raise OSError("too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    before = open_files()
    process = Process(Seen(), Output(1, 1, 0), 1, lambda: 0.0)
    with pytest.raises(OSError, match="too many"):
        process.start(Program((sys.executable, "-c", "import time; time.sleep(60)"), {}))
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    assert open_files() == before


def test_ends_in_words():
    assert describe_exit(3 << 8) == "it exited with code 3"
    assert describe_exit(int(signal.SIGSEGV)) == "it was killed by SIGSEGV"
    assert describe_exit(40) == "it was killed by signal 40"


def test_the_program_of_a_function():
    spec = FunctionSpec(
        "f", "f", "a.b", environment={"LANG": "de", "TMPDIR": "/x", "MINE": "1"}, memory=64 * 2**20
    )
    made = program(spec, Path("/code"), Path("/scratch"), {})
    assert made.argv == tuple(command())
    assert made.argv[0] == sys.executable
    assert made.environ == environment(spec, Path("/code"), Path("/scratch"))
    assert made.environ["LANG"] == "de"
    assert made.environ["TMPDIR"] == "/scratch"
    assert made.environ["MINE"] == "1"
    assert made.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "64"
    assert program(spec, Path("/code"), Path("/s"), {"MINE": "2"}).environ["MINE"] == "2"
