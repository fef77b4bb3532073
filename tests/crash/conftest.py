"""Lets the files here find one another as `tests.crash`, however pytest was started; keeps traces clean."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def _no_coverage_in_what_is_traced(monkeypatch):
    """Coverage of a child process writes files of its own: they are no part of what a core does."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
