from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.router import Router
from edgecore.router.router import MAX_PLANNED_TOPIC

NORTH = identity.device("loop-north")
SOUTH = identity.device("loop-south")


class Receiver:
    """A subscriber that writes down what it is handed; `tags` are the identifiers and shares."""

    def __init__(self, principal, commit=None, refuse=False, connected=True):
        self.principal = principal
        self.commit = commit
        self.refuse = refuse
        self.connected = connected
        self.got = []
        self.tags = []

    def deliver(self, message, qos, retain, *tags, **more):
        if self.refuse:
            raise RefusedError("full")
        self.got.append((message, qos, retain))
        if tags or more:
            self.tags.append((*tags, *more.values()))
        return self.commit


def router(*rows, devices=("loop-north", "loop-south"), **kept):
    made = Router(ManualClock(), **kept)
    made.set_rows(rows, {name: DeviceSpec(name, name) for name in devices})
    return made


def row(source, topic, *targets, **more):
    return Row((source,), (topic,), targets, **more)


def message(topic, sender=NORTH, payload=b"x", qos=0, **more):
    return Message(topic, payload, qos, sender, **more)


def test_without_a_route_nothing_flows_and_the_denial_is_counted():
    bus = router()
    receipt = bus.publish(message("dt/loop-north/count"))
    assert not receipt.allowed
    assert bus.status()["denied"] == {"device:loop-north": 1}


def test_a_row_delivers_to_a_port_and_binds_the_publishers_thing():
    bus = router(row("device:*", "dt/${thing}/#", "cloud"))
    cloud = Receiver(identity.CLOUD)
    bus.attach("cloud", cloud)
    assert bus.publish(message("dt/loop-north/count", qos=1)).receivers == 1
    assert not bus.publish(message("dt/loop-south/count", qos=1)).allowed
    assert [(each.topic, qos) for each, qos, _ in cloud.got] == [("dt/loop-north/count", 1)]


def test_device_to_device_needs_the_row_and_the_subscription():
    bus = router(row("device:loop-north", "a/b", "device:loop-south"))
    south = Receiver(SOUTH)
    assert bus.subscribe(south, "a/#", 1)
    assert not bus.subscribe(Receiver(NORTH), "a/#", 1)
    bus.publish(message("a/b", qos=1))
    assert [(each.payload, qos) for each, qos, _ in south.got] == [(b"x", 1)]
    assert not bus.publish(message("a/b", sender=SOUTH)).allowed


def test_nothing_is_delivered_after_unsubscribe_returns():
    bus = router(row("device:*", "#", "device:*"))
    south = Receiver(SOUTH)
    bus.subscribe(south, "a/b", 0)
    bus.publish(message("a/b"))
    assert bus.unsubscribe(south, "a/b")
    assert not bus.unsubscribe(south, "a/b")
    bus.publish(message("a/b"))
    assert len(south.got) == 1


def test_overlapping_subscriptions_deliver_once_at_the_highest_qos():
    bus = router(row("device:*", "#", "device:*", qos=1))
    south = Receiver(SOUTH)
    bus.subscribe(south, "a/#", 0)
    bus.subscribe(south, "a/+", 2)
    bus.publish(message("a/b", qos=2))
    assert [qos for _, qos, _ in south.got] == [1]


def test_several_rows_deliver_once_per_target():
    bus = router(row("device:*", "a/#", "cloud", qos=0), row("device:*", "a/b", "cloud", qos=1))
    cloud = Receiver(identity.CLOUD)
    bus.attach("cloud", cloud)
    bus.publish(message("a/b", qos=1))
    assert [qos for _, qos, _ in cloud.got] == [1]


def test_no_local_keeps_the_publishers_own_message_away():
    bus = router(row("device:*", "a", "device:*"))
    north = Receiver(NORTH)
    bus.subscribe(north, "a", 0, no_local=True)
    bus.publish(message("a"))
    bus.subscribe(north, "a", 0)
    bus.publish(message("a"))
    assert len(north.got) == 1


def test_the_receipt_carries_each_commit_once():
    commit = Commit()
    bus = router(row("device:*", "a", "cloud", "function:f"))
    bus.attach("cloud", Receiver(identity.CLOUD, commit))
    bus.attach("function:f", Receiver(identity.function("f"), commit))
    assert bus.publish(message("a", qos=1)).commits == (commit,)


