import msgspec
import pytest

from edgecore.base.errors import StoreError
from edgecore.base.identity import CORE, device
from edgecore.base.message import Message, Properties
from edgecore.listener.records import (
    VERSION,
    SessionRecord,
    SubscriptionRecord,
    WillRecord,
    decode_session,
    encode_session,
    extra_bytes,
    message_bytes,
    read_message,
)

FULL_WILL = WillRecord("w", b"gone", 2, True, 5, 60, 1, "text/plain", "r", b"c", (("a", "1"), ("a", "2")))
RECORD = SessionRecord(
    VERSION,
    ("device", "one", "thing-1"),
    "client",
    3600,
    12.5,
    (SubscriptionRecord("t/#", 1), SubscriptionRecord("$share/g/t", 2, False, True, 268_435_455)),
    FULL_WILL,
    17,
)


@pytest.mark.parametrize(
    "record", [RECORD, SessionRecord(VERSION, ("device", "one", "one"), "", 0, None)], ids=["full", "least"]
)
def test_a_session_comes_back_as_it_was(record):
    assert decode_session(encode_session(record)) == record


def test_a_record_of_before_is_read():
    fields = [VERSION, ["device", "one", "one"], "c", 60, None, [["t", 1]], None]
    record = decode_session(msgspec.msgpack.encode(fields))
    assert record == SessionRecord(
        VERSION, ("device", "one", "one"), "c", 60, None, (SubscriptionRecord("t", 1),)
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode_session(RECORD)[:-3],
        msgspec.msgpack.encode([VERSION, ["nobody", "one", "one"], "c", 60, None]),
        msgspec.msgpack.encode([VERSION, ["device", "one", "one"], b"\xff", 60, None]),
        msgspec.msgpack.encode({"version": 1}),
    ],
)
def test_what_is_no_session_is_said_to_be_none(data):
    with pytest.raises(StoreError, match="cannot be read"):
        decode_session(data)


def test_a_session_of_a_newer_layout_is_not_guessed_at():
    with pytest.raises(StoreError, match=f"layout {VERSION + 1}, expected {VERSION}"):
        decode_session(msgspec.msgpack.encode([VERSION + 1, ["device", "one", "one"], "c", 60, None]))


def test_a_will_becomes_a_message_whose_life_begins_when_it_is_published():
    message = FULL_WILL.message(device("one"), 1000.0)
    assert (message.topic, message.payload, message.qos, message.retain) == ("w", b"gone", 2, True)
    assert (message.sender, message.expires_at) == (device("one"), 1060.0)
    assert message.properties == Properties(1, "text/plain", "r", b"c", (("a", "1"), ("a", "2")))


def test_a_plain_will_has_no_end_and_no_properties():
    message = WillRecord("w", b"", 0, False).message(device("one"), 1000.0)
    assert (message.expires_at, message.properties) == (None, None)
    assert WillRecord("w", b"", 0, False, expiry=0).message(device("one"), 1000.0).expires_at == 1000.0


def test_a_message_is_put_into_bytes_once_for_all_sessions():
    message = Message("t", b"x", 1, device("one"), properties=Properties(content_type="a"))
    first = message_bytes(message)
    assert message_bytes(message) is first
    found, identifiers, share = read_message(first, None)
    assert (found.topic, found.payload, found.sender, found.properties) == (
        "t",
        b"x",
        device("one"),
        message.properties,
    )
    assert (identifiers, share) == ((), "")


def test_what_belongs_to_one_session_comes_back():
    assert extra_bytes((), "") is None
    for identifiers, share in (((1, 268_435_455), ""), ((), "$share/g/t"), ((3,), "$share/g/t")):
        extra = extra_bytes(identifiers, share)
        assert read_message(message_bytes(Message("t", b"", 1, CORE)), extra)[1:] == (identifiers, share)


def test_bytes_that_are_none_of_ours_are_named():
    with pytest.raises(StoreError, match="cannot be read"):
        read_message(b"\xc1", None)
    with pytest.raises(StoreError, match="what belongs to"):
        read_message(message_bytes(Message("t", b"", 1, CORE)), b"\xc1")
