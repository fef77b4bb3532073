import pytest

from edgecore.base import identity
from edgecore.base.errors import StoreError
from edgecore.base.message import Message
from edgecore.listener.bodies import (
    COUNT_SHIFT,
    MAX_RUN,
    RUN,
    Run,
    Single,
    count_of,
    is_row,
    read_body,
    run_bytes,
)
from edgecore.listener.records import extra_bytes, message_bytes
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.runs import acked_run

BOTH = pytest.mark.parametrize("version", [V311, V5])
SENDER = identity.device("one", "thing-1")


def a_run(version, *payloads):
    data = b"".join(
        encode(p.Publish("t/a", each, 1, packet_id=number), version)
        for number, each in enumerate(payloads, 9)
    )
    return data, acked_run(data, 0, version == V5)


def flags_of(run):
    return 1 | RUN | run.number - 1 << COUNT_SHIFT


@BOTH
def test_a_run_is_read_as_it_was_written(version):
    frames, run = a_run(version, b"1", b"2", b"3")
    body = read_body(flags_of(run), run_bytes(SENDER, "t/a", version, run, frames), None)
    assert isinstance(body, Run)
    assert (body.protocol, body.frames, body.packet_bytes, body.rows_version) == (
        version,
        frames,
        run.size,
        0,
    )
    found = [body.at(index) for index in range(3)]
    assert [(each.topic, each.payload, each.qos, each.sender) for each in found] == [
        ("t/a", payload, 1, SENDER) for payload in (b"1", b"2", b"3")
    ]
    assert body.at(0).sender.thing == "thing-1"
    assert body.sample.topic == "t/a"


@BOTH
def test_a_part_of_a_run_goes_out_under_other_identifiers(version):
    frames, run = a_run(version, b"1", b"2", b"3")
    body = Run(SENDER, "t/a", version, run, frames, 1)
    part = body.part(1, 2, 500)
    packets = [decode(first, rest, version) for first, rest in Framer(1 << 20).feed(part)]
    assert [(each.packet_id, each.payload, each.topic) for each in packets] == [
        (500, b"2", "t/a"),
        (501, b"3", "t/a"),
    ]


def test_a_single_message_has_what_belongs_to_it():
    message = Message("t/b", b"x", 2, SENDER, retain=True, expires_at=5.0)
    body = read_body(2, message_bytes(message), extra_bytes((7,), "$share/g/t/#"))
    assert isinstance(body, Single)
    assert (body.identifiers, body.share) == ((7,), "$share/g/t/#")
    assert body.sample is body.at(0)
    assert (body.at(0).topic, body.at(0).expires_at) == ("t/b", 5.0)


@pytest.mark.parametrize("number", [1, 4])
def test_a_run_whose_flags_count_otherwise_cannot_be_read(number):
    frames, run = a_run(V5, b"1", b"2", b"3")
    record = run_bytes(SENDER, "t/a", V5, run, frames)
    with pytest.raises(StoreError, match="layout"):
        read_body(1 | RUN | number - 1 << COUNT_SHIFT, record, None)


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x97\x01\xff"])
def test_bytes_that_are_no_run_cannot_be_read(record):
    with pytest.raises(StoreError):
        read_body(1 | RUN, record, None)


def test_the_flags_of_a_row_say_how_many_messages_it_holds():
    assert count_of(1) == 1
    assert count_of(flags_of(a_run(V5, *[b"x"] * 128)[1])) == 128
    assert is_row(1, flags_of(a_run(V5, *[b"x"] * MAX_RUN)[1]))
    assert not is_row(1, 2 | RUN)