def test_a_refusing_receiver_does_not_keep_the_message_from_the_others():
    bus = router(row("device:*", "a", "cloud", "function:f"))
    cloud = Receiver(identity.CLOUD)
    bus.attach("function:f", Receiver(identity.function("f"), refuse=True))
    bus.attach("cloud", cloud)
    receipt = bus.publish(message("a", qos=1))
    assert receipt.refused == "full"
    assert len(cloud.got) == 1


def test_a_target_where_nobody_receives_is_refused_at_qos_1_and_counted_at_qos_0():
    bus = router(row("device:*", "a", "function:f"))
    assert bus.publish(message("a", qos=1)).refused == "function:f is not running"
    assert bus.publish(message("a", qos=0)).refused == ""
    assert bus.status()["refused"] == {"function:f is not running": 2}


def test_detach_only_removes_the_one_who_holds_the_port():
    bus = router(row("device:*", "a", "cloud"))
    old, new = Receiver(identity.CLOUD), Receiver(identity.CLOUD)
    bus.attach("cloud", old)
    bus.attach("cloud", new)
    bus.detach("cloud", old)
    bus.publish(message("a"))
    assert len(new.got) == 1
    bus.detach("cloud", new)
    assert bus.status()["ports"] == []


def test_a_row_may_rename_and_expire():
    bus = router(row("device:*", "dt/${thing}/a", "cloud", as_topic="site/${thing}/a", expiry=5.0))
    cloud = Receiver(identity.CLOUD)
    bus.attach("cloud", cloud)
    bus.publish(message("dt/loop-north/a"))
    ((got, _, _),) = cloud.got
    assert got.topic == "site/loop-north/a"
    assert got.expires_at == ManualClock().now() + 5.0


def test_a_message_from_the_cloud_reaches_the_thing_that_its_topic_names():
    bus = router(row("cloud", "cmd/${thing}/#", "device:*"))
    north, south = Receiver(NORTH), Receiver(SOUTH)
    assert bus.subscribe(north, "cmd/loop-north/#", 1)
    assert not bus.subscribe(south, "cmd/loop-north/#", 1)
    assert bus.subscribe(south, "cmd/loop-south/#", 1)
    bus.publish(message("cmd/loop-north/go", sender=identity.CLOUD))
    assert len(north.got) == 1
    assert south.got == []


def test_the_cloud_is_never_sent_its_own_message():
    bus = router(row("cloud", "a", "cloud", "function:f"))
    cloud, function = Receiver(identity.CLOUD), Receiver(identity.function("f"))
    bus.attach("cloud", cloud)
    bus.attach("function:f", function)
    bus.publish(message("a", sender=identity.CLOUD))
    assert cloud.got == []
    assert len(function.got) == 1


def test_own_shadow_topics_need_no_row():
    bus = router()
    shadow = Receiver(identity.SHADOW)
    bus.attach("shadow", shadow)
    north, south = Receiver(NORTH), Receiver(SOUTH)
    assert bus.subscribe(north, "$aws/things/loop-north/shadow/update/delta", 1)
    assert not bus.subscribe(south, "$aws/things/loop-north/shadow/update/delta", 1)
    assert bus.publish(message("$aws/things/loop-north/shadow/update", qos=1)).receivers == 1
    assert not bus.publish(message("$aws/things/loop-south/shadow/update")).allowed
    bus.publish(message("$aws/things/loop-north/shadow/update/delta", sender=identity.SHADOW, qos=1))
    assert len(north.got) == 1


def test_an_operator_reads_all_that_flows_and_publishes_as_any_source():
    bus = router(row("device:*", "dt/${thing}/#", "cloud"), row("camera:c", "c/x", "device:loop-north"))
    cloud = Receiver(identity.CLOUD)
    bus.attach("cloud", cloud)
    eye = Receiver(identity.operator("root"))
    assert bus.subscribe(eye, "#", 1)
    bus.publish(message("dt/loop-north/a"))
    bus.publish(message("dt/anything/b", sender=identity.operator("root")))
    bus.publish(message("c/x", sender=identity.camera("c")))
    assert bus.publish(message("unrouted", sender=identity.operator("root"))).receivers == 1
    assert not bus.publish(message("denied")).allowed
    assert [each.topic for each, _, _ in eye.got] == [
        "dt/loop-north/a",
        "dt/anything/b",
        "c/x",
        "unrouted",
        "denied",
    ]
    assert len(cloud.got) == 2


