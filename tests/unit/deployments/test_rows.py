from __future__ import annotations

import pytest

from edgecore.base.group import CameraSpec, Row
from edgecore.deployments.reading import Faults, parse
from edgecore.deployments.rows import Principals, read_rows

PRINCIPALS = Principals(
    ("loop-north", "loop-south"),
    ("timing", "logger"),
    {"north": CameraSpec("north", "synthetic:traffic", "junction/north", "m.onnx")},
)


def read(*rows):
    """(rows, faults as text); a row is (from, topic, to) or that and more TOML."""
    text = ""
    for source, topic, target, *more in rows:
        text += f"[[routes]]\nfrom = {source!r}\ntopic = {topic!r}\nto = {target!r}\n" + "".join(more) + "\n"
    top = parse(text, Faults("f"))
    found = read_rows(top.list_of_tables("routes"), PRINCIPALS)
    return found, "\n".join(map(str, top.faults.found))


@pytest.mark.parametrize("source", [*PRINCIPALS.sources()])
def test_sources(source):
    topic = {"camera:north": "junction/north/#", "shadow": "$aws/things/+/shadow/#"}.get(source, "a/#")
    rows, faults = read((source, topic, "device:*"))
    assert (rows, faults) == ((Row((source,), (topic,), ("device:*",)),), "")


@pytest.mark.parametrize("target", ["device:*", "device:loop-north", "function:timing", "cloud"])
def test_targets(target):
    rows, faults = read(("function:logger", "a/b", target))
    assert (rows[0].targets, faults) == ((target,), "")


def test_lists_and_options():
    (row,), faults = read(
        (["device:*", "function:timing"], ["a/#", "b"], ["cloud"], 'as = "c"\nqos = 1\nexpiry = "5m"')
    )
    assert faults == ""
    assert row == Row(("device:*", "function:timing"), ("a/#", "b"), ("cloud",), "c", 1, 300.0)


def test_a_row_without_options_has_no_cap_and_no_expiry():
    (row,), _ = read(("device:*", "a", "cloud"))
    assert (row.as_topic, row.qos, row.expiry) == ("", 2, None)
    assert (row.priority, row.ordered) == (4, False)


def test_a_row_to_the_cloud_has_a_priority_and_may_be_ordered():
    (row,), faults = read(("device:*", "a", ["cloud", "function:timing"], "priority = 9\nordered = true"))
    assert (row.priority, row.ordered, faults) == (9, True, "")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("device:loop-nort", "a", "cloud"), "Did you mean 'device:loop-north'?"),
        (("loop-north", "a", "cloud"), "Did you mean 'device:loop-north'?"),
        (("device:x", "a", "cloud"), "routes[0].from: found 'device:x'"),
        (("device:completely-other", "a", "cloud"), "The group has no [devices.completely-other]"),
        (("camera:completely-other", "a", "cloud"), "The group has no [cameras.completely-other]"),
        (("clod", "a", "device:*"), "Did you mean 'cloud'?"),
        (("function:*", "a", "cloud"), "routes[0].from: found 'function:*'"),
        (("operator:me", "a", "cloud"), "routes[0].from: found 'operator:me'"),
        (("device:*", "a", "core"), "routes[0].to: found 'core'"),
        (("device:*", "a", "function:timng"), "Did you mean 'function:timing'?"),
        (("device:*", "a", "camera:north"), "a camera as target (camera:north) is not available yet"),
        (
            ("device:*", "a", "function:timing:live"),
            "an alias as target (function:timing:live) is not available yet",
        ),
        (("device:*", "a", "camera:nrth"), "routes[0].to: found 'camera:nrth'"),
        (("device:*", "a", ["cloud", "cloud"]), "'cloud' 2 times"),
        (("device:*", ["a", "a"], "cloud"), "'a' 2 times"),
        (("device:*", "a", "cloud", "priority = 10"), "routes[0].priority: found 10"),
        (("device:*", "a", "cloud", "ordered = 1"), "routes[0].ordered: found 1"),
        (("device:*", "a", "function:timing", "priority = 3"), "a row that does not go to the cloud"),
        (("device:*", "a", "function:timing", "ordered = true"), "a row that does not go to the cloud"),
        (("device:*", "a", "cloud", "qos = 3"), "routes[0].qos: found 3"),
        (("device:*", "a", "cloud", 'expiry = "soon"'), "routes[0].expiry"),
        (("device:*", "a", "cloud", "too = 3"), "routes[0].too"),
    ],
)
def test_what_is_wrong_with_a_row(row, says):
    assert says in read(row)[1]


def test_what_a_row_needs():
    top = parse("[[routes]]\n", Faults("f"))
    read_rows(top.list_of_tables("routes"), PRINCIPALS)
    assert [fault.key for fault in top.faults.found] == ["routes[0].from", "routes[0].topic", "routes[0].to"]


