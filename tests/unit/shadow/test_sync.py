"""Synchronisation against an ideal cloud whose link can be cut at any point."""

import json

import pytest

from edgecore.base.errors import PermanentCloudError
from edgecore.shadow.topics import ShadowId
from edgecore.store import Database, StoreSettings, durable

T = ShadowId("t")
N = ShadowId("t", "n")
PREFIX = T.prefix


def desired(**values):
    return {"state": {"desired": values}}


def reported(**values):
    return {"state": {"reported": values}}


async def update(house, body, shadow=T):
    await durable(house.bus.send(shadow.topic("update"), body))


async def online(house):
    house.cloud.go_up()
    await house.in_step(T)
    await house.in_step(N)
    house.cloud.requests.clear()
    house.bus.messages.clear()


async def test_what_was_done_offline_reaches_the_cloud(house):
    await update(house, reported(a=1))
    await update(house, reported(b=2))
    house.cloud.go_up()
    await house.in_step(T)
    assert house.cloud.state(T) == {"reported": {"a": 1, "b": 2}}
    # One update without content to take a version, one with all that was done.
    assert [body["state"] for verb, body in house.cloud.requests if verb == "update"] == [
        {},
        {"reported": {"a": 1, "b": 2}},
    ]
    assert house.service.status()["last_synced"] == int(house.clock.now())


async def test_what_was_done_in_the_cloud_reaches_the_devices(house):
    await update(house, desired(a=1))
    await online(house)
    house.cloud.edit(T, {"desired": {"a": 2}})
    await house.in_step(T)
    assert house.local(T) == {"desired": {"a": 2}}
    assert [body["state"] for body in house.bus.heard("update/delta")] == [{"a": 2}]
    assert house.cloud.requests == []


async def test_a_local_change_goes_out_with_the_clouds_version_and_a_token(house):
    await update(house, reported(a=1))
    await online(house)
    await update(house, reported(a=2))
    await house.in_step(T)
    [(verb, body)] = house.cloud.requests
    assert verb == "update"
    assert (body["state"], body["version"]) == ({"reported": {"a": 2}}, 2)
    assert 0 < len(body["clientToken"]) <= 64
    assert house.bus.heard("update/accepted")[0]["version"] == 2  # the echo changed nothing here
    assert len(house.bus.heard("update/accepted")) == 1


async def test_an_update_that_changes_nothing_is_not_sent(house):
    await update(house, reported(a=1))
    await online(house)
    await update(house, reported(a=1))
    await house.in_step(T)
    assert house.cloud.requests == []


async def test_one_request_at_a_time_and_what_changes_meanwhile_goes_together(house):
    await online(house)
    commits = []
    for n in range(20):
        commits.append(house.bus.send(T.topic("update"), reported(n=n)))
        if n % 7 == 0:
            await durable(commits)
    await durable(commits)
    await house.in_step(T)
    assert house.cloud.state(T) == {"reported": {"n": 19}}
    assert len(house.cloud.requests) < 8


async def test_named_shadows_go_their_own_way(house):
    await update(house, desired(mode="x"), N)
    await online(house)
    house.cloud.edit(N, {"desired": {"mode": "y"}})
    await house.in_step(N)
    assert house.local(N) == {"desired": {"mode": "y"}}
    assert house.local(T) is None


async def test_conflict_the_cloud_wins_desired_the_device_reported(house):
    await update(house, {"state": {"desired": {"a": 1}, "reported": {"a": 1}}})
    await online(house)
    house.cloud.go_down()
    await update(house, {"state": {"desired": {"a": 2}, "reported": {"a": 2}}})
    house.cloud.edit(T, {"desired": {"a": 3}, "reported": {"a": 3}})
    house.cloud.go_up()
    await house.in_step(T)
    assert house.local(T) == {"desired": {"a": 3}, "reported": {"a": 2}}
    assert house.service.status()["conflicts"] == 2


async def test_a_deletion_here_deletes_in_the_cloud(house):
    await update(house, reported(a=1))
    await online(house)
    await durable(house.bus.send(T.topic("delete"), b""))
    await house.in_step(T)
    assert house.cloud.state(T) is None
    await update(house, reported(b=1))
    await house.in_step(T)
    assert house.cloud.state(T) == {"reported": {"b": 1}}
    assert house.cloud.requests[-1][1]["version"] == 3  # the tombstone's


async def test_a_deletion_in_the_cloud_deletes_here(house):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.edit(T, None, "delete")
    await house.in_step(T)
    assert house.local(T) is None
    assert [body["version"] for body in house.bus.heard("delete/accepted")] == [1]


@pytest.mark.parametrize("changed", [False, True])
async def test_a_deletion_in_the_cloud_while_offline(house, changed):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.go_down()
    house.cloud.edit(T, None, "delete")
    if changed:
        await update(house, reported(a=2))
    house.cloud.go_up()
    await house.in_step(T)
    assert house.local(T) == ({"reported": {"a": 2}} if changed else None)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_deletion_here_while_offline(house, changed):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.go_down()
    await durable(house.bus.send(T.topic("delete"), b""))
    if changed:
        house.cloud.edit(T, {"desired": {"b": 1}})
    house.cloud.go_up()
    await house.in_step(T)
    assert house.cloud.state(T) == ({"reported": {"a": 1}, "desired": {"b": 1}} if changed else None)


