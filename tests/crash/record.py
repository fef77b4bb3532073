"""The record of a long run: one JSON object a line, so that a run can be taken up where it stopped."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter


class Record:
    """A file of rows of one run, named by `key` (what, broker, seed). `next`: the first number not in it."""

    def __init__(self, path, key):
        self._path, self._key = path, key
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [row for row in map(json.loads, lines) if key.items() <= row.items()]
        self.next = max((row["number"] for row in self.rows), default=-1) + 1
        self._said = time.monotonic()

    def add(self, row, of):
        """Keep a row, and show progress on standard error now and then."""
        row = {**self._key, **row}
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.next = row["number"] + 1
        now = time.monotonic()
        if now - self._said > 5 or self.next == of:
            self._said = now
            print(f"{row['what']} {self.next}/{of}: {summary_line(self.rows)}", file=sys.stderr, flush=True)


def totals(rows):
    """The sum of every number that the rows have in common with a count."""
    total = Counter()
    for row in rows:
        total.update(
            {name: n for name, n in row.items() if isinstance(n, int) and name not in ("number", "seed")}
        )
        total.update({f"kills_{name}": n for name, n in row.get("kills", {}).items()})
    return total


def summary_line(rows):
    """Totals in one line."""
    return ", ".join(f"{name} {n:,}" for name, n in sorted(totals(rows).items()))
