"""What strace saw of a daemon, as calls in order. Pure: lines in, calls out.

Written for `strace -f -ttt -yy -xx`: one file for all threads, in the order in which the tracer saw them
stop. A call has two places in that order, where it was entered and where it returned; a call that no
other thread interrupted has both on one line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# strace's options; the calls to trace and the length of what is shown of each are added.
OPTIONS = ("strace", "-f", "-ttt", "-yy", "-xx", "--seccomp-bpf")

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+|\?|0x[0-9a-f]+)")
_DESCRIPTOR = re.compile(r"(-?\d+|AT_FDCWD)(?:<(.*?)>)?(?:\(deleted\))?$", re.DOTALL)
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})*")
DELETED = ">(deleted)"
UNFINISHED = " <unfinished ...>"


class TraceError(Exception):
    """The trace has something that is not understood: nothing may be concluded from it."""


@dataclass(slots=True)
class Call:
    """One system call. `result` is None if it never returned, or if strace could not tell.

    `begun` and `ended` are line numbers; `at` and `left` are when it was entered and when it returned, in seconds
    of the real-time clock (the same for both where they share a line).
    """

    pid: int
    name: str
    args: list[str]
    result: int | None
    begun: int
    ended: int | None
    at: float
    left: float = 0.0
    shown: str = ""  # what strace says of the descriptor that it returned

    @property
    def ok(self):
        """Whether it returned without an error."""
        return self.result is not None and self.result >= 0


def parse(lines, first=0):
    """The calls of a trace, in the order in which they were entered. `first`: the number of its first line.

    Raises TraceError.
    """
    calls, open_calls = [], {}
    for number, line in enumerate(lines, first):
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            raise TraceError(f"line {number + 1} is not of strace -f -ttt: {line[:80]!r}")
        pid, at, rest = int(found[1]), float(found[2]), found[3]
        if rest.startswith(("+++", "---")):
            continue
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            call, head = open_calls.pop(pid, (None, ""))
            if call is None or call.name != resumed[1]:
                raise TraceError(f"line {number + 1} resumes what was not begun: {line[:80]!r}")
            _finish(call, head + resumed[2], number, at)
            continue
        begun = _CALL.match(rest)
        if begun is None:
            raise TraceError(f"line {number + 1} is no call: {line[:80]!r}")
        call = Call(pid, begun[1], [], None, number, None, at)
        calls.append(call)
        if rest.endswith(UNFINISHED):
            head = begun[2][: -len(UNFINISHED)]
            call.args = split(head)
            open_calls[pid] = (call, head)
        else:
            _finish(call, begun[2], number, at)
    return calls


def _finish(call, text, number, at):
    end = text.rfind(") ")
    result = _RESULT.match(text, end)
    if result is None:
        raise TraceError(f"line {number + 1}: {call.name} has no result: {text[-80:]!r}")
    call.args = split(text[:end])
    call.ended, call.left = number, at
    if result[1] != "?":
        call.result = int(result[1], 0)
    call.shown = text[result.end() :]


def split(text):
    """Arguments at their commas, those within brackets left together."""
    found, depth, begin = [], 0, 0
    if not any(each in text for each in "[{"):
        return [each.strip() for each in text.split(", ")] if text else []
    for index, each in enumerate(text):
        if each in "[{(":
            depth += 1
        elif each in "]})":
            depth -= 1
        elif each == "," and depth == 0:
            found.append(text[begin:index].strip())
            begin = index + 1
    return [*found, text[begin:].strip()]


def descriptor(arg):
    """(number, what it is open on) of a descriptor; AT_FDCWD is -100, and a deleted file has no name.

    Raises TraceError.
    """
    found = _DESCRIPTOR.match(arg)
    if found is None:
        raise TraceError(f"{arg[:80]!r} is no descriptor")
    number = -100 if found[1] == "AT_FDCWD" else int(found[1])
    return number, "" if arg.endswith(DELETED) else plain(found[2] or "")


def plain(name):
    """A name as strace shows it with -xx, in plain letters; what it adds (`<char 1:9>`) stays."""
    letters = _HEX.match(name)[0]
    return bytes.fromhex(letters.replace("\\x", "")).decode() + name[len(letters) :]


def content(arg):
    """The bytes of a string argument. Raises TraceError when it is not there as a whole."""
    try:
        if arg[0] == arg[-1] == '"':
            return bytes.fromhex(arg[1:-1].replace("\\x", ""))
    except (ValueError, IndexError):
        pass  # it is said below
    raise TraceError(f"{arg[:40]!r}...{arg[-20:]!r} is not a whole string of strace -xx")