async def test_deleted_and_made_again_in_the_cloud_is_not_deleted_again(house):
    await update(house, desired(a=1))
    await online(house)
    house.cloud.edit(T, None, "delete")
    house.cloud.edit(T, {"desired": {"b": 2}})
    await house.in_step(T)
    house.cloud.go_down()
    house.cloud.edit(T, None, "delete")
    house.cloud.edit(T, {"desired": {"c": 3}})
    house.cloud.go_up()
    await house.in_step(T)
    assert house.local(T) == house.cloud.state(T) == {"desired": {"c": 3}}


async def test_a_version_conflict_leads_to_a_full_synchronisation(house):
    await update(house, reported(a=1))
    await online(house)
    # The cloud changes without telling us, as when a message was lost.
    house.cloud.carry_out(T, "update", b'{"state":{"desired":{"d":1}}}')
    await update(house, reported(a=2))
    await house.in_step(T)
    assert house.local(T) == {"desired": {"d": 1}, "reported": {"a": 2}}
    assert [verb for verb, _ in house.cloud.requests] == ["update", "get", "update"]


async def test_a_gap_in_the_versions_leads_to_a_full_synchronisation(house):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.carry_out(T, "update", b'{"state":{"desired":{"d":1}}}')
    house.cloud.edit(T, {"desired": {"e": 1}})
    await house.in_step(T)
    assert house.local(T) == {"desired": {"d": 1, "e": 1}, "reported": {"a": 1}}
    house.cloud.carry_out(T, "update", b'{"state":{"desired":{"f":1}}}')
    house.cloud.edit(T, None, "delete")
    await house.in_step(T)
    assert house.local(T) is None


async def test_redelivered_announcements_change_nothing(house):
    await update(house, desired(a=1))
    await online(house)
    house.cloud.edit(T, {"desired": {"a": 2}})
    await house.in_step(T)
    version = house.service._shadows.document(T).version
    old = {"state": {"desired": {"a": 1}}, "version": 1, "timestamp": 1}
    house.cloud.say(T.topic("update/accepted"), json.dumps(old).encode())
    house.cloud.say(T.topic("update/accepted"), json.dumps({**old, "version": 2}).encode())
    house.cloud.say(T.topic("delete/accepted"), b'{"version":1}')
    assert house.service._shadows.document(T).version == version


@pytest.mark.parametrize("payload", [b"nonsense", b"\xff", b'{"version":"x"}', b"[" * 100_000])
async def test_what_cannot_be_read_is_left_out(house, payload, caplog):
    await online(house)
    house.cloud.say(T.topic("update/accepted"), payload)
    assert "cannot be read" in caplog.text


async def test_replies_to_others_are_not_taken_for_ours(house):
    await online(house)
    house.cloud.say(
        T.topic("get/accepted"), b'{"state":{"desired":{"x":1}},"version":9,"clientToken":"theirs"}'
    )
    house.cloud.say(T.topic("get/rejected"), b'{"code":404,"message":"","clientToken":""}')
    house.cloud.say(T.topic("update/rejected"), b'{"code":409,"message":""}')
    await house.in_step(T)
    assert house.local(T) is None


@pytest.mark.parametrize("codes", [[429], [500, 503], [429] * 5])
async def test_throttling_and_faults_are_tried_again(house, codes):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.answer_with = list(codes)
    await update(house, reported(a=2))
    await house.in_step(T)
    assert house.service.status()["problems"] == {}


async def test_a_refusal_is_kept_until_something_changes(house):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.answer_with = [413]
    await update(house, reported(a=2))
    await house.until(lambda: house.service.status()["problems"])
    assert house.service.status()["problems"] == {"t": "the cloud replied 413 no"}
    assert house.service.status()["pending"] == 1
    assert len(house.cloud.requests) == 1
    await update(house, reported(a=3))
    await house.in_step(T)
    assert house.service.status()["problems"] == {}


async def test_a_get_that_is_refused_is_tried_again(house):
    house.cloud.answer_with = [403, 403, 403]
    await update(house, reported(a=1))
    house.cloud.go_up()
    await house.in_step(T)


async def test_a_lost_reply_leads_to_a_full_synchronisation(house):
    await update(house, reported(a=1))
    await online(house)
    house.cloud.silent = 1
    await update(house, reported(a=2))
    await house.in_step(T)
    assert [verb for verb, _ in house.cloud.requests] == ["update", "get", "update"]


