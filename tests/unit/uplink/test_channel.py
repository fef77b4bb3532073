"""What one connection takes from the outbox; more of it in test_outbox.py, by way of the outbox."""

from pathlib import Path

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import MemoryQueue, QueueBounds
from edgecore.uplink import channel as room
from edgecore.uplink.channel import SETTLE_SECONDS
from edgecore.uplink.outbox import LANES, Outbox
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.window import PROBE_PAUSE, Evidence
from tests.unit.uplink.conftest import FakeClient

ROWS = (Row(("device:*",), ("alarm/#",), ("cloud",), priority=9), Row(("device:*",), ("dt/#",), ("cloud",)))


class Case:
    def __init__(self, connections=1, records=1000, rows=ROWS, wake=lambda: None, **more):
        self.clock = ManualClock()
        self.queue = MemoryQueue("outbox", QueueBounds(records, 10_000_000), LANES)
        aside = MemoryQueue("aside", QueueBounds(10, 1_000_000))
        more |= {"connections": connections, "outbox_records": records}
        settings = UplinkSettings("h", Path("c"), Path("k"), "core", **more)
        self.outbox = Outbox(self.queue, aside, settings, self.clock, wake, rows)
        self.channels = self.outbox.channels
        self.clients = [FakeClient() for _ in range(connections)]

    def deliver(self, *topics, payload=b"{}", **more):
        for topic in topics:
            self.outbox.deliver(Message(topic, payload, 1, device("a"), **more), 1, retain=False)

    def connect(self):
        for channel in self.channels:
            channel.connected()

    async def pump(self):
        for channel, client in zip(self.channels, self.clients, strict=True):
            channel.pump(client)

    def sent(self, number=0):
        return [message.topic for message, _, _ in self.clients[number].published]


@pytest.fixture
def case():
    return Case()


async def test_a_topic_belongs_to_one_connection_and_all_take_part():
    case = Case(connections=3)
    topics = [f"dt/{n}" for n in range(30)]
    case.deliver(*topics)
    case.connect()
    case.deliver(*topics)
    await case.pump()
    by_client = [set(case.sent(n)) for n in range(3)]
    assert set().union(*by_client) == set(topics)
    assert sum(len(one) for one in by_client) == len(topics)
    assert all(by_client)
    for client in case.clients:
        client.settle()
    await case.pump()
    await case.pump()
    for client in case.clients:
        client.settle()
    await case.pump()
    assert case.queue.count == 0


async def test_a_connection_that_is_down_holds_up_its_own_topics_only():
    case = Case(connections=2)
    topics = [f"dt/{n}" for n in range(20)]
    case.deliver(*topics)
    case.channels[0].connected()
    await case.pump()
    assert case.sent(1) == []
    case.clients[0].settle()
    await case.pump()
    left = case.queue.count
    assert 0 < left < 20
    case.channels[1].connected()
    await case.pump()
    assert len(case.sent(1)) == left


async def test_an_unreadable_record_is_set_aside_once_by_several_connections():
    case = Case(connections=2)
    case.queue.append(b"rubbish", lane=4)
    case.connect()
    await case.pump()
    await case.pump()
    assert (case.queue.count, case.outbox.status()["set_aside"]) == (0, 1)


async def test_what_matters_more_goes_first(case):
    case.deliver("dt/1", "dt/2", "alarm/1")
    case.connect()
    await case.pump()
    assert case.sent() == ["alarm/1", "dt/1", "dt/2"]


async def test_what_happens_today_passes_a_long_backlog(case):
    case.deliver(*[f"dt/{n}" for n in range(500)])
    case.connect()
    await case.pump()
    case.deliver("dt/now")
    case.clients[0].settle()
    await case.pump()
    assert case.sent()[:2] == ["dt/now", "dt/80"]


async def test_a_topic_with_a_backlog_waits_for_its_turn(case):
    case.deliver(*["dt/a"] * 200)
    case.connect()
    await case.pump()
    case.deliver("dt/a")
    numbers = 0
    while case.queue.count:
        numbers += len(case.clients[0].settle())
        await case.pump()
    assert numbers == 201