def test_what_a_camera_says_and_nobody_asked_for_is_no_denial():
    bus = router()
    assert not bus.publish(message("c/detections", sender=identity.camera("c"))).allowed
    assert (bus.status()["unrouted"], bus.status()["denied"]) == (1, {})


def test_functions_may_subscribe_to_nothing_by_filter():
    assert not router().subscribe(Receiver(identity.function("f")), "a", 0)


class Keeper:
    def __init__(self):
        self.kept = {}

    def save(self, message):
        self.kept[message.topic] = message
        return Commit()

    def erase(self, topic):
        self.kept.pop(topic)
        return Commit()


def test_retained_messages_are_kept_durably_given_to_new_subscribers_and_erased():
    keeper = Keeper()
    bus = router(row("device:*", "a/#", "device:*", qos=1), keeper=keeper)
    receipt = bus.publish(message("a/b", qos=1, retain=True))
    assert len(receipt.commits) == 1
    owed = bus.retained_for(Receiver(SOUTH), "a/+")
    assert [(each.topic, cap) for each, cap in owed] == [("a/b", 1)]
    bus.publish(message("a/b", payload=b"", qos=1, retain=True))
    assert bus.retained_for(Receiver(SOUTH), "a/+") == []
    assert keeper.kept == {}


def test_retained_messages_obey_routes_at_the_time_of_subscribing():
    bus = router(row("device:*", "a", "device:*"), retained=[message("a", retain=True)])
    assert len(bus.retained_for(Receiver(SOUTH), "#")) == 1
    bus.set_rows([], {})
    assert bus.retained_for(Receiver(SOUTH), "#") == []
    assert len(bus.retained_for(Receiver(identity.operator("root")), "#")) == 1


def test_an_expired_retained_message_is_not_given():
    bus = router(row("device:*", "a", "device:*"))
    bus.publish(message("a", retain=True, expires_at=ManualClock().now()))
    assert bus.retained_for(Receiver(SOUTH), "a") == []


def test_reserved_topics_are_never_retained():
    bus = router()
    bus.attach("shadow", Receiver(identity.SHADOW))
    bus.publish(message("$aws/things/loop-north/shadow/update", retain=True))
    assert bus.status()["retained"] == 0


def test_retain_as_published_keeps_the_flag():
    bus = router(row("device:*", "a", "device:*"))
    plain, rap = Receiver(SOUTH), Receiver(NORTH)
    bus.subscribe(plain, "a", 0)
    bus.subscribe(rap, "a", 0, retain_as_published=True)
    bus.publish(message("a", retain=True))
    assert [flag for _, _, flag in plain.got + rap.got] == [False, True]


def test_full_retained_store_refuses(monkeypatch):
    monkeypatch.setattr("edgecore.router.retained.MAX_RETAINED", 1)
    bus = router(row("device:*", "#", "device:*"))
    assert bus.publish(message("a", qos=1, retain=True)).refused == ""
    assert "retained messages are full" in bus.publish(message("b", qos=1, retain=True)).refused
    assert bus.publish(message("a", qos=1, retain=True)).refused == ""


def test_plans_are_memoised_until_something_changes(monkeypatch):
    monkeypatch.setattr("edgecore.router.router.MAX_PLANS", 1)
    bus = router(row("device:*", "#", "device:*"))
    plan = bus.plan_for(NORTH, "a")
    assert bus.plan_for(NORTH, "a") is plan
    assert plan.plain
    generation = bus.generation
    bus.plan_for(NORTH, "b")
    assert bus.plan_for(NORTH, "a") is not plan
    bus.subscribe(Receiver(SOUTH), "a", 0)
    assert bus.generation > generation
    assert bus.plan_for(NORTH, "a").deliveries


def test_a_plan_with_a_port_or_a_change_is_not_plain():
    bus = router(row("device:*", "a", "cloud"), row("device:*", "b", "device:*", as_topic="c"))
    bus.attach("cloud", Receiver(identity.CLOUD))
    bus.subscribe(Receiver(SOUTH), "c", 0)
    assert not bus.plan_for(NORTH, "a").plain
    assert not bus.plan_for(NORTH, "b").plain


