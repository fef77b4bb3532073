import pytest

from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.base.identity import function
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.lambdas.publishing import publish, refusal


def told_of(bus, topic="a/b", qos=1):
    told = []
    publish(bus, Message(topic, b"", qos, function("f")), lambda error, reason: told.append((error, reason)))
    return told


@pytest.mark.parametrize(("topic", "qos"), [("a/+", 1), ("", 1), ("a\0", 1), ("\ud800", 1), ("a", 3)])
async def test_what_mqtt_does_not_allow_is_never_published(bus, topic, qos):
    ((error, reason),) = told_of(bus, topic, qos)
    assert error == "invalid"
    assert reason
    assert bus.messages == []


async def test_it_is_told_when_all_is_durable(bus):
    commits = (Commit(), Commit())
    bus.answer = lambda message: Receipt(allowed=True, receivers=2, commits=commits)
    told = told_of(bus)
    commits[0].resolve()
    assert told == []
    commits[1].resolve()
    assert told == [("", "")]


async def test_it_is_told_when_it_could_not_be_stored(bus):
    commit = Commit()
    commit.resolve(StoreError("disk full"))
    bus.answer = lambda message: Receipt(allowed=True, commits=(commit,))
    assert told_of(bus) == [("store", "disk full")]


def test_refusals_say_why():
    sender = function("f")
    assert refusal(Receipt(allowed=True), sender, "t") == ("", "")
    assert refusal(Receipt(allowed=True, refused="full"), sender, "t") == ("refused", "full")
    error, reason = refusal(Receipt(allowed=False), sender, "t")
    assert error == "not authorized"
    assert reason == "no route lets function:f publish on t: add one with from = 'function:f' to the group"
