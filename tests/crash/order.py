"""No acknowledgement before the sync that covers it: judged from what strace saw. Pure.

A client sends one request at a time, so that each write to its socket after it is the answer to that
request. Between the read that brought the request and that write there must be, on one file of the store,
a write that holds the request's own bytes, and then a sync that began after the write had ended and ended
before the answer was begun.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.crash.trace import TraceError, content, descriptor

# What brings bytes from a socket, sends some, writes to a file, and makes it durable.
READS = ("read", "recvfrom", "recvmsg", "readv")
SENDS = ("write", "sendto", "sendmsg", "writev")
WRITES = ("write", "pwrite64", "writev", "pwritev")
SYNCS = ("fsync", "fdatasync")
TRACED = tuple(sorted({*READS, *SENDS, *WRITES, *SYNCS}))


@dataclass
class Finding:
    """`answers`: how many there were; `early`: those that no sync covers, each with why."""

    answers: int = 0
    early: list[str] = field(default_factory=list)


@dataclass
class _Written:
    """What happened to one file of the store since the request came."""

    holds: list = field(default_factory=list)  # writes that hold the request's bytes
    synced: bool = False


def judge(calls, peer, files, marks, since, until):
    """Judge the answers to the requests that hold `marks` (bytes), in their order.

    A mark of None asks for nothing (PUBCOMP takes over no message). `peer`: the client's address as strace shows it; `files(path)`: whether a file is one of the store's.
    `since` and `until`: real-time seconds before the first request and after the last answer. Raises TraceError
    when the answers cannot be told apart.
    """
    finding, asked, written = Finding(), None, {}
    on_socket = f"->{peer}]"
    for kind, call in _in_order(calls, since, until):
        number, name = descriptor(call.args[0])
        if number < 0:
            continue
        if name.endswith(on_socket):
            if kind == "ended" and call.name in READS and call.result and call.result > 0:
                asked, written = call, {}
            elif kind == "begun" and call.name in SENDS and not (call.ended and not call.ok):
                _answer(finding, asked, written, marks)
                asked = None
        elif asked is not None and files(name):
            _note(kind, call, name, written, marks, finding.answers)
    if finding.answers != len(marks):
        raise TraceError(f"{finding.answers} answers were seen to {len(marks)} requests")
    return finding


def _in_order(calls, since, until):
    """("begun" or "ended", call) in the order of the trace."""
    places = []
    for call in calls:
        if since <= call.at < until and call.name in TRACED and call.args:
            places.append((call.begun, 0, "begun", call))
            if call.ended is not None:
                places.append((call.ended, 1, "ended", call))
    places.sort(key=lambda place: place[:2])
    return [place[2:] for place in places]


def _note(kind, call, name, written, marks, number):
    state = written.setdefault(name, _Written())
    if call.name in WRITES and kind == "begun":
        mark = marks[number] if number < len(marks) else None
        if mark is not None and any(mark in content(arg) for arg in call.args if arg[:1] == '"'):
            state.holds.append(call)
    elif call.name in SYNCS and kind == "ended" and call.result == 0:
        state.synced = state.synced or any(
            write.ended is not None and write.ok and write.ended < call.begun for write in state.holds
        )


def _answer(finding, asked, written, marks):
    number = finding.answers
    finding.answers += 1
    if asked is None:
        raise TraceError(f"answer {number + 1} has no request before it: they cannot be told apart")
    if number >= len(marks) or marks[number] is None or any(state.synced for state in written.values()):
        return
    held = any(state.holds for state in written.values())
    why = "written and not synced" if held else "not written"
    finding.early.append(f"answer {number + 1}, to {marks[number]!r}: {why}")
