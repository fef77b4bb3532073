"""Make docs/mqtt-conformance.md from the tests: which statement of the standards is proven by which test.

A test proves the statements that its parametrised name begins with ("3: MQTT-3.1.0-1, 5: MQTT-3.1.0-1 ...").
`python tools/conformance.py` writes the page, `--check` fails when it is not what the tests say.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mqtt-conformance.md"
STATEMENTS = ROOT / "tests" / "conformance" / "statements.txt"
STANDARD = {"3": "3.1.1", "5": "5.0"}

_NUMBER = re.compile(r"([35]): MQTT-(\d+\.\d+\.\d+-\d+)")
_LINE = re.compile(r"([35]) (\S+) \| ([^|]+?)(?: \| not yet: (.+))?")


def statements() -> list[tuple[str, str, str, str]]:
    """(standard, number, what it asks, what is missing or "") of each statement, in order."""
    found = []
    for line in STATEMENTS.read_text().splitlines():
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            if match is None:
                raise SystemExit(f"{STATEMENTS}: cannot read {line!r}")
            found.append((match[1], match[2], match[3], match[4] or ""))
    return found


def proofs() -> dict[tuple[str, str], list[str]]:
    """The tests by statement, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/conformance"], cwd=ROOT, capture_output=True, text=True, check=False
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
    """The page's text. Raises SystemExit for a test that names a statement which is not listed."""
    listed, proven = statements(), proofs()
    unknown = set(proven) - {(standard, number) for standard, number, _, _ in listed}
    if unknown:
        raise SystemExit(f"tests name statements that {STATEMENTS.name} does not list: {sorted(unknown)}")
    lines = [
        "# MQTT conformance",
        "",
        "Made from the tests by `python tools/conformance.py`; do not edit. For each listed statement",
        "that binds a server: what it asks, in our words, and the tests in tests/conformance that prove it.",
        "Not complete: statements that bind only clients are left out, and some that bind servers",
        "are not listed yet, among them most size rules for reason strings and user properties.",
    ]
    for standard, title in STANDARD.items():
        lines += _section(title, [each for each in listed if each[0] == standard], proven)
    return "\n".join(lines) + "\n"


def _section(
    title: str, listed: list[tuple[str, str, str, str]], proven: dict[tuple[str, str], list[str]]
) -> list[str]:
    rows, counts = [], {"proven": 0, "not yet": 0, "no test": 0}
    for standard, number, words, missing in listed:
        tests = proven.get((standard, number), [])
        kind = "not yet" if missing else "proven" if tests else "no test"
        counts[kind] += 1
        proof = [f"not yet: {missing}"] if missing else tests or ["no test yet"]
        rows.append(f"| MQTT-{number} | {words} | {'<br>'.join(proof).replace('|', '/')} |")
    summary = f"{len(rows)} statements: {counts['proven']} proven, {counts['not yet']} not yet built"
    if counts["no test"]:
        summary += f", {counts['no test']} without a test"
    return [
        "",
        f"## MQTT {title}",
        "",
        f"{summary}.",
        "",
        "| statement | asks | proof |",
        "|---|---|---|",
        *rows,
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
