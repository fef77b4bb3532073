"""Laws of reconciliation, and convergence of a core with an ideal cloud under any interleaving."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.shadow.document import NOTHING, merge, same, without_empty
from edgecore.shadow.reconcile import difference, reconcile
from edgecore.shadow.replica import NEVER, Seen, adopt, judge, next_push, patched, state_of

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


class IdealCloud:
    """A shadow in the cloud, and the announcements that it makes."""

    def __init__(self):
        self.document = NOTHING
        self.told = []

    def change(self, patch):
        self.document = self.document.updated(patch, 0)
        self.told.append(("update", self.document.version, patch))

    def delete(self):
        if not self.document.deleted:
            self.told.append(("delete", self.document.version, None))
            self.document = self.document.removed()


class Core:
    """The rules of sync.py without its tasks: every message is a step that may come at any time, or never."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.document = NOTHING
        self.mark = NEVER
        self.stale = True

    def take(self, theirs, version):
        adoption = adopt(self.mark, self.document, theirs, version, 0)
        self.document = adoption.document or self.document
        self.mark = adoption.mark

    def get(self):
        theirs = self.cloud.document
        self.take(state_of(theirs), 0 if theirs.deleted else theirs.version)
        self.stale = False

    def hear(self):
        kind, version, patch = self.cloud.told.pop(0)
        if kind == "delete":
            if self.mark.base is not None and version == self.mark.cloud_version:
                self.take(None, version + 1)
            self.stale |= self.mark.base is not None and version > self.mark.cloud_version
            return
        seen = judge(self.mark, version)
        self.stale |= seen is Seen.GAP
        if seen is Seen.NEXT:
            self.take(patched(self.mark.base, patch), version)

    def push(self):
        """One request; gives whether there was one."""
        if self.stale:
            self.get()
            return True
        push = next_push(self.mark, self.document)
        if push is None:
            return False
        if push.verb == "delete":
            self.cloud.delete()
        elif push.body.get("version", self.cloud.document.version) != self.cloud.document.version:
            self.stale = True
        else:
            self.cloud.change(push.body["state"])
        return True


patch_values = st.none() | values
patches = st.none() | st.dictionaries(
    st.sampled_from(["desired", "reported"]),
    st.none() | st.dictionaries(keys, patch_values, max_size=2),
    max_size=2,
)
events = st.one_of(
    st.tuples(st.sampled_from(["here", "there"]), patches),
    st.tuples(
        st.sampled_from(["delete here", "delete there", "get", "hear", "lose", "push", "reconnect"]),
        st.none(),
    ),
)


def play(core, cloud, kind, patch):
    match kind:
        case "here":
            core.document = core.document.updated(patch, 0)
        case "there":
            cloud.change(patch)
        case "delete here" if not core.document.deleted:
            core.document = core.document.removed()
        case "delete there":
            cloud.delete()
        case "get":
            core.get()
        case "hear" if cloud.told:
            core.hear()
        case "lose" if cloud.told:
            cloud.told.pop(0)
            core.stale = True  # a link that loses messages is a link that went down
        case "push":
            core.push()
        case "reconnect":
            cloud.told.clear()
            core.stale = True


@given(st.lists(events, max_size=25))
def test_it_converges_after_any_interleaving_and_then_rests(story):
    cloud = IdealCloud()
    core = Core(cloud)
    for kind, patch in story:
        play(core, cloud, kind, patch)
    rounds = 0
    core.stale = True
    while core.push() or cloud.told:
        while cloud.told:
            core.hear()
        rounds += 1
        assert rounds < 8, "the two sides play ping-pong"
    assert equal(state_of(core.document), state_of(cloud.document))
    assert equal(core.mark.base, state_of(cloud.document))


@given(st.lists(st.tuples(st.sampled_from(["here", "there"]), keys, scalars), max_size=10))
def test_offline_edits_of_different_keys_all_survive(edits):
    cloud = IdealCloud()
    core = Core(cloud)
    wanted = {}
    for side, key, value in edits:
        name = f"{side} {key}"
        wanted[name] = value
        play(core, cloud, side, {"desired": {name: value}})
    core.stale = True
    while core.push():
        while cloud.told:
            core.hear()
    assert same(state_of(core.document) or {}, {"desired": wanted} if wanted else {})
    assert same(state_of(cloud.document) or {}, {"desired": wanted} if wanted else {})
