"""docs/simulated-cloud.md says what is so: each test that it names exists, each fault and option is there."""

import ast
import re
from pathlib import Path

from edgecore.cli.sim import cloud
from edgecore.cli.sim_cloud import FAULT_HELP
from edgecore.sim.cloud.faults import FAULTS

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs/simulated-cloud.md").read_text()


def names_of(path):
    """`file`, `file.Class`, `file.Class.test` and `file.test` of a test file."""
    found = {path.stem}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(f"{path.stem}.{node.name}")
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{path.stem}.{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def rows():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_test_that_is_named_exists():
    known = set().union(*map(names_of, Path(__file__).parent.glob("test_*.py")))
    named = set(re.findall(r"`(test_\w+(?:\.\w+)*)`", PAGE)) - {"test_page.py"}
    assert len(named) > 60
    assert sorted(named - known) == []


def test_every_row_of_what_is_as_aws_has_its_test():
    before = PAGE.partition("## MQTT, where AWS")[2]
    lines = [line for line in before.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert len(lines) > 45
    assert [line for line in lines if "`test_" not in line.rpartition(" | ")[2]] == []


def test_every_fault_is_on_the_page_and_in_the_help():
    on_the_page = {
        row[0].split()[0].strip("`") for row in rows() if row[-1].startswith("`test_") and len(row) == 3
    }
    assert set(FAULTS) <= on_the_page
    assert set(FAULTS) <= set(re.findall(r"\[bold\]([\w-]+)\[/bold\]", FAULT_HELP))


def test_every_option_that_is_named_exists():
    named = set(re.findall(r"`(--[\w-]+)`", PAGE))
    parameters = {f"--{name.replace('_', '-')}" for name in cloud.__annotations__} | {"--dir", "--cloud"}
    assert named
    assert named <= parameters
