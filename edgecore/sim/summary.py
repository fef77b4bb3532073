"""How the running junction looks: a live summary in a terminal, a line now and then elsewhere.

Pure: a snapshot or the tallies in, what rich prints out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgecore.sim.picture import COLUMNS, STYLES, picture
from edgecore.sim.snapshot import CameraView, Snapshot
from edgecore.sim.tally import Tallies

# Columns of a terminal. With fewer than WIDTH there is no room for the picture beside the rest.
WIDTH: Final = 108
_RIGHT: Final = WIDTH - COLUMNS - 5
_GREEN_BAR: Final = 18
_NAME: Final = 13
# So many that both columns are as high.
_NOTES: Final = 3
_BARS: Final = "▁▂▃▄▅▆▇█"
_STATES: Final = {"running": "green", "starting": "yellow", "backing off": "yellow", "broken": "red"}
_PHASES: Final = {"running": "green", "settling": "cyan", "ending": "cyan"}


def render(now: Snapshot, width: int = WIDTH) -> RenderableType:
    """The whole summary, for a terminal of `width` columns."""
    right = [_messages(now), _cloud(now), _signals(now), _units(now), _notes(now)]
    if width < WIDTH:
        cameras = [_panel(f"camera {view.name}", Group(_lines(view), _rates(view))) for view in now.cameras]
        return Group(_heading(now, _RIGHT), *right, *cameras)
    columns = Table.grid(padding=(0, 1))
    left = [_camera(view) for view in now.cameras]
    columns.add_row(Group(*left), Group(*right))
    return Group(_heading(now, WIDTH), columns)


def line(now: Snapshot) -> str:
    """The same on one line, for a log."""
    frames = ", ".join(f"{view.name} frame {view.frame} ({view.rate:.1f}/s)" for view in now.cameras)
    converged = sum(one.converged for one in now.controllers)
    return (
        f"{_clock(now.seconds)} {now.phase}: {now.connected}/{now.devices} devices, "
        f"{now.acknowledged} acknowledged, {now.arrived} in the cloud, outbox {_known(now.outbox)}, "
        f"shadows {converged}/{len(now.controllers)}, {frames}"
    )


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as bars; the tallest is the largest of them."""
    shown = values[-width:]
    top = max(shown, default=0) or 1
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in shown)


def _heading(now: Snapshot, width: int) -> RenderableType:
    row = Table.grid(expand=False)
    row.add_column(width=width - 26)
    row.add_column(width=26, justify="right")
    style = _PHASES.get(now.phase, "yellow")
    name = Text.assemble((" edgecore ", "bold white on blue"), "  traffic junction")
    remaining = "" if now.remaining is None else f", {now.remaining:.0f} s left"
    row.add_row(name, Text.assemble((now.phase, f"bold {style}"), f"  {_clock(now.seconds)}{remaining}"))
    return row


def _camera(view: CameraView) -> RenderableType:
    body = Group(picture(view), Text(), _lines(view), Text(), _rates(view))
    return Panel(body, title=f"camera {view.name}", title_align="left", width=COLUMNS + 4)


def _rates(view: CameraView) -> Text:
    words = f"frame {view.frame}   {view.rate:.1f} frames/s   model {view.infer_ms:.1f} ms"
    return Text(words, "dim")


def _lines(view: CameraView) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    table.add_column("line")
    labels = list(STYLES)
    for label in labels:
        table.add_column(f"{label} in", justify="right")
        table.add_column("out", justify="right")
    for name in view.lines:
        counted = view.counts.get(name, {})
        cells = [
            Text(str(counted.get(label, {}).get(way, 0)), STYLES[label])
            for label in labels
            for way in ("in", "out")
        ]
        table.add_row(Text(name, "yellow"), *cells)
    return table


def _panel(title: str, body: RenderableType) -> Panel:
    return Panel(body, title=title, title_align="left", width=_RIGHT)


def _pairs(rows: Iterable[tuple[str, RenderableType]], width: int | None = _RIGHT - _NAME - 6) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", width=_NAME)
    table.add_column(width=width)
    for name, value in rows:
        table.add_row(name, value)
    return table


