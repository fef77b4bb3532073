"""Shared subscriptions as AWS has them: members take turns; what nobody is there for waits in the group.

Pure. A group is named by its whole filter, `$share/NAME/FILTER`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from edgecore.base.topic import split_share
from edgecore.mqtt.packets import SubscriptionOptions
from edgecore.sim.cloud import rules
from edgecore.sim.cloud.limits import Buckets
from edgecore.sim.cloud.sessions import Published, Session

# Service quotas: queued messages of a shared subscription group.
MAX_WAITING: Final = 500_000

Member = tuple[Session, SubscriptionOptions]


class Shares:
    """The turns of all share groups, and the messages that wait in them."""

    def __init__(self) -> None:
        self.dropped = 0
        self._turns: dict[str, int] = {}
        self._waiting: dict[str, deque[Published]] = {}

    def choose(self, group: str, members: list[Member]) -> Member | None:
        """The next member that is online, or None."""
        online = [member for member in members if member[0].online]
        if not online:
            return None
        turn = self._turns[group] = self._turns.get(group, -1) + 1
        return online[turn % len(online)]

    def keep(self, group: str, message: Published) -> None:
        """Let a QoS 1 message wait until a member comes."""
        waiting = self._waiting.setdefault(group, deque())
        if len(waiting) >= MAX_WAITING:
            self.dropped += 1
        else:
            waiting.append(message)

    @property
    def waiting(self) -> int:
        """How many messages wait in all groups."""
        return sum(map(len, self._waiting.values()))

    def hand_out(self, sessions: Iterable[Session], pace: Buckets, now: float) -> set[str]:
        """Give members what waits, within the pace of each; tells the client ids that got something."""
        if not self._waiting:
            return set()
        given: set[str] = set()
        everyone = list(sessions)
        for group, waiting in self._waiting.items():
            members = [
                (session, session.filters[group])
                for session in everyone
                if session.online and group in session.filters
            ]
            while waiting and members:
                members = [one for one in members if _give(one, waiting, pace, now, given)]
        self._waiting = {group: waiting for group, waiting in self._waiting.items() if waiting}
        return given

    def forget(self, known: Iterable[str]) -> None:
        """Drop the groups that have no member left."""
        alive = set(known)
        self._waiting = {group: waiting for group, waiting in self._waiting.items() if group in alive}


def _give(member: Member, waiting: deque[Published], pace: Buckets, now: float, given: set[str]) -> bool:
    session, options = member
    if not waiting or not pace.take(session.client_id, now):
        return False
    message = waiting.popleft()
    session.offer(message, min(message.qos, options.qos), retain=False)
    given.add(session.client_id)
    return True


def groups_of(sessions: Iterable[Session], topic: str) -> dict[str, list[Member]]:
    """The groups that get `topic`, with their members."""
    groups: dict[str, list[Member]] = {}
    for session in sessions:
        for topic_filter, options in session.filters.items():
            share, below = split_share(topic_filter)
            if share and rules.receives(below, topic):
                groups.setdefault(topic_filter, []).append((session, options))
    return groups


def refuse_member(sessions: Iterable[Session], topic_filter: str) -> bool:
    """Whether the account has too many groups, or this one too many members, for one more."""
    groups: dict[str, int] = {}
    for session in sessions:
        for each in session.filters:
            if each.startswith("$share/"):
                groups[each] = groups.get(each, 0) + 1
    if topic_filter not in groups:
        return len(groups) >= rules.MAX_SHARE_GROUPS
    return groups[topic_filter] >= rules.MAX_SHARE_MEMBERS
