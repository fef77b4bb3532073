"""Runs the real daemon under strace."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

from tests.crash.trace import OPTIONS, parse


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


def read(file):
    """The calls in a trace."""
    with file.open() as lines:
        return parse(lines)
