r"""What a worker prints: bytes in, log lines out, and when it is too much. Pure.

A worker writes its log as Lambda does, "[LEVEL]\ttime\trequest id\ttext"; the level is taken from there.
"""

from __future__ import annotations

import re
from typing import Final

# Longer lines are cut: journald's default line limit is 48 KiB, and a Pi's log is small.
MAX_LINE: Final = 8 * 1024
# What an empty line costs of the allowance: a log call of some 20 microseconds is worth more than its byte.
LINE_COST: Final = 64

_LEVELLED: Final = re.compile(r"\[(DEBUG|INFO|WARNING|ERROR|CRITICAL)\]\t[^\t]*\t([^\t]*)\t")


class Allowance:
    """A token bucket: `rate` per second, at most `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Whether `amount` is allowed now; takes it if so."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Output:
    """Splits one worker's output into lines. `flooding` is set when it printed more than allowed."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._allowance = Allowance(rate, burst, now)
        self._line = bytearray()
        self._cut = 0
        self.flooding = False

    def feed(self, data: bytes, now: float) -> list[str]:
        """The lines that `data` ends. Once it floods, nothing more is given."""
        self.flooding = self.flooding or not self._allowance.take(
            len(data) + LINE_COST * data.count(b"\n"), now
        )
        if self.flooding:
            return []
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._collect(piece)
            lines.append(self.rest())
        self._collect(rest)
        return [line for line in lines if line]

    def rest(self) -> str:
        """The last line, which has no end (yet)."""
        text = self._line.decode("utf-8", "replace").rstrip("\r")
        if self._cut:
            text += f" ... ({self._cut} bytes cut)"
        self._line.clear()
        self._cut = 0
        return text

    def _collect(self, piece: bytes) -> None:
        room = MAX_LINE - len(self._line)
        self._line += piece[:room]
        self._cut += max(0, len(piece) - room)


def level_of(line: str) -> tuple[str, str]:
    """(level name, text) of a line; a line without a level is "INFO". The log has its own time."""
    found = _LEVELLED.match(line)
    return (found[1], f"{found[2]} {line[found.end() :]}") if found else ("INFO", line)
