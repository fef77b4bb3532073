from edgecore.router.level_tree import LevelTree


def tree_of(*paths):
    tree = LevelTree()
    for path in paths:
        tree.put(path, path)
    return tree


def nodes(tree):
    stack, count = list(tree._root.children.values()), 0
    while stack:
        node = stack.pop()
        count += 1
        stack.extend(node.children.values())
    return count


def test_what_is_kept_at_a_path():
    tree = tree_of("a/b/c", "a/b", "a/x")
    assert [tree.get(path) for path in ("a/b/c", "a/b", "a/x")] == ["a/b/c", "a/b", "a/x"]
    assert [tree.get(path) for path in ("a", "a/b/c/d", "a/b/d", "b", "")] == [None] * 5
    tree.put("a/b", "new")
    assert tree.get("a/b") == "new"
    assert sorted(tree) == ["a/b/c", "a/x", "new"]


def test_filters_that_match_a_topic():
    tree = tree_of("a/b/c", "a/b/#", "a/+/c", "#", "+/b/c", "a/b/c/#", "a/b/c/d", "a/b", "+", "a/#", "b/#")
    assert sorted(tree.matching("a/b/c")) == ["#", "+/b/c", "a/#", "a/+/c", "a/b/#", "a/b/c", "a/b/c/#"]
    assert sorted(tree.matching("a")) == ["#", "+", "a/#"]
    assert tree.matching("$a") == []


def test_topics_under_a_filter():
    tree = tree_of("a/b/c", "a/b", "a", "a/x/c", "$a/b", "/a")
    assert sorted(tree.under("#")) == ["/a", "a", "a/b", "a/b/c", "a/x/c"]
    assert sorted(tree.under("a/#")) == ["a", "a/b", "a/b/c", "a/x/c"]
    assert sorted(tree.under("a/b/#")) == ["a/b", "a/b/c"]
    assert sorted(tree.under("+/+/c")) == ["a/b/c", "a/x/c"]
    assert sorted(tree.under("+/a")) == ["/a"]
    assert sorted(tree.under("$a/+")) == ["$a/b"]
    assert [list(tree.under(each)) for each in ("a/b/c/d", "b", "a/b/c/d/#", "+/+/+/+", "a/c")] == [[]] * 5


def test_a_run_without_a_fork_is_one_node():
    tree = tree_of("a/b/c/d/e/f")
    assert nodes(tree) == 1
    tree.put("a/b/c/x/y", 1)
    assert nodes(tree) == 3
    tree.put("a/b/c", 2)
    assert nodes(tree) == 3
    tree.remove("a/b/c")
    assert nodes(tree) == 3
    tree.remove("a/b/c/x/y")
    assert nodes(tree) == 1
    tree.put("a/b", 3)
    tree.remove("a/b")
    assert nodes(tree) == 1
    tree.remove("a/b/c/d/e/f")
    assert nodes(tree) == 0


def test_entries_of_any_depth_cost_two_nodes_at_the_most():
    paths = ["/".join("ab"[number >> bit & 1] for bit in range(12)) + "/x" * 50 for number in range(4096)]
    assert nodes(tree_of(*paths)) <= 2 * len(paths)
