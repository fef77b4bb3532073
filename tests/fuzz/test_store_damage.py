"""Damage at hundreds of places, and the law: see store_damage.py, which also runs ten thousands.

EDGECORE_DAMAGE_CASES makes it as many as you like.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import store_damage  # noqa: E402  the sibling file, found by the line above

CASES = int(os.environ.get("EDGECORE_DAMAGE_CASES", "300"))
PARTS = 6
SEED = 2026


@pytest.fixture(scope="module")
def originals():
    folder = Path(tempfile.mkdtemp(prefix="edgecore-damage-", dir=store_damage.in_memory()))
    yield folder, store_damage.make_all(SEED, folder)
    shutil.rmtree(folder)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_store_opens_and_keeps_what_it_can(originals, part):
    folder, made = originals
    broken = []
    outcomes = store_damage.run(
        range(part, CASES, PARTS),
        SEED,
        made,
        folder / "case",
        lambda number, error: broken.append(f"{number}: {error}"),
    )
    assert broken == []
    assert len(outcomes) == len(range(part, CASES, PARTS))
    # A test that damages nothing would pass too.
    assert sum(each.salvaged for each in outcomes) > len(outcomes) // 4
