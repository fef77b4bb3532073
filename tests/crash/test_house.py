"""A house is built again from its journal as it was at any moment."""

from edgecore.mqtt import packets as p
from tests.crash.house import CLOUD, House, number_of, payload_of


def lived(moments):
    """A house in which things happened, and its journal; only the first `moments` of it."""
    journal = []
    house = House(cloud=True, journal=lambda *event: journal.append(event))
    publisher, away = house.senders["pub5"], house.receivers["away5"]
    one, two = house.own["5"][0], house.own["5"][-1]
    (kept, *_) = house.kept["5"]
    steps = [
        lambda: publisher.joined(False),
        lambda: away.joined(False),
        away.granted,
        lambda: publisher.publish(one, 1, payload_of(1, 5), False),
        lambda: publisher.publish(two, 1, payload_of(1, 5), False),
        lambda: publisher.publish(kept, 1, payload_of(1, 5), True),
        lambda: publisher.publish(kept, 2, b"", True),
        lambda: publisher.take(p.PubAck(1)),
        lambda: publisher.take(p.PubRec(2)),
        lambda: publisher.take(p.PubAck(3)),
        lambda: away.take(p.Publish(one.topic, payload_of(1, 5), 1, packet_id=1)),
        lambda: away.take(p.Publish(two.topic, payload_of(1, 5), 2, packet_id=2)),
        lambda: publisher.joined(True),
        lambda: away.take(p.PubRel(2)),
        lambda: away.take(p.Publish(two.topic, payload_of(1, 5), 2, packet_id=3)),
        lambda: house.mourned["will3"].connects(1),
        lambda: house.mourned["will3"].joined(False),
    ]
    for step in steps[:moments]:
        step()
    return house, journal, len(steps)


def state(house):
    verdict = house.law.close()
    return (
        dict(verdict.counts),
        {name: half.notes.resend() for name, half in house.senders.items()},
        {name: (half.known, half.notes.unreleased) for name, half in house.receivers.items()},
        {topic: (kept.acked, kept.sent, kept.erased) for topic, kept in house.retained.items()},
        house.goals,
    )


def test_a_journal_holds_everything_at_every_moment():
    _, _, length = lived(0)
    for moments in range(length + 1):
        house, journal, _ = lived(moments)
        again = House(cloud=True)
        for event in journal:
            again.play(*event)
        assert state(again) == state(house)


def test_what_happened_is_judged():
    house = lived(100)[0]
    counts, resend, received, retained, goals = state(house)
    assert (counts["acked"], counts["duplicated"], counts["resent"]) == (4, 1, 2)
    assert resend["pub5"][0] == p.PubRel(2)
    assert received["away5"] == (True, 1)
    assert retained["r/5/1/0"] == (1, 2, {2})
    assert list(goals.values()) == [1]


def test_a_lost_session_is_a_fault_and_ends_what_was_known():
    house = House()
    publisher, away = house.senders["pub3"], house.receivers["away3"]
    assert publisher.joined(False) == []
    assert away.joined(False)
    away.granted()
    publisher.publish(house.own["3"][0], 1, b"1 ", False)
    assert not away.joined(True)
    assert publisher.joined(False) == []
    assert away.joined(False)
    assert house.law.close().broken == {"session_lost": 2}


def test_a_refusal_without_a_reason_is_a_fault():
    house = House()
    house.senders["pub5"].publish(house.own["5"][0], 1, b"1 ", False)
    house.senders["pub5"].take(p.PubAck(1, 0x97))
    assert house.law.close().broken == {"refused": 1}


def test_whoever_leaves_has_no_claim():
    house = House()
    newcomer = house.receiver("new-3", 4)
    newcomer.joined(False)
    newcomer.granted()
    newcomer.leaves()
    publisher = house.senders["pub3"]
    publisher.publish(house.own["3"][0], 1, b"1 ", False)
    publisher.take(p.PubAck(1))
    assert house.law.close().broken == {}
    assert "new-3" not in house.receivers


def test_the_cloud_has_a_claim_to_what_goes_there():
    house = House(cloud=True)
    (stream,) = house.outward["5"]
    house.senders["pub5"].publish(stream, 1, payload_of(1, 3), False)
    house.senders["pub5"].take(p.PubAck(1))
    assert not house.law.reached(CLOUD, {stream: 1})
    assert house.law.close().broken == {"lost": 1}


def test_a_payload_carries_its_number():
    assert number_of(payload_of(17, 4)) == 17
