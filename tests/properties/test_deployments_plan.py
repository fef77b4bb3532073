"""Laws of the deployment plan."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.group import ActiveGroup, CameraSpec, DeviceSpec, FunctionSpec, Group, Row, ShadowSpec
from edgecore.deployments.plan import UNITS, plan

NAMES = st.sampled_from(["a", "b", "c"])
DIGESTS = st.sampled_from(["1", "2"])
SHADOWS = st.builds(ShadowSpec, st.booleans(), st.sampled_from([(), ("config",)]))
PRINCIPALS = st.sampled_from([("cloud",), ("device:*",), ("function:a",), ("device:*", "cloud")])
ROWS = st.builds(Row, PRINCIPALS, st.sampled_from([("dt/#",), ("cmd/#",)]), PRINCIPALS)


def named(make):
    return st.lists(NAMES, unique=True).flatmap(
        lambda names: st.tuples(*map(make, names)).map(lambda made: dict(zip(names, made, strict=True)))
    )


GROUPS = st.builds(
    Group,
    st.sampled_from(["g", "h"]),
    named(lambda name: st.builds(DeviceSpec, st.just(name), st.just(name), shadow=SHADOWS)),
    named(
        lambda name: st.builds(
            CameraSpec,
            st.just(name),
            st.sampled_from(["synthetic:traffic", "file:x"]),
            st.just(name),
            st.just("m"),
        )
    ),
    named(
        lambda name: st.builds(FunctionSpec, st.just(name), st.just("f"), st.sampled_from(["app.x", "app.y"]))
    ),
    st.lists(ROWS, max_size=3).map(tuple),
)


@st.composite
def actives(draw):
    """A group that runs, and the digests of its parts."""
    group = draw(GROUPS)
    names = [*(f"function:{name}" for name in group.functions), *(f"camera:{name}" for name in group.cameras)]
    parts = {name: draw(DIGESTS) for name in names}
    return ActiveGroup(group, Path("/x"), 1, "d"), parts


@given(actives())
def test_what_runs_already_needs_nothing(one):
    active, parts = one
    assert plan(active, active, parts, parts) == ()


@given(actives(), actives())
def test_the_order_is_that_of_the_assembly_and_no_unit_is_named_twice(one, other):
    units = plan(one[0], other[0], one[1], other[1])
    assert list(units) == [unit for unit in UNITS if unit in units]


@given(actives(), actives())
def test_the_way_back_replaces_the_same_units(one, other):
    assert plan(one[0], other[0], one[1], other[1]) == plan(other[0], one[0], other[1], one[1])


@given(actives(), actives(), actives())
def test_a_detour_replaces_at_least_what_the_straight_way_does(one, other, third):
    direct = set(plan(one[0], third[0], one[1], third[1]))
    detour = {*plan(one[0], other[0], one[1], other[1]), *plan(other[0], third[0], other[1], third[1])}
    assert direct <= detour


@given(actives())
def test_what_is_not_used_is_not_replaced(one):
    active, parts = one
    units = plan(None, active, {}, parts)
    assert ("lambdas" in units) == bool(active.group.functions)
    assert ("inference" in units) == bool(active.group.cameras)
    assert ("shadow" in units) == bool(active.group.devices)
