import pytest

from edgecore.base.errors import StoreError
from edgecore.cli import device_access, exit_codes
from edgecore.store import StoreLock


@pytest.fixture
def resting(edgecore, tmp_path):
    """The folder of a core that does not run."""
    folder = tmp_path / "d"
    assert edgecore("init", "--dir", folder, "--thing", "core-7").code == 0
    return folder


def test_a_core_that_runs_is_asked(edgecore, core):
    assert edgecore("device", "list", "--dir", core.folder).code == 0
    assert not (core.folder / "state").exists()


def test_a_folder_that_was_never_initialised(edgecore, tmp_path):
    done = edgecore("device", "list", "--dir", tmp_path)
    assert done.code == exit_codes.CONFIG
    assert "Make them with `edgecore init`" in done.err


def test_waits_for_another_that_holds_the_store(edgecore, resting, monkeypatch):
    with StoreLock(resting / "state" / "lock"):
        monkeypatch.setattr(device_access, "_PATIENCE", 0.0)
        done = edgecore("device", "list", "--dir", resting)
    assert done.code == exit_codes.FAILED
    assert "another edgecore runs on this folder; stop it first" in done.err


def test_goes_on_once_the_store_is_free(edgecore, resting, monkeypatch):
    lock = StoreLock(resting / "state" / "lock")
    lock.__enter__()
    monkeypatch.setattr(device_access.time, "sleep", lambda _: lock.__exit__(None, None, None))
    assert edgecore("device", "list", "--dir", resting).code == 0


def test_the_error_of_a_held_store_is_one_of_the_store():
    assert issubclass(device_access.HeldError, StoreError)
