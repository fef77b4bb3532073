import pytest

from edgecore.base.errors import StoreError
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import decode_message
from edgecore.uplink.record import make_record, read_record, read_stamp


def test_a_record_gives_back_when_it_was_appended_and_the_message():
    record = make_record(Message("a/b", b"x", 1, device("a")), 12.5)
    stamp, encoded = read_record(record)
    assert (stamp, read_stamp(record), decode_message(encoded).topic) == (12.5, 12.5, "a/b")


def test_what_is_too_short_is_none():
    with pytest.raises(StoreError, match="3 bytes are no outbox record"):
        read_record(b"abc")
