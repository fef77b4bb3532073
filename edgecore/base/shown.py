"""Text from elsewhere, made fit to be shown: in a log, on a terminal, in a table. Pure.

A topic, a payload or a client id may hold whatever UTF-8 can say: escape sequences that move a terminal's
cursor or set its title, line ends that begin a log line of their own, marks that turn the order of letters
round (CVE-2021-42574, "Trojan Source"). Such characters are shown by their number, as JSON writes them: JSON
that holds them stays the same JSON.
"""

from __future__ import annotations

import re
from typing import Final

# C0 but the tab, DEL and C1; line separators; marks and overrides of direction; halves of surrogate pairs,
# which no stream takes.
_UNFIT: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb"
)
_IN_LINES: Final = re.compile(f"[{_UNFIT}]")
_IN_LINE: Final = re.compile(f"[\\n{_UNFIT}]")


def one_line(text: str) -> str:
    """Give the text on one line: its line ends are shown by their escapes, too."""
    return _IN_LINE.sub(_number, text)


def lines(text: str) -> str:
    """The text with its line ends."""
    return _IN_LINES.sub(_number, text)


def _number(match: re.Match[str]) -> str:
    character = match[0]
    return "\\n" if character == "\n" else f"\\u{ord(character):04x}"
