"""Laws of the three-way merge and of laying one side over the other. Whole histories: test_shadow_histories.py."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.shadow.document import merge, same, without_empty
from edgecore.shadow.reconcile import blend, difference, overlay, reconcile

keys = st.sampled_from(["a", "b", "c"])
scalars = st.one_of(st.booleans(), st.integers(0, 2), st.just(1.0), st.lists(st.integers(0, 1), max_size=1))
values = st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, max_size=2), max_leaves=6)
objects = st.dictionaries(keys, values, max_size=3)
present = st.fixed_dictionaries({}, optional={"desired": objects, "reported": objects}).map(without_empty)
states = st.none() | present


def equal(one, other):
    return one is other if one is None or other is None else same(one, other)


@given(objects, objects)
def test_a_difference_makes_the_old_into_the_new(old, new):
    assert same(merge(old, difference(old, new)), new)
    assert difference(old, old) == {}
    assert (difference(old, new) == {}) == same(old, new)


@given(states, states)
def test_what_is_the_same_stays(base, state):
    merged = reconcile(base, state, state)
    assert equal(merged.state, state)
    assert merged.conflicts == 0


@given(states, states)
def test_a_change_of_one_side_alone_stands(base, state):
    for merged in (reconcile(base, base, state), reconcile(base, state, base)):
        assert equal(merged.state, state)
        assert merged.conflicts == 0


@given(states, states, states)
def test_another_round_changes_nothing(base, ours, theirs):
    merged = reconcile(base, ours, theirs).state
    # We have taken it and the cloud has not yet; then both have.
    assert equal(reconcile(theirs, merged, theirs).state, merged)
    assert equal(reconcile(merged, merged, merged).state, merged)


@given(states, present, present)
def test_conflicts_have_the_promised_winner(base, ours, theirs):
    merged = reconcile(base, ours, theirs).state
    for section, winner in (("desired", theirs), ("reported", ours)):
        before, mine, others = ((state or {}).get(section, {}) for state in (base, ours, theirs))
        result = merged.get(section, {})
        for key in mine.keys() | others.keys() | before.keys():
            one, other, old = (side.get(key, "absent") for side in (mine, others, before))
            if isinstance(one, dict) and isinstance(other, dict):
                continue  # judged key by key below
            if not same(one, old) and not same(other, old) and not same(one, other):
                assert same(result.get(key, "absent"), winner.get(section, {}).get(key, "absent"))


@given(states, states, states)
def test_nothing_is_made_up(base, ours, theirs):
    merged = reconcile(base, ours, theirs).state
    if merged is None:
        assert ours is None or theirs is None
        return
    for section, content in merged.items():
        for key in content:
            assert any(key in (side or {}).get(section, {}) for side in (ours, theirs))


@given(states, states, states)
def test_laying_over_again_changes_nothing(base, leader, follower):
    laid = overlay(base, leader, follower)
    assert equal(overlay(base, leader, laid), laid)
    if leader is not None:
        assert same(merge(laid, leader), laid)


@given(present, states)
def test_what_only_the_follower_has_stays(leader, follower):
    laid = overlay(leader, leader, follower)
    assert {key for key, value in difference(laid, follower or {}).items() if value is None} <= set(leader)


@given(states, present, present)
def test_a_blend_is_of_what_was_and_what_we_sent(base, landed, theirs):
    assert same(blend(base, landed, landed), landed)
    assert difference(blend(base, base or {}, theirs), base or {}) == {}
