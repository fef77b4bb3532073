"""`edgecore status`: what every unit of a running core says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import typer

from edgecore.cli import exit_codes
from edgecore.cli.control import Control
from edgecore.cli.options import Dir, Json, paths_of
from edgecore.cli.output import console, emit_json
from edgecore.cli.unit_words import words_of

# A text longer than this (a path, a digest) is for --json.
_LONGEST: Final = 32

_COLOURS: Final = {"running": "green", "starting": "yellow", "backing off": "yellow", "broken": "red"}


def status(json: Json = False, folder: Dir = None) -> None:
    """Show what every part of a running core is doing.

    Ends with 0 when all units run or are starting, 1 when one is down, 69 when no core runs there.

    [bold]Example:[/bold] edgecore status --dir core
    [bold]Example:[/bold] edgecore status --json | jq '.units.uplink.status'
    """
    answer = Control(paths_of(folder).control).get("/status")
    units = answer["units"]
    assert isinstance(units, Mapping), "the control API's own form"
    if json:
        emit_json(answer)
    else:
        _table(units, float(str(answer["time"])))
    if any(unit.get("state") not in {"running", "starting"} for unit in units.values()):
        raise typer.Exit(exit_codes.FAILED)


def _table(units: Mapping[str, Mapping[str, object]], now: float) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("unit", "state", "for", "restarts", ""):
        table.add_column(heading, overflow="fold")
    for name, unit in units.items():
        state = str(unit.get("state", "?"))
        table.add_row(
            name,
            Text(state, style=_COLOURS.get(state, "")),
            _age(unit.get("since"), now),
            str(unit.get("restarts", "")),
            Text(details(unit, name)),
        )
    console().print(table)


def _age(since: object, now: float) -> str:
    if not isinstance(since, int | float):
        return ""
    return str(timedelta(seconds=max(0, round(now - since))))


def details(unit: Mapping[str, object], name: str = "") -> str:
    """The words beside a unit: why it does not run, or what of its own says something in a few letters."""
    if unit.get("state") not in {"running", "starting"} and unit.get("reason"):
        return str(unit["reason"])
    own = unit.get("status")
    if not isinstance(own, Mapping):
        return ""
    said = words_of(name, own)
    if said is None:
        said = [words for key, value in own.items() if (words := _words(key, value))]
    return ", ".join(said)


def _words(key: str, value: object) -> str:
    """What a value says beside its key; "" for nothing, nought, and what is too long for a line."""
    if isinstance(value, Mapping):
        return _words_of_table(key, value)
    if isinstance(value, bool):
        return key if value else ""
    if isinstance(value, int | float):
        return f"{key} {value:g}" if isinstance(value, float) and value else f"{key} {value}" if value else ""
    if not isinstance(value, str) or not value:
        return ""
    if key == "reason":
        return value
    return f"{key} {value}" if len(value) <= _LONGEST else ""


def _words_of_table(key: str, table: Mapping[str, object]) -> str:
    """A queue's records, the sum of a table of counts, or the state of each part."""
    if isinstance(records := table.get("records"), int):
        return f"{key} {records}" if records else ""
    values = list(table.values())
    if values and all(isinstance(value, int) for value in values):
        total = sum(value for value in values if isinstance(value, int))
        return f"{key} {total}" if total else ""
    parts = {name: part for name, part in table.items() if isinstance(part, Mapping) and part.get("state")}
    return ", ".join(f"{name} {part['state']}{_warning(part)}" for name, part in parts.items())


def _warning(part: Mapping[str, object]) -> str:
    """What a person must know of a function that runs: that nothing keeps it from the core."""
    return " (isolation none)" if part.get("isolation") == "none" else ""
