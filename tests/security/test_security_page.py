"""docs/security.md says what is so: its tables are read, and every test and every number in them is looked up."""

import ast
import importlib
import re
from dataclasses import fields
from fnmatch import fnmatchcase
from pathlib import Path

from edgecore.api import ApiSettings
from edgecore.deployments import DeploymentsSettings
from edgecore.inference import InferenceSettings
from edgecore.lambdas import LambdasSettings
from edgecore.listener import ListenerSettings
from edgecore.shadow import ShadowSettings
from edgecore.store import StoreSettings
from edgecore.uplink import UplinkSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
SECTIONS = {
    "listener": ListenerSettings,
    "store": StoreSettings,
    "functions": LambdasSettings,
    "shadow": ShadowSettings,
    "inference": InferenceSettings,
    "uplink": UplinkSettings,
    "deployments": DeploymentsSettings,
    "api": ApiSettings,
}
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "s": 1, "min": 60, "days": 24 * 3600}
CLASSES = range(1, 21)


def rows(heading):
    """The cells of each row of the tables under a heading of the second level, header rows left out."""
    text = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0].strip() not in {"class", "name"}]


def names_in_the_sources():
    """The names of all test functions that are named after a class, from the sources."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and re.match(r"test_class_\d\d_", node.name)
    }


def named_tests():
    """class -> the names, or patterns of names, in its row."""
    return {
        int(number): re.findall(r"`(test_[a-z0-9_*]+)`", tests)
        for number, _, _, tests in rows("The classes of vulnerability that brokers had")
    }


def settings_default(section, name):
    (default,) = [each.default for each in fields(SECTIONS[section]) if each.name == name]
    return default


def value_of(where, name):
    """What the code says: a setting's default, or a constant of a file."""
    section = re.fullmatch(r"`\[([a-z]+)\]`", where)
    if section:
        return settings_default(section[1], name)
    module = re.fullmatch(r"`(edgecore/[a-z_/]+)\.py`", where)[1].replace("/", ".")
    return getattr(importlib.import_module(module), name)


def number(text):
    amount, unit = re.fullmatch(r"([\d,.]+) ?([A-Za-z]*)", text).groups()
    return float(amount.replace(",", "")) * UNITS[unit]


def caps():
    """(name, value, where) of each row."""
    return [(row[0].strip("` "), row[1], row[2]) for row in rows("Caps")]


def test_every_class_has_a_row_with_a_test():
    assert sorted(named_tests()) == list(CLASSES)
    assert [number for number, tests in named_tests().items() if not tests] == []


def test_every_class_has_a_test_that_bears_its_number():
    assert {int(name[11:13]) for name in names_in_the_sources()} == set(CLASSES)


def test_every_test_that_is_named_exists_and_is_of_its_class():
    known = names_in_the_sources()
    for number_, tests in named_tests().items():
        for test in tests:
            assert test.startswith(f"test_class_{number_:02d}_"), test
            assert any(fnmatchcase(name, test) for name in known), test


def test_every_test_of_a_class_stands_in_its_row():
    listed = named_tests()
    missing = [
        name
        for name in sorted(names_in_the_sources())
        if not any(fnmatchcase(name, each) for each in listed[int(name[11:13])])
    ]
    assert missing == []


def test_every_cap_has_the_value_that_the_code_has():
    assert len(caps()) > 70
    for name, value, where in caps():
        found = value_of(where, name)
        stated = [number(each) for each in value.split(" and ")]
        assert list(found if isinstance(found, tuple) else (found,)) == stated, (name, where)


def test_no_cap_stands_twice():
    keys = [(name, where) for name, _, where in caps()]
    assert len(keys) == len(set(keys))


def test_every_maximum_that_may_be_set_for_the_listener_is_a_row():
    listed = {name for name, _, where in caps() if where == "`[listener]`"}
    maxima = {each.name for each in fields(ListenerSettings) if each.name.startswith("max_")}
    assert maxima
    assert maxima - listed == set()


def test_a_row_says_why():
    assert [row for row in rows("Caps") if len(row) != 5 or not all(row)] == []
