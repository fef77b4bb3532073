"""Topic aliases of one connection, in both directions (5, 3.3.2.3.4). They end with the connection."""

from __future__ import annotations

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt.reason_codes import ReasonCode


class ReceivedAliases:
    """The numbers that the client gave to topics. `maximum`: the highest number that it may use."""

    __slots__ = ("_topics", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._topics: dict[int, str] = {}

    def resolve(self, topic: str, alias: int) -> str:
        """The topic of a PUBLISH with that alias; a topic that stands there is remembered.

        Raises RemoteProtocolError for a number above the maximum, and for one without a topic.
        """
        if alias > self.maximum:
            raise RemoteProtocolError(
                ReasonCode.TOPIC_ALIAS_INVALID,
                f"topic alias {alias} is above {self.maximum}, the maximum that CONNACK named",
            )
        if topic:
            self._topics[alias] = topic
            return topic
        known = self._topics.get(alias)
        if known is None:
            raise RemoteProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never given a topic on this connection"
            )
        return known


class SentAliases:
    """The numbers that we give to topics, first come, first served. `maximum`: how many the client takes."""

    __slots__ = ("_aliases", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._aliases: dict[str, int] = {}

    def offer(self, topic: str) -> tuple[int, str]:
        """(alias or 0, topic to send): "" where the client knows the topic by its alias already."""
        known = self._aliases.get(topic)
        if known is not None:
            return known, ""
        return (len(self._aliases) + 1 if len(self._aliases) < self.maximum else 0), topic

    def sent(self, topic: str) -> None:
        """Note that a PUBLISH on the topic went out with what was offered."""
        if topic not in self._aliases and len(self._aliases) < self.maximum:
            self._aliases[topic] = len(self._aliases) + 1
