"""The laws of kept sessions, whatever happens in whatever order: connections that end, power cuts, full disks.

A core on a disk that keeps what was written and forgets the rest at a power cut; a publisher and two subscribers
that are correct clients: they lose nothing of what MQTT asks them to keep. What was acknowledged to the publisher
reaches every subscriber whose subscription was acknowledged, but for what the core counts as dropped; at QoS 2 once;
in order; under identifiers that nothing else in flight has; and when all is said, nothing is left anywhere.

EDGECORE_HISTORIES=100000 makes this many histories instead of those that a run of all tests has time for.
"""

import logging
import os
from collections import Counter
from typing import ClassVar
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from listening import House
from turn_database import TurnDatabase

from edgecore.listener import packet_ids
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

HISTORIES = int(os.environ.get("EDGECORE_HISTORIES", "60"))
FOR_EVER = 20 * 24 * 3600
# So few that they go round within one history; more than can be outstanding in the queues below.
IDENTIFIERS = 40
TOPICS = ("t/a", "t/b")


class Sent:
    """A message, and who must get it (nobody, if it may expire)."""

    def __init__(self, number, topic, qos, may_expire):
        self.number, self.topic, self.qos, self.may_expire = number, topic, qos, may_expire
        self.owed, self.acknowledged = set(), False

    @property
    def payload(self):
        return b"%04d" % self.number  # all of one length: such packets make runs


class Client:
    """A correct client. `answers`: what it has not said yet, in order; that is lost with the connection."""

    def __init__(self, world, name, version, window):
        self.world, self.name, self.version, self.window = world, name, version, window
        self.peer, self.live, self.answers, self.in_flight = None, False, [], {}
        self.kept = False  # whether it knows that the core has a session of it
        self.unsure = False  # whether it has asked for a clean start and not heard what became of it
        self.forget()
        self.heard, self.once = [], Counter()

    def forget(self):
        """There is no session: nothing of it may be gone on with."""
        self.known, self.unfinished, self.subscription = {}, {}, None

    # Connections

    def connect(self, clean=False):
        self.hang_up()
        properties = {pr.SESSION_EXPIRY_INTERVAL: FOR_EVER, pr.RECEIVE_MAXIMUM: self.window}
        house = self.world.house
        self.peer = house.peer(lambda wire: house.session(self.name), self.version)
        self.clean = clean
        if clean:
            self.unsure, self.subscription = True, None
            self.world.release(self)
        connect = p.Connect(self.name, self.version, clean, properties=PropertyMap(properties))
        if self.version == V311:
            connect.properties.clear()
        self.peer.send(connect)

    def hang_up(self):
        """Know nothing more of the connection; the core may not have noticed yet."""
        self.peer, self.live = None, False
        self.answers.clear()
        self.in_flight.clear()

    def lose(self):
        self.peer.session.lost()
        self.hang_up()

    def leave(self):
        self.say(p.Disconnect())
        if self.peer is not None:
            self.lose()

    def say(self, *packets):
        self.peer.send(*packets)

    def read(self):
        """Take what the core has sent."""
        if self.peer is None:
            return
        peer = self.peer
        for packet in peer.receive():
            self.TAKE[type(packet)](self, packet)
        if peer.wire.finished and self.peer is peer:
            self.lose()

    def connack(self, packet):
        if packet.reason_code:
            return
        if self.kept and not self.unsure:
            assert packet.session_present, "the session that it had is gone"
        assert not (self.clean and packet.session_present)
        if not packet.session_present:
            self.forget()
        self.live, self.unsure = True, False
        self.kept = not (self.clean and self.version == V311)
        for packet_id, message in list(self.unfinished.items()):
            if message.acknowledged:
                self.say(p.PubRel(packet_id))
            else:
                message.owed &= self.world.wanting()  # it may be the first time that the core hears of it
                self.say(
                    p.Publish(message.topic, message.payload, message.qos, dup=True, packet_id=packet_id)
                )

    def disconnect(self, packet):
        pass

    # As a publisher

    def packet_of(self, message, expiry):
        properties = None
        if expiry is not None and self.version == V5:
            properties = PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: expiry})
        packet_id = 0
        if message.qos:
            packet_id = min(set(range(1, 20)) - self.unfinished.keys())
            self.unfinished[packet_id] = message
        return p.Publish(
            message.topic, message.payload, message.qos, packet_id=packet_id, properties=properties
        )

    def puback(self, packet):
        message = self.unfinished.pop(packet.packet_id)
        assert message.qos == 1
        message.acknowledged = packet.reason_code < 0x80

    def pubrec(self, packet):
        message = self.unfinished[packet.packet_id]
        assert message.qos == 2
        if packet.reason_code >= 0x80:
            del self.unfinished[packet.packet_id]
            return
        message.acknowledged = True
        self.answers.append(p.PubRel(packet.packet_id))

    def pubcomp(self, packet):
        self.unfinished.pop(packet.packet_id, None)  # it may have asked twice

    # As a subscriber

    def subscribe(self, qos):
        self.subscription = None
        self.asked = qos
        self.say(p.Subscribe(7, [p.SubscriptionOptions(self.world.filter, qos)]))

    def unsubscribe(self):
        self.subscription = None
        self.asked = None
        self.say(p.Unsubscribe(7, [self.world.filter]))

    def suback(self, packet):
        self.subscription = self.asked

    def unsuback(self, packet):
        pass

    def take(self, packet):
        if packet.qos:
            assert packet.packet_id not in self.in_flight, "an identifier is in flight twice"
            self.in_flight[packet.packet_id] = packet.payload
        if packet.qos == 1:
            self.answers.append(p.PubAck(packet.packet_id))
        if packet.qos == 2:
            self.answers.append(p.PubRec(packet.packet_id))
            known = self.known.get(packet.packet_id)
            if known is not None:
                assert known == packet.payload, "another message under an identifier that is not released"
                return
            self.known[packet.packet_id] = packet.payload
            self.once[packet.payload] += 1
        self.heard.append((int(packet.payload), packet.topic, packet.qos))

    def pubrel(self, packet):
        self.known.pop(packet.packet_id, None)
        self.answers.append(p.PubComp(packet.packet_id))

    def answer(self, number):
        """Say the first answers that are due."""
        for packet in self.answers[:number]:
            if isinstance(packet, p.PubAck | p.PubComp):
                self.in_flight.pop(packet.packet_id, None)
            if self.peer is not None:
                self.say(packet)
        del self.answers[:number]

    TAKE: ClassVar = {
        p.ConnAck: connack, p.Disconnect: disconnect, p.PubAck: puback, p.PubRec: pubrec, p.PubComp: pubcomp,
        p.SubAck: suback, p.UnsubAck: unsuback, p.Publish: take, p.PubRel: pubrel,
    }  # fmt: skip


