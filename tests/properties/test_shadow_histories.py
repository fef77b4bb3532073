"""The laws of shadow synchronisation, whatever happens in whatever order.

Histories of edits on both sides (nested values, nulls, arrays, deletions, shadows made again), of a link that
goes down, loses, doubles and delays, of power cuts before and after a commit, full disks, clocks that jump, a
throttled and faulty cloud, one that was restored from a backup, and two cores on one thing. Once all is quiet and
connected:

- the sides agree: both are equal, or, one way, the follower has all that the leader has and lacks what it removed;
- nothing is said any more, and all that was said is bounded by what happened;
- the local version has only grown, and no version was announced with two contents;
- an accepted edit of a value stands, unless a later edit of it followed on the same side, or one of the other side
  that knew of it, or one that did not know of it and has priority (desired: the cloud, reported: the device).

Not held to the last law, because a core cannot know better: a value that is removed, when it is not known whether
our push of it took effect (see `allowed`); what a deletion of the whole shadow met; what a backup brought back.

EDGECORE_HISTORIES=100000 makes this many histories instead of those that a run of all tests has time for. A history
that fails is made as short as it can be and shown; its number makes it again.
"""

import json
import logging
import os
import random

import pytest
from shadow_world import Cloud, Core

from edgecore.base.group import SyncRule
from edgecore.shadow.document import same
from edgecore.shadow.replica import patched

HISTORIES = int(os.environ.get("EDGECORE_HISTORIES", "600"))
FIRST = int(os.environ.get("EDGECORE_FIRST_HISTORY", "0"))
# Rounds until all is quiet; each round lets everything that is on its way arrive.
ROUNDS = 60
PATHS = tuple(
    (section, *rest)
    for section in ("desired", "reported")
    for rest in (("a",), ("b",), ("n", "x"), ("n", "y"))
)
ABSENT = None
RULES = {
    "both ways": SyncRule(),
    "periodic": SyncRule(every=300.0),
    "deviceToCloud": SyncRule("deviceToCloud"),
    "cloudToDevice": SyncRule("cloudToDevice"),
}


def leaf(state, path):
    """The value at a path, ABSENT when there is none."""
    value = state
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


class Op:
    """An accepted edit of one value: what it was `before`, and what of the other side it `knew`."""

    def __init__(self, value, before, seq, knew):
        self.value, self.before, self.seq, self.knew = value, before, seq, knew


