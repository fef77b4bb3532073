"""The fuzzer's corpus, replayed: every kind of outcome that was found, held to the law for good."""

import sys
from pathlib import Path

import pytest

from edgecore.listener.device_session import DeviceSession

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import engine  # noqa: E402  the sibling file, found by the line above

SEEDS = engine.read_packets(HERE / "seeds.txt")
CORPUS = engine.read_packets(HERE / "corpus.txt")
# Packets that once broke the law, each with what they did.
BROKE = {
    "a second CONNECT of an unknown version was answered with a DISCONNECT that 5 does not know (0x84)": (
        5,
        bytes.fromhex("10140004 4d515454 06 02 003c 00 0007 6162636465666768".replace(" ", "")),
    ),
}


@pytest.mark.parametrize("packets", [SEEDS, CORPUS], ids=["seeds", "corpus"])
def test_every_packet_is_accepted_or_refused_with_a_documented_reason(packets):
    bench = engine.Bench()
    for version, data in packets:
        bench.give(version, data)
        for each in {version} - {0} or {4, 5}:
            engine.codec(each, data)


@pytest.mark.parametrize("packet", BROKE.values(), ids=BROKE)
def test_what_broke_the_law_once_keeps_it_now(packet):
    assert engine.Bench().give(*packet)[:2] == ("refused", (0x82,))


def test_a_short_run_of_the_fuzzer_keeps_the_law():
    bench, mutator = engine.Bench(), engine.Mutator(1, SEEDS)
    outcomes = set()
    for number in range(5_000):
        version, data = mutator.next()
        outcomes.add(bench.give(version, data)[0])
        engine.codec(version or (4, 5)[number & 1], data)
    assert outcomes == {"accepted", "refused", "ended by the client"}


PING = b"\xc0\x00"


def answering(answer):
    """A session that does `answer` when it is asked for nothing but a sign of life."""
    given = DeviceSession.data
    return lambda self, data, now: answer(self) if data == PING else given(self, data, now)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda session: session._wire.send(bytes.fromhex("90040001 00 83")), "131"),
        (lambda session: session._wire.send(bytes.fromhex("4003 0001 90")), "PubAck.*144"),
        (lambda session: session._wire.send(b"\xe0\x02\x8a\x00"), "DISCONNECT"),
        (lambda session: session._refusals.note("protocol", "", "why", 0), "left open"),
    ],
    ids=["an exception", "SUBACK", "PUBACK", "DISCONNECT", "not closed"],
)
def test_the_law_is_seen_to_be_broken(monkeypatch, answer, said):
    """A fuzzer that cannot fail proves nothing."""
    bench = engine.Bench()
    bench.give(5, PING)
    monkeypatch.setattr(DeviceSession, "data", answering(answer))
    with pytest.raises(engine.LawError, match=said):
        bench.give(5, PING)
