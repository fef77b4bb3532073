import os
import subprocess
import sys

import pytest

from edgecore.base.errors import StoreError
from edgecore.store import StoreLock


def test_the_second_holder_is_told_who_holds_it(tmp_path):
    held = pytest.raises(StoreError, match=f"held by process {os.getpid()}")
    with StoreLock(tmp_path / "lock"), held, StoreLock(tmp_path / "lock"):
        pass
    with StoreLock(tmp_path / "lock"):
        pass


def test_it_ends_with_its_process(tmp_path):
    code = f"from pathlib import Path; from edgecore.store.lock import StoreLock; StoreLock(Path({str(tmp_path / 'lock')!r})).__enter__(); import os; os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with StoreLock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StoreError, match="edgecore init"), StoreLock(tmp_path / "none" / "lock"):
        pass
