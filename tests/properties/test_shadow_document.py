"""Laws of the shadow algebra."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.shadow.document import NOTHING, deeper_than, delta, merge, merge_metadata, pick, same

keys = st.sampled_from(["a", "b", "c"])
scalars = st.one_of(st.booleans(), st.integers(-2, 2), st.floats(-1, 1), st.sampled_from(["", "x"]))
stored = st.recursive(
    scalars | st.lists(scalars, max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, stored, max_size=3)
patches = st.recursive(
    st.none() | scalars | st.lists(scalars, max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
patch_objects = st.dictionaries(keys, patches, max_size=3)
sections = st.none() | st.dictionaries(
    st.sampled_from(["desired", "reported"]), st.none() | patch_objects, max_size=2
)


def holds_null(value):
    if isinstance(value, dict):
        return any(map(holds_null, value.values()))
    return value is None


def leaves(value, path=()):
    """(path, value) of what carries a stamp: scalars and arrays."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def at(value, path):
    for key in path:
        value = value[key]
    return value


@given(objects, patch_objects)
def test_a_merge_stores_no_null_and_is_idempotent(old, patch):
    merged = merge(old, patch)
    assert not holds_null(merged)
    assert same(merge(merged, patch), merged)


@given(objects, patch_objects)
def test_null_removes_and_the_rest_is_untouched(old, patch):
    merged = merge(old, patch)
    for key in old.keys() | patch.keys():
        if key not in patch:
            assert merged[key] is old[key]
        else:
            assert (key in merged) == (patch[key] is not None)


@given(objects)
def test_merging_nothing_changes_nothing(old):
    assert merge(old, {}) == old


@given(objects, patch_objects)
def test_metadata_has_the_shape_of_the_state_and_stamps_what_was_touched(old, patch):
    before = merge_metadata(None, None, old, 1)
    merged, metadata = merge(old, patch), merge_metadata(old, before, patch, 2)
    for path, value in leaves(merged):
        stamp = at(metadata, path)
        flat = stamp if isinstance(value, list) else [stamp]
        assert len(flat) == (len(value) if isinstance(value, list) else 1)
        touched = any(path == p for p, _ in leaves(patch))
        assert all(entry == {"timestamp": 2 if touched else 1} for entry in flat)


def covered(desired, reported):
    """Whether reported has all that desired has: the definition, without the algorithm."""
    if isinstance(desired, dict) and isinstance(reported, dict):
        return all(key in reported and covered(value, reported[key]) for key, value in desired.items())
    return same(desired, reported)


@given(objects, objects)
def test_delta_is_empty_iff_desired_is_covered(desired, reported):
    assert (delta(desired, reported) == {}) == covered(desired, reported)


@given(objects, objects)
def test_reporting_the_delta_covers_desired(desired, reported):
    difference = delta(desired, reported)
    assert covered(desired, merge(reported, difference))
    assert covered(difference, desired)


@given(objects, objects)
def test_deltas_metadata_is_part_of_desireds(desired, reported):
    metadata = merge_metadata(None, None, desired, 1)
    difference = delta(desired, reported)
    picked = pick(metadata, difference)
    for path, _ in leaves(difference):
        assert at(picked, path) == at(metadata, path)


@given(st.lists(st.one_of(sections, st.just("delete")), max_size=8))
def test_versions_strictly_grow_and_no_section_is_empty(story):
    document = NOTHING
    for step in story:
        before = document
        if step == "delete":
            if before.deleted:
                continue
            document = before.removed()
        else:
            document = before.updated(step, 1)
            assert not document.deleted
        assert document.version == before.version + 1
        assert all(document.state.values())
        assert document.state.keys() == document.metadata.keys()


@given(stored, stored)
def test_sameness_is_symmetric_and_reflexive(one, other):
    assert same(one, one)
    assert same(one, other) == same(other, one)


@given(stored, st.integers(0, 5))
def test_depth(value, levels):
    def depth(inner):
        return 1 + max(map(depth, inner.values()), default=0) if isinstance(inner, dict) else 0

    assert deeper_than(value, levels) == (depth(value) > levels)
