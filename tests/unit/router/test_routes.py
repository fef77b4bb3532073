from edgecore.base import identity
from edgecore.base.group import DeviceSpec, Row
from edgecore.router.routes import RouteTable, shadow_thing

DEVICES = {"a": DeviceSpec("a", "thing-a"), "b": DeviceSpec("b", "thing-b")}
A = identity.device("a", "thing-a")
B = identity.device("b", "thing-b")


def table(*rows):
    return RouteTable(rows, DEVICES)


def test_device_to_device_binds_thing_to_the_publisher_and_target_to_the_receiver():
    routes = table(Row(("device:*",), ("chat/${thing}/${target}",), ("device:*",)))
    (grant,) = routes.grants(A, "chat/thing-a/thing-b")
    assert grant.permits(B)
    assert not grant.permits(A)
    assert routes.grants(A, "chat/thing-b/thing-b") == ()
    assert routes.may_subscribe(B, "chat/+/thing-b")
    assert not routes.may_subscribe(B, "chat/+/thing-a")


def test_a_named_source_narrows_what_may_be_subscribed():
    routes = table(Row(("device:a",), ("x/${thing}",), ("device:b",)))
    assert routes.may_subscribe(B, "x/thing-a")
    assert not routes.may_subscribe(B, "x/thing-b")
    assert not routes.may_subscribe(A, "x/#")


def test_one_message_cannot_be_for_two_things():
    routes = table(Row(("cloud",), ("${thing}/x/${thing}",), ("device:*",)))
    assert routes.grants(identity.CLOUD, "thing-a/x/thing-b") == ()
    assert len(routes.grants(identity.CLOUD, "thing-a/x/thing-a")) == 1


def test_as_with_a_receivers_name_makes_one_way_per_receiver():
    routes = table(Row(("function:f",), ("all",), ("device:*",), as_topic="to/${thing}"))
    grants = routes.grants(identity.function("f"), "all")
    assert {(grant.topic, grant.thing) for grant in grants} == {
        ("to/thing-a", "thing-a"),
        ("to/thing-b", "thing-b"),
    }
    assert routes.may_subscribe(B, "to/thing-b")
    assert not routes.may_subscribe(B, "all")


def test_as_for_one_named_receiver():
    routes = table(Row(("device:a",), ("x/${target}",), ("device:b",), as_topic="y/${thing}/${target}"))
    (grant,) = routes.grants(A, "x/thing-b")
    assert (grant.topic, grant.thing) == ("y/thing-a/thing-b", "thing-b")


def test_wildcards_in_the_first_level_never_match_reserved_topics():
    routes = table(Row(("device:*",), ("#", "+/x"), ("cloud",)))
    assert routes.grants(A, "$SYS/x") == ()
    assert len(routes.grants(A, "ordinary")) == 1


def test_only_devices_and_operators_subscribe():
    routes = table(Row(("cloud",), ("#",), ("device:*", "function:f")))
    assert not routes.may_subscribe(identity.function("f"), "x")
    assert routes.may_subscribe(identity.operator("o"), "anything/#")


def test_shadow_thing_reads_only_shadow_topics():
    assert shadow_thing("$aws/things/t/shadow/get") == "t"
    assert shadow_thing("$aws/things/t/shadow/name/config/get") == "t"
    assert shadow_thing("$aws/things/t/jobs/get") == ""
    assert shadow_thing("aws/things/t/shadow/get") == ""


def test_an_operator_may_reach_any_shadow():
    (grant,) = table().grants(identity.operator("o"), "$aws/things/anything/shadow/get")
    assert grant.target == "shadow"


def test_a_grant_never_permits_functions_or_cameras():
    (grant,) = table(Row(("cloud",), ("x",), ("device:*",))).grants(identity.CLOUD, "x")
    assert not grant.permits(identity.function("f"))
