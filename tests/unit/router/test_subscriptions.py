from edgecore.router.subscriptions import Subscription, SubscriptionTable


class Someone:
    principal = None

    def deliver(self, message, qos, retain):
        return None


def filters(table, topic):
    return sorted(each.topic_filter for each in table.match(topic))


def test_matching_by_level_and_wildcards():
    table = SubscriptionTable()
    someone = Someone()
    for each in ("a", "a/b", "a/+", "a/#", "+/b", "#", "+"):
        table.add(Subscription(someone, each, 0))
    assert filters(table, "a/b") == ["#", "+/b", "a/#", "a/+", "a/b"]
    assert filters(table, "a") == ["#", "+", "a", "a/#"]
    assert filters(table, "a/b/c") == ["#", "a/#"]


def test_memberships_of_share_groups_are_counted_among_all():
    table = SubscriptionTable()
    one, two = Someone(), Someone()
    for someone, topic_filter in ((one, "a"), (one, "$share/g/a"), (two, "$share/g/a"), (two, "$share/h/a")):
        table.add(Subscription(someone, topic_filter, 0))
    assert (len(table), table.shared) == (4, 3)
    table.remove_all(two)
    assert (len(table), table.shared) == (2, 1)
    table.remove(one, "$share/g/a")
    assert (len(table), table.shared) == (1, 0)


def test_first_level_wildcards_never_match_reserved_topics():
    table = SubscriptionTable()
    someone = Someone()
    for each in ("#", "+/x", "$SYS/#", "$SYS/+"):
        table.add(Subscription(someone, each, 0))
    assert filters(table, "$SYS/x") == ["$SYS/#", "$SYS/+"]


def test_adding_again_replaces():
    table = SubscriptionTable()
    someone = Someone()
    table.add(Subscription(someone, "a", 0))
    table.add(Subscription(someone, "a", 1))
    assert [each.qos for each in table.match("a")] == [1]
    assert len(table) == 1
    assert [each.qos for each in table] == [1]


def test_removal_leaves_no_node():
    table = SubscriptionTable()
    first, second = Someone(), Someone()
    table.add(Subscription(first, "a/b/c", 0))
    table.add(Subscription(first, "a/b", 0))
    table.add(Subscription(second, "a/b", 0))
    assert not table.remove(second, "nothing")
    assert table.remove_all(first)
    assert not table.remove_all(first)
    assert table.remove(second, "a/b")
    assert len(table) == 0
    assert table._tree._root.children == {}


def test_shared_subscriptions_stand_beside_those_that_are_not():
    table = SubscriptionTable()
    first, second = Someone(), Someone()
    for someone, topic_filter in (
        (first, "a"),
        (first, "$share/g/a"),
        (first, "$share/h/+"),
        (second, "$share/g/a"),
    ):
        table.add(Subscription(someone, topic_filter, 0))
        table.add(Subscription(someone, topic_filter, 1))
    assert filters(table, "a") == ["$share/g/a", "$share/g/a", "$share/h/+", "a"]
    assert table.share("$share/g/a").members == 2
    assert len(table) == 4
    assert table.remove(first, "$share/g/a")
    assert not table.remove(first, "$share/g/a")
    assert filters(table, "a") == ["$share/g/a", "$share/h/+", "a"]
    table.remove_all(first)
    table.remove_all(second)
    assert table._tree._root.children == table._shares == table._filters == {}


def test_filters_of_any_depth_need_no_deeper_stack():
    table = SubscriptionTable()
    someone = Someone()
    deep = "/".join("a" * 5000)
    for topic_filter in (deep, deep + "/#", "+/" * 4999 + "+"):
        table.add(Subscription(someone, topic_filter, 0))
    assert len(table.match(deep)) == 3
    assert len(list(table)) == 3
    table.remove_all(someone)
    assert table._tree._root.children == {}