def _messages(now: Snapshot) -> RenderableType:
    rate = now.rates[-1] if now.rates else 0.0
    connected = Text(f"{now.connected} of {now.devices}", "green" if now.connected == now.devices else "red")
    arrived = Text.assemble(
        (f"{now.arrived}", "bold"), f"   on the way {max(0, now.acknowledged - now.arrived)}"
    )
    rows: list[tuple[str, RenderableType]] = [
        ("connected", connected),
        ("acknowledged", Text.assemble((f"{now.acknowledged}", "bold"), f" of {now.published}")),
        ("in the cloud", arrived),
        ("per second", Text.assemble((sparkline(now.rates, 30), "green"), f" {rate:.0f}")),
    ]
    return _panel("devices", _pairs(rows))


def _cloud(now: Snapshot) -> RenderableType:
    link = Text("connected", "green") if now.cloud_connected else Text("away", "bold red")
    style = "yellow" if now.outbox else "dim"
    depth = Text.assemble((sparkline(now.outbox_history, 30), style), f" {_known(now.outbox)}")
    return _panel("simulated cloud", _pairs([("link", link), ("outbox", depth)]))


def _signals(now: Snapshot) -> RenderableType:
    plan = now.timing
    words = f"cycle {plan['cycle']} s, walk {plan['walk']} s" if plan else "none yet"
    rows: list[tuple[str, RenderableType]] = [("plan", Text(f"{words}   decided {now.timings}"))]
    for one in now.controllers:
        text = _green(one.applied)
        same = "  ● shadow" if one.converged else "  ○ shadow"
        text.append(same, "green" if one.converged else "yellow")
        rows.append((one.thing, text))
    return _panel("signals", _pairs(rows))


def _green(applied: Mapping[str, Any]) -> Text:
    """The share of the cycle in which an approach has green."""
    if "green" not in applied or not applied.get("cycle"):
        return Text("·" * _GREEN_BAR + "  waiting", "dim")
    share = round(_GREEN_BAR * applied["green"] / applied["cycle"])
    return Text.assemble(
        ("━" * share, "bold green"), ("━" * (_GREEN_BAR - share), "red"), f" {applied['green']:>3} s"
    )


def _units(now: Snapshot) -> RenderableType:
    text = Text()
    for name, state in now.units.items():
        text.append("● ", _STATES.get(state, "red"))
        text.append(name if state == "running" else f"{name} ({state})")
        text.append("  ")
    if not now.units:
        text.append("the core does not answer", "bold red")
    if now.restarts:
        text.append(f"restarts {now.restarts}", "yellow")
    return _panel("core", text)


def _notes(now: Snapshot) -> RenderableType:
    lines = [Text(note, "dim", no_wrap=True, overflow="ellipsis") for note in now.notes[-_NOTES:]]
    return _panel("what happened", Group(*lines))


def verdict(tallies: Tallies) -> RenderableType:
    """The end of a run, for a person."""
    reasons = tallies.reasons()
    messages, shadows = tallies.messages, tallies.shadows
    rows: list[tuple[str, RenderableType]] = [
        (
            "messages",
            Text(
                f"{messages.acknowledged} acknowledged, {messages.arrived} in the cloud, "
                f"{messages.lost} lost, {messages.duplicates} twice"
            ),
        ),
        *((f"camera {name}", Text(_counted(camera.as_json()))) for name, camera in tallies.cameras.items()),
        ("shadows", Text(f"{shadows.converged} of {shadows.things} the same here and in the cloud")),
        ("timings", Text(f"{tallies.timings} decided and published")),
    ]
    if tallies.outage is not None:
        peak = f"{tallies.outage.seconds:g} s, the outbox grew to {tallies.outage.outbox_peak} and drained"
        rows.append(("cloud outage", Text(peak)))
    if tallies.kill is not None:
        rows.append(("core killed", Text(f"back after {tallies.kill.down_seconds:g} s")))
    result = Text("everything agrees", "bold green") if not reasons else Text("it does not agree", "bold red")
    body = Group(_pairs(rows, None), Text(), result, *(Text(f"  {reason}", "red") for reason in reasons))
    return Panel(body, title=f"after {tallies.seconds:g} s", title_align="left", expand=False)


def _counted(camera: Mapping[str, Any]) -> str:
    lines = ", ".join(f"{name} {count}" for name, count in sorted(camera["by_line"].items()))
    gaps = "".join(
        f"; not seen: frames {gap['last_before']} to {gap['first_after']}" for gap in camera["gaps"]
    )
    edges = f" and {camera['at_edges']} at the edges of what was seen" if camera["at_edges"] else ""
    return (
        f"{camera['counted']} crossings counted ({lines}), "
        f"{camera['expected']} demanded by the scene{edges}{gaps}"
    )


def _known(value: int | None) -> str:
    return "?" if value is None else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