class Sessions(RuleBasedStateMachine):
    """One publisher "one", subscribers "two" and "three", a disk."""

    @initialize(
        versions=st.tuples(*[st.sampled_from([V311, V5])] * 3),
        windows=st.tuples(*[st.integers(1, 4)] * 3),
        records=st.sampled_from([3, 20]),
        shared=st.sampled_from([False, False, True]),
    )
    def begin(self, versions, windows, records, shared):
        self.patch = patch.object(packet_ids, "MAX_PACKET_ID", IDENTIFIERS)
        self.patch.start()
        logging.disable(logging.CRITICAL)  # thousands of refusals would be kept for a report
        self.house = House(TurnDatabase(), session_records=records, max_in_flight=4)
        self.house.committing = False
        self.shared, self.filter = shared, "$share/g/t/#" if shared else "t/#"
        names = ("one", "two", "three")
        self.clients = [Client(self, *each) for each in zip(names, versions, windows, strict=True)]
        self.publisher, *self.subscribers = self.clients
        self.sent, self.dropped, self.disk_was_full = [], 0, False
        for client in self.clients:
            client.connect()
        self.commit()
        for client in self.subscribers:
            client.subscribe(2)
        self.commit()

    def teardown(self):
        try:
            if hasattr(self, "house"):
                self.end()
        finally:
            if hasattr(self, "patch"):
                self.patch.stop()
                logging.disable(logging.NOTSET)

    @property
    def database(self):
        return self.house.database

    def release(self, subscriber):
        """What it was owed, it wants no more; of a share others get it, but not what it may have at QoS 2."""
        for message in self.sent:
            if not self.shared:
                message.owed.discard(subscriber.name)
            elif message.qos == 2:
                message.owed.clear()

    def dropped_now(self):
        """What this run of the core has counted as lost by its bounds, or because nobody was left."""
        counts = self.house.kept.status()["dropped"]
        return counts.get("overflow", 0) + counts.get("no-member", 0)

    # What may happen

    def everybody_reads(self):
        for client in self.clients:
            client.read()

    def is_there(self, client):
        """Let the client have come back, where the disk takes its session."""
        if not client.live:
            client.connect()
            self.commit()
        return client.live

    @rule(
        qos=st.sampled_from([0, 1, 1, 2, 2, 2]),
        topic=st.sampled_from(TOPICS),
        number=st.integers(1, 5),
        expiry=st.sampled_from([None, None, None, 3]),
    )
    def publish(self, qos, topic, number, expiry):
        if not self.is_there(self.publisher):
            return
        packets = []
        for _ in range(number):
            if len(self.publisher.unfinished) < 15:
                may_expire = expiry is not None and self.publisher.version == V5
                message = Sent(len(self.sent), topic, qos, may_expire)
                message.owed = set() if may_expire or not qos else self.wanting()
                self.sent.append(message)
                packets.append(self.publisher.packet_of(message, expiry))
        if packets:
            self.publisher.say(*packets)  # in one piece: what is alike in it takes the fast path
        self.everybody_reads()

    def wanting(self):
        """Who would have to be sent a message that is published now."""
        return {each.name for each in self.subscribers if each.kept and each.subscription}

    @rule(client=st.integers(0, 2), number=st.integers(1, 6))
    def answer(self, client, number):
        client = self.clients[client]
        if self.is_there(client):
            client.answer(number)
            self.everybody_reads()

    @rule(how=st.sampled_from(["all", "hand over", "sync", "finish"]))
    def write(self, how):
        """The disk goes on: a group of works is handed over, is written, its senders are told."""
        if how == "all":
            self.commit()
        elif how == "hand over":
            self.database.hand_over()
        elif how == "sync":
            self.database.hand_over()
            self.database.sync()
        else:
            self.database.finish()
        self.everybody_reads()

    def commit(self):
        self.everybody_reads()
        while self.database.commit():
            self.everybody_reads()

    @rule(client=st.integers(0, 2), how=st.sampled_from(["lost", "lost", "leaves", "again", "clean"]))
    def connection(self, client, how):
        client = self.clients[client]
        if how == "lost" and client.peer is not None:
            client.lose()
        elif how == "leaves" and client.live:
            client.leave()
        elif how in ("again", "clean"):  # also while there is a connection: a takeover
            # A member of a share that keeps nothing would lose what others were to get.
            client.connect(how == "clean" and not (self.shared and client.version == V311))
        self.everybody_reads()

    @rule(client=st.integers(1, 2), qos=st.sampled_from([None, 0, 1, 2, 2]))
    def subscription(self, client, qos):
        client = self.clients[client]
        if self.is_there(client):
            if qos is None:
                client.unsubscribe()
            else:
                client.subscribe(max(qos, self.shared))  # of a share, one at QoS 0 would lose it for all
            self.everybody_reads()

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds):
        self.house.clock.advance(seconds)
        self.house.kept.sweep()

    @rule()
    def power_cut(self):
        self.dropped += self.dropped_now()
        self.house = self.house.restarted()
        self.house.committing = False
        for client in self.clients:
            client.hang_up()

    @rule(full=st.booleans())
    def disk(self, full):
        self.database.fail = "the disk is full" if full else None
        self.disk_was_full = self.disk_was_full or full

    # What must be true in the end

    def end(self):
        self.database.fail = None
        self.drain()
        self.look_at_deliveries()
        status = self.house.kept.status()
        assert (status["queued"], status["bytes"]) == (0, 0)
        assert self.database.rows("session_messages") == 0
        assert self.database.rows("session_incoming") == 0

    def drain(self):
        """All come back, and everything that waits goes where it should."""
        self.house.committing = True
        for client in self.clients:
            client.read()
            if not client.live:
                client.connect()
        busy = True
        while busy:
            busy = False
            for client in self.clients:
                client.read()
                assert client.live
                busy = busy or bool(client.answers)
                client.answer(len(client.answers))
            self.house.kept.sweep()
            self.house.turn_over()
            busy = busy or any(client.peer.wire.sent for client in self.clients)
        assert self.publisher.unfinished == {}

    def look_at_deliveries(self):
        dropped = self.dropped + self.dropped_now()
        if self.shared:
            self.look_at_share(dropped)
            return
        lost = 0
        for client in self.subscribers:
            heard = {number for number, _, _ in client.heard}
            lost += sum(
                client.name in each.owed and each.acknowledged and each.number not in heard
                for each in self.sent
            )
            twice = [payload for payload, times in client.once.items() if times > 1]
            assert twice == [], "QoS 2 more than once"
            if not self.disk_was_full and not dropped:
                self.look_at_order(client)
        assert lost <= dropped

    def look_at_share(self, dropped):
        """Somebody has heard each message, and none was heard at QoS 2 by two."""
        heard = {number for client in self.subscribers for number, _, _ in client.heard}
        lost = [each for each in self.sent if each.owed and each.acknowledged and each.number not in heard]
        assert len(lost) <= dropped
        once = sum((client.once for client in self.subscribers), Counter())
        assert [payload for payload, times in once.items() if times > 1] == []

    def look_at_order(self, client):
        """First deliveries of what was published on one topic at one QoS come as they were published.

        But for messages whose first copy was dropped or has expired, and whose second, which a publisher sent that
        had not heard of its acknowledgement, is then the first to be delivered.
        """
        last, seen = {}, set()
        for number, topic, qos in client.heard:
            if number in seen or self.sent[number].may_expire:
                continue
            seen.add(number)
            way = topic, self.sent[number].qos, qos
            assert last.get(way, -1) < number
            last[way] = number


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=HISTORIES,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
