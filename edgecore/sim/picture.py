"""Draws what a camera sees into a block of characters: objects, and the lines that are counted.

Pure: a camera's view in, text out. Readable without colour too.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

from rich.text import Text

from edgecore.sim.snapshot import CameraView

# Characters. A character is about twice as high as wide, so that this is 4:3.
COLUMNS: Final = 46
ROWS: Final = 17

STYLES: Final = {"vehicle": "bold bright_cyan", "pedestrian": "bold bright_magenta"}
_GLYPHS: Final = {"vehicle": "█", "pedestrian": "▓"}
_LINE: Final = ("╌", "╎", "yellow")
_GROUND: Final = ("·", "grey23")

Cell = tuple[str, str]


def picture(view: CameraView) -> Text:
    """The newest frame of a camera."""
    cells: list[list[Cell]] = [[_GROUND] * COLUMNS for _ in range(ROWS)]
    for start, end in view.lines.values():
        _draw_line(cells, start, end)
    for found in view.objects:
        label = str(found["label"])
        left, top, right, bottom = found["box"]
        cell = (_GLYPHS.get(label, "■"), STYLES.get(label, "bold"))
        for row in _span(top, bottom, ROWS):
            for column in _span(left, right, COLUMNS):
                cells[row][column] = cell
    text = Text(no_wrap=True)
    for number, row_cells in enumerate(cells):
        text.append("\n" if number else "")
        for (glyph, style), run in groupby(row_cells):
            text.append(glyph * len(list(run)), style)
    return text


def _draw_line(cells: list[list[Cell]], start: tuple[float, float], end: tuple[float, float]) -> None:
    across, down = (end[0] - start[0]) * COLUMNS, (end[1] - start[1]) * ROWS
    # Twice as many steps as cells, so that none is missed.
    steps = 2 * max(1, round(max(abs(across), abs(down))))
    glyph = _LINE[0] if abs(across) >= abs(down) else _LINE[1]
    for step in range(steps + 1):
        x = start[0] + (end[0] - start[0]) * step / steps
        y = start[1] + (end[1] - start[1]) * step / steps
        cells[_place(y, ROWS)][_place(x, COLUMNS)] = (glyph, _LINE[2])


def _span(low: float, high: float, size: int) -> range:
    """The cells that a box covers by half or more, one at least."""
    first = round(low * size)
    return range(min(first, size - 1), min(size, max(first + 1, round(high * size))))


def _place(share: float, size: int) -> int:
    return min(size - 1, max(0, int(share * size)))
