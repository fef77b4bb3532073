"""The kept sessions of a core on a disk that survives it, without MQTT: their life is what is looked at."""

from __future__ import annotations

from turn_database import TurnDatabase, session_store

from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.listener.kept_sessions import KeptSessions
from edgecore.listener.records import WillRecord
from edgecore.listener.settings import ListenerSettings
from edgecore.mqtt.packets import SubscriptionOptions
from edgecore.router import Router

ONE, TWO = identity.device("one"), identity.device("two")


def will(delay=0, expiry=None, payload=b"gone"):
    return WillRecord("t/will", payload, 1, False, delay, expiry)


class Live:
    """A connection."""

    live = True

    def __init__(self):
        self.stirred, self.released = 0, []

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        pass

    def stir(self):
        self.stirred += 1

    def release(self, packet_id):
        self.released.append(packet_id)


class Witness:
    """Hears everything."""

    principal, connected = identity.operator("witness"), True

    def __init__(self, router):
        self.heard = []
        router.subscribe(self, "#", 2)

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        self.heard.append(message.payload)


class Core:
    """The sessions of a core, on a disk that survives it."""

    def __init__(self, database=None, clock=None, **settings):
        self.database, self.clock = database or TurnDatabase(), clock or ManualClock()
        self.settings = settings
        self.specs = {name: DeviceSpec(name, name) for name in ("one", "two")}
        self.router = Router(self.clock)
        self.routes(Row(("device:*",), ("t/#",), ("device:*",)))
        self.witness = Witness(self.router)
        store, left = session_store(self.database)
        self.kept = KeptSessions(store, self.router, ListenerSettings(**settings), self.clock)
        self.kept.restore(left)

    def routes(self, *rows):
        self.router.set_rows(rows, self.specs)

    def open(self, principal=ONE, client_id="c", *, clean=False, expiry=100, will=None):
        opening = self.kept.begin(Live(), principal, client_id, clean=clean, expiry=expiry, will=will)
        self.database.commit()
        if opening.session is not None:
            opening.session.outbound.attach(10)
        return opening

    def away(self, principal=ONE, client_id="c", *, qos=1, expiry=100, lost=True, **more):
        """A session whose client subscribed and is gone."""
        session = self.open(principal, client_id, expiry=expiry, **more).session
        session.subscribing.subscribe(SubscriptionOptions("t/#", qos), 0)
        self.kept.save(session)
        self.end(session, lost=lost)
        return session

    def end(self, session, expiry=None, *, lost=True):
        self.kept.end(session, session.expiry if expiry is None else expiry, lost=lost)
        self.database.commit()

    def publish(self, payload=b"x", qos=1, topic="t/a"):
        receipt = self.router.publish(Message(topic, payload, qos, TWO))
        self.database.commit()
        return receipt

    def after(self, seconds):
        """What is heard until so much later."""
        self.clock.advance(seconds)
        self.kept.sweep()
        self.database.commit()
        return self.heard

    @property
    def heard(self):
        heard, self.witness.heard = self.witness.heard, []
        return heard

    def power_cut(self):
        return Core(self.database.power_cut(), self.clock, **self.settings)

    @property
    def sessions(self):
        return self.kept.status()["sessions"]
