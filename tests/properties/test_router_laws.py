"""The laws of topics and of the subscription table, against a naive matcher."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.topic import bind, check_filter, check_topic, intersects, matches
from edgecore.router.level_tree import LevelTree
from edgecore.router.subscriptions import Subscription, SubscriptionTable

LEVELS = st.sampled_from(["a", "b", "", "$x"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda levels, rest: "/".join(levels + (["#"] if rest else [])),
    st.lists(st.sampled_from(["a", "b", "", "$x", "+"]), min_size=1, max_size=4),
    st.booleans(),
).filter(bool)


class Someone:
    principal = None

    def deliver(self, message, qos, retain):
        return None


@given(st.lists(FILTERS, max_size=8), TOPICS)
def test_the_trie_equals_the_naive_matcher(filters, topic):
    table = SubscriptionTable()
    someone = Someone()
    for each in filters:
        table.add(Subscription(someone, check_filter(each), 0))
    assert sorted(each.topic_filter for each in table.match(topic)) == sorted(
        {each for each in filters if matches(each, topic)}
    )


STEPS = st.lists(st.tuples(st.booleans(), st.one_of(TOPICS, FILTERS)), max_size=20)


@given(STEPS, TOPICS, FILTERS)
def test_the_tree_is_a_dictionary_that_can_be_asked_by_topic_and_by_filter(steps, topic, topic_filter):
    tree, naive = LevelTree(), {}
    for number, (add, path) in enumerate(steps):
        if add:
            tree.put(path, number)
            naive[path] = number
        elif naive.pop(path, None) is not None:
            tree.remove(path)
    assert {path: tree.get(path) for _, path in steps} == {path: naive.get(path) for _, path in steps}
    assert sorted(tree) == sorted(naive.values())
    assert sorted(tree.matching(topic)) == sorted(
        value for path, value in naive.items() if matches(path, topic)
    )
    if not any("+" in path or "#" in path for path in naive):
        assert sorted(tree.under(topic_filter)) == sorted(
            value for path, value in naive.items() if matches(topic_filter, path)
        )
    stack = list(tree._root.children.values())
    while stack:
        node = stack.pop()
        assert node.value is not None or len(node.children) > 1
        stack.extend(node.children.values())


@given(st.lists(TOPICS, max_size=12), FILTERS)
def test_the_topics_under_a_filter_are_those_it_matches(topics, topic_filter):
    tree = LevelTree()
    for topic in topics:
        tree.put(topic, topic)
    assert sorted(tree.under(topic_filter)) == sorted(
        {each for each in topics if matches(topic_filter, each)}
    )


@given(st.lists(FILTERS, max_size=8))
def test_adding_and_removing_all_leaves_nothing(filters):
    table = SubscriptionTable()
    someone = Someone()
    for each in filters:
        table.add(Subscription(someone, each, 0))
    assert len(table) == len(set(filters))
    table.remove_all(someone)
    assert len(table) == 0
    assert list(table) == []


@given(FILTERS, FILTERS, TOPICS)
def test_two_filters_that_share_a_topic_intersect(first, second, topic):
    if matches(first, topic) and matches(second, topic):
        assert intersects(first, second)
    assert intersects(first, second) == intersects(second, first)


@given(FILTERS, FILTERS)
def test_filters_that_intersect_share_some_topic(first, second):
    if not intersects(first, second):
        return
    one, other = first.split("/"), second.split("/")
    length = max(len(one), len(other))
    levels = []
    for index in range(length):
        named = [side[index] for side in (one, other) if index < len(side) and side[index] not in ("+", "#")]
        levels.append(named[0] if named else "a")
    candidates = ["/".join(levels[:cut]) for cut in range(1, length + 1)]
    assert any(each and matches(first, each) and matches(second, each) for each in candidates)


@given(TOPICS)
def test_binding_a_name_gives_a_filter_that_matches_it(topic):
    assert matches(bind("${thing}/x", thing="t"), "t/x")
    assert check_topic(topic) == topic
