"""What Linux says of a process: CPU time, memory, bytes written. Parsers of /proc's texts, and their readers.

CPU time is read in nanoseconds where the kernel counts them (schedstat): a paced run costs a broker some
tens of milliseconds in all, and the clock ticks of /proc/PID/stat are 10 ms long.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# A broker that used no more than this share of a core in the last look has dealt with what was sent to it.
IDLE = 0.2
# Seconds between two looks.
LOOK = 0.1


@dataclass(frozen=True)
class Memory:
    """Bytes of one process. `pss`: its share of all that it has mapped; `private`: what is its alone."""

    pss: int
    private: int
    rss: int


def run_time(schedstat: str) -> float:
    """Seconds on a processor, of one task's /proc/PID/task/TID/schedstat."""
    return int(schedstat.split(maxsplit=1)[0]) / 1e9


def stat_time(stat: str) -> float:
    """User and system time in seconds, of /proc/PID/stat; the name in it may hold anything."""
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(rollup: str) -> Memory:
    """The sums of /proc/PID/smaps_rollup."""
    found = _fields(rollup.replace(" kB", ""))
    private = found["Private_Clean"] + found["Private_Dirty"]
    return Memory(found["Pss"] * 1024, private * 1024, found["Rss"] * 1024)


def written_of(io: str) -> int:
    """The bytes that a process caused to be sent to a disk, of /proc/PID/io."""
    found = _fields(io)
    return found["write_bytes"] - found["cancelled_write_bytes"]


def _fields(text: str) -> dict[str, int]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.strip().isdigit()}


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(run_time((task / "schedstat").read_text()) for task in tasks)
    except FileNotFoundError:  # a kernel without schedstat, or a thread that has just ended
        return stat_time(Path(f"/proc/{pid}/stat").read_text())


def memory(pid: int) -> Memory:
    """What a process holds now."""
    return memory_of(Path(f"/proc/{pid}/smaps_rollup").read_text())


def resident(pid: int) -> int:
    """The resident bytes of a process; cheaper to ask for than `memory`."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def written(pid: int) -> int:
    """The bytes that a process caused to be sent to a disk."""
    return written_of(Path(f"/proc/{pid}/io").read_text())


def wait_until_idle(pid: int, patience: float = 15.0) -> None:
    """Wait until a broker has dealt with what the last run left in its sockets."""
    deadline = time.perf_counter() + patience
    while time.perf_counter() < deadline:
        before = cpu_seconds(pid)
        time.sleep(LOOK)
        if cpu_seconds(pid) - before <= IDLE * LOOK:
            return


class Meter:
    """CPU of the broker and of the generators, and bytes written, from its making on."""

    def __init__(self, pid: int, *generators: int) -> None:
        self._pid = pid
        self._generators = generators or (os.getpid(),)
        self._began = time.perf_counter()
        self._broker = cpu_seconds(pid)
        self._written = written(pid)
        self._own = self._generated()

    def _generated(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._generators)

    def read(self, count: int) -> dict[str, float]:
        """`rate` and `cpu` (microseconds) and `written` per each of `count`; how busy both sides were.

        `generator_busy` is that of the busiest possible core: one process of generators has one core.
        """
        spent, own = cpu_seconds(self._pid) - self._broker, self._generated() - self._own
        passed = time.perf_counter() - self._began
        each = max(1, count)
        return {
            "rate": count / passed,
            "cpu": spent / each * 1e6,
            "written": (written(self._pid) - self._written) / each,
            "broker_busy": spent / passed,
            "generator_busy": own / passed,
        }
