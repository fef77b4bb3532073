"""What a verb's exit code means. Constants and their words, for code and for `--help`."""

from __future__ import annotations

from typing import Final

from edgecore.daemon.exit_codes import CONFIG, ESSENTIAL_BROKEN, FAILED, INTERRUPTED, LOCKED, OK

__all__ = [
    "CONFIG",
    "EPILOG",
    "ESSENTIAL_BROKEN",
    "FAILED",
    "INTERRUPTED",
    "LOCKED",
    "MEANINGS",
    "NOT_PERMITTED",
    "OK",
    "UNAVAILABLE",
    "USAGE",
]

# The command line itself is wrong (POSIX shells and typer use 2).
USAGE: Final = 2
# EX_UNAVAILABLE: no core runs there, or an optional part is not installed.
UNAVAILABLE: Final = 69
# EX_NOPERM: who asks may not.
NOT_PERMITTED: Final = 77

MEANINGS: Final = {
    OK: "done",
    FAILED: "could not be done",
    USAGE: "wrong command line",
    UNAVAILABLE: "no core runs there, or an optional part is missing",
    ESSENTIAL_BROKEN: "the core broke down",
    LOCKED: "another core holds this folder",
    NOT_PERMITTED: "not permitted",
    CONFIG: "a configuration file is wrong",
    INTERRUPTED: "interrupted",
}

# For `--help` of the whole command: one paragraph, in the order of the numbers.
EPILOG: Final = "Exit codes: " + ", ".join(f"{code} {words}" for code, words in MEANINGS.items()) + "."
