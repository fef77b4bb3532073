import asyncio

from edgecore.api.feed import Feed
from edgecore.base.identity import CORE, operator
from edgecore.base.message import Message


def feed(length=2):
    return Feed(operator("me"), length)


def message(topic):
    return Message(topic, b"", 1, CORE)


def topics(lines):
    return [line.get("topic", "dropped") for line in lines]


def test_is_the_operators():
    assert feed().principal == operator("me")


def test_gives_messages_once_and_in_order():
    watched = feed()
    watched.deliver(message("a"), 1, False)
    watched.deliver(message("b"), 0, True)
    first, second = watched.take()
    assert (first["topic"], first["qos"], first["retain"]) == ("a", 1, False)
    assert (second["topic"], second["qos"], second["retain"]) == ("b", 0, True)
    assert watched.take() == []


def test_drops_the_oldest_and_says_it_once():
    watched = feed()
    for name in "abc":
        watched.deliver(message(name), 0, False)
    assert topics(watched.take()) == ["dropped", "b", "c"]
    watched.deliver(message("d"), 0, False)
    assert topics(watched.take()) == ["d"]
    assert watched.dropped == 1


async def test_waits_for_the_first():
    watched = feed()
    waiting = asyncio.create_task(watched.some())
    await asyncio.sleep(0)
    assert not waiting.done()
    watched.deliver(message("a"), 0, False)
    await waiting


async def test_can_be_woken_with_nothing():
    watched = feed()
    watched.wake()
    await watched.some()
    assert watched.take() == []
