"""What is said with the cloud, scenario by scenario; every history at once: tests/properties/test_shadow_histories.py.

The core is real down to its disk, the cloud is the simulator's shadow service, and every step is the test's.
"""

import json

import pytest
from shadow_world import Cloud, Core, quiet

from edgecore.base.group import SyncRule
from edgecore.shadow.dialogue import Phase
from edgecore.shadow.events import NotSubscribed

D, R = "desired", "reported"


@pytest.fixture
def cloud():
    return Cloud()


@pytest.fixture
def core(cloud):
    return Core(cloud, SyncRule())


def here(core, **sections):
    core.edit("update", json.dumps({"state": sections}).encode())
    core.write("all")


def there(cloud, **sections):
    assert cloud.request("update", json.dumps({"state": sections}).encode())


def asked(core, since):
    return core.log[since:]


def in_step_with(core, cloud, **sections):
    """Both sides have it and are quiet."""
    here(core, **sections)
    quiet(core)
    assert core.state == cloud.state == sections
    return len(core.log)


# Deletion and recreation


@pytest.mark.parametrize("offline", [False, True])
def test_deleted_here(cloud, core, offline):
    in_step_with(core, cloud, reported={"a": 1})
    if offline:
        core.go_down(keep=False)
    core.edit("delete", b"")
    quiet(core)
    assert core.state is cloud.state is None


@pytest.mark.parametrize("offline", [False, True])
def test_deleted_there(cloud, core, offline):
    in_step_with(core, cloud, reported={"a": 1})
    if offline:
        core.go_down(keep=False)
    cloud.request("delete", b"")
    quiet(core)
    assert core.state is cloud.state is None


def test_a_deletion_here_gives_way_to_a_change_there(cloud, core):
    in_step_with(core, cloud, reported={"a": 1})
    core.edit("delete", b"")
    core.write("all")
    there(cloud, desired={"b": 1})
    quiet(core)
    assert core.state == cloud.state == {R: {"a": 1}, D: {"b": 1}}


def test_a_deletion_there_gives_way_to_a_change_here(cloud, core):
    in_step_with(core, cloud, reported={"a": 1})
    core.go_down(keep=False)
    cloud.request("delete", b"")
    here(core, reported={"a": 2})
    quiet(core)
    assert core.state == cloud.state == {R: {"a": 2}}


@pytest.mark.parametrize("offline", [False, True])
def test_made_again_here(cloud, core, offline):
    in_step_with(core, cloud, reported={"a": 1}, desired={"b": 1})
    if offline:
        core.go_down(keep=False)
    core.edit("delete", b"")
    here(core, reported={"c": 1})
    quiet(core)
    assert core.state == cloud.state == {R: {"c": 1}}


@pytest.mark.parametrize("offline", [False, True])
def test_made_again_there_is_not_deleted_again(cloud, core, offline):
    in_step_with(core, cloud, desired={"a": 1})
    if offline:
        core.go_down(keep=False)
    cloud.request("delete", b"")
    there(cloud, desired={"b": 1})
    quiet(core)
    assert core.state == cloud.state == {D: {"b": 1}}


def test_made_again_over_a_tombstone_that_the_cloud_has_forgotten(cloud, core):
    in_step_with(core, cloud, desired={"a": 1})
    core.edit("delete", b"")
    quiet(core)
    cloud.now += 3 * 86_400  # AWS numbers anew after 48 hours
    here(core, desired={"b": 1})
    quiet(core)
    assert core.state == cloud.state == {D: {"b": 1}}


def test_a_tombstone_of_another_deletion_is_not_asked_for_again_and_again(cloud, core):
    in_step_with(core, cloud, desired={"a": 1})
    core.edit("delete", b"")
    quiet(core)
    core.go_down(keep=False)
    there(cloud, desired={"x": 1})
    cloud.request("delete", b"")
    here(core, desired={"b": 1})
    quiet(core)
    assert core.state == cloud.state == {D: {"b": 1}}


