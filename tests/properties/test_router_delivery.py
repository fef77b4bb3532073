"""The laws of delivery: who gets a message, how often and how, against an oracle that asks row by row."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.base.topic import bind, matches, split_share
from edgecore.router import Router

NAMES = ("a", "b", "c")
DEVICES = {name: DeviceSpec(name, f"t-{name}") for name in NAMES}
STRANGER = identity.device("stranger", "t-a")
SENDERS = (
    *(identity.device(name, f"t-{name}") for name in NAMES),
    identity.function("f"),
    identity.CLOUD,
    STRANGER,
)

LEVELS = ("x", "y", "t-a", "t-b")
TOPICS = st.one_of(st.just("x"), st.lists(st.sampled_from(LEVELS), min_size=1, max_size=3).map("/".join))


def paths(*levels):
    """Filters of these levels, some ending in "#"."""
    return st.builds(
        lambda path, rest: "/".join(path + (["#"] if rest else [])),
        st.lists(st.sampled_from(levels), min_size=1, max_size=3),
        st.booleans(),
    )


FILTERS = st.one_of(st.sampled_from(["#", "x", "x/#", "y"]), paths(*LEVELS, "+"))
ASKED = st.one_of(FILTERS, st.builds("$share/{}/{}".format, st.sampled_from(["g", "h"]), FILTERS))
SOURCES, TARGETS = ("device:*", "device:a", "function:f", "cloud"), ("device:*", "device:a", "device:b")
PATTERNS = st.one_of(
    st.sampled_from(["#", "#", "x", "${thing}/${thing}"]), paths(*LEVELS, "+", "${thing}", "${target}")
)


def some(values):
    return st.lists(values, min_size=1, max_size=2, unique=True).map(tuple)


ROWS = st.builds(
    Row,
    st.one_of(st.just(("device:*",)), some(st.sampled_from(SOURCES))),
    some(PATTERNS),
    st.one_of(st.just(("device:*",)), some(st.sampled_from(TARGETS))),
    st.sampled_from(["", "", "y", "x/${thing}", "x/${target}"]),
    st.integers(0, 2),
)
# (device, asked filter, qos, no local, identifier)
SUBSCRIPTIONS = st.lists(
    st.tuples(st.integers(0, 2), ASKED, st.integers(0, 2), st.booleans(), st.integers(0, 2)),
    min_size=1,
    max_size=8,
)
PUBLISHED = st.lists(
    st.tuples(st.sampled_from(SENDERS), TOPICS, st.sampled_from([0, 1, 2, 2])), min_size=2, max_size=6
)


def is_named(pattern):
    return "${target}" in pattern.split("/")


def sensible(row):
    """What the loader lets through: ${target} only from device to device."""
    names = [*row.topics, row.as_topic]
    return all(source.startswith("device:") for source in row.sources) or not any(map(is_named, names))


def ways(rows, sender, topic, receiver):
    """(topic, qos) of each way by which the rows let this message through to this device."""
    if sender == STRANGER:
        return set()
    is_device = sender.kind == "device"
    found = set()
    for row in rows:
        from_it = sender.id in row.sources or (is_device and "device:*" in row.sources)
        if not from_it or not {"device:*", receiver.id}.intersection(row.targets):
            continue
        names = {"thing": sender.thing, "target": receiver.thing} if is_device else {"thing": receiver.thing}
        for pattern in row.topics:
            if matches(bind(pattern, **names), topic):
                found.add((bind(row.as_topic, **names) if row.as_topic else topic, row.qos))
    return found


class Client:
    def __init__(self, principal, connected=True):
        self.principal, self.connected, self.got = principal, connected, []

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        self.got.append((message, qos, identifiers, share))

    def take(self):
        got, self.got = self.got, []
        return got


class Site:
    """A router, its clients, and what they asked for and were granted: (client, filter) -> options."""

    def __init__(self, rows, subscriptions, connected):
        self.rows = rows
        self.bus = Router(ManualClock())
        self.bus.set_rows(rows, DEVICES)
        self.clients = [Client(sender, here) for sender, here in zip(SENDERS, connected, strict=False)]
        self.granted, self.refused = {}, []
        for index, asked, qos, no_local, identifier in subscriptions:
            client = self.clients[index]
            alone = no_local and not asked.startswith("$share/")
            allowed = self.bus.subscribe(client, asked, qos, no_local=alone, identifier=identifier)
            if allowed:
                self.granted[client, asked] = (qos, alone, identifier)
            else:
                self.refused.append((client, asked))

    def pairs(self, client, asked, sender, topic, qos):
        """The effective QoS of each pair of a way and this subscription."""
        cap, alone, _ = self.granted[client, asked]
        if alone and sender == client.principal:
            return []
        return [
            min(qos, cap, row_qos)
            for seen, row_qos in ways(self.rows, sender, topic, client.principal)
            if matches(split_share(asked)[1], seen)
        ]

    def expected(self, client, sender, topic, qos):
        """What the client is to get for itself: nothing, or one (qos, identifiers)."""
        matched = [
            (pairs, self.granted[known, asked][2])
            for known, asked in self.granted
            if known is client and not asked.startswith("$share/")
            if (pairs := self.pairs(known, asked, sender, topic, qos))
        ]
        if not matched:
            return []
        identifiers = sorted(identifier for _, identifier in matched if identifier)
        return [(max(max(pairs) for pairs, _ in matched), identifiers)]


SITES = st.builds(
    Site,
    st.lists(ROWS.filter(sensible), min_size=1, max_size=4),
    SUBSCRIPTIONS,
    st.lists(st.booleans(), min_size=3, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(SITES, PUBLISHED)
def test_every_subscriber_whom_a_row_permits_gets_one_copy_and_nobody_else_any(site, published):
    for sender, topic, qos in published:
        site.bus.publish(Message(topic, b"", qos, sender))
        for client in site.clients:
            alone = [(got, sorted(ids)) for _, got, ids, share in client.take() if not share]
            assert alone == site.expected(client, sender, topic, qos)


@settings(max_examples=300, deadline=None)
@given(SITES, PUBLISHED, st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_a_share_group_gets_one_copy_and_a_connected_member_before_any_other(site, published, changes):
    for (sender, topic, qos), changed in zip((*published, *published), (*changes, *changes), strict=False):
        site.clients[changed].connected ^= True  # and nobody tells the router
        site.bus.publish(Message(topic, b"", qos, sender))
        taken = [
            (client, got, ids, share)
            for client in site.clients
            for _, got, ids, share in client.take()
            if share
        ]
        for group in {asked for _, asked in site.granted if asked.startswith("$share/")}:
            permitted = {
                client: max(pairs)
                for client, asked in site.granted
                if asked == group and (pairs := site.pairs(client, asked, sender, topic, qos))
            }
            chosen = [(client, got, ids) for client, got, ids, share in taken if share == group]
            assert len(chosen) == bool(permitted)
            for client, got, ids in chosen:
                identifier = site.granted[client, group][2]
                assert got == permitted[client]
                assert ids == ((identifier,) if identifier else ())
                assert client.connected or not any(each.connected for each in permitted)


@settings(max_examples=300, deadline=None)
@given(SITES, PUBLISHED)
def test_what_was_refused_at_subscribe_could_not_have_been_delivered(site, published):
    for client, asked in site.refused:
        for sender, topic, _ in published:
            seen = {each for each, _ in ways(site.rows, sender, topic, client.principal)}
            assert not any(matches(split_share(asked)[1], each) for each in seen)


@settings(max_examples=300, deadline=None)
@given(SITES, PUBLISHED, st.lists(ROWS.filter(sensible), max_size=3), st.sets(st.sampled_from(NAMES)))
def test_what_is_stored_is_permitted_as_the_rows_of_now_would_plan_it(site, published, rows, members):
    stored = []
    for sender, topic, qos in published:
        site.bus.publish(Message(topic, b"", qos, sender))
        for client in site.clients:
            stored += [(sender, topic, client, message) for message, *_ in client.take()]
    assert all(site.bus.permits(message, client.principal) for _, _, client, message in stored)
    version = site.bus.rows_version
    site.bus.set_rows(rows, {name: DEVICES[name] for name in members})
    assert site.bus.rows_version > version
    for sender, topic, client, message in stored:
        here = client.principal.name in members and (sender.kind != "device" or sender.name in members)
        seen = {each for each, _ in ways(rows, sender, topic, client.principal)} if here else set()
        assert site.bus.permits(message, client.principal) == (message.topic in seen)


@settings(max_examples=300, deadline=None)
@given(SITES, PUBLISHED)
def test_what_a_new_subscription_is_owed_is_what_it_would_have_got(site, published):
    last = {
        topic: sender
        for sender, topic, qos in published
        if site.bus.publish(Message(topic, b"x", qos, sender, retain=True)).allowed
    }
    for client, asked in site.granted:
        if asked.startswith("$share/"):
            assert site.bus.retained_for(client, asked) == []
            continue
        owed = {each.origin or each.topic: cap for each, cap in site.bus.retained_for(client, asked)}
        expected = {}
        for topic, sender in last.items():
            caps = [
                qos for seen, qos in ways(site.rows, sender, topic, client.principal) if matches(asked, seen)
            ]
            if caps:
                expected[topic] = max(caps)
        assert owed == expected
