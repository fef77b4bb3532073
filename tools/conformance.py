"""Make docs/mqtt-conformance.md from the tests: which statement of the standards is proven by which test.

A test proves the statements that its parametrised name begins with ("3: MQTT-3.1.0-1, 5: MQTT-3.1.0-1 ...");
one that is expected to fail proves nothing. `python tools/conformance.py` writes the page, `--check` fails
when it is not what the tests say.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mqtt-conformance.md"
STATEMENTS = ROOT / "tests" / "conformance" / "statements.txt"
STANDARD = {"3": "3.1.1", "5": "5.0"}
# How many numbered statements the OASIS standards have, counted in their text and in their appendix B.
STATED = {"3": 141, "5": 251}

_NUMBER = re.compile(r"([35]): MQTT-(\d+\.\d+\.\d+-\d+)")
_LINE = re.compile(r"([35]) (\S+) \| ([^|]+?)(?: \| (?:(client)|not yet: (.+)))?")


class Statement(NamedTuple):
    """A statement of a standard: what it asks, whom it binds, and what is missing here, if anything."""

    standard: str
    number: str
    words: str
    client_only: bool
    missing: str


def statements() -> list[Statement]:
    """Every statement, in order. Raises SystemExit when a line cannot be read, or when some are not there."""
    found = []
    for line in STATEMENTS.read_text().splitlines():
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            if match is None:
                raise SystemExit(f"{STATEMENTS}: cannot read {line!r}")
            found.append(Statement(match[1], match[2], match[3], bool(match[4]), match[5] or ""))
    for standard, stated in STATED.items():
        numbers = [each.number for each in found if each.standard == standard]
        if not len(numbers) == len(set(numbers)) == stated:
            has = f"{len(set(numbers))} numbers in {len(numbers)} lines"
            raise SystemExit(f"{STATEMENTS}: MQTT {STANDARD[standard]} has {stated} statements; found {has}")
    return found


def proofs() -> dict[tuple[str, str], list[str]]:
    """The tests by statement, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-m", "not xfail", "tests/conformance"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"pytest cannot collect tests/conformance:\n{done.stdout}{done.stderr}")
    found: dict[tuple[str, str], list[str]] = {}
    for line in done.stdout.splitlines():
        path, _, name = line.partition("::")
        for standard, number in _NUMBER.findall(name):
            words = _NUMBER.sub("", name.partition("[")[2].rstrip("]")).strip(" ,")
            found.setdefault((standard, number), []).append(f"{Path(path).stem}: {words}")
    return found


def page() -> str:
    """The page's text. Raises SystemExit for a test that names a statement which is not there."""
    listed, proven = statements(), proofs()
    unknown = set(proven) - {(each.standard, each.number) for each in listed}
    if unknown:
        raise SystemExit(f"tests name statements that {STATEMENTS.name} does not list: {sorted(unknown)}")
    lines = [
        "# MQTT conformance",
        "",
        "Made from the tests by `python tools/conformance.py`; do not edit. Every numbered statement of the",
        "OASIS standards MQTT 3.1.1 (29 October 2014) and MQTT 5.0 (7 March 2019) is here. For each that",
        "binds a server, or a client in a way that a server must notice: what it asks, in our words, and the",
        "tests in tests/conformance that prove it. Those that bind only clients are listed by number. A",
        "statement of which any part is missing counts as not yet met, whatever else of it is tested.",
    ]
    for standard in STANDARD:
        lines += _section(standard, [each for each in listed if each.standard == standard], proven)
    return "\n".join(lines) + "\n"


def _section(standard: str, listed: list[Statement], proven: dict[tuple[str, str], list[str]]) -> list[str]:
    rows, counts = [], {"proven": 0, "not yet": 0, "no test": 0}
    clients = [f"MQTT-{each.number}" for each in listed if each.client_only]
    for each in listed:
        if each.client_only:
            continue
        tests = proven.get((standard, each.number), [])
        counts["not yet" if each.missing else "proven" if tests else "no test"] += 1
        proof = [f"not yet: {each.missing}"] if each.missing else tests or ["no test yet"]
        rows.append(f"| MQTT-{each.number} | {each.words} | {'<br>'.join(proof).replace('|', '/')} |")
    summary = (
        f"{len(listed)} statements, of which {len(clients)} bind only clients and {len(rows)} are for this "
        f"server: {counts['proven']} proven, {counts['not yet']} not yet met"
    )
    if counts["no test"]:
        summary += f", {counts['no test']} without a test"
    return [
        "",
        f"## MQTT {STANDARD[standard]}",
        "",
        f"{summary}.",
        "",
        "| statement | asks | proof |",
        "|---|---|---|",
        *rows,
        "",
        f"Only for clients: {', '.join(clients)}.",
    ]


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is stale")
    wanted = page()
    if not parser.parse_args().check:
        PAGE.write_text(wanted)
        return 0
    if PAGE.exists() and PAGE.read_text() == wanted:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale: run python tools/conformance.py")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
