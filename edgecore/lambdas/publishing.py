"""What a function asks the bus to publish, and what it is told about it."""

from __future__ import annotations

from collections.abc import Callable

from edgecore.base.commit import when_all_done
from edgecore.base.errors import TopicError
from edgecore.base.identity import Principal
from edgecore.base.interfaces import Bus, Receipt
from edgecore.base.message import Message
from edgecore.base.topic import check_topic

# (error, reason): error is "" when all is well, else a word that sdk.ERRORS knows.
Told = Callable[[str, str], None]


def publish(bus: Bus, message: Message, told: Told) -> None:
    """Publish, and call `told` once: at once when refused, else when it is durable wherever it must be."""
    if (problem := _problem(message)) is not None:
        told("invalid", problem)
        return
    receipt = bus.publish(message)
    error, reason = refusal(receipt, message.sender, message.topic)
    if error:
        told(error, reason)
        return

    def committed(failure: Exception | None) -> None:
        told("store" if failure else "", str(failure or ""))

    when_all_done(receipt.commits, committed)


def refusal(receipt: Receipt, sender: Principal, topic: str) -> tuple[str, str]:
    """Why a publish came to nothing; ("", "") when it did not."""
    if not receipt.allowed:
        return (
            "not authorized",
            f"no route lets {sender} publish on {topic}: add one with from = {str(sender)!r} to the group",
        )
    if receipt.refused:
        return "refused", receipt.refused
    return "", ""


def _problem(message: Message) -> str | None:
    if message.qos not in (0, 1, 2):
        return f"found qos {message.qos}, expected 0, 1 or 2"
    try:
        check_topic(message.topic)
        message.topic.encode()  # the wire is UTF-8: MQTT 5, 1.5.4 forbids surrogates
    except (TopicError, UnicodeEncodeError) as error:
        return str(error)
    return None