class World:
    """One history: `play` its steps, then `settle` and look at the laws."""

    def __init__(self, setup):
        self.cloud = Cloud()
        self.cores = [Core(self.cloud, RULES[setup["rule"]], name) for name in "cd"[: setup["cores"]]]
        self.rule = RULES[setup["rule"]]
        self.causes = 0
        self.local = {core.name: {path: [] for path in PATHS} for core in self.cores}
        self.theirs = {path: [] for path in PATHS}
        self.restored = self.deleted = False
        self.emptied = set()  # sections in which an object was removed as a whole
        self.landings = {core.name: [] for core in self.cores}  # (local version, token) of each push
        self.versions = {core.name: 0 for core in self.cores}

    # What may happen

    def play(self, steps):
        for kind, who, argument in steps:
            core = self.cores[who % len(self.cores)]
            getattr(self, "do_" + kind)(core, argument)
            self.look()

    def look(self):
        for core in self.cores:
            version = core.shadows.durable(core_shadow(core)).version
            assert version >= self.versions[core.name], "the local version went back"
            self.versions[core.name] = version

    def do_here(self, core, patch):
        self.edit_here(core, "update", {"state": patch})

    def do_delete_here(self, core, _):
        self.edit_here(core, "delete", {})

    def edit_here(self, core, verb, body):
        before = core.state
        commit = core.edit(verb, json.dumps(body).encode())
        core.turn()
        if commit is None:
            return
        self.causes += 1
        self.deleted |= verb == "delete"
        self.note_objects(before, core.state)
        ops = []
        version = core.shadows.document(core_shadow(core)).version
        for path in PATHS:
            old, new = leaf(before, path), leaf(core.state, path)
            if old != new:
                op = Op(new, old, version, core.knows)
                self.local[core.name][path].append(op)
                ops.append((path, op))

        def done(error):
            if error is not None:
                for path, op in ops:
                    self.local[core.name][path].remove(op)

        commit.when_done(done)

    def do_there(self, _, patch):
        self.edit_there("update", {"state": patch})

    def do_delete_there(self, _, __):
        self.edit_there("delete", {})

    def edit_there(self, verb, body):
        before = self.cloud.state
        if not self.cloud.request(verb, json.dumps(body).encode()):
            return
        self.causes += 1
        self.deleted |= verb == "delete"
        self.note_objects(before, self.cloud.state)
        for path in PATHS:
            old, new = leaf(before, path), leaf(self.cloud.state, path)
            if old != new:
                knew = {name: len(landings) for name, landings in self.landings.items()}
                self.theirs[path].append(Op(new, old, self.cloud.seq, knew))

    def note_objects(self, before, after):
        for section in ("desired", "reported"):
            if leaf(before, (section, "n")) is not ABSENT and leaf(after, (section, "n")) is ABSENT:
                self.emptied.add(section)

    def do_write(self, core, how):
        core.write(how)

    def do_send(self, core, number):
        for _ in range(min(number, len(core.outbox))):
            verb, body, changed = core.send()
            if changed and verb == "update" and body["state"]:
                token = body["clientToken"]
                self.landings[core.name].append((core.carries[token], token))

    def do_take(self, core, number):
        for _ in range(min(number, len(core.inbox))):
            core.take()

    def do_double(self, core, _):
        if core.inbox:
            core.inbox.append(core.inbox[0])
            self.causes += 1

    def do_late(self, core, _):
        """The oldest message is overtaken by all others."""
        if core.inbox:
            core.inbox.append(core.inbox.popleft())
            self.causes += 1

    def do_lose(self, core, _):
        """A request that does not arrive, or a reply: what is for others too is not lost on a link that is up."""
        self.causes += 1
        if core.outbox and core.waits:
            core.outbox.pop()
        else:
            kept = [
                each for each in core.inbox if b'"clientToken"' not in each[1] or own(core, each[1]) is False
            ]
            core.inbox.clear()
            core.inbox.extend(kept)

    def do_time_out(self, core, _):
        if core.waits:
            self.causes += 1
            core.time_out()

    def do_elapse(self, core, _):
        core.elapse()

    def do_fault(self, _, fault):
        self.cloud.faults.append(fault)
        self.causes += 1

    def do_up(self, core, _):
        if not core.up:
            self.causes += 1
            core.go_up()

    def do_down(self, core, keep):
        core.go_down(keep)

    def do_cut(self, core, keep):
        self.causes += 1
        core.power_cut(keep)
        version = core.shadows.durable(core_shadow(core)).version
        for ops in self.local[core.name].values():  # what was not written never was
            ops[:] = [op for op in ops if op.seq <= version]

    def do_disk(self, core, full):
        core.database.fail = "the disk is full" if full else None
        self.causes += 1

    def do_clock(self, core, seconds):
        core.clock.set_wall(core.clock.now() + seconds)

    def do_cloud_clock(self, _, seconds):
        self.cloud.now += seconds

    def do_backup(self, _, __):
        self.cloud.keep_backup()

    def do_restore(self, _, __):
        if self.cloud.backup is not None:
            for core in self.cores:
                core.go_down(keep=False)
            self.cloud.restore()
            self.cloud.seq += 1
            self.restored = True
            self.causes += 1

    # What must be true in the end

    def settle(self):
        self.cloud.faults.clear()
        for core in self.cores:
            core.database.fail = None
            core.write("all")
            self.do_up(core, None)
        for _ in range(ROUNDS):
            busy = [self.round(core) for core in self.cores]
            if not any(busy):
                return
        raise AssertionError("the sides play ping-pong")

    def round(self, core):
        """Let everything arrive; gives whether there was anything."""
        busy = bool(core.outbox or core.inbox or not core.database.idle or core.waits)
        core.write("all")
        self.do_send(core, len(core.outbox))
        self.do_take(core, len(core.inbox))
        core.write("all")
        if core.waits and not core.outbox and not core.inbox:
            self.do_time_out(core, None)
        if core.timers:
            busy = busy or not core.dialogue.is_in_step(core.exchange.local)
            core.elapse()
        return busy

    def check(self):
        self.check_agreement()
        self.check_rest()
        self.check_published()
        for core in self.cores:
            assert len(core.log) <= 6 + 3 * self.causes, (len(core.log), self.causes)
        if self.rule.direction == "betweenDeviceAndCloud":
            self.check_edits()

    def check_agreement(self):
        there = self.cloud.state
        for core in self.cores:
            here = core.state
            assert core.dialogue.is_in_step(core.exchange.local)
            if self.rule.direction == "deviceToCloud":
                assert here is None or covers(there, here), (here, there)
            elif self.rule.direction == "cloudToDevice":
                assert there is None or covers(here, there), (here, there)
            else:
                assert equal(here, there), (here, there)

    def check_rest(self):
        for core in self.cores:
            requests, published = len(core.log), len(core.published)
            for _ in range(3):
                core.elapse()
                self.do_take(core, len(core.inbox))
                core.write("all")
            assert (len(core.log), len(core.published)) == (requests, published), "it does not rest"
            assert core.database.rows("shadow_documents") <= 1

    def check_published(self):
        for core in self.cores:
            spoken = {}
            for suffix, payload in core.published:
                if suffix == "update/accepted":
                    version = json.loads(payload)["version"]
                    assert spoken.setdefault(version, payload) == payload, "one version, two contents"

    def check_edits(self):
        final = self.cloud.state
        for path in PATHS:
            values = self.allowed(path)
            found = leaf(final, path)
            assert any(found == value for value in values), (path, found, values)

    def allowed(self, path):
        """The values that the conflict rule allows at the end; mostly one."""
        mine = [ops[path][-1] for ops in self.local.values() if ops[path]]
        theirs = self.theirs[path][-1:]
        last = [*mine, *theirs]
        if not last:
            return [ABSENT] if not self.restored else self.ever(path)
        if self.is_broad(path):
            return self.ever(path)
        if len(last) == 1:
            return [last[0].value]
        here, there = last
        priority = (there, here) if path[0] == "desired" else (here, there)
        carrier = self.carrier(here, there)
        if there.seq <= here.knew:
            winner, loser = here, there
        elif carrier is None:
            winner, loser = priority
        else:
            winner, loser = there, here
            if carrier not in self.cores[0].learned and priority[0] is here:
                return [there.value, here.value]  # it may not know that the other side knew
        # A removal that it cannot tell from never having been there.
        return [winner.value, loser.value] if winner.value is ABSENT else [winner.value]

    def is_broad(self, path):
        """Whether more than this value went at once, or came: a change of it then meets the whole."""
        whole = self.restored or self.deleted or len(self.cores) > 1
        return whole or (len(path) == 3 and path[0] in self.emptied)

    def carrier(self, here, there):
        """The token of the push by which the cloud knew of an edit here when `there` was made, or None."""
        core = self.cores[0]
        for version, token in self.landings[core.name][: there.knew[core.name]]:
            if version >= here.seq:
                return token
        return None

    def ever(self, path):
        ops = [op for each in (*self.local.values(), self.theirs) for op in each[path]]
        return [ABSENT, *(op.value for op in ops), *(op.before for op in ops)]


