import msgspec
import pytest

from edgecore.base.errors import StoreError
from edgecore.base.identity import CLOUD, device, function
from edgecore.base.message import Message, Properties
from edgecore.store import decode_message, encode_message

FIELDS = ("topic", "payload", "qos", "sender", "retain", "expires_at", "properties", "origin")


@pytest.mark.parametrize(
    "message",
    [
        Message("a/b", b"\x00\xff", 1, device("loop", "thing-1")),
        Message("a", b"", 0, CLOUD, retain=True, expires_at=1.5),
        Message(
            "ä/€",
            b"x" * 1000,
            2,
            function("f"),
            properties=Properties(1, "t", "r/t", b"\1", (("k", "v"), ("k", "w"))),
        ),
        Message("a", b"", 0, CLOUD, properties=Properties()),
        Message("site/a", b"x", 1, device("loop"), origin="a"),
    ],
)
def test_there_and_back(message):
    again = decode_message(encode_message(message))
    assert [getattr(again, field) for field in FIELDS] == [getattr(message, field) for field in FIELDS]
    assert again.sender.id == message.sender.id


def test_a_small_message_costs_little():
    message = Message("dt/loop-north/count", b"x" * 200, 1, device("loop-north"))
    assert len(encode_message(message)) <= 200 + len(message.topic) + 50


@pytest.mark.parametrize(
    "record", [b"", b"\xc1", b"\x93\x01\x02\x03", encode_message(Message("a", b"", 0, CLOUD))[:-3]]
)
def test_other_bytes_are_refused(record):
    with pytest.raises(StoreError, match="cannot be read"):
        decode_message(record)


def test_another_layout_is_refused():
    fields = msgspec.msgpack.decode(encode_message(Message("a", b"", 0, CLOUD)))
    with pytest.raises(StoreError, match="layout 9"):
        decode_message(msgspec.msgpack.encode([9, *fields[1:]]))


def test_the_layout_before_origins_is_still_read():
    record = bytes.fromhex("9801a3612f62c4017801c393a6646576696365a46c6f6f70a47468696ecb3ff8000000000000c0")
    message = decode_message(record)
    assert (message.topic, message.payload, message.qos, message.retain) == ("a/b", b"x", 1, True)
    assert (message.sender, message.expires_at) == (device("loop", "thin"), 1.5)
    assert (message.properties, message.origin) == (None, "")
