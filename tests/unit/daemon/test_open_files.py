import resource

import pytest

from edgecore.daemon import open_files


@pytest.fixture
def limits(monkeypatch):
    """The process's limits, as if: [soft, hard]."""
    now = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: tuple(now))

    def set_to(_which, new):
        now[:] = new

    monkeypatch.setattr(resource, "setrlimit", set_to)
    return now


def test_the_soft_limit_becomes_the_hard_one(limits):
    assert open_files.raise_open_files() == 4096
    assert limits == [4096, 4096]
    assert open_files.raise_open_files() == 4096


def test_a_limit_that_cannot_be_raised_is_said(limits, monkeypatch, caplog):
    def refuse(*_):
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert open_files.raise_open_files() == 1024
    assert limits == [1024, 4096]
    assert "open files stay limited" in caplog.text


def test_of_this_process():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert open_files.raise_open_files() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