def core_shadow(core):
    return core.exchange.shadow


def own(core, payload):
    return json.loads(payload)["clientToken"].startswith(core.name)


def equal(one, other):
    return one is other if one is None or other is None else same(one, other)


def covers(follower, leader):
    """Whether laying the leader over the follower changes nothing."""
    return follower is not None and same(patched(follower, leader), follower)


# Histories


def a_value(rng, number):
    return rng.choice([number, number, number, [number], [number, {"k": 1}], None, None])


def a_section(rng, number):
    if rng.random() < 0.06:
        return None
    section = {}
    for key in rng.sample(("a", "b", "n", "w"), rng.choice((1, 1, 2, 3))):
        if key == "w":  # what changes its type, is empty, or equals itself: for agreement only
            section[key] = rng.choice([{}, {"p": {}}, {"p": {"q": 1}}, {"p": None}, 1, 1.0, True, [], None])
        elif key == "n":
            inner = {each: a_value(rng, number) for each in rng.sample("xy", rng.choice((1, 2)))}
            section[key] = rng.choice([inner, inner, inner, None])
        else:
            section[key] = a_value(rng, number)
    return section


def a_narrow_patch(rng, number):
    """Of one value, so that the sides meet in it."""
    return {rng.choice(("desired", "reported")): {"a": a_value(rng, number)}}


