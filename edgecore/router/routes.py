"""The route table: rows of (from, topic filter, to). The only way a message may flow; default deny.

Decides from values alone: a sender, a topic, a receiver. Knows no subscriptions and delivers nothing.
Rules: ${thing} is the publisher's thing when the source is a device, else the receiving device's;
${target} is the receiver's in a row device -> device. A device may always use its own shadow topics.
A message that came from the cloud is never sent back to it, and shadow topics go neither there nor come
from there. Only the core speaks on $SYS and of alarms. An operator acts as any source. A device that the
group does not have, or has with another thing, sends and gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.base.group import DeviceSpec, Row
from edgecore.base.identity import Principal
from edgecore.base.message import EXACTLY_ONCE
from edgecore.base.topic import bind, intersects, matches

ANY_DEVICE: Final = "device:*"
THING: Final = "${thing}"
TARGET: Final = "${target}"
# Where the core speaks of itself: a device that could write here could hide or invent an alarm.
CORE_TOPICS: Final = ("$SYS/", "edgecore/alarm/")
# Answers kept, one per (sender, topic) asked about: at some 350 bytes each 11 MB at the most, and more than
# there may be retained messages. Plans go at each change of a subscription; these only at one of the rows.
MAX_ANSWERS: Final = 32_768


@dataclass(frozen=True, slots=True)
class Grant:
    """One permitted way for one message.

    `target`: a port ("function:NAME", "cloud", ...), "device:NAME" or "device:*". `thing`: the thing
    that a receiving device must have, or None. `topic`: the topic that it becomes. `qos`: a cap.
    `expiry`: seconds, or None.
    """

    target: str
    topic: str
    qos: int
    thing: str | None = None
    expiry: float | None = None

    @property
    def for_devices(self) -> bool:
        """Whether the receivers are devices with subscriptions, and not a port."""
        return self.target.startswith("device:")

    def permits(self, receiver: Principal) -> bool:
        """Whether this grant lets the message through to the port or the subscribed receiver."""
        if receiver.kind == "operator":
            return True
        if not self.for_devices:
            return self.target == receiver.id
        if receiver.kind != "device" or self.target not in (ANY_DEVICE, receiver.id):
            return False
        return self.thing is None or self.thing == receiver.thing


@dataclass(frozen=True, slots=True)
class _Names:
    """Whose names a topic holds, read by a row's pattern.

    `from_device`: whether the message counts as a device's. `publisher`: that device's thing, or "".
    `receiver`: the thing that the receiving device must have, or None for any.
    """

    from_device: bool
    publisher: str
    receiver: str | None


def shadow_prefix(thing: str) -> str:
    """Where a thing's shadow topics start (facts: aws-iot-core.md 1.1)."""
    return f"$aws/things/{thing}/shadow/"


def shadow_thing(topic: str) -> str:
    """The thing whose shadow the topic belongs to, or ""."""
    levels = topic.split("/", 4)
    is_shadow = len(levels) == 5 and levels[:2] == ["$aws", "things"] and levels[3] == "shadow"
    return levels[2] if is_shadow else ""


