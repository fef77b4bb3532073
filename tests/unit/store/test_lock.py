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


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("not yours")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError, match="cannot be opened"), StoreLock(tmp_path / "lock"):
        pass
    assert (tmp_path / "victim").read_text() == "not yours"


def test_a_pipe_is_no_lock(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(StoreError, match="no plain file"), StoreLock(tmp_path / "lock"):
        pass


def test_nobody_else_reads_it(tmp_path):
    with StoreLock(tmp_path / "lock"):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StoreError, match="edgecore init"), StoreLock(tmp_path / "none" / "lock"):
        pass
