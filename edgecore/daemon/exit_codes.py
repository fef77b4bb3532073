"""The daemon's exit codes. Constants alone, so that the CLI may name them without loading the daemon.

Numbers follow sysexits.h where it has one; systemd prints their names.
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
# What was asked could not be done; the text says why.
FAILED: Final = 1
# EX_SOFTWARE: a unit that the core cannot live without is broken; systemd starts the core again.
ESSENTIAL_BROKEN: Final = 70
# EX_TEMPFAIL: another process holds the store of this folder.
LOCKED: Final = 75
# EX_CONFIG: the same files will fail again, so systemd is told not to try (RestartPreventExitStatus=).
CONFIG: Final = 78
# What a shell reports for a process that SIGINT ended: the second signal during a stop.
INTERRUPTED: Final = 130