def test_a_shadow_is_made_without_overwriting_one_that_is_made_meanwhile(cloud, core):
    core.go_up()
    core.send()
    core.take()  # the cloud has none
    here(core, desired={"a": "ours"})
    there(cloud, desired={"a": "theirs"})  # and has one before ours arrives
    quiet(core)
    assert core.state == cloud.state == {D: {"a": "theirs"}}


# Versions


def test_a_gap_in_the_versions(cloud, core):
    since = in_step_with(core, cloud, desired={"a": 1})
    cloud.links.remove(core)  # a message is lost, and nobody knows
    there(cloud, desired={"b": 1})
    cloud.links.append(core)
    there(cloud, desired={"c": 1})
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 1, "b": 1, "c": 1}}
    assert asked(core, since) == ["get"]


def test_a_version_conflict_409(cloud, core):
    since = in_step_with(core, cloud, desired={"a": 1}, reported={"a": 1})
    cloud.links.remove(core)
    there(cloud, desired={"a": 2}, reported={"a": 2})
    cloud.links.append(core)
    here(core, desired={"a": 3}, reported={"a": 3})
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 2}, R: {"a": 3}}
    assert asked(core, since) == ["update", "get", "update"]


def test_a_conflict_that_was_announced_needs_no_get(cloud, core):
    since = in_step_with(core, cloud, desired={"a": 1})
    here(core, reported={"a": 3})
    there(cloud, desired={"a": 2})  # before ours arrives
    core.send()
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 2}, R: {"a": 3}}
    assert asked(core, since) == ["update", "update"]


def test_messages_that_are_doubled_or_late(cloud, core):
    since = in_step_with(core, cloud, desired={"a": 1})
    there(cloud, desired={"a": 2})
    there(cloud, desired={"b": 1})
    core.inbox.extend([core.inbox[1], core.inbox[1], core.inbox[0]])
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 2, "b": 1}}
    assert asked(core, since) == ["get"]  # an old one may also be of a cloud that lost its memory


def test_a_document_that_no_message_could_hold_is_not_believed(cloud, core):
    since = in_step_with(core, cloud, desired={"a": 1})
    version = core.dialogue.mark.cloud_version
    for number, key in enumerate("bc", 1):
        said = {"version": version + number, "state": {D: {key: "x" * 70_000}}}
        core.exchange.receive("update/accepted", json.dumps(said).encode())
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 1}}
    assert core.exchange.unreadable == 1
    assert asked(core, since) == ["get"]


# A faulty cloud


@pytest.mark.parametrize("fault", ["429", "500", "500 done"])
def test_throttling_and_faults(cloud, core, fault):
    in_step_with(core, cloud, reported={"a": 1})
    cloud.faults = [fault] * 3
    here(core, reported={"a": 2})
    quiet(core)
    assert core.state == cloud.state == {R: {"a": 2}}
    assert core.dialogue.problem == ""


def test_each_failure_in_a_row_waits_longer_and_success_forgets_them(cloud, core):
    in_step_with(core, cloud, reported={"a": 1})
    cloud.faults = ["429"] * 3
    here(core, reported={"a": 2})
    quiet(core)
    here(core, reported={"a": 3})
    cloud.faults = ["500"]
    quiet(core)
    assert core.pauses == [1, 2, 3, 1]


def test_restored_from_a_backup(cloud, core):
    in_step_with(core, cloud, desired={"a": 1}, reported={"a": 1, "b": 1})
    cloud.keep_backup()
    there(cloud, desired={"a": 2, "new": 2})
    here(core, reported={"a": 2, "b": None})
    quiet(core)
    core.go_down(keep=False)
    cloud.restore()
    here(core, reported={"c": 3})
    quiet(core)
    # Desired is the cloud's to say; what a device reported was not undone by anybody.
    assert core.state == cloud.state == {D: {"a": 1}, R: {"a": 2, "b": 1, "c": 3}}


