"""The route table: rows of (from, topic filter, to). The only way a message may flow; default deny.

Decides from values alone: a sender, a topic, a receiver. Knows no subscriptions and delivers nothing.
Rules: ${thing} is the publisher's thing when the source is a device, else the receiving device's;
${target} is the receiver's in a row device -> device. A device may always use its own shadow topics.
A message that came from the cloud is never sent back to it. A device that the group does not have, or has
with another thing, sends and gets nothing, whoever asks: what it left behind is judged by its own name.
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
# Answers kept, one per (sender, topic) asked about: some 400 bytes each. Plans are kept beside them and made
# anew at each change of a subscription; these only at a change of the rows.
MAX_ANSWERS: Final = 8_192


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
        found: dict[tuple[str, str, str | None], Grant] = {}
        for grant in (*self._own_shadow(sender, topic), *self._from_rows(sender, topic)):
            if sender.kind == "cloud" and grant.target == "cloud":
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
            if not _is_source(row, sender):
                continue
            for pattern in row.topics:
                if matches(self._bound(pattern, sender), topic):
                    yield from self._row_grants(row, pattern, sender, topic)

    def _bound(self, pattern: str, sender: Principal) -> str:
        # The receiver's names stay open here ("+"); _row_grants reads them off the topic.
        return bind(pattern, thing=sender.thing) if sender.kind == "device" else bind(pattern)

    def _row_grants(self, row: Row, pattern: str, sender: Principal, topic: str) -> Iterator[Grant]:
        receiver_name = TARGET if sender.kind == "device" else THING
        named = {
            level
            for part, level in zip(pattern.split("/"), topic.split("/"), strict=False)
            if part == receiver_name
        }
        if len(named) > 1:
            return  # one message cannot be for two things
        thing = next(iter(named), None)
        for target in row.targets:
            if not row.as_topic:
                yield Grant(target, topic, row.qos, thing, row.expiry)
            elif target.startswith("device:"):
                yield from self._renamed(row, target, sender, thing)
            else:
                yield Grant(target, self._name(row, sender, thing), row.qos, thing, row.expiry)

    def _renamed(self, row: Row, target: str, sender: Principal, thing: str | None) -> Iterator[Grant]:
        """Yield the ways under `as`: one per receiver when the new topic names the receiver."""
        receiver_name = TARGET if sender.kind == "device" else THING
        if thing is not None or receiver_name not in row.as_topic:
            yield Grant(target, self._name(row, sender, thing), row.qos, thing, row.expiry)
            return
        for device in self._devices.values():
            if target in (ANY_DEVICE, f"device:{device.name}"):
                new = self._name(row, sender, device.thing)
                yield Grant(target, new, row.qos, device.thing, row.expiry)

    def _name(self, row: Row, sender: Principal, thing: str | None) -> str:
        if sender.kind == "device":
            return bind(row.as_topic, thing=sender.thing, target=thing or "")
        return bind(row.as_topic, thing=thing or "")

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


def _is_source(row: Row, sender: Principal) -> bool:
    if sender.kind == "operator":
        return True  # an operator acts as any source; what it does is logged
    return sender.id in row.sources or (sender.kind == "device" and ANY_DEVICE in row.sources)