def a_patch(rng, number):
    if rng.random() < 0.03:
        return rng.choice([None, {}])
    sections = rng.choice([("desired",), ("reported",), ("desired", "reported")])
    return {section: a_section(rng, number) for section in sections}


STEPS = {
    "here": (16, a_patch), "there": (14, a_patch), "delete_here": (2, None), "delete_there": (2, None),
    "write": (16, lambda rng, _: rng.choice(["all", "all", "all", "hand over", "sync", "finish"])),
    "send": (18, lambda rng, _: rng.randint(1, 3)), "take": (18, lambda rng, _: rng.randint(1, 4)),
    "double": (2, None), "late": (2, None), "lose": (3, None), "time_out": (3, None), "elapse": (6, None),
    "fault": (3, lambda rng, _: rng.choice(["429", "500", "500 done"])),
    "up": (10, None), "down": (4, lambda rng, _: rng.random() < 0.4),
    "cut": (3, lambda rng, _: rng.random() < 0.4), "disk": (2, lambda rng, _: rng.random() < 0.4),
    "clock": (1, lambda rng, _: rng.choice([-1e9, -3600, 3600, 1e6])),
    "cloud_clock": (2, lambda rng, _: rng.choice([-86400, 3600, 3 * 86400])),
    "backup": (1, None), "restore": (1, None),
}  # fmt: skip
KINDS = list(STEPS)
PLAIN = [kind for kind in KINDS if kind not in ("delete_here", "delete_there", "restore")]


def history(number):
    """The history with that number: how it is set up, and its steps."""
    rng = random.Random(number)
    rule = rng.choices(list(RULES), [7, 1, 1, 1])[0]
    setup = {"rule": rule, "cores": 1 if rule != "both ways" or rng.random() < 0.8 else 2}
    steps = []
    kinds = KINDS if rng.random() < 0.5 else PLAIN  # what takes the whole would hide the fate of each value
    weights = [STEPS[kind][0] for kind in kinds]
    patch = rng.choice((a_patch, a_narrow_patch))
    for place, kind in enumerate(rng.choices(kinds, weights, k=rng.randint(5, 60))):
        argument = patch if kind in ("here", "there") else STEPS[kind][1]
        steps.append((kind, rng.randrange(2), argument and argument(rng, 1000 + place)))
    return setup, [("up", 0, None), *steps]


def run(setup, steps):
    """None, or what went wrong."""
    world = World(setup)
    try:
        world.play(steps)
        world.settle()
        world.check()
    except AssertionError as error:
        return str(error).partition("\n")[0] or repr(error)
    return None


def shortest(setup, steps):
    """The steps without those that need not be there for it to fail."""
    size = len(steps) // 2
    while size:
        place = 0
        while place < len(steps):
            fewer = steps[:place] + steps[place + size :]
            if run(setup, fewer):
                steps = fewer
            else:
                place += size
        size //= 2
    return steps


def test_the_laws_hold_in_every_history():
    logging.disable(logging.CRITICAL)  # thousands of faults would be kept for a report
    try:
        for number in range(FIRST, FIRST + HISTORIES):
            setup, steps = history(number)
            problem = run(setup, steps)
            if problem:
                steps = shortest(setup, steps)
                told = "\n".join(map(str, steps))
                pytest.fail(f"history {number}, {setup}: {run(setup, steps)}\n{told}", pytrace=False)
    finally:
        logging.disable(logging.NOTSET)
