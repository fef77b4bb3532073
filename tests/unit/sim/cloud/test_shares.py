"""Shared subscriptions: turns, and what waits for a member."""

import pytest

from edgecore.mqtt import properties as ids
from edgecore.mqtt.properties import PropertyMap
from edgecore.sim.cloud import rules
from edgecore.sim.cloud import shares as room
from edgecore.sim.cloud.limits import Limits

KEPT = {"clean_start": False, "properties": PropertyMap({ids.SESSION_EXPIRY_INTERVAL: 3600})}


def test_members_take_turns(world):
    first, second = world.connected("1"), world.connected("2")
    first.subscribe("$share/g/a")
    second.subscribe("$share/g/a")
    sender = world.connected("sender")
    for _ in range(4):
        sender.publish("a")
    assert (len(first.got()), len(second.got())) == (2, 2)


def test_who_is_away_is_left_out(world):
    first, second = world.connected("1", **KEPT), world.connected("2")
    first.subscribe("$share/g/a")
    second.subscribe("$share/g/a")
    first.lost()
    sender = world.connected("sender")
    for _ in range(4):
        sender.publish("a")
    assert len(second.got()) == 4
    assert world.connected("1", **KEPT).got() == []


def test_two_groups_get_a_copy_each(world):
    first, second = world.connected("1"), world.connected("2")
    first.subscribe("$share/g/a")
    second.subscribe("$share/h/a")
    world.connected("sender").publish("a")
    assert (len(first.got()), len(second.got())) == (1, 1)


def test_with_nobody_there_it_waits_in_the_group_for_any_member(world):
    first, second = world.connected("1", **KEPT), world.connected("2", **KEPT)
    first.subscribe("$share/g/a")
    second.subscribe("$share/g/a")
    first.lost()
    second.lost()
    sender = world.connected("sender")
    for payload in (b"1", b"2"):
        sender.publish("a", payload)
    sender.publish("a", b"at most once", qos=0)
    assert world.broker.status()["waiting"] == 2
    assert world.connected("2", **KEPT).got() == [("a", b"1"), ("a", b"2")]
    assert world.broker.status()["waiting"] == 0


def test_a_new_member_gets_what_waits(world):
    first = world.connected("1", **KEPT)
    first.subscribe("$share/g/a")
    first.lost()
    world.connected("sender").publish("a", b"1")
    second = world.connected("2")
    second.subscribe("$share/g/a")
    assert second.got() == [("a", b"1")]


def test_20_a_second_to_each_subscriber(make_world):
    world = make_world(limits=Limits(shared=20))
    member = world.connected("1", **KEPT)
    member.subscribe("$share/g/a")
    member.lost()
    sender = world.connected("sender")
    for _ in range(35):
        sender.publish("a")
    member = world.connected("1", **KEPT)
    counts = [len(member.got())]
    for _ in range(3):
        world.tick(0.5)
        counts.append(len(member.got()))
    assert counts == [20, 10, 5, 0]


def test_what_waits_ends_with_the_last_member(world):
    member = world.connected("1", **KEPT)
    member.subscribe("$share/g/a")
    member.lost()
    world.connected("sender").publish("a")
    world.tick(3600.0)
    assert world.broker.status()["waiting"] == 0


def test_it_is_bounded(world, monkeypatch):
    monkeypatch.setattr(room, "MAX_WAITING", 1)
    member = world.connected("1", **KEPT)
    member.subscribe("$share/g/a")
    member.lost()
    sender = world.connected("sender")
    sender.publish("a", b"1")
    sender.publish("a", b"2")
    assert world.connected("1", **KEPT).got() == [("a", b"1")]
    assert world.broker._shares.dropped == 1


@pytest.mark.parametrize(("name", "limit"), [("MAX_SHARE_MEMBERS", "g"), ("MAX_SHARE_GROUPS", "h")])
def test_100_groups_and_100_members(world, monkeypatch, name, limit):
    assert getattr(rules, name) == 100
    monkeypatch.setattr(rules, name, 1)
    world.connected("1").subscribe("$share/g/a")
    assert world.connected("2").subscribe(f"$share/{limit}/a") == [0x97]
    assert world.connected("3").subscribe("plain") == [1]