def test_denials_of_many_principals_are_counted_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("edgecore.router.denials.MAX_DENIED", 2)
    bus = router()
    for index in range(4):
        bus.publish(message("a", sender=identity.device(f"d{index}")))
    assert bus.status()["denied"] == {"device:d0": 1, "device:d1": 1, "other": 2}


def test_unsubscribe_all_forgets_everything():
    bus = router(row("device:*", "#", "device:*"))
    south = Receiver(SOUTH)
    bus.subscribe(south, "a", 0)
    bus.subscribe(south, "b/#", 0)
    bus.unsubscribe_all(south)
    bus.unsubscribe_all(south)
    bus.publish(message("a"))
    assert south.got == []
    assert bus.status()["subscriptions"] == 0


def test_the_core_s_own_topics_are_kept_in_memory_and_need_a_row():
    class Keeper:
        def save(self, message):
            raise AssertionError("nothing of it may reach the disk")

    bus = router(row("core", "$SYS/#", "device:loop-north"), keeper=Keeper())
    for payload in (b"1", b"2"):
        told = message("$SYS/broker/uptime", identity.CORE, payload, retain=True)
        assert bus.publish(told).allowed
    north, south = Receiver(NORTH), Receiver(SOUTH)
    assert bus.subscribe(north, "$SYS/#", 0)
    assert not bus.subscribe(south, "$SYS/#", 0)
    assert [(each.payload, cap) for each, cap in bus.retained_for(north, "$SYS/#")] == [(b"2", 2)]
    assert bus.retained_for(south, "$SYS/#") == []
    assert bus.retained_for(north, "#") == []
    assert bus.status()["retained"] == 0


def test_nobody_else_leaves_anything_among_the_core_s_own_topics():
    bus = router(row("device:*", "$SYS/#", "device:*"))
    bus.publish(message("$SYS/broker/uptime", identity.operator("o"), retain=True))
    bus.publish(message("$SYS/broker/uptime", NORTH, retain=True))
    assert bus.retained_for(Receiver(SOUTH), "$SYS/#") == []


def test_denials_are_counted_by_kind_too():
    bus = router()
    for sender in (NORTH, SOUTH, identity.function("f")):
        bus.publish(message("a", sender))
    assert bus.status()["denied_by_kind"] == {"device": 2, "function": 1}


# What was stored ------------------------------------------------------------------------------------


def test_a_stored_message_is_judged_by_the_rows_of_now():
    bus = router(row("device:loop-north", "a", "device:loop-south", as_topic="b"))
    south = Receiver(SOUTH)
    bus.subscribe(south, "b", 1)
    bus.publish(message("a"))
    ((stored, _, _),) = south.got
    version = bus.rows_version
    assert bus.permits(stored, SOUTH)
    assert not bus.permits(stored, NORTH)
    assert bus.permits(stored, identity.operator("root"))
    assert not bus.permits(message("b"), SOUTH)  # the topic of publishing is what a row speaks of
    bus.set_rows([row("device:loop-north", "a", "device:loop-south")], {})
    assert bus.rows_version > version
    assert not bus.permits(stored, SOUTH)


def test_a_stored_message_for_a_port_is_judged_too():
    bus = router(row("device:*", "a", "cloud"))
    assert bus.permits(message("a"), identity.CLOUD)
    assert not bus.permits(message("a", sender=identity.CLOUD), identity.CLOUD)
    assert not bus.permits(message("a"), identity.SHADOW)
    assert not bus.permits(message("a"), SOUTH)


def test_what_a_device_stored_is_permitted_no_more_once_it_has_left_the_group():
    bus = router(row("device:*", "a", "device:*", "cloud"))
    bus.publish(message("a", retain=True))
    assert bus.permits(message("a"), SOUTH)
    bus.set_rows(
        [row("device:*", "a", "device:*", "cloud")], {"loop-south": DeviceSpec("loop-south", "loop-south")}
    )
    assert not bus.permits(message("a"), SOUTH)
    assert not bus.permits(message("a"), identity.CLOUD)
    assert bus.retained_for(Receiver(SOUTH), "#") == []
    assert not bus.publish(message("a")).allowed
    assert not bus.permits(message("a", sender=SOUTH), NORTH)
    assert not bus.subscribe(Receiver(NORTH), "a", 0)


