"""The parent's side of swarms: starts the processes, gives them commands, sums up what they say."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from tests.benchmarks.brokers import STOP, Broker


class Swarms:
    """Devices `first` to `first + count` in several processes."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes
        self._answers()  # all have made their TLS objects

    @property
    def pids(self) -> list[int]:
        """The processes, for those who measure their CPU."""
        return [each.pid for each in self._processes]

    def do(self, what: str, **arguments: float) -> list[dict]:
        """Give a command to all; their answers."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            process.stdin.flush()
        return self._answers()

    def connect(self, at_once: int, within: float) -> dict:
        """Connect all. `seconds`: from the first connect to the last SUBACK; `busy`: share of a core used."""
        answers = self.do("connect", at_once=max(1, at_once // len(self._processes)), within=within)
        began, ended = min(each["began"] for each in answers), max(each["ended"] for each in answers)
        return {
            "seconds": ended - began,
            "served": sum(each["served"] for each in answers),
            "present": sum(each["present"] for each in answers),
            "p50": max(each["p50"] for each in answers),
            "busy": max(each["cpu"] for each in answers) / max(1e-9, ended - began),
            "faults": [fault for each in answers for fault in each["faults"]],
        }

    def _answers(self) -> list[dict]:
        answers = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("a swarm ended")
            answers.append(json.loads(line))
        return answers


@contextlib.contextmanager
def swarms(broker: Broker, first: int, count: int, processes: int = 1, expiry: int = 0) -> Iterator[Swarms]:
    """Processes with `count` devices together; they end with the block. `expiry`: of their sessions."""
    with contextlib.ExitStack() as stack:
        started = []
        for index in range(processes):
            begin, end = count * index // processes, count * (index + 1) // processes
            arguments = [broker.site.folder, broker.port, first + begin, end - begin, expiry]
            started.append(stack.enter_context(_process(list(map(str, arguments)))))
        yield Swarms(started)


@contextlib.contextmanager
def _process(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.swarm", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()  # which ends it
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP)
        process.stdout.close()