@pytest.mark.parametrize(
    "topic", ["a/#/b", "a#", "a+/b", "x/${thing}#", "${", "a/${thing", "$share/g/a", "a//b/" * 40]
)
def test_topics_that_are_none(topic):
    assert "routes[0].topic: found" in read(("device:*", topic, "cloud"))[1]


@pytest.mark.parametrize("topic", ["a/+", "a/#", "x${thing}"])
def test_new_topics_that_are_none(topic):
    assert "routes[0].as: found" in read(("device:*", "a", "cloud", f'as = "{topic}"'))[1]


@pytest.mark.parametrize(
    ("source", "topic", "target"),
    [
        ("device:*", "dt/${thing}/#", "cloud"),
        ("cloud", "cmd/${thing}/#", "device:*"),
        ("device:*", "${thing}/to/${target}", "device:*"),
        ("function:timing", "cmd/${thing}", ["device:loop-north", "device:loop-south"]),
    ],
)
def test_variables_that_a_device_binds(source, topic, target):
    assert read((source, topic, target))[1] == ""


@pytest.mark.parametrize(
    ("source", "topic", "target", "says"),
    [
        ("cloud", "cmd/${thing}/#", "function:timing", "Write + for any thing"),
        ("function:timing", "a/${thing}", ["cloud", "device:*"], "Write + for any thing"),
        ("device:*", "a/${target}", "cloud", "Use ${thing}"),
        ("cloud", "a/${target}", "device:*", "Use ${thing}"),
        ("device:*", "a/${thng}", "cloud", "Did you mean '${thing}'?"),
        ("device:*", "a/b${thing}", "cloud", "as a whole level"),
        ("device:*", "a/${x}", "cloud", "found '${x}', expected ${thing} or ${target} as a whole level"),
    ],
)
def test_variables_that_nothing_binds(source, topic, target, says):
    assert says in read((source, topic, target))[1]


@pytest.mark.parametrize(
    "topic", ["$SYS/#", "$SYS/broker/uptime", "edgecore/alarm/#", "edgecore/alarm/function/f"]
)
def test_only_the_core_speaks_of_itself(topic):
    assert read(("core", topic, "cloud"))[1] == ""
    found = read((["core", "device:*"], topic, "cloud"))[1]
    assert f"routes[0].from: found device:*, expected core, which alone publishes on {topic}" in found
    assert read(("device:*", "edgecore/#", "cloud"))[1] == ""


def test_a_row_that_could_never_match():
    assert (
        "expected a filter that meets junction/north/#"
        in read(("camera:north", "junction/nroth/#", "cloud"))[1]
    )
    assert "where shadow publishes" in read(("shadow", "a/b", "device:*"))[1]
    assert "which shadow serves" in read(("function:timing", "a/b", "shadow"))[1]
    assert "routes[0].as" in read(("function:timing", "a/b", "shadow", 'as = "a/c"'))[1]
    assert read(("function:timing", "a/b", "shadow", 'as = "$aws/things/x/shadow/update"'))[1] == ""
    assert read(("camera:north", ["other", "junction/north/events"], "cloud"))[1] == ""


@pytest.mark.parametrize(
    "row",
    [
        ("device:*", "$aws/things/${thing}/shadow/#", "cloud"),
        ("device:*", "$aws/things/+/shadow/update", "cloud"),
        ("device:*", "$aws/#", "cloud"),
        ("cloud", "$aws/things/x/shadow/update/delta", "device:*"),
        ("device:*", "a", "cloud", 'as = "$aws/things/x/shadow/update"'),
        ("cloud", "a", "shadow", 'as = "$aws/things/x/shadow/update"'),
    ],
)
def test_shadow_topics_never_go_from_or_to_the_cloud(row):
    assert "no $aws/things/+/shadow/# from or to cloud" in read(row)[1]


def test_basic_ingest_and_wildcards_may_go_to_the_cloud():
    assert read(("device:*", "$aws/rules/r/#", "cloud"), ("device:*", "#", "cloud"))[1] == ""


def test_cloud_to_cloud_is_refused():
    assert "What came from there never goes back" in read((["cloud"], "a", ["cloud", "device:*"]))[1]


@pytest.mark.parametrize(
    ("out_topic", "in_topic"),
    [("dt/${thing}/#", "dt/#"), ("a/b", "+/b"), ("#", "cmd/${thing}/x"), ("a", "a")],
)
def test_what_would_come_back_is_refused(out_topic, in_topic):
    found = read(("device:*", out_topic, "cloud"), ("cloud", in_topic, "device:*"))[1]
    assert "routes[1].topic" in found
    assert "which routes[0] sends to the cloud" in found


def test_a_new_topic_parts_the_ways():
    out = ("device:*", "dt/#", "cloud", 'as = "site/7"')
    assert read(out, ("cloud", "dt/#", "device:*"))[1] == ""
    assert "sends to the cloud" in read(out, ("cloud", "site/#", "device:*"))[1]


def test_each_row_once():
    assert (
        "routes[1]: found the same row as routes[0]"
        in read(("device:*", "a", "cloud"), ("device:*", "a", "cloud"))[1]
    )
