"""What runs gave, as medians and ratios, as JSON, and as the tables of docs/performance.md. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

# A generator busier than this share of a core, while the broker is not, is what bounds the run.
BUSY = 0.85
PEER, OURS = "mosquitto", "edgecore"


@dataclass
class Figures:
    """What one run of one broker gave: values by name, and what was not as it should be."""

    values: dict[str, float]
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """One value of a table. `form`: of the value; `ratio`: whether a column of ours / Mosquitto's follows."""

    key: str
    heading: str
    form: str = ",.0f"
    ratio: bool = True


@dataclass(frozen=True)
class Table:
    """A table of docs/performance.md: cases that give the same values."""

    name: str
    title: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Budget:
    """What DESIGN.md section 10 or issue 3 asks for. `of_peer`: `limit` is for the ratio to Mosquitto's."""

    key: str
    limit: float
    at_least: bool
    of_peer: bool = True

    def verdict(self, value: float) -> str:
        """The limit and whether it is kept."""
        kept = value >= self.limit if self.at_least else value <= self.limit
        text = f"{'≥' if self.at_least else '≤'} {self.limit:g}{'x' if self.of_peer else ''}"
        return f"{self.key} {text}" if kept else f"{self.key} {text}: **missed** ({value:.2f})"


@dataclass
class Row:
    """One case: `medians` and `runs` by broker; `bounded`: whose rate was the generator's limit."""

    case: str
    title: str
    table: str
    rounds: int
    medians: dict[str, dict[str, float]]
    runs: dict[str, list[dict[str, float]]]
    bounded: dict[str, bool]
    faults: dict[str, list[str]]

    def ratio(self, key: str) -> float | None:
        """Ours as a share of Mosquitto's, of the medians."""
        ours, peer = self.medians.get(OURS, {}).get(key), self.medians.get(PEER, {}).get(key)
        return ours / peer if ours is not None and peer else None


def row_of(case: str, title: str, table: str, runs: Mapping[str, Sequence[Figures]]) -> Row:
    """Medians of the runs."""
    medians = {who: _medians([run.values for run in each]) for who, each in runs.items()}
    bounded = {
        who: values.get("broker_busy", 1.0) < BUSY < values.get("generator_busy", 0.0)
        for who, values in medians.items()
    }
    return Row(
        case,
        title,
        table,
        max((len(each) for each in runs.values()), default=0),
        medians,
        {who: [run.values for run in each] for who, each in runs.items()},
        bounded,
        {who: [fault for run in each for fault in run.faults] for who, each in runs.items()},
    )


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for run in runs for key in run)
    return {key: statistics.median(run[key] for run in runs if key in run) for key in keys}


def as_records(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Rows as plain values for JSON."""
    return [asdict(row) for row in rows]


def from_records(records: Iterable[dict]) -> list[Row]:
    """The rows that `as_records` gave."""
    return [Row(**record) for record in records]


def markdown(rows: Sequence[Row], tables: Sequence[Table], budgets: Mapping[str, Sequence[Budget]]) -> str:
    """All tables that have rows, in the order of `tables`."""
    parts = [
        f"### {table.title}\n\n{_table([row for row in rows if row.table == table.name], table, budgets)}"
        for table in tables
        if any(row.table == table.name for row in rows)
    ]
    return "\n\n".join(parts)


def _table(rows: Sequence[Row], table: Table, budgets: Mapping[str, Sequence[Budget]]) -> str:
    head = ["case"]
    for column in table.columns:
        head += [f"Mosquitto {column.heading}", "edgecore", *(["ratio"] if column.ratio else [])]
    head.append("budget")
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row, table, budgets.get(row.case, ()))) for row in rows]
    return "\n".join(lines)


def _cells(row: Row, table: Table, budgets: Sequence[Budget]) -> list[str]:
    faulty = any(row.faults.values())
    cells = [row.title + (" †" if faulty else "")]
    for column in table.columns:
        for who in (PEER, OURS):
            value = row.medians.get(who, {}).get(column.key)
            mark = " g" if column is table.columns[0] and row.bounded.get(who) else ""
            cells.append("" if value is None else f"{value:{column.form}}{mark}")
        if column.ratio:
            ratio = row.ratio(column.key)
            cells.append("" if ratio is None else f"{ratio:.2f}x")
    # What was not measured as it should be keeps no budget and misses none.
    cells.append("" if faulty else "; ".join(_verdicts(row, budgets)))
    return cells


def _verdicts(row: Row, budgets: Sequence[Budget]) -> list[str]:
    found = []
    for budget in budgets:
        value = row.ratio(budget.key) if budget.of_peer else row.medians.get(OURS, {}).get(budget.key)
        if value is not None:
            found.append(budget.verdict(value))
    return found


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