def test_restored_from_a_backup_while_connected_is_noticed_when_the_cloud_speaks(cloud, core):
    in_step_with(core, cloud, desired={"a": 1})
    cloud.keep_backup()
    there(cloud, desired={"b": 2})
    there(cloud, desired={"c": 2})
    quiet(core)
    cloud.restore()
    there(cloud, desired={"d": 3})  # under a version that is known
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 1, "d": 3}}


# Two cores on one thing, by mistake


def test_two_cores_on_one_thing(cloud, core):
    other = Core(cloud, SyncRule(), "d")
    here(core, desired={"a": 1}, reported={"x": "one", "own": 1})
    here(other, desired={"b": 2}, reported={"x": "two"})
    quiet(core, other)
    assert core.state == other.state == cloud.state
    assert cloud.state[D] == {"a": 1, "b": 2}
    assert cloud.state[R]["own"] == 1
    before = len(core.log) + len(other.log)
    for number in range(5):
        here(core, reported={"x": number})
        here(other, reported={"x": -number})
        quiet(core, other)
        assert core.state == other.state == cloud.state
    assert len(core.log) + len(other.log) - before <= 5 * 6


# Long offline


def test_long_offline_edits_on_both_sides(cloud, core):
    in_step_with(core, cloud, desired={"a": 0, "m": {"x": 0, "y": 0}}, reported={"t": 0, "gone": 1})
    core.go_down(keep=False)
    for day in range(1, 200):
        here(core, reported={"t": day}, desired={"m": {"x": day}})
        there(cloud, desired={"a": day, "m": {"y": day}})
        if day == 100:
            here(core, reported={"gone": None})
            core.power_cut(keep=False)
    since = len(core.log)
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 199, "m": {"x": 199, "y": 199}}, R: {"t": 199}}
    assert asked(core, since) == ["get", "update"]  # not a log of 200 changes


# What was pushed, and whether it arrived


@pytest.mark.parametrize("how", ["lost reply", "power cut", "lost request"])
def test_what_is_edited_after_a_push_of_unknown_outcome_is_not_lost(cloud, core, how):
    in_step_with(core, cloud, desired={"a": 1})
    here(core, desired={"a": 2})
    if how == "lost request":
        core.outbox.clear()
    else:
        core.send()
        core.inbox.clear()
    if how == "power cut":
        core.power_cut(keep=False)
    here(core, desired={"a": 3})
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 3}}
    assert core.dialogue.conflicts == 0


def test_a_request_that_arrives_late_says_what_its_copy_says(cloud, core):
    in_step_with(core, cloud, desired={"a": 1})
    here(core, desired={"a": 2})
    late = core.outbox.popleft()
    core.time_out()
    here(core, desired={"a": 3})
    core.elapse()
    core.send()  # the get
    core.take()
    core.write("all")
    assert core.outbox[0] == late
    cloud.request(*late)
    quiet(core)
    assert core.state == cloud.state == {D: {"a": 3}}


def test_nothing_is_sent_before_it_is_noted_on_disk(cloud, core):
    in_step_with(core, cloud, desired={"a": 1})
    core.edit("update", b'{"state":{"desired":{"a":2}}}')
    core.database.hand_over()
    core.database.sync()
    core.database.finish()  # the edit is durable, and the note waits
    assert (core.dialogue.phase, list(core.outbox)) == (Phase.NOTING, [])
    core.write("all")
    assert [verb for verb, _ in core.outbox] == ["update"]


def test_what_the_cloud_says_and_the_disk_refuses_is_got_again(cloud, core):
    in_step_with(core, cloud, desired={"a": 1})
    core.database.fail = "the disk is full"
    there(cloud, desired={"a": 2})
    core.take()
    core.write("all")
    assert core.state == {D: {"a": 1}}
    assert "full" in core.dialogue.problem
    core.database.fail = None
    quiet(core)
    assert core.state == {D: {"a": 2}}