@pytest.mark.parametrize("connections", [1, 3])
async def test_a_long_backlog_of_an_ordered_topic_holds_up_no_other(connections):
    case = Case(
        connections, records=10_000, rows=(*ROWS, Row(("device:*",), ("dt/o",), ("cloud",), ordered=True))
    )
    case.deliver(*["dt/o"] * 3000, *[f"dt/{n}" for n in range(300)])
    case.connect()
    sent = []
    for _ in range(100):
        await case.pump()
        for client in case.clients:
            for message, _, done in client.published:
                sent.append(message.topic)
                if message.topic != "dt/o":  # the cloud takes its time with that one
                    done(None)
            client.published.clear()
    assert len(sent) == 301


async def test_all_of_an_ordered_topic_arrives_in_order_one_by_one():
    case = Case(records=10_000, rows=(*ROWS, Row(("device:*",), ("dt/o/#",), ("cloud",), ordered=True)))
    topics = [f"dt/o/{n}" for n in range(3)]
    for number in range(3000):
        case.deliver(topics[number % 3], payload=b"%d" % number)
    case.connect()
    arrived = {topic: [] for topic in topics}
    for _ in range(2000):
        await case.pump()
        assert len(set(case.sent())) == len(case.sent())
        for message, _, _ in case.clients[0].published:
            arrived[message.topic].append(int(message.payload))
        case.clients[0].settle()
    assert case.queue.count == 0
    assert [arrived[topic] for topic in topics] == [list(range(n, 3000, 3)) for n in range(3)]


async def test_an_ordered_topic_is_not_read_over_and_over(monkeypatch):
    """However long: each row is read twice, and some once more."""
    case = Case(records=10_000, rows=(*ROWS, Row(("device:*",), ("dt/o",), ("cloud",), ordered=True)))
    case.deliver(*["dt/o"] * 5000)
    rows, real = [0], case.queue.ask

    def ask(*arguments):
        *most, answer = arguments

        def count(records):
            rows[0] += len(records)
            answer(records)

        real(*most, count)

    monkeypatch.setattr(case.queue, "ask", ask)
    case.connect()
    while case.queue.count:
        await case.pump()
        case.clients[0].settle()
    assert rows[0] <= 3 * 5000


async def test_live_records_need_no_reading(case, monkeypatch):
    def ask(*_arguments):
        raise AssertionError("the disk was read")

    monkeypatch.setattr(case.queue, "ask", ask)
    case.connect()
    for channel in case.channels:
        channel._read_out = [True] * LANES
    case.deliver("dt/1", "dt/2")
    await case.pump()
    assert case.clients[0].settle() == ["dt/1", "dt/2"]


async def test_what_gave_way_while_it_waited_is_not_sent(case):
    case = Case(records=2, in_flight=1)
    case.deliver("dt/1", "dt/2")
    case.connect()
    await case.pump()
    case.deliver("dt/3")  # dt/1 is on its way and spared
    case.clients[0].settle()
    await case.pump()
    assert case.clients[0].settle() == ["dt/3"]
    assert case.queue.dropped == {"overflow": 1}


async def test_what_is_too_old_is_dropped_and_counted(case):
    case = Case(outbox_age=100.0)
    case.deliver("dt/1")
    case.clock.advance(101)
    case.deliver("dt/2")
    case.connect()
    await case.pump()
    await case.pump()
    assert case.sent() == ["dt/2"]
    assert case.outbox.status()["dropped"] == {"too old": 1}


async def test_a_clock_that_is_set_expires_nothing(case):
    case.deliver("dt/1", expires_at=case.clock.now() + 60)
    case.clock.set_wall(case.clock.now() + 1e9)
    case.connect()
    await case.pump()
    (message, _, _) = case.clients[0].published[0]
    assert message.topic == "dt/1"


async def test_poison_is_found_set_aside_and_listed(case):
    case.deliver("dt/good", "dt/bad", "dt/also")
    lost = TransientCloudError("offline")
    for _ in range(2):  # two ends of the connection make suspects
        case.connect()
        await case.pump()
        case.channels[0].disconnected(Evidence.CLOSED)
        case.clients[0].settle(lost)
    case.connect()
    await case.pump()
    assert case.outbox.status()["probing"]
    assert case.clients[0].settle() == ["dt/good"]
    for _ in range(2):
        await case.pump()
        assert case.sent() == ["dt/bad"]
        case.channels[0].disconnected(Evidence.CLOSED)
        case.clients[0].settle(lost)
        case.connect()
        await case.pump()
        case.clients[0].settle()
        case.clock.advance(PROBE_PAUSE)
    await case.pump()
    await case.pump()
    assert case.queue.count == 0
    (listed,) = case.outbox.status()["set_aside_last"]
    assert listed["topic"] == "dt/bad"
    assert "ends the connection" in listed["reason"]


