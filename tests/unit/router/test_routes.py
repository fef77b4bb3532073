import pytest

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


def test_an_operator_acts_as_each_source_that_a_row_has():
    operator = identity.operator("o")
    devices = table(Row(("device:*",), ("chat/${thing}/${target}",), ("device:*",)))
    (grant,) = devices.grants(operator, "chat/thing-a/thing-b")
    assert (grant.permits(A), grant.permits(B)) == (False, True)
    cloud = table(Row(("cloud",), ("cmd/${thing}/#",), ("device:*",)))
    (grant,) = cloud.grants(operator, "cmd/thing-a/x")
    assert (grant.permits(A), grant.permits(B)) == (True, False)
    both = table(Row(("device:*", "cloud"), ("x/${thing}",), ("device:*",)))
    assert {grant.thing for grant in both.grants(operator, "x/thing-a")} == {None, "thing-a"}


def test_a_new_topic_that_asks_for_a_name_which_an_operator_lacks_is_no_way():
    row = Row(("device:*",), ("dt/${thing}/x", "plain"), ("cloud",), as_topic="site/${thing}")
    operator = identity.operator("o")
    assert [each.topic for each in table(row).grants(operator, "dt/thing-a/x")] == ["site/thing-a"]
    assert table(row).grants(operator, "plain") == ()
    assert [each.topic for each in table(row).grants(A, "plain")] == ["site/thing-a"]


@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "edgecore/alarm/function/f"])
def test_only_the_core_speaks_of_itself_and_needs_a_row_like_any_other(topic):
    everyone = ("device:*", "function:f", "cloud", "core")
    routes = table(Row(everyone, ("#", "$SYS/#"), ("device:b",)))
    assert len(routes.grants(identity.CORE, topic)) == 1
    assert routes.may_subscribe(B, topic)
    assert not routes.may_subscribe(A, topic)
    assert table().grants(identity.CORE, topic) == ()
    for sender in (A, identity.function("f"), identity.CLOUD):
        assert routes.grants(sender, topic) == ()


def test_basic_ingest_may_go_to_the_cloud():
    (grant,) = table(Row(("device:*",), ("$aws/rules/#",), ("cloud",))).grants(A, "$aws/rules/r/x")
    assert (grant.target, grant.topic) == ("cloud", "$aws/rules/r/x")


def test_shadow_topics_are_local():
    topic = "$aws/things/thing-a/shadow/update"
    routes = table(
        Row(("device:*", "cloud"), ("$aws/things/+/shadow/#",), ("cloud", "device:*", "function:f")),
        Row(("device:*",), ("x",), ("cloud",), as_topic=topic),
        Row(("cloud",), ("x",), ("shadow",), as_topic=topic),
    )
    assert routes.grants(identity.CLOUD, topic) == routes.grants(identity.CLOUD, "x") == ()
    assert routes.grants(A, "x") == ()
    assert "cloud" not in {grant.target for grant in routes.grants(A, topic)}


def test_what_came_from_the_cloud_never_goes_back():
    routes = table(
        Row(("cloud",), ("#",), ("cloud", "device:b")), Row(("cloud",), ("x",), ("cloud",), as_topic="y")
    )
    assert [grant.target for grant in routes.grants(identity.CLOUD, "x")] == ["device:b"]


def test_a_device_that_the_group_lacks_neither_sends_nor_gets():
    routes = table(Row(("device:*",), ("#",), ("device:*", "cloud")))
    (grant,) = (each for each in routes.grants(A, "x") if each.for_devices)
    for stranger in (identity.device("c"), identity.device("a", "thing-b")):
        assert not routes.knows(stranger)
        assert routes.grants(stranger, "x") == ()
        assert routes.grants(stranger, f"$aws/things/{stranger.thing}/shadow/update") == ()
        assert not routes.may_subscribe(stranger, "x")
        assert not routes.reaches(grant, stranger)
    assert routes.reaches(grant, B)
    assert routes.knows(identity.function("whatever"))


def test_answers_are_kept_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("edgecore.router.routes.MAX_ANSWERS", 2)
    routes = table(Row(("device:*",), ("#",), ("cloud",)))
    first = routes.grants(A, "0")
    assert routes.grants(A, "0") is first
    for number in range(5):
        routes.grants(A, str(number))
    assert len(routes._answers) <= 2


def test_where_what_is_seen_may_have_been_published():
    routes = table(
        Row(("device:*",), ("dt/${thing}/a", "b"), ("device:*",), as_topic="site/${target}"),
        Row(("device:*",), ("c",), ("device:*",)),
    )
    assert list(routes.published_as("site/#")) == ["site/#", "dt/+/a", "b"]
    assert list(routes.published_as("c")) == ["c"]
