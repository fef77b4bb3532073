"""The daemon's own command line. `edgecore run` becomes this process, for the sake of its memory.

typer and what it loads would stay for weeks beside the core: 6.6 MB of 47, measured. Knows only `run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecore.base.errors import ConfigError, EdgecoreError
from edgecore.daemon import exit_codes
from edgecore.daemon.main import LockedError, Options, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the core that the command line names; gives the exit code. Errors are said in words."""
    parser = argparse.ArgumentParser("edgecore.daemon", description="Use `edgecore run`.")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--group", type=Path)
    parser.add_argument("--mqtt-port", type=int)
    parser.add_argument("--force", action="store_true")
    given = parser.parse_args(arguments)
    try:
        return run(Options(given.dir, given.group, given.mqtt_port, given.force))
    except EdgecoreError as error:
        print(f"edgecore: {error}", file=sys.stderr)  # noqa: T201  the log has not begun, or has ended
        return exit_code_for(error)


def exit_code_for(error: EdgecoreError) -> int:
    """The exit code of a core that did not come to start."""
    if isinstance(error, LockedError):
        return exit_codes.LOCKED
    return exit_codes.CONFIG if isinstance(error, ConfigError) else exit_codes.FAILED


if __name__ == "__main__":
    sys.exit(main())