async def test_an_update_overtakes_the_reply_to_a_get(house):
    await update(house, desired(a=1))
    await online(house)
    house.cloud.go_down()
    house.cloud.silent = 1
    house.cloud.go_up()
    await house.until(lambda: house.cloud.requests)
    token = house.cloud.requests[0][1]["clientToken"]
    old = {"state": {"desired": {"a": 1}}, "version": 2, "clientToken": token}
    house.cloud.say(*announcement(house, {"desired": {"a": 2}}))
    house.cloud.say(T.topic("get/accepted"), json.dumps(old).encode())
    await house.in_step(T)
    assert house.local(T) == {"desired": {"a": 2}}


def announcement(house, state):
    """An update in the cloud, told at once."""
    replies = house.cloud.carry_out(T, "update", json.dumps({"state": state}).encode())
    return T.topic("update/accepted"), replies[-1].payload


async def test_a_cloud_that_begins_anew_is_believed(house):
    await update(house, desired(a=1))
    await online(house)
    for n in range(5):
        house.cloud.edit(T, {"desired": {"a": n}})
    await house.in_step(T)
    house.cloud.go_down()
    del house.cloud.documents[T]
    house.cloud.edit(T, {"desired": {"fresh": 1}})
    house.cloud.go_up()
    await house.in_step(T)
    assert house.local(T) == {"desired": {"fresh": 1}}


async def test_a_subscription_that_is_refused_is_said_and_others_go_on(house):
    house.cloud.refuse_subscribe = (T.topic("get/+"),)
    await update(house, reported(a=1), N)
    house.cloud.go_up()
    await house.in_step(N)
    assert "refused" in house.service.status()["problems"]["t"]
    house.cloud.go_down()
    house.cloud.refuse_subscribe = ()
    house.cloud.go_up()
    await house.in_step(T)
    assert house.service.status()["problems"] == {}


async def test_a_publish_that_is_refused_is_said_and_tried_again(house, monkeypatch):
    await online(house)
    publish, refusals = house.cloud.publish, [1]

    async def refuse_once(topic, payload):
        if refusals:
            refusals.pop()
            raise PermanentCloudError("too large")
        await publish(topic, payload)

    monkeypatch.setattr(house.cloud, "publish", refuse_once)
    await update(house, reported(a=1))
    await house.in_step(T)


async def test_marks_survive_a_restart(house):
    await update(house, {"state": {"desired": {"a": 1}, "reported": {"r": 1}}})
    await online(house)
    house.cloud.go_down()
    await house.stop()
    house.cloud.edit(T, {"desired": {"a": None, "b": 1}})
    await house.start()
    await update(house, reported(r=2))
    house.cloud.go_up()
    await house.in_step(T)
    # Without the mark, the removed key would have come back as a local addition.
    assert house.local(T) == {"desired": {"b": 1}, "reported": {"r": 2}}


async def test_a_reconnect_that_finds_nothing_new_writes_nothing(house):
    await update(house, desired(a=1))
    await online(house)
    works = house.db.status()["works"]
    for _ in range(3):
        house.cloud.go_down()
        house.cloud.go_up()
        await house.until(lambda: house.cloud.requests)
        await online(house)
    assert house.db.status()["works"] == works


async def test_a_link_that_flaps_within_one_turn(house):
    await update(house, reported(a=1))
    house.cloud.go_up()
    house.cloud.go_down()
    house.cloud.go_up()
    await house.in_step(T)
    house.cloud.go_down()
    house.cloud.go_up()
    house.cloud.go_down()
    await update(house, reported(a=2))
    house.cloud.go_up()
    await house.in_step(T)


async def test_what_cannot_be_stored_is_not_acknowledged_and_got_again(house, monkeypatch):
    await update(house, desired(a=1))
    await online(house)
    monkeypatch.setattr("edgecore.shadow.journal.MARK", "INSERT INTO missing VALUES (?, ?, ?, ?, ?, ?)")
    house.cloud.edit(T, {"desired": {"a": 2}})
    await house.until(lambda: house.cloud.unacknowledged)
    monkeypatch.undo()
    await house.in_step(T)
    assert house.local(T) == {"desired": {"a": 2}}


async def test_a_disk_that_is_far_behind_is_waited_for(tmp_path, house_of):
    async with (
        Database(tmp_path / "c.db", StoreSettings(max_waiting=1, reserve_bytes=0)) as db,
        house_of(db) as house,
    ):
        await update(house, desired(a=1))
        await online(house)
        replies = house.cloud.carry_out(T, "update", b'{"state":{"desired":{"a":2}}}')
        blocking = db.write(lambda c: None)
        house.cloud.say(T.topic("update/accepted"), replies[-1].payload)
        assert house.cloud.unacknowledged == [T.topic("update/accepted")]
        await durable(blocking)
        await house.in_step(T)
        assert house.local(T) == {"desired": {"a": 2}}


async def test_an_edit_after_a_push_whose_reply_was_cut_off_is_not_lost(house):
    await update(house, desired(a=1))
    await online(house)
    house.cloud.cut = ["after"]
    await update(house, desired(a=2))
    await house.until(lambda: not house.cloud.connected)
    await update(house, desired(a=3))
    house.cloud.go_up()
    await house.in_step(T)
    assert house.local(T) == {"desired": {"a": 3}}
    assert house.service.status()["conflicts"] == 0
