"""Where words go: data to standard output, everything else to standard error.

rich leaves colour away when the output is no terminal or NO_COLOR is set (https://no-color.org). Characters
that would steer the terminal are shown by their number, whoever sent them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecore.base.shown import lines

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str) -> None:
    """Progress and results in words, for a person."""
    print(lines(text), file=sys.stderr)  # noqa: T201  the one place where the CLI writes words


def emit(text: str) -> None:
    """Data. Flushed, so that a pipe sees it when it happens."""
    print(lines(text), flush=True)  # noqa: T201  the one place where the CLI writes data


def emit_json(data: Mapping[str, object], *, compact: bool = False) -> None:
    """Data as JSON: on one line for streams, indented otherwise."""
    emit(json.dumps(data, ensure_ascii=False, indent=None if compact else 2))


def console() -> Console:
    """For tables: standard output, with colour where a person looks at it."""
    from rich.console import Console

    return Console(highlight=False)