class RouteTable:
    """The rows of the active group, and the rules that need no row."""

    def __init__(self, rows: Iterable[Row], devices: Mapping[str, DeviceSpec]) -> None:
        self._rows = tuple(rows)
        self._devices = dict(devices)
        self._answers: dict[tuple[str, str, str], tuple[Grant, ...]] = {}

    def knows(self, principal: Principal) -> bool:
        """Whether the principal is no device, or one of this group under the same thing."""
        if principal.kind != "device":
            return True
        spec = self._devices.get(principal.name)
        return spec is not None and spec.thing == principal.thing

    def reaches(self, grant: Grant, receiver: Principal) -> bool:
        """Whether the grant lets the message through to this receiver now."""
        return grant.permits(receiver) and self.knows(receiver)

    def grants(self, sender: Principal, topic: str) -> tuple[Grant, ...]:
        """Every permitted way for a message of `sender` on `topic`; one per target, first row first."""
        key = (sender.id, sender.thing, topic)
        found = self._answers.get(key)
        if found is None:
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            found = self._answers[key] = self._grants(sender, topic) if self.knows(sender) else ()
        return found

    def _grants(self, sender: Principal, topic: str) -> tuple[Grant, ...]:
        if topic.startswith(CORE_TOPICS) and sender.kind not in ("core", "operator"):
            return ()
        found: dict[tuple[str, str, str | None], Grant] = {}
        for grant in (*self._own_shadow(sender, topic), *self._from_rows(sender, topic)):
            if "cloud" in (sender.kind, grant.target) and _is_barred(sender, topic, grant):
                continue
            # "Several matching rows deliver once per target": a port has one way, whatever its topic.
            key = (grant.target, grant.topic if grant.for_devices else "", grant.thing)
            known = found.get(key)
            if known is None or (known.topic == grant.topic and known.qos < grant.qos):
                found[key] = grant
        return tuple(found.values())

    def may_subscribe(self, receiver: Principal, topic_filter: str) -> bool:
        """Whether some row could ever deliver to `receiver` what the filter matches."""
        if receiver.kind == "operator":
            return True
        if receiver.kind != "device" or not self.knows(receiver):
            return False
        if intersects(topic_filter, shadow_prefix(receiver.thing) + "#"):
            return True
        return any(intersects(topic_filter, way) for way in self._ways_to(receiver))

    def published_as(self, topic_filter: str) -> Iterator[str]:
        """Yield filters of all topics whose messages a device may see under `topic_filter`."""
        yield topic_filter
        for row in self._rows:
            if row.as_topic and intersects(bind(row.as_topic), topic_filter):
                yield from map(bind, row.topics)

    def _own_shadow(self, sender: Principal, topic: str) -> Iterator[Grant]:
        thing = shadow_thing(topic)
        if not thing:
            return
        if sender.kind == "operator" or (sender.kind == "device" and thing == sender.thing):
            yield Grant("shadow", topic, EXACTLY_ONCE)
        elif sender.kind == "shadow":
            yield Grant(ANY_DEVICE, topic, EXACTLY_ONCE, thing)

    def _from_rows(self, sender: Principal, topic: str) -> Iterator[Grant]:
        for row in self._rows:
            for from_device in _roles(row, sender):
                for pattern in row.topics:
                    names = _read(pattern, topic, sender, from_device)
                    if names is not None:
                        yield from self._row_grants(row, topic, names)

    def _row_grants(self, row: Row, topic: str, names: _Names) -> Iterator[Grant]:
        for target in row.targets:
            if not row.as_topic:
                yield Grant(target, topic, row.qos, names.receiver, row.expiry)
                continue
            for thing in self._addressees(row, target, names):
                new = _named(row, names, thing)
                if new:
                    yield Grant(target, new, row.qos, thing, row.expiry)

    def _addressees(self, row: Row, target: str, names: _Names) -> tuple[str | None, ...]:
        """Whom a renamed message is for: every receiver by its own name when the new topic names it."""
        variable = TARGET if names.from_device else THING
        is_open = names.receiver is None and target.startswith("device:")
        if not is_open or variable not in row.as_topic.split("/"):
            return (names.receiver,)
        devices = self._devices.values()
        return tuple(each.thing for each in devices if target in (ANY_DEVICE, f"device:{each.name}"))

    def _ways_to(self, receiver: Principal) -> Iterator[str]:
        """Yield filters of all that rows may deliver to this device, as it would see them."""
        for row in self._rows:
            if not {ANY_DEVICE, receiver.id}.intersection(row.targets):
                continue
            patterns = (row.as_topic,) if row.as_topic else row.topics
            for source in row.sources:
                for pattern in patterns:
                    yield self._seen_by(pattern, source, receiver)

    def _seen_by(self, pattern: str, source: str, receiver: Principal) -> str:
        if not source.startswith("device:"):
            return bind(pattern, thing=receiver.thing)
        publisher = self._devices.get(source.removeprefix("device:"))
        if publisher is None:
            return bind(pattern, target=receiver.thing)
        return bind(pattern, thing=publisher.thing, target=receiver.thing)


def _roles(row: Row, sender: Principal) -> tuple[bool, ...]:
    """As what the sender may use the row: as a device (True), as another source (False), or not at all."""
    if sender.kind == "operator":  # whatever it does is logged
        return tuple({source.startswith("device:") for source in row.sources})
    if sender.id in row.sources or (sender.kind == "device" and ANY_DEVICE in row.sources):
        return (sender.kind == "device",)
    return ()


def _read(pattern: str, topic: str, sender: Principal, from_device: bool) -> _Names | None:
    """The names in the topic, or None when the pattern does not match it for this sender."""
    is_device = sender.kind == "device"
    # The receiver's names stay open here ("+"), and so do the publisher's when an operator acts for it.
    if not matches(bind(pattern, thing=sender.thing) if is_device else bind(pattern), topic):
        return None
    levels = tuple(zip(pattern.split("/"), topic.split("/"), strict=False))
    things = {level for part, level in levels if part == THING}
    receivers = {level for part, level in levels if part == TARGET} if from_device else things
    publishers = things if from_device else set()
    if len(receivers) > 1 or len(publishers) > 1:
        return None  # one message cannot be of or for two things
    publisher = sender.thing if is_device else next(iter(publishers), "")
    return _Names(from_device, publisher, next(iter(receivers), None))


def _named(row: Row, names: _Names, receiver: str | None) -> str:
    """The topic under `as`; "" when it asks for a name that nobody gives: an operator has no thing."""
    thing = names.publisher if names.from_device else receiver
    if not thing and THING in row.as_topic.split("/"):
        return ""
    return bind(row.as_topic, thing=thing or "", target=receiver or "")


def _is_barred(sender: Principal, topic: str, grant: Grant) -> bool:
    """Whether a way from or to the cloud is none: back to where it came from, or with a shadow's topic."""
    back = sender.kind == "cloud" and grant.target == "cloud"
    return back or bool(shadow_thing(topic) or shadow_thing(grant.topic))