async def test_qos_0_waits_while_a_suspect_is_probed(case):
    case.deliver("dt/1")
    case.connect()
    await case.pump()
    case.channels[0].disconnected(Evidence.MESSAGE)
    case.clients[0].settle(TransientCloudError("offline"))
    case.connect()
    case.outbox.deliver(Message("dt/0", b"", 0, device("a")), 0, retain=False)
    await case.pump()
    assert case.sent() == ["dt/1"]
    case.clients[0].settle()
    await case.pump()
    assert case.sent() == ["dt/0"]


async def test_what_an_older_link_says_late_is_no_news(case):
    case.deliver("dt/1")
    case.connect()
    await case.pump()
    ((_, _, late),) = case.clients[0].published
    case.clients[0].published.clear()
    case.channels[0].disconnected()
    case.connect()
    await case.pump()
    late(PermanentCloudError("of the old link"))
    assert case.outbox.status()["in_flight"] == 1
    case.clients[0].settle()
    await case.pump()
    assert (case.queue.count, case.outbox.status()["set_aside"]) == (0, 0)


class TestSettling:
    """When what the cloud has is taken off the disk."""

    async def flow(self, case, number):
        """Send that many, one of which the cloud does not acknowledge."""
        case.deliver("dt/slow", *[f"dt/{n}" for n in range(number)])
        case.connect()
        await case.pump()
        case.clients[0].published, slow = case.clients[0].published[1:], case.clients[0].published[0]
        case.clients[0].settle()
        return slow

    async def test_it_waits_for_more_while_others_are_on_their_way(self, case):
        await self.flow(case, 3)
        due = case.channels[0].pump(case.clients[0])
        assert case.queue.count == 4
        assert due == case.clock.monotonic() + SETTLE_SECONDS
        case.clock.advance(SETTLE_SECONDS)
        await case.pump()
        assert case.queue.count == 1

    async def test_it_is_done_at_once_when_it_is_enough(self, monkeypatch):
        monkeypatch.setattr(room, "SETTLE_RECORDS", 3)
        case = Case()
        await self.flow(case, 3)
        await case.pump()
        assert case.queue.count == 1

    async def test_it_is_done_at_once_when_nothing_else_is_on_its_way(self, case):
        _, _, done = await self.flow(case, 3)
        done(None)
        await case.pump()
        assert case.queue.count == 0

    async def test_it_is_done_when_the_link_is_lost(self, case):
        await self.flow(case, 3)
        case.channels[0].disconnected()
        case.channels[0].pump(None)
        assert case.queue.count == 1

    async def test_what_the_cloud_has_is_not_what_gives_way(self):
        case = Case(records=4, in_flight=80)
        await self.flow(case, 3)
        case.deliver("dt/new", "dt/newer")
        assert (case.queue.count, case.queue.dropped) == (3, {})

    async def test_what_the_cloud_has_is_not_too_old(self):
        case = Case(outbox_age=100.0)
        await self.flow(case, 3)
        case.clock.advance(101)
        await case.outbox.look()
        assert (case.queue.count, case.outbox.status()["dropped"]) == (1, {})


async def test_a_burst_of_acknowledgements_wakes_once():
    woken = []
    case = Case(wake=lambda: woken.append(1))
    case.deliver(*[f"dt/{n}" for n in range(80)])
    case.connect()
    await case.pump()
    woken.clear()
    case.clients[0].settle()
    assert len(woken) == 1
    await case.pump()
    case.deliver("dt/a")
    await case.pump()
    woken.clear()
    case.clients[0].settle()
    assert len(woken) == 1


async def test_what_was_dropped_or_set_aside_is_off_the_disk_at_once(case):
    """It was decided here: after a crash it would be sent behind what followed it, or be set aside twice."""
    case.connect()
    case.deliver("dt/old", expires_at=case.clock.now() + 1)
    case.deliver("dt/bad", "dt/good")
    case.clock.advance(2)
    await case.pump()
    assert (case.sent(), case.queue.count) == (["dt/bad", "dt/good"], 2)
    _, _, done = case.clients[0].published[0]
    done(PermanentCloudError("never"))
    await case.pump()
    assert (case.outbox.status()["set_aside"], case.queue.count) == (1, 1)
