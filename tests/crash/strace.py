"""Runs the real daemon under strace."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

from tests.crash.trace import OPTIONS, parse

# No trace is longer: the lines of the next one are counted from beyond.
MOST_LINES = 1_000_000_000


@cache
def why_not():
    """Why strace cannot be used here, or "". It needs to be installed and allowed to trace."""
    if shutil.which("strace") is None:
        return "strace is not installed: apt-get install strace"
    done = subprocess.run([*OPTIONS, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {done.stderr.strip()[-200:]}" if done.returncode else ""


def command(file, calls, shown):
    """What runs a program so that the named calls are written to `file`, with `shown` bytes of each."""
    return [*OPTIONS, "-s", str(shown), "-o", str(file), "-e", f"trace={','.join(calls)}"]


def read(*files):
    """The calls in a trace, or in several of one process after the other."""
    calls, first = [], 0
    for file in files:
        with file.open() as lines:
            calls += parse(lines, first)
        first = calls[-1].begun + MOST_LINES
    return calls
