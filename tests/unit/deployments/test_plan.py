from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgecore.base.group import (
    NO_GROUP,
    ActiveGroup,
    CameraSpec,
    DeviceSpec,
    FunctionSpec,
    Group,
    Row,
    ShadowSpec,
)
from edgecore.deployments.plan import Decision, decide, plan
from edgecore.deployments.record import Deployment

GROUP = Group(
    "g",
    {"a": DeviceSpec("a", "a")},
    {"n": CameraSpec("n", "synthetic:traffic", "t", "m.onnx")},
    {"f": FunctionSpec("f", "f", "app.handler")},
    (Row(("device:*",), ("dt/#",), ("cloud",)), Row(("device:*",), ("x",), ("function:f",))),
)
PARTS = {"function:f": "1", "camera:n": "2"}


def changed(group=GROUP, parts=PARTS, current=GROUP, current_parts=PARTS):
    here = ActiveGroup(current, Path("/a"), 1, "d1")
    return plan(here, ActiveGroup(group, Path("/b"), 2, "d2"), current_parts, parts)


def test_nothing_changes_nothing():
    assert changed() == ()


def test_the_first_group_replaces_what_it_uses():
    active = ActiveGroup(GROUP, Path("/a"), 1, "d")
    assert plan(None, active, {}, PARTS) == ("shadow", "lambdas", "inference", "uplink")
    assert plan(NO_GROUP, active, {}, PARTS) == plan(None, active, {}, PARTS)
    assert plan(None, ActiveGroup(Group("empty"), Path("/a"), 1, "d"), {}, {}) == ()


@pytest.mark.parametrize(
    ("group", "units"),
    [
        (replace(GROUP, name="h"), ()),
        (replace(GROUP, devices={"a": DeviceSpec("a", "a", {"lane": "1"})}), ()),
        (replace(GROUP, devices={"a": DeviceSpec("a", "a", shadow=ShadowSpec(sync=True))}), ("shadow",)),
        (replace(GROUP, devices={}), ("shadow",)),
        (replace(GROUP, functions={}), ("lambdas",)),
        (replace(GROUP, functions={"f": FunctionSpec("f", "f", "app.other")}), ("lambdas",)),
        (replace(GROUP, cameras={}), ("inference",)),
        (replace(GROUP, routes=GROUP.routes[:1]), ()),
        (replace(GROUP, routes=GROUP.routes[1:]), ("uplink",)),
    ],
)
def test_what_differs_is_replaced(group, units):
    assert changed(group) == units
    assert changed(GROUP, current=group) == units, "the way back replaces the same"


@pytest.mark.parametrize(
    ("parts", "units"),
    [
        ({**PARTS, "function:f": "9"}, ("lambdas",)),
        ({**PARTS, "camera:n": "9"}, ("inference",)),
        ({"function:f": "9", "camera:n": "9"}, ("lambdas", "inference")),
    ],
)
def test_new_content_is_a_change(parts, units):
    assert changed(parts=parts) == units


def made(digest, state="active", origin="local", number=1):
    return Deployment(number, origin, digest, state, "it broke" if state == "failed" else "", 1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("active", "last_local", "force", "deploy", "refused"),
    [
        (None, None, False, True, ""),
        (made("d"), made("d"), False, False, ""),
        (made("d"), made("d"), True, False, ""),
        (made("e"), made("e"), False, True, ""),
        (made("o", origin="operator"), made("d", "superseded"), False, False, ""),
        (made("o", origin="operator", number=7), made("e", "superseded"), False, False, "deployment 7"),
        (made("o", origin="operator"), made("e", "superseded"), True, True, ""),
        (made("o", origin="operator"), made("d", "superseded"), True, True, ""),
        (made("e"), made("d", "failed"), False, False, "it failed before (it broke)"),
        (made("e"), made("d", "failed"), True, True, ""),
        (None, made("d", "failed"), False, False, "it failed before"),
    ],
)
def test_whether_a_local_group_is_deployed(active, last_local, force, deploy, refused):
    decision = decide(active, last_local, "d", force=force)
    assert decision.deploy is deploy
    assert refused in decision.refused
    assert bool(refused) == bool(decision.refused)
    assert isinstance(decision, Decision)
