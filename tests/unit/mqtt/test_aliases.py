import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt.aliases import ReceivedAliases, SentAliases


def test_a_number_stands_for_the_topic_that_it_was_given_last():
    aliases = ReceivedAliases(2)
    assert aliases.resolve("a", 1) == "a"
    assert aliases.resolve("b", 2) == "b"
    assert aliases.resolve("", 1) == "a"
    assert aliases.resolve("c", 1) == "c"
    assert aliases.resolve("", 1) == "c"


@pytest.mark.parametrize(("topic", "alias", "reason"), [("a", 3, 0x94), ("", 3, 0x94), ("", 2, 0x82)])
def test_a_number_too_high_or_without_a_topic_is_refused(topic, alias, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        ReceivedAliases(2).resolve(topic, alias)
    assert caught.value.reason_code == reason


def test_the_first_topics_get_numbers_once_they_were_sent():
    aliases = SentAliases(2)
    assert aliases.offer("a") == (1, "a")
    assert aliases.offer("b") == (1, "b")  # the first was not sent
    for topic in ("b", "c", "d"):
        aliases.sent(topic)
    assert aliases.offer("b") == (1, "")
    assert aliases.offer("c") == (2, "")
    assert aliases.offer("d") == (0, "d")


def test_a_client_that_takes_none_gets_none():
    assert SentAliases(0).offer("a") == (0, "a")