def test_a_device_under_another_thing_is_another_device():
    bus = router(row("device:*", "${thing}/a", "device:*"), devices=())
    bus.set_rows([row("device:*", "${thing}/a", "device:*")], {"loop-north": DeviceSpec("loop-north", "new")})
    old, new = NORTH, identity.device("loop-north", "new")
    assert not bus.publish(message("loop-north/a", sender=old)).allowed
    assert not bus.publish(message("new/a", sender=old)).allowed
    assert bus.publish(message("new/a", sender=new)).allowed  # whatever was found out for the old one
    assert not bus.permits(message("new/a", sender=new), old)


def test_a_receiver_that_left_the_group_gets_nothing_even_while_it_is_connected():
    bus = router(row("device:*", "a", "device:*"))
    south = Receiver(SOUTH)
    bus.subscribe(south, "a", 0)
    bus.set_rows([row("device:*", "a", "device:*")], {"loop-north": DeviceSpec("loop-north", "loop-north")})
    bus.publish(message("a"))
    assert south.got == []


def test_what_a_revoked_device_retained_is_forgotten_durably():
    keeper = Keeper()
    bus = router(row("device:*", "#", "device:*"), keeper=keeper)
    for topic, sender in (("a", NORTH), ("b", SOUTH), ("c", NORTH)):
        bus.publish(message(topic, sender, retain=True))
    assert len(bus.forget(NORTH)) == 2
    assert list(keeper.kept) == ["b"]
    assert [each.topic for each, _ in bus.retained_for(Receiver(SOUTH), "#")] == ["b"]
    assert bus.forget(NORTH) == ()
    assert router().forget(NORTH) == ()


def test_invalidate_makes_every_plan_anew():
    bus = router(row("device:*", "a", "device:*"))
    plan, generation, version = bus.plan_for(NORTH, "a"), bus.generation, bus.rows_version
    bus.invalidate()
    assert bus.plan_for(NORTH, "a") is not plan
    assert bus.generation > generation
    assert bus.rows_version == version


def test_plans_for_long_topics_are_not_kept():
    """A device may publish on as many topics of 64 KB as it likes, with a route for them or without."""
    bus = router(row("device:*", "t/#", "device:*"))
    for prefix in ("t/", "elsewhere/"):
        assert bus.plan_for(NORTH, prefix + "x" * MAX_PLANNED_TOPIC).allowed == (prefix == "t/")
    assert len(bus._plans) == 0
    bus.plan_for(NORTH, "t/" + "x" * (MAX_PLANNED_TOPIC - 2))
    assert len(bus._plans) == 1


def test_a_retained_message_is_owed_at_the_highest_qos_of_its_rows():
    bus = router(row("device:*", "a", "device:*", qos=0), row("device:*", "a", "device:loop-south", qos=1))
    bus.publish(message("a", qos=2, retain=True))
    assert [cap for _, cap in bus.retained_for(Receiver(SOUTH), "a")] == [1]
    assert bus.retained_for(Receiver(SOUTH), "$share/g/a") == []


def test_what_is_retained_under_a_new_topic_is_owed_under_that_one():
    bus = router(row("device:*", "dt/${thing}/a", "device:*", as_topic="site/${target}", expiry=5.0))
    bus.publish(message("dt/loop-north/a", retain=True))
    ((owed, _),) = bus.retained_for(Receiver(SOUTH), "site/#")
    assert (owed.topic, owed.origin) == ("site/loop-south", "dt/loop-north/a")
    assert owed.expires_at == ManualClock().now() + 5.0
    assert bus.retained_for(Receiver(SOUTH), "dt/#") == []
    assert bus.retained_for(Receiver(SOUTH), "site/loop-north") == []


def test_asking_whether_a_filter_would_be_granted_denies_nobody_anything():
    bus = router(row("device:*", "t/#", "device:*"))
    assert bus.may_subscribe(NORTH, "$share/g/t/+")
    assert not bus.may_subscribe(NORTH, "other")
    assert bus.status()["denied"] == {}
