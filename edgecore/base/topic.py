"""Topic names and topic filters: validate once at the edge, trust inside (MQTT 5, section 4.7)."""

from __future__ import annotations

from typing import Final

from edgecore.base.errors import TopicError

# MQTT 5, 1.5.4: a UTF-8 string has a two-byte length.
MAX_TOPIC_BYTES: Final = 65_535
# A trie node per level: deep topics cost memory in every table. AWS allows 8; Mosquitto 200.
MAX_TOPIC_LEVELS: Final = 64

SHARE_PREFIX: Final = "$share/"


def check_topic(topic: str) -> str:
    """Give `topic` back if it is a valid topic name, else raise TopicError (MQTT 5, 4.7.3)."""
    if "+" in topic or "#" in topic:
        raise TopicError(f"topic name {topic!r} holds a wildcard: publish to a concrete topic")
    return _check_common(topic, "topic name")


def check_filter(topic_filter: str) -> str:
    """Give the filter back if it is a valid topic filter, else raise TopicError (MQTT 5, 4.7.1)."""
    _check_common(topic_filter, "topic filter")
    levels = topic_filter.split("/")
    last = len(levels) - 1
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != last):
            raise TopicError(f"topic filter {topic_filter!r}: '#' must be the whole last level")
        if "+" in level and level != "+":
            raise TopicError(f"topic filter {topic_filter!r}: '+' must be a whole level")
    return topic_filter


def _check_common(text: str, what: str) -> str:
    if not text:
        raise TopicError(f"{what} is empty: it needs at least one character")
    if "\0" in text:
        raise TopicError(f"{what} {text!r} holds U+0000, which MQTT forbids")
    if len(text) > MAX_TOPIC_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        raise TopicError(f"{what} is longer than {MAX_TOPIC_BYTES} bytes")
    if text.count("/") >= MAX_TOPIC_LEVELS:
        raise TopicError(f"{what} has more than {MAX_TOPIC_LEVELS} levels")
    return text


def matches(topic_filter: str, topic: str) -> bool:
    """Whether the filter matches the name. A first-level wildcard never matches `$...` (4.7.2)."""
    filter_levels = topic_filter.split("/")
    levels = topic.split("/")
    if topic.startswith("$") and filter_levels[0] in ("+", "#"):
        return False
    for index, level in enumerate(filter_levels):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(filter_levels) == len(levels)


def intersects(first: str, second: str) -> bool:
    """Whether some topic name is matched by both filters."""
    a, b = first.split("/"), second.split("/")
    if (a[0] in ("+", "#") and b[0].startswith("$")) or (b[0] in ("+", "#") and a[0].startswith("$")):
        return False
    return _levels_intersect(a, b)


def _levels_intersect(a: list[str], b: list[str]) -> bool:
    for left, right in zip(a, b, strict=False):
        if "#" in (left, right):
            return True
        if left != right and "+" not in (left, right):
            return False
    if len(a) == len(b):
        return True
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    # "a/#" also matches its parent "a" (4.7.1.2); the parent of "/#" would be the empty name, which is none.
    is_parent = len(longer) == len(shorter) + 1 and longer[-1] == "#"
    return is_parent and not (len(shorter) == 1 and not longer[0])


def bind(pattern: str, **names: str) -> str:
    """Put values in for `${name}` levels of a route's topic pattern; unknown ones become "+"."""
    return "/".join(
        names.get(level[2:-1], "+") if level.startswith("${") and level.endswith("}") else level
        for level in pattern.split("/")
    )


def split_share(topic_filter: str) -> tuple[str, str]:
    """(share name or "", filter) of a SUBSCRIBE's filter (MQTT 5, 4.8.2)."""
    if not topic_filter.startswith(SHARE_PREFIX):
        return "", topic_filter
    name, _, rest = topic_filter[len(SHARE_PREFIX) :].partition("/")
    if not name or not rest or "+" in name or "#" in name:
        raise TopicError(f"shared subscription {topic_filter!r}: expected $share/NAME/FILTER")
    return name, rest