def test_what_was_stored_after_something_that_was_not_counts(cloud, core):
    core.go_up()
    core.edit("update", b'{"state":{"desired":{"a":1}}}')
    core.database.fail = "the disk is full"
    core.send()
    core.database.hand_over()
    core.database.sync()
    core.take()  # the cloud has none: noted beside an edit that fails
    core.database.finish()
    there(cloud, desired={"a": 2})
    core.take()
    core.database.fail = None
    core.write("all")
    there(cloud, desired={"a": None})
    quiet(core)
    assert core.state == cloud.state == {}


def test_a_refusal_stands_until_something_changes(cloud, core):
    in_step_with(core, cloud, reported={"a": 1})
    cloud.faults = ["413"]
    here(core, reported={"a": 2})
    since = len(core.log)
    quiet(core)
    assert core.dialogue.problem == "the cloud replied 413 fault"
    assert cloud.state == {R: {"a": 1}}
    assert asked(core, since) == []
    here(core, reported={"a": 3})
    quiet(core)
    assert cloud.state == {R: {"a": 3}}
    assert core.dialogue.problem == ""


# Directions and periods


def test_device_to_cloud(cloud):
    core = Core(cloud, SyncRule("deviceToCloud"))
    there(cloud, desired={"a": "theirs", "own": 1})
    here(core, desired={"a": "ours"}, reported={"b": 1, "c": 1})
    version = core.version
    quiet(core)
    assert cloud.state == {D: {"a": "ours", "own": 1}, R: {"b": 1, "c": 1}}
    there(cloud, reported={"b": 9})  # does not stand
    quiet(core)
    assert cloud.state[R] == {"b": 1, "c": 1}
    assert core.version == version  # nothing came here
    core.go_down(keep=False)
    here(core, reported={"c": None})
    quiet(core)
    assert cloud.state == {D: {"a": "ours", "own": 1}, R: {"b": 1}}
    cloud.request("delete", b"")
    quiet(core)
    assert cloud.state == core.state == {D: {"a": "ours"}, R: {"b": 1}}
    core.edit("delete", b"")
    quiet(core)
    assert cloud.state is None


def test_cloud_to_device(cloud):
    core = Core(cloud, SyncRule("cloudToDevice"))
    there(cloud, desired={"a": "theirs", "b": 1})
    here(core, desired={"a": "ours"}, reported={"own": 1})
    quiet(core)
    assert core.state == {D: {"a": "theirs", "b": 1}, R: {"own": 1}}
    here(core, desired={"a": "ours again"})
    quiet(core)
    assert core.state[D] == {"a": "theirs", "b": 1}
    there(cloud, desired={"b": None})
    quiet(core)
    assert core.state == {D: {"a": "theirs"}, R: {"own": 1}}
    core.edit("delete", b"")
    quiet(core)
    assert core.state == cloud.state == {D: {"a": "theirs"}}
    cloud.request("delete", b"")
    quiet(core)
    assert core.state is None
    assert set(core.log) == {"get"}


def test_periodic(cloud):
    core = Core(cloud, SyncRule(every=300.0))
    here(core, reported={"a": 1})
    quiet(core)
    since = len(core.log)
    core.hold_timers = True
    here(core, reported={"a": 2})  # the period before has passed without news: at once
    quiet(core)
    assert cloud.state == {R: {"a": 2}}
    assert core.dialogue.phase is Phase.HOLDING
    for number in range(3, 9):
        here(core, reported={"a": number})
        there(cloud, desired={"b": number})
    quiet(core)
    assert (cloud.state[R], core.state.get(D)) == ({"a": 2}, None)
    core.hold_timers = False
    quiet(core)
    assert core.state == cloud.state == {D: {"b": 8}, R: {"a": 8}}
    assert asked(core, since) == ["update", "get", "update"]


# The link


def test_not_allowed_to_listen(cloud, core):
    core.cloud.links.append(core)
    core.exchange.feed(core.link_up())
    core.exchange.feed(NotSubscribed("refused", forbidden=True))
    here(core, reported={"a": 1})
    assert (core.dialogue.phase, core.dialogue.problem, core.log) == (Phase.DEAF, "refused", [])
    core.go_down(keep=False)
    quiet(core)
    assert cloud.state == {R: {"a": 1}}
