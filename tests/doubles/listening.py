"""A listener without sockets, and its clients: for tests of what goes on behind the door."""

from __future__ import annotations

from turn_database import session_store

from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.kept_sessions import KeptSessions
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.listener.unread import Unread
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.properties import PropertyMap
from edgecore.router import Router


class Book(dict):
    """Fingerprint -> name."""

    def lookup(self, fingerprint):
        return self.get(fingerprint)


class FakeWire:
    """A connection that keeps what was sent."""

    def __init__(self):
        self.blocked = False
        self.sent = []
        self.finished = False
        self.holding = False

    def send(self, data):
        self.sent.append(data)

    def finish(self):
        self.finished = True

    def hold_reading(self, hold):
        self.holding = hold


class House:
    """Everything behind the door but sockets: devices `one`, `two`, `three`; certificates are their names."""

    def __init__(self, database=None, clock=None, **settings):
        self.clock = clock or ManualClock()
        self.router = Router(self.clock)
        self.specs = {name: DeviceSpec(name, name) for name in ("one", "two", "three")}
        self.book = Book({name: name for name in self.specs})
        self.routes(Row(("device:*",), ("t/#",), ("device:*",)))
        self.settings = ListenerSettings(**settings)
        self.database, self.kept = database, None
        if database is not None:
            store, left = session_store(database)
            self.kept = KeptSessions(store, self.router, self.settings, self.clock)
            self.kept.restore(left)
        self.sessions, self.refusals = Sessions(self.kept), Refusals()
        self.due = []
        self.given, self.committing = settings, True
        self.turn, self.unread = Turn(self.due.append), Unread(self.settings.max_unread)

    def routes(self, *rows):
        self.router.set_rows(rows, self.specs)

    def session(self, certificate, wire=None):
        door = Door(
            self.settings, self.router, self.sessions, self.refusals, self.turn, self.clock, self.unread
        )
        credential = CertificateCredential(Admission(self.book, self.specs.get), certificate)
        return DeviceSession(wire or FakeWire(), credential, "192.0.2.1", door)

    def device(self, name="one", version=5, **connect):
        """A connected device."""
        device = Peer(self, self.session(name), version)
        device.send(p.Connect(connect.pop("client_id", name), version, **connect))
        device.connack, *device.first = device.receive()
        assert device.connack.reason_code == 0
        return device

    def kept_device(self, name="one", version=5, expiry=3600, **connect):
        """A connected device whose session is kept."""
        if version == 5:
            connect["properties"] = PropertyMap(
                {pr.SESSION_EXPIRY_INTERVAL: expiry, **connect.pop("more", {})}
            )
        return self.device(name, version, clean_start=connect.pop("clean_start", False), **connect)

    def restarted(self):
        """The house after a power cut: another one on the same disk."""
        return House(self.database.power_cut(), self.clock, **self.given)

    def peer(self, make_session, version=5):
        """A client whose session `make_session` makes for a wire."""
        return Peer(self, make_session(FakeWire()), version)

    def turn_over(self):
        """End the loop's turn, and those that follow until the disk has taken everything."""
        while self.due or (self.database is not None and self.committing and not self.database.idle):
            while self.due:
                self.due.pop(0)()
            if self.database is not None and self.committing:
                self.database.commit()


class Peer:
    """A client at the other end of a fake wire."""

    def __init__(self, house, session, version):
        self.house, self.session, self.version = house, session, version
        self.wire = session._wire

    def send(self, *packets):
        data = b"".join(each if isinstance(each, bytes) else encode(each, self.version) for each in packets)
        self.session.data(data, self.house.clock.monotonic())

    def receive(self):
        self.house.turn_over()
        data = b"".join(self.wire.sent)
        self.wire.sent.clear()
        return [decode(first, body, self.version) for first, body in Framer(1 << 28).feed(data)]

    def subscribe(self, topic_filter="t/#", qos=0, **options):
        self.send(p.Subscribe(1, [p.SubscriptionOptions(topic_filter, qos, **options)]))
        return self.receive()
