"""A tree over the levels of topics or filters, in which a run of levels without a fork is one node.

So a table of n entries has at most 2n nodes however deep they are: who subscribes or retains decides how
deep, and a node per level would let a few thousand entries of 64 levels fill a Pi's memory and hold the
loop for a quarter of a second. No recursion, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class _Node(Generic[V]):
    """`label`: the levels from the parent to here. `value`: what is kept here, None for a mere fork."""

    __slots__ = ("children", "label", "value")

    def __init__(self, label: list[str]) -> None:
        self.label = label
        self.children: dict[str, _Node[V]] = {}  # by the first level of their labels
        self.value: V | None = None


class LevelTree(Generic[V]):
    """Values by path. Paths are filters when `matching` is asked, topics when `under` is."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node([])

    def get(self, path: str) -> V | None:
        """What is kept at this very path."""
        nodes = self._way_to(path.split("/"))
        return nodes[-1].value if nodes else None

    def put(self, path: str, value: V) -> None:
        """Keep the value at the path, in place of what is there."""
        levels = path.split("/")
        node, at = self._root, 0
        while at < len(levels):
            child = node.children.get(levels[at])
            if child is None:
                child = node.children[levels[at]] = _Node(levels[at:])
            shared = _shared(child.label, levels, at)
            if shared < len(child.label):
                child = _split(node, child, shared)
            node, at = child, at + shared
        node.value = value

    def remove(self, path: str) -> None:
        """Forget what is kept at the path, which must be there. Leaves no node that has no purpose."""
        nodes = self._way_to(path.split("/"))
        node, parent = nodes[-1], nodes[-2]
        node.value = None
        if not node.children:
            del parent.children[node.label[0]]
            if len(nodes) > 2:
                _join(nodes[-3], parent)
        else:
            _join(parent, node)

    def __iter__(self) -> Iterator[V]:
        return _values(self._root)

    def matching(self, topic: str) -> list[V]:
        """The values of all paths that are filters which match the topic."""
        levels = topic.split("/")
        end = len(levels)
        found: list[V] = []
        # MQTT 5, 4.7.2: a wildcard in the first level never matches a topic that starts with "$".
        keys = ("+", "#") if not topic.startswith("$") else ()
        stack = [(self._root, 0)]
        while stack:
            node, at = stack.pop()
            if at == end and node.value is not None:
                found.append(node.value)
            children = node.children
            if not children:
                continue
            for key in (levels[at], *keys) if at < end else ("#",):
                child = children.get(key)
                if child is None:
                    continue
                label = child.label
                if label[-1] == "#":  # the last level of a filter, so that nothing is below
                    if _fits(label[:-1], levels, at) and child.value is not None:
                        found.append(child.value)
                elif len(label) == 1 or _fits(label, levels, at):
                    stack.append((child, at + len(label)))
            keys = ("+", "#")
        return found

    def under(self, topic_filter: str) -> Iterator[V]:
        """The values of all paths that are topics which the filter matches."""
        levels = topic_filter.split("/")
        stack = [(child, 0) for child in self._first(levels[0])]
        while stack:
            node, at = stack.pop()
            label = node.label
            if "#" in levels[at : at + len(label) + 1]:  # "a/#" matches "a" too (4.7.1.2)
                known = levels[at : levels.index("#", at)]
                if _fits(known, label[: len(known)], 0):
                    yield from _values(node)
                continue
            if not _fits(levels[at : at + len(label)], label, 0) or at + len(label) > len(levels):
                continue
            at += len(label)
            if at == len(levels):
                if node.value is not None:
                    yield node.value
            elif levels[at] == "+":
                stack.extend((child, at) for child in node.children.values())
            elif (child := node.children.get(levels[at])) is not None:
                stack.append((child, at))

    def _first(self, level: str) -> list[_Node[V]]:
        """The nodes at which a filter that begins with this level may begin."""
        children = self._root.children
        if level in ("+", "#"):
            return [child for first, child in children.items() if not first.startswith("$")]
        return [children[level]] if level in children else []

    def _way_to(self, levels: list[str]) -> list[_Node[V]]:
        """The nodes from the root to the one at this path; none when there is no such node."""
        way, at = [self._root], 0
        while at < len(levels):
            child = way[-1].children.get(levels[at])
            if child is None or levels[at : at + len(child.label)] != child.label:
                return []
            way.append(child)
            at += len(child.label)
        return way


def _fits(pattern: list[str], levels: list[str], at: int) -> bool:
    """Whether the levels from `at` on begin with what the pattern (without "#") asks for."""
    if len(pattern) > len(levels) - at:
        return False
    for asked in pattern:
        if asked != levels[at] and asked != "+":
            return False
        at += 1
    return True


def _shared(label: list[str], levels: list[str], at: int) -> int:
    """How many levels from `at` on are those of the label."""
    count = 0
    for one, other in zip(label, levels[at : at + len(label)], strict=False):
        if one != other:
            break
        count += 1
    return count


def _split(parent: _Node[V], child: _Node[V], count: int) -> _Node[V]:
    """Make the child's first `count` levels a node of their own, between the two."""
    fork: _Node[V] = _Node(child.label[:count])
    child.label = child.label[count:]
    fork.children[child.label[0]] = child
    parent.children[fork.label[0]] = fork
    return fork


def _join(parent: _Node[V], node: _Node[V]) -> None:
    """Undo a split when the node keeps nothing and leads one way only."""
    if node.value is None and len(node.children) == 1:
        (child,) = node.children.values()
        child.label = node.label + child.label
        parent.children[child.label[0]] = child


def _values(node: _Node[V]) -> Iterator[V]:
    stack = [node]
    while stack:
        here = stack.pop()
        if here.value is not None:
            yield here.value
        stack.extend(here.children.values())
