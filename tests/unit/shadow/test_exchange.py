"""Where a dialogue meets the documents and the disk."""

import json

import pytest
from shadow_world import Cloud, Core, quiet

from edgecore.base.errors import StoreError
from edgecore.base.group import SyncRule


@pytest.fixture
def core():
    made = Core(Cloud(), SyncRule())
    made.edit("update", b'{"state":{"desired":{"a":1}}}')
    quiet(made)
    return made


def told(core, state, version):
    return core.exchange.receive("update/accepted", json.dumps({"state": state, "version": version}).encode())


def test_what_is_taken_in_is_acknowledged_when_it_is_durable(core):
    commit = told(core, {"desired": {"a": 2}}, core.dialogue.mark.cloud_version + 1)
    assert not commit.resolved
    core.write("all")
    assert (commit.resolved, commit.error) == (True, None)
    assert core.state == {"desired": {"a": 2}}


def test_what_changes_nothing_is_acknowledged_at_once(core):
    assert told(core, {"desired": {"a": 1}}, core.dialogue.mark.cloud_version) is None


def test_what_the_disk_refuses_is_not_acknowledged(core):
    core.database.full = True
    commit = told(core, {"desired": {"a": 2}}, core.dialogue.mark.cloud_version + 1)
    assert "too many works wait" in str(commit.error)
    assert core.dialogue.problem == "too many works wait"


def test_what_cannot_be_written_is_not_acknowledged(core):
    core.database.fail = "the disk is full"
    commit = told(core, {"desired": {"a": 2}}, core.dialogue.mark.cloud_version + 1)
    core.write("all")
    assert isinstance(commit.error, StoreError)
    assert core.state == {"desired": {"a": 1}}


@pytest.mark.parametrize("payload", [b"nonsense", b"\xff", b'{"version":"x"}', b"[" * 100_000])
def test_what_cannot_be_read_is_left_out(core, payload, caplog):
    assert core.exchange.receive("update/accepted", payload) is None
    assert "cannot be read" in caplog.text


def test_a_problem_is_logged_once(core, caplog):
    core.cloud.faults = ["500"] * 3
    core.edit("update", b'{"state":{"desired":{"a":3}}}')
    quiet(core)
    assert caplog.text.count("is not synchronised") == 1
